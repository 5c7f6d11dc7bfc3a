// The Tuning tab: the chart of what is measured by now, and events to measure with.
import { axis, colour, readout, shown, widthOf } from "./charts.js";
import { ask, notify, say } from "./console.js";
import { uPlot } from "./vendor/charts.js";

const HEIGHT = 240;

const form = document.getElementById("plan");
const figure = document.getElementById("tuning-chart");
const place = figure.querySelector(".plot");
let plot = null;
let drawn = "";
let state = document.getElementById("tuning").dataset.state ?? "";

function options(sizes) {
  const steps = sizes.map((_size, at) => at);
  const line = (label, name, scale, unit) => ({
    label, scale, stroke: colour(name), width: 2,
    points: { show: true, size: 8, fill: colour(name) },
    value: (_plot, value) => shown(value, unit),
  });
  const upright = (scale, unit, side) => ({
    ...axis(), scale, side, size: widthOf,
    grid: { show: side === 3, stroke: colour("border"), width: 1 },
    values: (_plot, values) => values.map((value) => shown(value, unit)),
  });
  const fromZero = { range: (_plot, _least, most) => [0, most > 0 ? most * 1.1 : 1] };
  return {
    width: place.clientWidth,
    height: HEIGHT,
    cursor: { y: false },
    plugins: [readout((at) => `${sizes[at]} MB`)],
    legend: { live: false, mount: (_plot, legend) => figure.querySelector("figcaption").append(legend) },
    // Sizes stand side by side, however far apart they are.
    scales: { x: { time: false, range: [-0.3, sizes.length - 0.7] }, ms: fromZero, usd: fromZero },
    axes: [
      { ...axis(), size: 30, splits: () => steps, values: () => sizes.map(String) },
      upright("ms", "ms", 3),
      upright("usd", "USD", 1),
    ],
    series: [{}, line("duration", "chart", "ms", "ms"), line("cost of a million", "chart-2", "usd", "USD")],
  };
}

function draw({ anew = false } = {}) {
  const points = document.getElementById("tuning").dataset.points ?? "";
  if (!anew && points === drawn) return;
  drawn = points;
  plot?.destroy();
  plot = null;
  figure.querySelector(".u-legend")?.remove();
  const { memory, duration, cost } = JSON.parse(points || '{"memory": []}');
  figure.hidden = memory.length === 0;
  if (!figure.hidden) plot = new uPlot(options(memory), [memory.map((_size, at) => at), duration, cost], place);
}

function tell() {
  const section = document.getElementById("tuning");
  const now = section.dataset.state ?? "";
  if (now === state) return;
  state = now;
  say(section.querySelector("h2")?.textContent ?? "");
  document.getElementById("start").disabled = now === "running" || now === "waiting";
}

document.addEventListener("htmx:afterSettle", () => {
  draw();
  tell();
});

/** A node that is gone, or a function, is told of once: who wants to know more loads the page again. */
function rest({ target }) {
  if (target.id !== "tuning") return;
  const still = target.cloneNode(true);
  for (const name of ["hx-get", "hx-trigger"]) still.removeAttribute(name);
  target.replaceWith(still);
  window.htmx.process(still); // it can still be cancelled
}
document.addEventListener("htmx:sendError", rest);
document.addEventListener("htmx:responseError", rest);

let pending = 0;
addEventListener("resize", () => {
  clearTimeout(pending);
  pending = setTimeout(() => draw({ anew: true }), 150);
});
new MutationObserver(() => draw({ anew: true })).observe(document.documentElement, { attributeFilter: ["data-theme"] });

const saved = document.getElementById("saved");
const template = document.getElementById("template");
const field = document.getElementById("event");
const texts = new Map(Object.entries(JSON.parse(document.getElementById("saved-events").textContent)));

saved.addEventListener("change", () => {
  if (!texts.has(saved.value)) return;
  field.value = texts.get(saved.value);
  template.value = "";
});

template.addEventListener("change", async () => {
  if (!template.value) return;
  try {
    const url = `/console/functions/${form.dataset.function}/test/template?id=${encodeURIComponent(template.value)}`;
    field.value = (await ask(url)).text;
    saved.value = "";
  } catch (error) {
    notify("bad", error.message);
  }
});

draw();
