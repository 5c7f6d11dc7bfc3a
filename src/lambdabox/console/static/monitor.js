// The charts of the Monitor tab: drawn from the node's figures, and again every few seconds.
import { axis, colour, readout, shown, widthOf } from "./charts.js";
import { ask } from "./console.js";
import { uPlot } from "./vendor/charts.js";

const EVERY_MS = 5000;
const HEIGHT = 180;
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

const box = document.getElementById("charts");
const figures = [...box.querySelectorAll("figure")];
const plots = new Map();

function linesOf(figure) {
  return figure.dataset.lines.split(",").map((line) => line.split(":"));
}

/** The steps that no line leads to or from: they are drawn as points. */
function lonely(plot, at) {
  const values = plot.data[at];
  const isEmpty = (step) => values[step] === null || values[step] === undefined;
  return [...values.keys()].filter((step) => !isEmpty(step) && isEmpty(step - 1) && isEmpty(step + 1));
}

function options(figure) {
  const unit = figure.dataset.unit;
  const colours = ["chart", "chart-bad", "chart-2"];
  return {
    width: figure.querySelector(".plot").clientWidth,
    height: HEIGHT,
    cursor: { y: false },
    plugins: [readout((seconds) => MOMENT.format(seconds * 1000))],
    // Beside the title, where there is room. Values are shown where the pointer is.
    legend: { live: false, mount: (_plot, legend) => figure.querySelector("figcaption").append(legend) },
    scales: { y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      axis(),
      { ...axis(), size: widthOf, values: (_plot, values) => values.map((value) => shown(value, unit === "USD" ? unit : "")) },
    ],
    series: [
      {},
      ...linesOf(figure).map(([, name], at) => ({
        label: name,
        stroke: colour(colours[at]),
        width: 1.5,
        spanGaps: true,
        points: { show: true, size: 6, filter: lonely, fill: colour(colours[at]) },
        value: (_plot, value) => shown(value, unit),
      })),
    ],
  };
}

function draw(data) {
  for (const figure of figures) {
    const rows = [data.times, ...linesOf(figure).map(([field]) => data.lines[field])];
    const plot = plots.get(figure);
    if (plot) plot.setData(rows);
    else plots.set(figure, new uPlot(options(figure), rows, figure.querySelector(".plot")));
  }
}

async function refresh() {
  if (document.hidden) return;
  // A node that does not answer is told of by the list below the charts.
  const data = await ask(box.dataset.figures).catch(() => null);
  if (data) draw(data);
}

function redraw() {
  for (const plot of plots.values()) plot.destroy();
  for (const legend of box.querySelectorAll(".u-legend")) legend.remove();
  plots.clear();
  refresh();
}

let pending = 0;
addEventListener("resize", () => {
  clearTimeout(pending);
  pending = setTimeout(redraw, 150);
});
new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
setInterval(refresh, EVERY_MS);
refresh();
