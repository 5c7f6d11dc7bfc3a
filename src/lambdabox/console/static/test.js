// The Test tab: the event's editor, saved events, and waiting for the result.
import { ask, notify } from "./console.js";
import { createEditor } from "./vendor/editor.js";

const form = document.getElementById("test");
const url = `/console/functions/${form.dataset.function}/test`;
const field = document.getElementById("event");
const saved = document.getElementById("saved");
const template = document.getElementById("template");
const texts = new Map(Object.entries(JSON.parse(document.getElementById("saved-events").textContent)));

field.hidden = true;
const editor = createEditor({
  parent: document.getElementById("event-editor"),
  label: "Event, as JSON",
  nonce: form.dataset.nonce,
  onChange: (_name, text) => { field.value = text; },
  onSave: save,
});
editor.open("event", field.value, "json");

function show(text) {
  editor.setText(text);
  field.value = text;
}

saved.addEventListener("change", () => {
  if (!texts.has(saved.value)) return;
  show(texts.get(saved.value));
  template.value = "";
});

template.addEventListener("change", async () => {
  if (!template.value) return;
  try {
    show((await ask(`${url}/template?id=${encodeURIComponent(template.value)}`)).text);
    saved.value = "";
  } catch (error) {
    notify("bad", error.message);
  }
});

function save() {
  const dialog = document.getElementById("save-dialog");
  const name = document.getElementById("event-name");
  const chosen = template.value;
  name.value = saved.value || chosen;
  dialog.returnValue = "";
  dialog.showModal();
  name.select();
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "ok") store(name.value.trim());
  }, { once: true });
}

async function store(name) {
  try {
    const answer = await ask(`${url}/events`, { method: "POST", body: new URLSearchParams({ name, event: field.value }) });
    texts.set(answer.name, field.value);
    drawSaved(answer.name);
    notify("good", `Saved as ${answer.name}.`);
  } catch (error) {
    notify("bad", error.message);
  }
}

async function forget() {
  const name = saved.value;
  if (!name) {
    notify("note", "Choose a saved event first.");
    return;
  }
  try {
    await ask(`${url}/events/delete`, { method: "POST", body: new URLSearchParams({ name }) });
    texts.delete(name);
    drawSaved("");
    notify("good", `${name} is deleted.`);
  } catch (error) {
    notify("bad", error.message);
  }
}

function drawSaved(chosen) {
  const options = [...texts.keys()].sort().map((name) => new Option(name, name));
  saved.replaceChildren(new Option("Saved events", ""), ...options);
  saved.value = chosen;
}

document.getElementById("save").addEventListener("click", save);
document.getElementById("forget").addEventListener("click", forget);

// Before the editor, which makes a new line of Ctrl and Enter.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    event.stopPropagation();
    form.requestSubmit();
  }
}, { capture: true });

// How long it has run, for those who wait.
const elapsed = document.getElementById("elapsed");
let ticking;
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target !== form) return;
  const began = performance.now();
  clearInterval(ticking);
  ticking = setInterval(() => {
    const seconds = (performance.now() - began) / 1000;
    if (seconds > 0.5) elapsed.textContent = `${seconds.toFixed(0)} s of at most ${form.dataset.timeout} s`;
  }, 250);
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.target !== form) return;
  clearInterval(ticking);
  elapsed.textContent = "";
  // On a small screen the result is below the event.
  const card = document.getElementById("result").closest(".card");
  if (card.getBoundingClientRect().top > innerHeight * 0.6) card.scrollIntoView();
});

document.getElementById("draft").hidden = sessionStorage.getItem(`lambdabox.draft.${form.dataset.function}`) === null;
