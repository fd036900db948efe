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

/** The particle under the pointer, -1 none. */
function particleAt(side, curve, point) {
  const { voxels, starts } = scene[side];
  if (curve === STARTS) return starts.row[point];
  return curve === VOXELS ? voxels.labels.particle?.[point] ?? -1 : -1;
}

function pointAt(side) {
  const tip = element("tip"), plot = plots[side], pointer = { x: 0, y: 0 };
  let under = -1, pressed = null;
  plot.on("plotly_hover", ({ points: [{ curveNumber, pointNumber }] }) => {
    under = particleAt(side, curveNumber, pointNumber);
    tip.replaceChildren(...tellOf(side, curveNumber, pointNumber));
    tip.hidden = false;
    const { x, y } = pointer, { offsetWidth, offsetHeight } = tip;
    tip.style.left = `${Math.min(x + 16, innerWidth - offsetWidth - 8)}px`;
    tip.style.top = `${Math.max(Math.min(y + 16, innerHeight - offsetHeight - 8), 8)}px`;
  });
  plot.on("plotly_unhover", () => { under = -1; tip.hidden = true; });
  const at = ({ clientX: x, clientY: y }) => Object.assign(pointer, { x, y });
  plot.addEventListener("pointermove", at, { capture: true, passive: true });
  plot.addEventListener("pointerleave", () => { under = -1; tip.hidden = true; });
  // Not plotly_click: that comes again with every picture drawn while the button is down, which
  // a change of colours draws.
  plot.addEventListener("pointerdown", (event) => { pressed = { ...at(event), under }; }, true);
  addEventListener("pointerup", ({ clientX, clientY }) => {
    const still = pressed && Math.hypot(clientX - pressed.x, clientY - pressed.y) < 4;
    if (still && pressed.under >= 0) choose(side, pressed.under);
    pressed = null;
  }, true);
}
