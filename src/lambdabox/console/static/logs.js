// Follow a function's log: what came since the last time is asked for every second.
import { ask } from "./console.js";

const EVERY_MS = 1000;
const KEPT = 5000;
const OWN = /^(START|END|REPORT|INIT_START|INIT_REPORT|RESTORE_START|RESTORE_REPORT|EXTENSION) |"type":"platform\./;
const ERROR = /\b(ERROR|FATAL|CRITICAL|Traceback|Exception|Task timed out)\b|"level":"(ERROR|FATAL|CRITICAL)"|Status: (error|timeout)/i;
const WARNING = /\b(WARN|WARNING)\b|"level":"WARN/i;

const log = document.getElementById("log");
const state = document.getElementById("log-state");
const filter = document.getElementById("log-filter");
const level = document.getElementById("log-level");
const pause = document.getElementById("log-pause");
let lines = [];
let position = "";

function kindOf(text) {
  if (ERROR.test(text)) return "bad";
  return OWN.test(text) ? "own" : "";
}

function isWanted({ text }) {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.every((word) => text.toLowerCase().includes(word))) return false;
  if (level.value === "own") return !OWN.test(text);
  if (level.value === "error") return ERROR.test(text);
  if (level.value === "warn") return ERROR.test(text) || WARNING.test(text);
  return true;
}

function elementOf(line) {
  const element = document.createElement("span");
  element.className = kindOf(line.text);
  const time = new Date(line.at).toISOString().slice(11, 23);
  element.textContent = `${time}  ${line.text.replace(/\n$/, "")}\n`;
  return element;
}

function show(added, { anew = false } = {}) {
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  if (anew) log.replaceChildren();
  log.append(...added.filter(isWanted).map(elementOf));
  while (log.childElementCount > KEPT) log.firstElementChild.remove();
  if (isAtEnd || anew) log.scrollTop = log.scrollHeight;
}

async function follow() {
  if (pause.getAttribute("aria-pressed") === "true" || document.hidden) return;
  try {
    const found = await ask(`${log.dataset.since}?position=${position}`);
    position = found.position;
    lines = [...lines, ...found.lines].slice(-KEPT);
    if (found.lines.length) show(found.lines);
    state.textContent = lines.length ? "Following" : "Following; nothing has been written yet";
  } catch (error) {
    state.textContent = error.message;
  }
}

for (const control of [filter, level]) {
  control.addEventListener("input", () => show(lines, { anew: true }));
}
pause.addEventListener("click", () => {
  const isPaused = pause.getAttribute("aria-pressed") !== "true";
  pause.setAttribute("aria-pressed", String(isPaused));
  pause.textContent = isPaused ? "Follow" : "Pause";
  state.textContent = isPaused ? "Paused" : "Following";
});
document.getElementById("log-clear").addEventListener("click", () => {
  lines = [];
  log.replaceChildren();
});

async function forever() {
  await follow();
  setTimeout(forever, EVERY_MS);
}
forever();
