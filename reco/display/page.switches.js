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
  recolourVisible();
  for (const side of visible()) Plotly.Plots.resize(plots[side]);
}

const has = (layer) => (layer === "outline" ? scene.outline.length > 0
  : sides.some((side) => scene[side][layer].position.length > 0));

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
  for (const [layer, word] of Object.entries(LAYERS).filter(([layer]) => has(layer))) {
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
  thinWhileMoving();
  sides.forEach(pointAt);
  dark.addEventListener("change", () => { key(); tables(); draw(); });
  addEventListener("keydown", ({ key: pressed }) => {
    if (pressed === "Escape" && chosen) choose(chosen.side, chosen.row);
  });
  document.body.dataset.ready = "yes";
}

start();
