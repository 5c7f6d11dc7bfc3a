// What all charts have in common: colours, how values are written, and reading them one by one.
import { say } from "./console.js";

const DOLLARS = new Intl.NumberFormat("en", { style: "currency", currency: "USD", maximumSignificantDigits: 3 });

export function colour(name, host = document.body) {
  // Canvas knows no light-dark(): an element that has the colour says what it comes to.
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  host.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

export function shown(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "USD") return DOLLARS.format(value);
  const text = Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 1 : 0);
  return unit ? `${text} ${unit}` : text;
}

export function axis() {
  return { stroke: colour("text-muted"), grid: { stroke: colour("border"), width: 1 }, ticks: { show: false } };
}

/** As much room as the longest label needs. */
export function widthOf(_plot, labels) {
  return 20 + 7 * Math.max(3, ...(labels ?? []).map((label) => label.length));
}

function textOf(plot, heading, at) {
  const values = plot.series.slice(1).map((series, line) => `${series.label} ${series.value(plot, plot.data[line + 1][at])}`);
  return `${heading(plot.data[0][at])}: ${values.join(", ")}`;
}

function fill(tip, plot, heading, at) {
  const title = document.createElement("b");
  title.textContent = heading(plot.data[0][at]);
  const rows = plot.series.slice(1).map((series, line) => {
    const row = document.createElement("span");
    const mark = document.createElement("i");
    mark.style.background = series.stroke(plot, line + 1);
    const value = document.createElement("em");
    value.textContent = series.value(plot, plot.data[line + 1][at]);
    row.append(mark, `${series.label} `, value);
    return row;
  });
  tip.replaceChildren(title, ...rows);
}

/**
 * A plugin that shows the values under the pointer, the finger, or what the arrow keys have
 * reached, which is also said aloud. `heading` says where a step is.
 */
export function readout(heading) {
  const tip = document.createElement("div");
  tip.className = "chart-tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true"); // keys say it, and where there are none it is no use
  const ending = new AbortController();

  function hide(plot) {
    plot.setCursor({ left: -10, top: -10 });
  }

  function goTo(plot, at) {
    const last = plot.data[0].length - 1;
    if (last < 0) return;
    const step = Math.min(last, Math.max(0, at));
    plot.setCursor({ left: plot.valToPos(plot.data[0][step], "x"), top: 0 });
    say(textOf(plot, heading, step));
  }

  function onKey(plot, event) {
    const last = plot.data[0].length - 1;
    const at = plot.cursor.idx;
    const steps = {
      ArrowRight: (at ?? -1) + 1, ArrowLeft: (at ?? last + 1) - 1, Home: 0, End: last,
    };
    if (event.key === "Escape") hide(plot);
    else if (event.key in steps) goTo(plot, steps[event.key]);
    else return;
    event.preventDefault();
  }

  function init(plot) {
    const host = plot.root.parentElement;
    const { signal } = ending;
    host.tabIndex = 0;
    host.setAttribute("role", "group");
    plot.over.append(tip);
    host.addEventListener("keydown", (event) => onKey(plot, event), { signal });
    host.addEventListener("blur", () => hide(plot), { signal });
    const follow = (event) => {
      if (event.pointerType === "mouse") return; // uPlot follows that itself
      const box = plot.over.getBoundingClientRect();
      plot.setCursor({ left: event.clientX - box.left, top: event.clientY - box.top });
    };
    plot.over.addEventListener("pointerdown", follow, { signal });
    plot.over.addEventListener("pointermove", follow, { signal });
    document.addEventListener("pointerdown", (event) => {
      if (!host.contains(event.target)) hide(plot);
    }, { signal });
  }

  function setCursor(plot) {
    const { idx, left } = plot.cursor;
    tip.hidden = idx === null || idx === undefined || left < 0;
    if (tip.hidden) return;
    fill(tip, plot, heading, idx);
    const at = plot.valToPos(plot.data[0][idx], "x");
    const isRight = at > plot.over.clientWidth / 2;
    tip.style.left = isRight ? "auto" : `${at + 10}px`;
    tip.style.right = isRight ? `${plot.over.clientWidth - at + 10}px` : "auto";
  }

  return { hooks: { init, setCursor, destroy: () => ending.abort() } };
}
