// Tabs, the list of models, and what each panel is given of it.
import * as draw from "./draw.js";
import * as explore from "./explore.js";
import * as inspect from "./inspect.js";
import { ask, pause, say } from "./talk.js";

const PANELS = {
  draw: { panel: draw, fits: (model) => model.draws },
  explore: { panel: explore, fits: (model) => model.kind === "generator" },
  inspect: { panel: inspect, fits: (model) => model.inspects },
};
const tabs = [...document.querySelectorAll("[role=tab]")];
const nameOf = (tab) => tab.getAttribute("aria-controls");

function open(name, focus = false) {
  for (const tab of tabs) {
    const chosen = nameOf(tab) === name;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    document.getElementById(nameOf(tab)).hidden = !chosen;
    if (chosen && focus) tab.focus();
  }
  if (location.hash !== `#${name}`) history.replaceState(null, "", `#${name}`);
  say("");
}

for (const [place, tab] of tabs.entries()) {
  tab.addEventListener("click", () => open(nameOf(tab)));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) open(nameOf(tabs.at((place + step) % tabs.length)), true);
  });
}
addEventListener("hashchange", () => location.hash.slice(1) in PANELS && open(location.hash.slice(1)));

// Each panel's list of models, and the panel started with the one that is chosen, as soon as that is ready.
function offer(name, { panel, fits }, models, upload) {
  const section = document.getElementById(name);
  const [missing, present, list] = [".missing", ".present", ".model"].map((part) => section.querySelector(part));
  const offered = models.filter(fits);
  missing.hidden = offered.length > 0;
  present.hidden = offered.length === 0;
  const before = list.value;
  list.replaceChildren(...offered.map((model) => new Option(told(model), model.name)));
  if (offered.some((model) => model.name === before)) list.value = before;
  const start = () => {
    const model = offered.find((each) => each.name === list.value);
    if (model) panel.start(model, upload);
  };
  list.onchange = start;
  start();
}

function told(model) {
  if (model.failure) return `${model.name}: ${model.failure}`;
  return model.ready ? model.name : `${model.name} (being made ready)`;
}

async function run() {
  open(location.hash.slice(1) in PANELS ? location.hash.slice(1) : "draw");
  let before = "";
  for (;;) {
    const answer = await (await ask("/api/models")).json();
    const now = JSON.stringify(answer);
    if (now !== before) {
      for (const [name, panel] of Object.entries(PANELS)) offer(name, panel, answer.models, answer.upload);
      before = now;
    }
    if (answer.models.every((model) => model.ready || model.failure)) return;
    await pause(1500);
  }
}

run().catch((error) => say(error.message, true));
