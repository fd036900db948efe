"use strict";
(() => {
  const { name, scene, place } = unpack(JSON.parse(document.getElementById("data").textContent));
  const SIDES = { reconstruction: "Reconstruction", truth: "Truth" };
  const CLASSES = ["shower", "track", "Michel", "δ", "low energy"];
  const PIDS = ["γ", "e", "μ", "π", "p", "K"];
  const OWNERS = ["fragment", "particle", "interaction"];
  const COLOURINGS = {
    energy: "energy", semantic: "class", pid: "species",
    fragment: "fragment", particle: "particle", interaction: "interaction",
  };
  const LAYERS = { points: "points", starts: "starts", vertices: "vertices", outline: "detector" };

  // Okabe and Ito's palette for classes and species, Tol's for owners; safe for the colour-blind.
  const THEMES = {
    light: {
      ink: "#1c1d1f", soft: "#a4a7ad", grid: "#e7e8ea", none: "#cfd1d5", paper: "#fbfbfa",
      semantic: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#9a9da3"],
      pid: ["#56b4e9", "#0072b2", "#d55e00", "#e69f00", "#009e73", "#cc79a7"],
      energy: ["#fbb61a", "#ed6925", "#bc3754", "#781c6d", "#320a5e", "#0b0724"],
    },
    dark: {
      ink: "#f2f3f4", soft: "#5d626b", grid: "#25292e", none: "#43474e", paper: "#15171a",
      semantic: ["#56b4e9", "#f0793a", "#2cc295", "#e39cc4", "#8b9098"],
      pid: ["#a6dcff", "#3f9fe0", "#f0793a", "#f0b62e", "#2cc295", "#e39cc4"],
      energy: ["#7d2482", "#bc3754", "#ed6925", "#fbb61a", "#fcffa4"],
    },
  };
  const OWNER_COLOURS = [
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee7733", "#009988",
    "#cc3311", "#0077bb", "#999933", "#aa4499", "#44aa99", "#cc6677", "#88ccee", "#ddaa33",
  ];
  const SIZE = 1.5; // of a voxel's dot, in Plotly's pixels
  const VOXELS = 0, OUTLINE = 1, POINTS = 2, STARTS = 3, ARROWS = 4, VERTICES = 5, RINGS = 6;
  const LAYER_TRACES = {
    points: [POINTS], starts: [STARTS, ARROWS], vertices: [VERTICES, RINGS], outline: [OUTLINE],
  };
  const VIEWS = {
    "3D": { eye: { x: 1.45, y: 0.85, z: 1.3 }, projection: { type: "perspective" } },
    "x–y": { eye: { x: 0, y: 0, z: 2 }, projection: { type: "orthographic" } },
    "z–y": { eye: { x: -2, y: 0, z: 0 }, projection: { type: "orthographic" } },
    "z–x": { eye: { x: 0, y: 2, z: 0.001 }, projection: { type: "orthographic" } },
  };

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => THEMES[dark.matches ? "dark" : "light"];
  const element = (id) => document.getElementById(id);
  const sides = Object.keys(SIDES).filter((side) => scene[side]);
  const plots = Object.fromEntries(
    sides.map((side) => [side, document.querySelector(`#${side} .plot`)]));
  const colourings = Object.keys(COLOURINGS).filter((colouring) =>
    colouring === "energy" || sides.some((side) => colouring in scene[side].voxels.labels));
  const state = stateOfAddress();
  let chosen = null; // { side, row } of a particle

  // ---- data

  function unpack(value) {
    if (value === null || typeof value !== "object") return value;
    if (!("data" in value && "type" in value && typeof value.data === "string")) {
      for (const key of Object.keys(value)) value[key] = unpack(value[key]);
      return value;
    }
    const bytes = Uint8Array.from(atob(value.data), (c) => c.charCodeAt(0));
    return new globalThis[value.type](bytes.buffer);
  }

  function axes(flat) {
    const n = flat.length / 3, split = [0, 1, 2].map(() => new Float32Array(n));
    for (let i = 0; i < n; i++) for (let a = 0; a < 3; a++) split[a][i] = flat[3 * i + a];
    return { x: split[0], y: split[1], z: split[2] };
  }

  function stateOfAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    const pick = (key, allowed, otherwise) =>
      allowed.includes(given.get(key)) ? given.get(key) : otherwise;
    const owners = colourings.includes("particle") ? "particle" : "semantic";
    return {
      show: pick("show", showings(), sides.length > 1 ? "both" : "reconstruction"),
      colour: pick("colour", colourings, colourings.includes(owners) ? owners : "energy"),
      marks: new Set((given.get("marks") ?? usualMarks()).split(",").filter((m) => m in LAYERS)),
      size: Math.min(Math.max(Number(given.get("size")) || SIZE, 0.5), 6),
      table: given.get("table") !== "off",
    };
  }

  /** Points of interest are what starts are made of: the one or the other. */
  function usualMarks() {
    const started = scene.reconstruction.starts.row.length > 0;
    return Object.keys(LAYERS).filter((layer) => layer !== "points" || !started).join();
  }

  function showings() {
    return sides.length > 1 ? [...sides, "both"] : sides;
  }

  function remember() {
    const words = new URLSearchParams({ show: state.show, colour: state.colour });
    const marks = Object.keys(LAYERS).filter((layer) => state.marks.has(layer)).join();
    if (marks !== usualMarks()) words.set("marks", marks);
    if (state.size !== SIZE) words.set("size", state.size);
    if (!state.table) words.set("table", "off");
    history.replaceState(null, "", `#${words}`);
    for (const id of ["previous", "next"]) if (element(id).href) element(id).hash = `#${words}`;
  }

  // ---- colours

  const palette = (colouring) => theme()[colouring] ?? OWNER_COLOURS;

  function slotsOf(side, colouring) {
    const slots = scene[side].slots[colouring], n = OWNER_COLOURS.length;
    return slots ? (id) => slots[id] % n : (id) => id;
  }

  function partnerOf(side, row) {
    return scene[side].partner.length > row ? scene[side].partner[row] : -1;
  }

  /** The particle of this side to show alone: -1 none of it, null no choice. */
  function chosenIn(side) {
    if (!chosen) return null;
    return chosen.side === side ? chosen.row : partnerOf(chosen.side, chosen.row);
  }

  /** Which voxels keep their colour. */
  function kept(side) {
    const row = chosenIn(side), owner = scene[side].voxels.labels.particle;
    return row === null || !owner ? () => true : (i) => owner[i] === row;
  }

  function markerOf(side) {
    return state.colour === "energy" ? energyMarker(side) : labelMarker(side, state.colour);
  }

  function energyMarker(side) {
    const { energy } = scene[side].voxels, keep = kept(side), [low, high] = energyRange;
    const scale = (e) => (Math.log(Math.max(e, low)) - Math.log(low)) / Math.log(high / low);
    const shades = theme().energy, last = shades.length - 1;
    return {
      color: Float32Array.from(energy, (e, i) => (keep(i) ? 0.02 + 0.98 * Math.min(scale(e), 1) : 0)),
      colorscale: [[0, theme().none], [0.01, theme().none], [0.0101, shades[0]],
        ...shades.map((shade, i) => [0.02 + 0.98 * i / last, shade])],
      cmin: 0, cmax: 1,
    };
  }

  function labelMarker(side, colouring) {
    const cloud = scene[side].voxels, colours = [theme().none, ...palette(colouring)];
    const labels = cloud.labels[colouring], slot = slotsOf(side, colouring), keep = kept(side);
    const colour = (i) => (labels && labels[i] >= 0 && keep(i) ? 1 + slot(labels[i]) : 0);
    const n = colours.length;
    return {
      color: Uint8Array.from(cloud.energy, (_, i) => colour(i)),
      colorscale: colours.flatMap((c, i) => [[i / n, c], [(i + 1) / n, c]]),
      cmin: -0.5, cmax: n - 0.5,
    };
  }

  function rangeOfEnergy() {
    const all = sides.flatMap((side) => Array.from(scene[side].voxels.energy)).filter((e) => e > 0);
    if (!all.length) return [0.1, 1];
    all.sort((a, b) => a - b);
    const at = (share) => all[Math.floor(share * (all.length - 1))];
    return [at(0.02), Math.max(at(0.995), at(0.02) * 2)];
  }

  // ---- pictures

  function tracesOf(side) {
    const { voxels, points, starts, vertices, arrows, rings } = scene[side];
    const { ink, soft, paper, semantic } = theme();
    const on = (layer) => state.marks.has(layer);
    const base = { type: "scatter3d", hoverinfo: "none", showlegend: false };
    const lines = (flat, colour, width, layer) => ({
      ...base, ...axes(flat), mode: "lines", hoverinfo: "skip", connectgaps: false,
      visible: on(layer), line: { color: colour, width },
    });
    const marks = (flat, layer, marker) => ({
      ...base, ...axes(flat), mode: "markers", visible: on(layer), marker,
    });
    const edge = { color: paper, width: 1 };
    return [
      { ...base, ...axes(voxels.position), mode: "markers",
        marker: { size: state.size, opacity: 1, line: { width: 0 }, ...markerOf(side) } },
      lines(scene.outline, soft, 2, "outline"),
      marks(points.position, "points", {
        symbol: "diamond", size: 4, line: edge, opacity: 1,
        color: Array.from(points.type, (type) => semantic[type] ?? ink) }),
      marks(starts.position, "starts", { symbol: "circle", size: 2.5, color: ink, line: edge }),
      lines(arrows, ink, 3, "starts"),
      marks(vertices.position, "vertices", { symbol: "cross", size: 5, color: ink, line: edge }),
      lines(rings, ink, 2, "vertices"),
    ];
  }

  function extentOf(clouds) {
    const low = [Infinity, Infinity, Infinity], high = low.map((v) => -v);
    for (const flat of clouds) for (let i = 0; i < flat.length; i++) {
      const a = i % 3;
      if (flat[i] < low[a]) low[a] = flat[i];
      if (flat[i] > high[a]) high[a] = flat[i];
    }
    return low[0] <= high[0] ? { low, high } : null;
  }

  /** What the axes span: the detector, or the event alone where that is far smaller. */
  function frame() {
    const event = extentOf(sides.map((side) => scene[side].voxels.position));
    const detector = extentOf([scene.outline]);
    const size = ({ low, high }) => Math.max(...high.map((h, a) => h - low[a]));
    const small = !detector || (event && size(event) < size(detector) / 4);
    const { low, high } = (small || !state.marks.has("outline") ? event : null) ?? detector
      ?? { low: [-1, -1, -1], high: [1, 1, 1] };
    const margin = Math.max(0.02 * size({ low, high }), 1);
    return low.map((l, a) => [l - margin, high[a] + margin]);
  }

  /** From far enough to see all in a panel that is narrower than high. */
  function cameraOf({ eye, projection }) {
    const { clientWidth, clientHeight } = plots[visible()[0]];
    const far = Math.max(1, 1.1 * clientHeight / Math.max(clientWidth, 1));
    const from = Object.fromEntries(Object.entries(eye).map(([axis, at]) => [axis, far * at]));
    return { eye: from, projection, up: { x: 0, y: 1, z: 0 }, center: { x: 0, y: 0, z: 0 } };
  }

  function layoutOf() {
    const { ink, soft, grid, paper } = theme(), ranges = frame();
    const axis = (title, range) => ({
      title: { text: `${title} [cm]`, font: { size: 12 } }, range, nticks: 5, showbackground: false,
      gridcolor: grid, zeroline: false, showspikes: false, color: ink,
      linecolor: soft, tickfont: { size: 10, color: soft },
    });
    return {
      paper_bgcolor: paper, margin: { l: 0, r: 0, t: 0, b: 0 }, uirevision: "same",
      font: { family: getComputedStyle(document.body).fontFamily, color: ink },
      scene: {
        xaxis: axis("x", ranges[0]), yaxis: axis("y", ranges[1]), zaxis: axis("z", ranges[2]),
        aspectmode: "data", dragmode: "orbit", bgcolor: paper,
        camera: cameraOf(VIEWS["3D"]),
      },
    };
  }

  const visible = () => sides.filter((side) => state.show === "both" || state.show === side);

  async function draw() {
    for (const side of sides) {
      const layout = layoutOf(), plot = plots[side];
      if (plot.layout?.scene?.camera) layout.scene.camera = plot.layout.scene.camera;
      await Plotly.react(plot, tracesOf(side), layout, { responsive: true, displaylogo: false,
        displayModeBar: false, scrollZoom: true });
    }
  }

  function recolour() {
    for (const side of sides) {
      const marker = Object.entries(markerOf(side)).map(([key, value]) => [`marker.${key}`, [value]]);
      Plotly.restyle(plots[side], Object.fromEntries(marker), [VOXELS]);
    }
  }

  /** Both sides are seen from the same place. */
  function linkCameras() {
    let leader = null, frameAsked = false;
    for (const side of sides) {
      for (const event of ["pointerdown", "wheel", "touchstart"]) {
        plots[side].addEventListener(event, () => { leader = side; }, { capture: true, passive: true });
      }
      const follow = () => {
        frameAsked = false;
        const camera = plots[side]._fullLayout.scene._scene.getCamera();
        for (const other of visible()) {
          if (other !== side) Plotly.relayout(plots[other], { "scene.camera": camera });
        }
      };
      const moved = () => {
        if (leader !== side || frameAsked) return;
        frameAsked = true;
        requestAnimationFrame(follow);
      };
      plots[side].on("plotly_relayouting", moved);
      plots[side].on("plotly_relayout", moved);
    }
  }

  // ---- words

  function captions() {
    for (const side of Object.keys(SIDES)) {
      element(side).hidden = !visible().includes(side);
      if (!scene[side]) continue;
      const { voxels, n_voxels, slots } = scene[side], count = (n, what) =>
        `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
      const words = [count(voxels.energy.length, "voxel")];
      if ("particle" in voxels.labels) words.push(count(n_voxels.filter((n) => n > 0).length, "particle"));
      else if ("fragment" in slots) words.push(count(slots.fragment.length, "fragment"));
      const heading = document.querySelector(`#${side} h2`), small = make("small", words.join(" · "));
      heading.replaceChildren(SIDES[side], small);
    }
  }

  function key() {
    const box = element("key"), swatch = (colour, word) => {
      const item = make("span"), patch = make("i");
      patch.style.background = colour;
      item.append(patch, word);
      return item;
    };
    const words = { semantic: CLASSES, pid: PIDS }[state.colour];
    if (state.colour === "energy") {
      const ramp = make("span"), [low, high] = energyRange.map((e) => e.toPrecision(2));
      ramp.className = "ramp";
      ramp.style.background = `linear-gradient(90deg, ${theme().energy.join(",")})`;
      const item = make("span");
      item.style.display = "flex";
      item.style.alignItems = "center";
      item.append(`${Number(low)}`, ramp, `${Number(high)} MeV per voxel, logarithmic`);
      box.replaceChildren(item);
    } else if (words) {
      box.replaceChildren(...words.map((word, i) => swatch(palette(state.colour)[i], word)),
        swatch(theme().none, state.colour === "pid" ? "other" : "unknown"));
    } else {
      const told = sides.length > 1 ? `the ${state.colour}s that match have one colour on both sides`
        : `a colour for each ${state.colour}`;
      box.replaceChildren(make("span", told), swatch(theme().none, `of no ${state.colour}`));
    }
  }

  function make(tag, text = "") {
    const node = document.createElement(tag);
    node.textContent = text;
    return node;
  }

  const PARTICLE_HEADINGS = ["type", "energy [MeV]", "length [cm]", "primary", "interaction",
    "match (IoU)"];

  function tables() {
    const box = element("tables"), parts = [];
    box.hidden = !state.table;
    for (const side of visible()) {
      const { particles, n_voxels } = scene[side], headings = Object.keys(particles);
      const rows = Array.from(n_voxels.keys()).filter((row) => n_voxels[row] > 0);
      rows.sort((a, b) => n_voxels[b] - n_voxels[a]);
      parts.push(make("h2", `${SIDES[side]}: particles`));
      parts.push(rows.length ? tableOf(side, rows, headings)
        : make("p", headings.length ? "none" : "this file stops before the particles"));
    }
    box.replaceChildren(...parts);
    markChosen();
  }

  function tableOf(side, rows, headings) {
    const { particles, n_voxels } = scene[side], table = make("table");
    const shown = [...PARTICLE_HEADINGS.filter((h) => headings.includes(h)),
      ...headings.filter((h) => !PARTICLE_HEADINGS.includes(h) && h !== "class")];
    const cells = (row) => [String(row), ...shown.map((h) => particles[h][row]), String(n_voxels[row])];
    const head = table.createTHead().insertRow(), body = table.createTBody();
    [" #", ...shown, "voxels"].forEach((heading, i) => {
      const th = make("th", heading);
      th.addEventListener("click", () => sortBy(body, i));
      head.append(th);
    });
    for (const row of rows) {
      const tr = body.insertRow();
      tr.dataset.side = side;
      tr.dataset.row = row;
      tr.tabIndex = 0;
      cells(row).forEach((text) => { tr.insertCell().textContent = text; });
      const patch = make("i"), slot = slotsOf(side, "particle")(row);
      patch.style.background = OWNER_COLOURS[slot] ?? theme().none;
      tr.cells[0].prepend(patch);
      tr.addEventListener("click", () => choose(side, row));
      tr.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(side, row); });
    }
    return table;
  }

  function sortBy(body, column) {
    const value = (tr) => tr.cells[column].textContent, numeric = (tr) => parseFloat(value(tr));
    const down = body.dataset.sorted !== String(column);
    body.dataset.sorted = down ? column : "";
    const rows = [...body.rows].sort((a, b) => {
      const [p, q] = [numeric(a), numeric(b)];
      if (Number.isNaN(p) !== Number.isNaN(q)) return Number.isNaN(p) ? 1 : -1;
      const order = Number.isNaN(p) ? value(b).localeCompare(value(a)) : q - p;
      return down ? order : -order;
    });
    body.append(...rows);
  }

  function markChosen() {
    for (const tr of document.querySelectorAll("#tables tbody tr")) {
      tr.classList.toggle("chosen", chosenIn(tr.dataset.side) === Number(tr.dataset.row));
    }
  }

  function choose(side, row) {
    const again = !chosen || (chosen.side === side && chosen.row === row);
    chosen = again && chosen ? null : { side, row };
    recolour();
    markChosen();
  }

  // ---- what lies under the pointer

  function tellOf(side, trace, i) {
    const { voxels, points, starts, vertices } = scene[side];
    if (trace === STARTS) return particleLines(side, starts.row[i], "start of ");
    if (trace === VERTICES) return interactionLines(side, vertices.row[i]);
    if (trace === POINTS) {
      return [heading(`point of a ${CLASSES[points.type[i]] ?? "?"}`),
        list([["score", points.score[i].toFixed(2)]])];
    }
    const { labels, energy, position } = voxels, facts = [["energy", `${energy[i].toPrecision(3)} MeV`]];
    facts.push(["x, y, z", [0, 1, 2].map((a) => position[3 * i + a].toFixed(1)).join(", ") + " cm"]);
    const word = (id) => CLASSES[id] ?? "unknown";
    if ("semantic" in labels) facts.push(["class", word(labels.semantic[i])]);
    if ("truth_semantic" in labels) facts.push(["true class", word(labels.truth_semantic[i])]);
    for (const owner of OWNERS) if (owner in labels) facts.push([owner, dash(labels[owner][i])]);
    const row = labels.particle?.[i] ?? -1;
    return [heading("voxel"), list(facts), ...(row >= 0 ? particleLines(side, row, "") : [])];
  }

  const dash = (id) => (id >= 0 ? String(id) : "–");
  const heading = (text) => make("b", text);

  function list(facts) {
    const dl = make("dl");
    for (const [term, value] of facts) dl.append(make("dt", term), make("dd", value));
    return dl;
  }

  const factsOf = (table, row) => Object.entries(table).map(([term, cells]) => [term, cells[row]])
    .filter(([, value]) => value !== undefined && value !== "–");

  function particleLines(side, row, before) {
    const { particles, n_voxels } = scene[side];
    return [heading(`${before}particle ${row}`),
      list([...factsOf(particles, row), ["voxels", String(n_voxels[row])]])];
  }

  function interactionLines(side, row) {
    return [heading(`vertex of interaction ${row}`), list(factsOf(scene[side].interactions, row))];
  }

  function pointAt(side) {
    const tip = element("tip");
    plots[side].on("plotly_hover", ({ points: [{ curveNumber, pointNumber }], event }) => {
      tip.replaceChildren(...tellOf(side, curveNumber, pointNumber));
      tip.hidden = false;
      const x = event?.clientX ?? 0, y = event?.clientY ?? 0;
      tip.style.left = `${Math.min(x + 16, innerWidth - tip.offsetWidth - 8)}px`;
      tip.style.top = `${Math.max(Math.min(y + 16, innerHeight - tip.offsetHeight - 8), 8)}px`;
    });
    plots[side].on("plotly_unhover", () => { tip.hidden = true; });
    plots[side].on("plotly_click", ({ points: [{ curveNumber, pointNumber }] }) => {
      const { voxels, starts } = scene[side];
      const row = curveNumber === STARTS ? starts.row[pointNumber]
        : curveNumber === VOXELS ? voxels.labels.particle?.[pointNumber] ?? -1 : -1;
      if (row >= 0) choose(side, row);
    });
  }

  // ---- switches

  function choices(id, words, selected, act) {
    const group = make("span");
    group.className = "choices";
    for (const [value, word] of Object.entries(words)) {
      const label = make("label"), input = make("input");
      Object.assign(input, { type: "radio", name: id, value, checked: value === selected });
      input.addEventListener("change", () => act(value));
      label.append(input, word);
      group.append(label);
    }
    element(id).append(group);
  }

  function toggle(id, value, word, on, act) {
    const label = make("label"), input = make("input");
    label.className = "toggle";
    Object.assign(input, { type: "checkbox", value, checked: on });
    input.addEventListener("change", () => act(input.checked));
    label.append(input, word);
    element(id).append(label);
  }

  function show() {
    captions();
    key();
    tables();
    remember();
    for (const side of visible()) Plotly.Plots.resize(plots[side]);
  }

  function switches() {
    const words = Object.fromEntries(showings().map((s) => [s, SIDES[s] ?? "Side by side"]));
    element("show").hidden = sides.length < 2;
    choices("show", words, state.show, (value) => { state.show = value; show(); });
    const named = Object.fromEntries(colourings.map((c) => [c, COLOURINGS[c]]));
    choices("colour", named, state.colour, (value) => {
      state.colour = value;
      key();
      recolour();
      remember();
    });
    for (const [layer, word] of Object.entries(LAYERS)) {
      toggle("layers", layer, word, state.marks.has(layer), (on) => {
        if (on) state.marks.add(layer); else state.marks.delete(layer);
        const ranges = frame(), axes = ["x", "y", "z"];
        const change = Object.fromEntries(axes.map((a, i) => [`scene.${a}axis.range`, ranges[i]]));
        for (const side of sides) Plotly.update(plots[side], { visible: on }, change, LAYER_TRACES[layer]);
        remember();
      });
    }
    looks();
  }

  function looks() {
    for (const [word, view] of Object.entries(VIEWS)) {
      const button = make("button", word);
      button.addEventListener("click", () => {
        const camera = cameraOf(view);
        for (const side of sides) Plotly.relayout(plots[side], { "scene.camera": camera });
      });
      element("look").append(button);
    }
    const size = make("input"), label = make("label", "size ");
    Object.assign(size, { type: "range", min: 0.5, max: 6, step: 0.5, value: state.size, id: "size" });
    size.addEventListener("input", () => {
      state.size = Number(size.value);
      for (const side of sides) Plotly.restyle(plots[side], { "marker.size": state.size }, [VOXELS]);
      remember();
    });
    label.append(size);
    element("look").append(label);
    toggle("look", "table", "table", state.table, (on) => { state.table = on; show(); });
  }

  function navigation() {
    if (!place) return;
    const { number, count } = place, at = (n) => `/event/${n}`;
    element("nav").hidden = false;
    element("count").textContent = `0 to ${count - 1}`;
    if (number > 0) element("previous").href = at(number - 1);
    if (number < count - 1) element("next").href = at(number + 1);
    Object.assign(element("number"), { value: number, max: count - 1 });
    element("number").addEventListener("change", ({ target }) => {
      if (target.checkValidity()) location.href = at(target.value) + location.hash;
    });
    addEventListener("keydown", (event) => {
      const id = { ArrowLeft: "previous", ArrowRight: "next" }[event.key];
      if (id && element(id).href && event.target.tagName !== "INPUT") location.href = element(id).href;
    });
  }

  const energyRange = rangeOfEnergy();

  async function start() {
    element("title").textContent = scene.title || "event";
    element("file").textContent = name;
    element("note").textContent = scene.note;
    element("note").hidden = !scene.note;
    navigation();
    switches();
    captions();
    key();
    tables();
    remember();
    await draw();
    linkCameras();
    sides.forEach(pointAt);
    dark.addEventListener("change", () => { key(); tables(); draw(); });
    addEventListener("keydown", ({ key: pressed }) => {
      if (pressed === "Escape" && chosen) choose(chosen.side, chosen.row);
    });
    document.body.dataset.ready = "yes";
  }

  start();
})();
