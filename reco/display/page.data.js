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
const FEW = 5000; // voxels that are drawn in any case while the view moves
const SLOW = 80; // for a picture while the view moves, ms
const VOXELS = 0, OUTLINE = 1, POINTS = 2, STARTS = 3, ARROWS = 4, VERTICES = 5, RINGS = 6;
const LAYER_TRACES = {
  points: [POINTS], starts: [STARTS, ARROWS], vertices: [VERTICES, RINGS], outline: [OUTLINE],
};
const VIEWS = {
  "3D": { eye: { x: 1.62, y: 0.95, z: 1.46 }, projection: { type: "perspective" } },
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
for (const side of sides) spread(scene[side].voxels);
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

/** Any first few stand for all: steps of the golden ratio of their number visit them evenly. */
function spread(cloud) {
  const n = cloud.energy.length, common = (a, b) => (b ? common(b, a % b) : a);
  if (n <= FEW) return;
  let step = Math.round(0.618034 * n);
  while (common(n, step) > 1) step++;
  const ordered = (values, width) => values.map((_, k) =>
    values[width * ((Math.floor(k / width) * step) % n) + k % width]);
  cloud.position = ordered(cloud.position, 3);
  cloud.energy = ordered(cloud.energy, 1);
  for (const label of Object.keys(cloud.labels)) {
    cloud.labels[label] = ordered(cloud.labels[label], 1);
  }
}

function stateOfAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const pick = (key, allowed, otherwise) =>
    allowed.includes(given.get(key)) ? given.get(key) : otherwise;
  const { labels } = scene.reconstruction.voxels;
  const usual = ["particle", "fragment", "semantic"].find((c) => c in labels) ?? "energy";
  return {
    show: pick("show", showings(), sides.length > 1 ? "both" : "reconstruction"),
    colour: pick("colour", colourings, usual),
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
