// Lists of names and values that grow and shrink, secrets that show on demand, weights.

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
  const remove = document.createElement("button");
  remove.className = "button quiet compact";
  remove.type = "button";
  remove.dataset.remove = "";
  remove.textContent = "Remove";
  row.append(remove);
  return row;
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
    const input = target.closest(".pair").querySelector("[data-secret]");
    input.value = input.dataset.secret;
    target.remove();
    input.focus();
  }
});

document.addEventListener("input", (event) => {
  if (event.target.type !== "range") return;
  event.target.closest(".field").querySelector("output").textContent = event.target.value;
});
