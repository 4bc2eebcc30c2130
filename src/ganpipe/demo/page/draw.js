// Labels on a canvas, and the picture that the model makes of them after each stroke.
import { Drawing } from "./drawing.js";
import { LABELS, read, write } from "./labels.js";
import * as marks from "./marks.js";
import { address, ask, latest, save, say } from "./talk.js";

const at = (id) => document.getElementById(id);
const [canvas, overlay, size, picture] = ["canvas", "overlay", "size", "picture"].map(at);
const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "-", "="];
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const NEAR = 4; // pixels that an arrow moves the cursor
const FAR = 16; // with Shift

let model, upload, drawing, made;
let cursor = [0, 0];
let last = null; // where the stroke is, while there is one
let corner = null; // of the rectangle that is being drawn
let pen = false; // whether arrows draw
let shown = false; // whether the cursor is: once a key has moved it

export function start(chosen, most) {
  upload = most;
  const same = model?.name === chosen.name;
  model = chosen;
  at("example").disabled = !model.examples;
  if (same) return;
  drawing = new Drawing(model.size);
  for (const each of [canvas, overlay]) each.width = each.height = model.size;
  cursor = [model.size / 2, model.size / 2];
  made = null;
  picture.hidden = true;
  at("save-picture").disabled = true;
  paint();
}

// What is chosen.
const tool = () => document.querySelector("[name=tool]:checked").value;
const label = () => (tool() === "eraser" ? 0 : Number(document.querySelector("[name=label]:checked").value));

function paint() {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const image = context.createImageData(drawing.side, drawing.side);
  write(drawing.labels, image.data);
  context.putImageData(image, 0, 0);
  at("undo").disabled = !drawing.before.length;
  mark();
}

function mark(to = cursor) {
  const how = { corner, to, size: Number(size.value), cross: tool() === "rectangle" };
  marks.mark(overlay.getContext("2d"), { ...how, cursor: shown ? cursor : null });
}

// A stroke: begun, continued, ended by what a pointer or a key does.
function begin(place) {
  if (tool() === "rectangle") corner = place;
  else {
    drawing.keep();
    drawing.line(place, place, Number(size.value), label());
    last = place;
  }
  paint();
}

function go(place) {
  if (last) {
    drawing.line(last, place, Number(size.value), label());
    last = place;
    paint();
  } else if (corner) mark(place);
}

function end(place) {
  if (corner) {
    drawing.keep();
    drawing.rectangle(corner, place, label());
  } else if (!last) return;
  last = corner = null;
  pen = false;
  paint();
  translate();
}

function letGo() {
  corner = null;
  if (pen) end(cursor);
  mark();
}

const blob = () => new Promise((done) => canvas.toBlob(done, "image/png"));

const translate = latest(async () => {
  const began = performance.now();
  const asked = model;
  const answer = await ask(address("/api/translate", { model: asked.name }), { method: "POST", body: await blob() });
  const found = await answer.blob();
  if (asked.name !== model.name) return;
  made = found;
  const before = picture.src;
  picture.src = URL.createObjectURL(found);
  await picture.decode().catch(() => {});
  if (before) URL.revokeObjectURL(before);
  picture.hidden = at("save-picture").disabled = false;
  picture.hidden = false;
  at("picture-told").textContent = `Made of the drawing in ${Math.round(performance.now() - began)} ms`;
  say("The picture is new.");
});

const take = latest(async (source) => {
  const asked = model;
  const image = await createImageBitmap(source).catch(() => {
    throw new Error("That file cannot be used as an image: choose another.");
  });
  if (asked.name !== model.name) return;
  const paper = new OffscreenCanvas(model.size, model.size).getContext("2d");
  paper.imageSmoothingEnabled = false;
  paper.drawImage(image, 0, 0, model.size, model.size);
  drawing.replace(read(paper.getImageData(0, 0, model.size, model.size).data));
  paint();
  translate();
});

