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

const energyRange = rangeOfEnergy();

function rangeOfEnergy() {
  const all = sides.flatMap((side) => Array.from(scene[side].voxels.energy)).filter((e) => e > 0);
  if (!all.length) return [0.1, 1];
  all.sort((a, b) => a - b);
  const at = (share) => all[Math.floor(share * (all.length - 1))];
  return [at(0.02), Math.max(at(0.995), at(0.02) * 2)];
}

// ---- pictures

// Plotly has edges smoothed, of a picture that is twice as fine as the page already: in software,
// that alone takes three times as long.
const contextOf = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, options) {
  return contextOf.call(this, kind, { ...options, antialias: false });
};

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
      // a square has a quarter of the corners that a circle has, and all are drawn for each voxel
      marker: { symbol: "square", size: state.size, opacity: 1, line: { width: 0 },
        ...markerOf(side) } },
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
  const far = Math.max(0.82, 0.95 * clientHeight / Math.max(clientWidth, 1));
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

const stale = new Set(); // sides that were out of sight when the colours changed

function recolour() {
  for (const side of sides) stale.add(side);
  recolourVisible();
}

function recolourVisible() {
  for (const side of visible().filter((s) => stale.delete(s))) {
    const marker = Object.entries(markerOf(side)).map(([key, value]) => [`marker.${key}`, [value]]);
    Plotly.restyle(plots[side], Object.fromEntries(marker), [VOXELS]);
  }
}

let most = Infinity; // voxels that this machine draws in time

/**
 * Where pictures come slowly, fewer voxels while the view moves, and no picking; all when it rests.
 * Without the internals of Plotly that this asks for, all are always drawn.
 */
function thin(moving) {
  for (const side of visible()) {
    const { objects } = plots[side]._fullLayout.scene._scene?.glplot ?? {};
    const cloud = objects?.find((object) => object._trace?.data?.index === VOXELS);
    if (!(cloud?.vertexCount > 0 && cloud.pointCount > FEW)) continue;
    cloud.verticesOfAll ??= cloud.vertexCount;
    const drawn = moving ? Math.min(Math.floor(most), cloud.pointCount) : cloud.pointCount;
    const count = drawn * cloud.verticesOfAll / cloud.pointCount;
    if (cloud.vertexCount === count) continue;
    Object.assign(cloud, { vertexCount: count, dirty: true });
    if (moving) cloud.drawPick = null; else delete cloud.drawPick;
  }
}

function thinWhileMoving() {
  let held = false, end = 0, before = 0;
  const picture = (now) => {
    if (!held && now > end) {
      before = 0;
      most *= 2; // one slow picture is not for good
      thin(false);
      return;
    }
    if (now - before > SLOW) {
      const n = Math.max(...visible().map((side) => scene[side].voxels.energy.length));
      const less = Math.max(SLOW / (now - before), 0.25);
      most = Math.max(less * Math.min(most, n), FEW / visible().length);
    }
    before = now;
    thin(true);
    requestAnimationFrame(picture);
  };
  const moved = () => {
    end = performance.now() + 200;
    if (before) return;
    before = performance.now();
    requestAnimationFrame(picture);
  };
  for (const side of sides) {
    plots[side].addEventListener("pointerdown", () => { held = true; }, true);
    plots[side].addEventListener("wheel", moved, { capture: true, passive: true });
    plots[side].on("plotly_relayouting", moved);
  }
  for (const event of ["pointerup", "pointercancel"]) {
    addEventListener(event, () => { held = false; }, true);
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
