// The image that is looked at: sliders along the directions, and a map of two of them. Both are one state.
import { askFor, bitmap, latest, tile } from "./talk.js";

const at = (id) => document.getElementById(id);
const ACROSS = 7; // images of the map, across and down
const STEP = 1 / 12; // of the map, that an arrow moves
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

let model, terms, values, sliders;

const axes = () => [Number(at("across").value), Number(at("down").value)];

function start(chosen) {
  model = chosen;
  terms = null;
  values = new Array(model.sliders).fill(0);
  sliders = values.map((_, number) => slider(number));
  at("sliders").replaceChildren(...sliders.map((each) => each.parentElement));
  for (const [place, id] of ["across", "down"].entries()) {
    at(id).replaceChildren(...values.map((_, number) => new Option(number + 1, number)));
    at(id).value = Math.min(place, values.length - 1);
  }
  at("map").width = at("map").height = ACROSS * model.size;
  at("cross").width = at("cross").height = 512;
}

function slider(number) {
  const line = document.createElement("label");
  const range = Object.assign(document.createElement("input"), {
    type: "range", min: -model.reach, max: model.reach, step: model.reach / 24, value: 0,
  });
  range.addEventListener("input", () => {
    values[number] = Number(range.value);
    show();
    cross();
  });
  range.addEventListener("change", () => axes().includes(number) || map());
  line.append(`Direction ${number + 1}`, range, document.createElement("output"));
  return range;
}

// The base, from which the sliders lead away.
function look(of) {
  terms = of;
  values.fill(0);
  show();
  map();
}

const show = () => {
  for (const [number, value] of values.entries()) {
    sliders[number].value = value;
    sliders[number].nextSibling.textContent = value.toFixed(1);
  }
  image();
};

const image = latest(async () => {
  const question = { model: model.name, points: [{ terms, sliders: values }], columns: 1 };
  tile(at("look"), await bitmap(await askFor("/api/images", question)), model.size, 1, 0);
});

const map = latest(async () => {
  const [across, down] = axes();
  const place = (number) => model.reach * ((2 * number) / (ACROSS - 1) - 1);
  const points = [];
  for (let row = 0; row < ACROSS; row++) {
    for (let column = 0; column < ACROSS; column++) {
      const moved = [...values];
      moved[down] = place(row);
      moved[across] = place(column);
      points.push({ terms, sliders: moved });
    }
  }
  const picture = await bitmap(await askFor("/api/images", { model: model.name, points, columns: ACROSS }));
  at("map").getContext("2d").drawImage(picture, 0, 0);
  cross();
});

// The middles of the outer images are the ends of the sliders.
const MARGIN = 0.5 / ACROSS;
const share = (value) => MARGIN + (1 - 2 * MARGIN) * (value / model.reach / 2 + 0.5);

function cross() {
  const context = at("cross").getContext("2d");
  const [x, y] = axes().map((number) => 512 * share(values[number]));
  context.clearRect(0, 0, 512, 512);
  for (const [colour, width] of [["#000", 5], ["#fff", 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    context.arc(x, y, 12, 0, 7);
    context.stroke();
  }
}

function go(right, down) {
  const bounded = [right, down].map((each) => Math.min(model.reach, Math.max(-model.reach, each)));
  for (const [place, number] of axes().entries()) values[number] = bounded[place];
  show();
  cross();
}

at("map").addEventListener("click", (event) => {
  const { left, top, width, height } = at("map").getBoundingClientRect();
  const places = [(event.clientX - left) / width, (event.clientY - top) / height];
  go(...places.map((each) => 2 * model.reach * ((each - MARGIN) / (1 - 2 * MARGIN) - 0.5)));
});
at("map").addEventListener("keydown", (event) => {
  const move = MOVES[event.key];
  if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  go(...axes().map((number, place) => values[number] + 2 * model.reach * STEP * move[place]));
});
for (const id of ["across", "down"]) at(id).addEventListener("change", map);

export const field = { start, look };
