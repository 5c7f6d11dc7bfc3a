// Code that takes the place of all there is, and layers.
import { ask } from "./console.js";
import { settled } from "./deploying.js";

function tell(form, text) {
  const notice = form.querySelector(".notice");
  notice.textContent = text;
  notice.hidden = false;
}

async function replace(form, url, options) {
  const button = form.querySelector("[type=submit]");
  const label = button.textContent;
  button.disabled = true;
  button.textContent = "Deploying…";
  form.querySelector(".notice").hidden = true;
  try {
    const code = url.slice(0, url.lastIndexOf("/"));
    const state = await settled(code, await ask(url, { method: "POST", ...options }));
    if (state.problem) throw new Error(state.problem);
    sessionStorage.setItem("lambdabox.say", "The new code is deployed.");
    location.hash = "";
    location.reload();
  } catch (error) {
    tell(form, error.message);
    button.disabled = false;
    button.textContent = label;
  }
}

const upload = document.querySelector("form[data-upload]");
upload.addEventListener("submit", (event) => {
  event.preventDefault();
  const [file] = document.getElementById("zip-file").files;
  replace(upload, upload.dataset.upload, { body: file, headers: { "Content-Type": "application/zip" } });
});

const fromS3 = document.querySelector("form[data-replace]");
fromS3.addEventListener("submit", (event) => {
  event.preventDefault();
  replace(fromS3, fromS3.dataset.replace, { body: new URLSearchParams(new FormData(fromS3)) });
});

const layers = document.getElementById("layer-list");
layers.addEventListener("click", (event) => {
  const move = event.target.closest("[data-move]")?.dataset.move;
  if (!move) return;
  const item = event.target.closest("li");
  if (move === "up") item.previousElementSibling?.before(item);
  else if (move === "down") item.nextElementSibling?.after(item);
  else item.remove();
  if (move !== "out") event.target.focus();
});
