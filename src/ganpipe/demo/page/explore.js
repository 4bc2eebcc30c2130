// Samples to pick from, and what is made of those that were picked: looked at, added and subtracted, walked between.
import { field } from "./field.js";
import { address, ask, askFor, bitmap, latest, pause, say, tile } from "./talk.js";

const at = (id) => document.getElementById(id);
const COUNT = 24; // samples in sight
const STOPS = 24; // images of a walk
const SETS = ["a", "b", "c"];

const nothing = () => ({ a: [], b: [], c: [], start: null, end: null });

let model, walk;
let first = 0;
let picked = nothing();

export function start(chosen) {
  if (model?.name === chosen.name && model.ready === chosen.ready) return;
  model = chosen;
  at("samples").replaceChildren();
  first = 0;
  picked = nothing();
  walk = null;
  at("more").disabled = at("forget").disabled = !model.ready;
  if (!model.ready) return;
  for (const id of ["stop", "play", "look-at-sum"]) at(id).disabled = true;
  at("sum").replaceChildren();
  field.start(model);
  look([{ seeds: [0] }], "sample 0");
  samples();
}

const role = () => document.querySelector("[name=role]:checked").value;
const point = (terms) => ({ terms, sliders: [] });

// The samples: each is known by its seed.
const samples = latest(async () => {
  const asked = model;
  const query = { model: model.name, seed: first, count: COUNT, columns: COUNT };
  const picture = await bitmap(await ask(address("/api/sample", query)));
  if (asked.name !== model.name) return;
  const buttons = [];
  for (let number = 0; number < COUNT; number++) {
    const button = Object.assign(document.createElement("button"), { className: "sample" });
    button.dataset.seed = first + number;
    const canvas = document.createElement("canvas");
    tile(canvas, picture, model.size, COUNT, number);
    button.append(canvas, document.createElement("span"));
    button.addEventListener("click", () => pick(Number(button.dataset.seed)));
    buttons.push(button);
  }
  at("samples").replaceChildren(...buttons);
  tell();
});

function pick(seed) {
  const name = role();
  if (name === "look") look([{ seeds: [seed] }], `sample ${seed}`);
  else if (SETS.includes(name)) {
    const set = picked[name];
    if (set.includes(seed)) set.splice(set.indexOf(seed), 1);
    else if (set.length < 64) set.push(seed);
    sum();
  } else {
    picked[name] = seed;
    goWalking();
  }
  tell();
}

// On each sample what it was picked for.
function tell() {
  for (const button of at("samples").children) {
    const seed = Number(button.dataset.seed);
    const roles = SETS.filter((name) => picked[name].includes(seed)).map((name) => name.toUpperCase());
    if (picked.start === seed) roles.push("start");
    if (picked.end === seed) roles.push("end");
    button.lastChild.textContent = roles.join(" ");
    button.setAttribute("aria-label", [`Sample ${seed}`, ...roles].join(", "));
  }
}

function look(terms, told) {
  field.look(terms);
  at("look-told").textContent = `This is ${told}.`;
}

// A - B + C.
const sumTerms = () =>
  SETS.filter((name) => picked[name].length).map((name) => ({ weight: name === "b" ? -1 : 1, seeds: picked[name] }));

const sum = latest(async () => {
  const asked = model;
  const whole = SETS.every((name) => picked[name].length);
  at("look-at-sum").disabled = !whole;
  const parts = SETS.filter((name) => picked[name].length);
  if (!parts.length) return at("sum").replaceChildren();
  const points = parts.map((name) => point([{ seeds: [...picked[name]] }]));
  if (whole) points.push(point(sumTerms()));
  const columns = points.length;
  const picture = await bitmap(await askFor("/api/images", { model: asked.name, points, columns }));
  if (asked.name !== model.name) return;
  const shown = [...parts.map((name) => `${{ a: "", b: "− ", c: "+ " }[name]}${name.toUpperCase()}`), "= result"];
  at("sum").replaceChildren(
    ...points.map((_, place) => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      tile(canvas, picture, model.size, columns, place);
      const count = place < parts.length ? `, mean of ${picked[parts[place]].length}` : "";
      figure.append(canvas, Object.assign(document.createElement("figcaption"), { textContent: shown[place] + count }));
      return figure;
    }),
  );
});

at("look-at-sum").addEventListener("click", () => look(structuredClone(sumTerms()), "A − B + C"));
at("forget").addEventListener("click", () => {
  for (const name of SETS) picked[name] = [];
  sum();
  tell();
});
at("more").addEventListener("click", () => {
  first += COUNT;
  samples();
});

// The walk: all of its images come at once.
const goWalking = latest(async () => {
  if (picked.start === null || picked.end === null) return;
  const [asked, ends] = [model, [picked.start, picked.end]];
  const [start, end] = ends.map((seed) => point([{ seeds: [seed] }]));
  const question = { model: asked.name, start, end, stops: STOPS, path: at("path").value };
  const made = await bitmap(await askFor("/api/walk", question));
  if (asked.name !== model.name) return;
  walk = made;
  at("stop").disabled = at("play").disabled = false;
  at("walk-told").textContent = `From sample ${ends[0]} to sample ${ends[1]}`;
  stand();
});

function stand() {
  tile(at("walk"), walk, model.size, STOPS, Number(at("stop").value));
}

at("path").addEventListener("change", goWalking);
at("stop").addEventListener("input", stand);
at("play").addEventListener("click", async () => {
  for (let stop = 0; stop < STOPS && walk; stop++) {
    at("stop").value = stop;
    stand();
    await pause(80);
  }
});
