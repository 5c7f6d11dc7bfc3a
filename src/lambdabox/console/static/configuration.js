// Lists of names and values that grow and shrink, secrets that show on demand, weights.
import { ask, notify } from "./console.js";

function rowFor(name) {
  const row = document.createElement("div");
  row.className = "pair";
  for (const [field, label] of [[name, name === "key" ? "Key" : "Name"], ["value", "Value"]]) {
    const input = document.createElement("input");
    input.type = "text";
    input.name = field;
    input.spellcheck = false;
    input.autocomplete = "off";
    input.setAttribute("aria-label", label);
    row.append(input);
  }
  if (name === "variable") {
    // What it was called before: nothing, for it is new.
    const was = document.createElement("input");
    was.type = "hidden";
    was.name = "was";
    row.append(was);
  }
  const remove = document.createElement("button");
  remove.className = "button quiet compact";
  remove.type = "button";
  remove.dataset.remove = "";
  remove.textContent = "Remove";
  row.append(remove);
  return row;
}

async function reveal(button) {
  const input = button.closest(".pair").querySelector("[name=value]");
  button.disabled = true;
  try {
    input.value = (await ask(button.dataset.reveal)).value;
    button.remove();
    input.focus();
  } catch (error) {
    button.disabled = false;
    notify("bad", error.message);
  }
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-add], [data-remove], [data-reveal]");
  if (!target) return;
  if ("add" in target.dataset) {
    const row = rowFor(target.dataset.add);
    document.querySelector(`[data-pairs="${target.dataset.add}"]`).append(row);
    row.querySelector("input").focus();
  } else if ("remove" in target.dataset) {
    target.closest(".pair").remove();
  } else {
    reveal(target);
  }
});

document.addEventListener("input", (event) => {
  // Who types over a masked value has no more use for the old one.
  if (event.target.name === "value") event.target.closest(".pair").querySelector("[data-reveal]")?.remove();
  if (event.target.type !== "range") return;
  event.target.closest(".field").querySelector("output").textContent = event.target.value;
});

// What takes something away is asked about first.
function confirmed(text) {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-label", "Are you sure?");
  const words = document.createElement("p");
  words.className = "body";
  words.textContent = text;
  const buttons = document.createElement("form");
  buttons.method = "dialog";
  buttons.className = "buttons";
  for (const [label, value, style] of [["Keep it", "", ""], ["Yes, remove it", "yes", " danger"]]) {
    const button = document.createElement("button");
    button.className = `button${style}`;
    button.value = value;
    button.textContent = label;
    buttons.append(button);
  }
  dialog.append(words, buttons);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.confirm || form.dataset.confirmed) return;
  event.preventDefault();
  if (await confirmed(form.dataset.confirm)) {
    form.dataset.confirmed = "yes";
    form.requestSubmit(event.submitter);
  }
}, { capture: true });

// One refusal at a time: the newest says what is wrong now.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.matches("form")) document.querySelectorAll("#messages .bad").forEach((old) => old.remove());
});
