// An image: what the discriminator sees in it, and what of the training set is like it.
import { address, ask, pause, say } from "./talk.js";

const at = (id) => document.getElementById(id);
let model, upload;
let turn = 0;

export function start(chosen, most) {
  if (model?.name !== chosen.name) at("found").hidden = true;
  [model, upload] = [chosen, most];
}

// Asked again while the training images are being looked at, until another image or model is chosen.
async function inspect(file) {
  const [asked, mine] = [model, ++turn];
  say("Looking at the image …");
  for (let told = false; ; told = true) {
    const answer = await ask(address("/api/inspect", { model: asked.name }), { method: "POST", body: file });
    const found = await answer.json();
    if (mine !== turn || asked.name !== model.name) return;
    show(found, asked);
    const { ready = 1, why = "" } = found.training;
    if (ready === 1 || why) break;
    say(`The features of the training images are being taken: ${Math.floor(100 * ready)} %.`);
    await pause(told ? 3000 : 1000);
  }
  say("");
}

const begin = (file) => inspect(file).catch((error) => say(error.message, true));

function show(found, asked) {
  at("found").hidden = false;
  at("seen").src = found.seen;
  const real = 100 / (1 + Math.exp(-found.logit));
  at("logit").textContent =
    `As the network sees it, ${asked.size} pixels a side. It would call it real: ${real.toFixed(0)} %.`;
  showDuplicate(found.duplicate);
  showNearest(found.training);
  at("layers").replaceChildren(
    ...found.layers.map(({ filters, side, picture }, number) =>
      figure(picture, `Layer ${number + 1}: ${Math.min(64, filters)} of ${filters} maps, ${side}x${side}`),
    ),
  );
}

function showDuplicate({ why, found, bits, compared, images }) {
  if (why) at("duplicate").textContent = `Not known: ${why}.`;
  else if (!found) at("duplicate").textContent = `None ${amongWhich(compared, images)}; the nearest code is ${bits} bits away.`;
  else {
    const told = `${found.name}: its code is ${found.bits} bits away, and its edges are the same.`;
    at("duplicate").replaceChildren(figure(found.picture, told));
  }
}

function showNearest({ why, ready, compared, images, nearest }) {
  const told = ready < 1 ? `being compared: ${Math.floor(100 * ready)} %` : amongWhich(compared, images);
  at("nearest-told").textContent = why
    ? `Not known: ${why}.`
    : `By the discriminator's features, standardised (two images that have nothing in common are some 1.4 apart); ${told}.`;
  at("nearest").replaceChildren(
    ...(nearest ?? []).map(({ name, distance, picture }) => figure(picture, `${name}: ${distance.toFixed(2)}`)),
  );
}

function amongWhich(compared, images) {
  return compared === images ? `among all ${images} training images` : `among ${compared} of ${images} training images`;
}

function figure(picture, told) {
  const made = document.createElement("figure");
  const image = Object.assign(document.createElement("img"), { src: picture, alt: told, className: "pixels" });
  made.append(image, Object.assign(document.createElement("figcaption"), { textContent: told }));
  return made;
}

at("image-file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (file && file.size > upload) say(`The file is larger than ${upload >> 20} MB: choose a smaller one.`, true);
  else if (file) begin(file);
});
at("inspect-sample").addEventListener("click", async () => {
  const seed = Math.floor(Math.random() * 2 ** 30);
  try {
    begin(await (await ask(address("/api/sample", { model: model.name, seed }))).blob());
  } catch (error) {
    say(error.message, true);
  }
});