const ACTIONS = {
  undo() {
    if (!drawing.undo()) return;
    paint();
    translate();
  },
  clear() {
    drawing.replace(new Uint8Array(drawing.side ** 2));
    paint();
    translate();
  },
  async example() {
    if (!model.examples) return;
    const seed = Math.floor(Math.random() * 2 ** 31);
    take(await (await ask(address("/api/example", { model: model.name, seed }))).blob());
  },
  async "save-drawing"() {
    save(await blob(), "drawing.png");
  },
  "save-picture"() {
    if (made) save(made, "picture.png");
  },
  load() {
    at("drawing-file").click();
  },
};
const LETTERS = { z: "undo", x: "clear", n: "example", s: "save-drawing" };
const act = (name) => Promise.resolve(ACTIONS[name]()).catch((error) => say(error.message, true));

// Pointers: a mouse, a pen, a finger.
const place = (event) => {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  return [((event.clientX - left) / width) * model.size, ((event.clientY - top) / height) * model.size];
};
canvas.addEventListener("pointerdown", (event) => {
  if (event.button || last || corner) return;
  canvas.setPointerCapture(event.pointerId);
  shown = false;
  begin(place(event));
});
canvas.addEventListener("pointermove", (event) => {
  if (pen || !canvas.hasPointerCapture(event.pointerId)) return;
  for (const each of event.getCoalescedEvents?.() ?? [event]) go(place(each));
});
canvas.addEventListener("pointerup", (event) => canvas.hasPointerCapture(event.pointerId) && end(place(event)));
canvas.addEventListener("pointercancel", () => end(last ?? corner));

// Keys, while the drawing has the focus.
function move([right, down], far) {
  const step = far ? FAR : NEAR;
  cursor = [cursor[0] + right * step, cursor[1] + down * step].map((each) =>
    Math.min(model.size - 1, Math.max(0, each)),
  );
  shown = true;
  if (pen) go(cursor);
  mark();
}

function space() {
  shown = true;
  if (pen || corner) return end(cursor);
  begin(cursor);
  if (tool() !== "rectangle") end(cursor);
}

const OTHERS = {
  " ": space,
  Enter: space,
  Escape: letGo,
  p() {
    if (pen) return end(cursor);
    if (tool() === "rectangle") return space();
    shown = pen = true;
    begin(cursor);
  },
  "[": () => resize(-2),
  "]": () => resize(2),
  b: () => choose("tool", "brush"),
  r: () => choose("tool", "rectangle"),
  e: () => choose("tool", "eraser"),
};

canvas.addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if ((event.ctrlKey || event.metaKey) && key === "z") act("undo");
  else if (event.ctrlKey || event.metaKey || event.altKey) return;
  else if (key in MOVES) move(MOVES[key], event.shiftKey);
  else if (key in OTHERS) OTHERS[key]();
  else if (KEYS.includes(key)) choose("label", KEYS.indexOf(key));
  else if (key in LETTERS) act(LETTERS[key]);
  else return;
  event.preventDefault();
});
canvas.addEventListener("blur", () => {
  shown = false;
  letGo();
});

function choose(name, value) {
  document.querySelector(`[name=${name}][value="${value}"]`).checked = true;
  mark();
}

function resize(by) {
  size.value = Number(size.value) + by;
  at("size-told").value = size.value;
  mark();
}

for (const [number, [name, colour]] of LABELS.entries()) {
  const line = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), { type: "radio", name: "label", value: number });
  radio.checked = name === "window";
  const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
  swatch.style.background = `rgb(${colour})`;
  const key = Object.assign(document.createElement("kbd"), { textContent: KEYS[number] });
  line.append(radio, swatch, name, key);
  at("labels").append(line);
}
for (const name of Object.keys(ACTIONS)) at(name).addEventListener("click", () => act(name));
at("drawing-file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (file && file.size > upload) say(`The file is larger than ${upload >> 20} MB: choose a smaller one.`, true);
  else if (file) take(file);
});
size.addEventListener("input", () => resize(0));
resize(0);
