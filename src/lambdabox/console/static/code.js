// The Code tab: files, the editor, and deploying what was changed.
import { ask, notify, say } from "./console.js";
import { settled } from "./deploying.js";
import { createEditor } from "./vendor/editor.js";

const bench = document.getElementById("workbench");
const url = `/console/functions/${bench.dataset.function}/code`;
const draftKey = `lambdabox.draft.${bench.dataset.function}`;
const $ = (id) => document.getElementById(id);

let digest = bench.dataset.digest;
let isBusy = false;
let isLeaving = false;
let opened = null;
/** Path to file. `base` is its path in the deployed package, null if it is new. */
const files = new Map();
const removed = new Set();

for (const { path, size, isLink } of JSON.parse($("files").textContent)) {
  files.set(path, { base: path, size, isLink, deployed: null, text: null, reason: null });
}

const LANGUAGES = {
  py: "python", js: "javascript", mjs: "javascript", cjs: "javascript", jsx: "javascript",
  ts: "typescript", mts: "typescript", json: "json", sh: "shell", bash: "shell", rb: "ruby",
};

function languageOf(path, text) {
  const name = path.split("/").pop();
  const known = LANGUAGES[name.includes(".") ? name.split(".").pop().toLowerCase() : ""];
  if (known) return known;
  const first = text.slice(0, text.indexOf("\n"));
  if (first.startsWith("#!")) {
    if (first.includes("python")) return "python";
    if (first.includes("node")) return "javascript";
    if (first.includes("ruby")) return "ruby";
    return "shell";
  }
  return "text";
}

const editor = createEditor({
  parent: $("editor"),
  label: "Code",
  nonce: bench.dataset.nonce,
  onSave: deploy,
  onChange(path, text) {
    const file = files.get(path);
    if (!file) return;
    const was = isChanged(path, file);
    file.text = text;
    if (was !== isChanged(path, file)) drawTree();
    refresh();
  },
});

const isChanged = (path, file) =>
  file.base !== path || (file.text !== null && file.text !== file.deployed);
const hasChanges = () => removed.size > 0 || [...files].some(([path, file]) => isChanged(path, file));

function changes() {
  const renamed = {}, written = {};
  for (const [path, file] of files) {
    if (file.base !== null && file.base !== path) renamed[file.base] = path;
    if (file.text !== null && file.text !== file.deployed) written[path] = file.text;
  }
  return { removed: [...removed], renamed, written };
}

// Drawing

function drawTree() {
  const top = { folders: new Map(), files: [] };
  for (const path of [...files.keys()].sort()) {
    const parts = path.split("/");
    const name = parts.pop();
    let folder = top;
    for (const part of parts) {
      if (!folder.folders.has(part)) folder.folders.set(part, { folders: new Map(), files: [] });
      folder = folder.folders.get(part);
    }
    folder.files.push([name, path]);
  }
  const closed = new Set([...$("tree").querySelectorAll("details:not([open])")].map((each) => each.dataset.path));
  $("tree").replaceChildren(drawFolder(top, "", closed));
}

function drawFolder(folder, prefix, closed) {
  const list = document.createElement("ul");
  for (const [name, inner] of folder.folders) {
    const path = `${prefix}${name}/`;
    const details = document.createElement("details");
    details.dataset.path = path;
    details.open = !closed.has(path);
    const summary = document.createElement("summary");
    summary.textContent = name;
    details.append(summary, drawFolder(inner, path, closed));
    const item = document.createElement("li");
    item.append(details);
    list.append(item);
  }
  for (const [name, path] of folder.files) list.append(drawFile(name, path));
  return list;
}

function drawFile(name, path) {
  const file = files.get(path);
  const button = document.createElement("button");
  button.type = "button";
  button.title = path;
  if (file.isLink) button.className = "link-file";
  const label = document.createElement("span");
  label.textContent = name;
  button.append(label);
  if (isChanged(path, file)) {
    const dot = document.createElement("span");
    dot.className = "dot";
    dot.setAttribute("role", "img");
    dot.setAttribute("aria-label", "not deployed");
    button.append(dot);
  }
  if (path === opened) button.setAttribute("aria-current", "true");
  button.addEventListener("click", () => open(path));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

function refresh() {
  const file = files.get(opened);
  $("file-name").textContent = opened ?? "No file";
  $("unsaved").hidden = !file || !isChanged(opened, file);
  $("deploy").disabled = isBusy || !hasChanges();
  $("rename-file").disabled = $("delete-file").disabled = !file;
  keepDraft();
}

let keeping;
function keepDraft() {
  clearTimeout(keeping);
  keeping = setTimeout(keepDraftNow, 300);
}

function keepDraftNow() {
  clearTimeout(keeping);
  try {
    if (hasChanges()) sessionStorage.setItem(draftKey, JSON.stringify({ digest, ...changes() }));
    else sessionStorage.removeItem(draftKey);
  } catch {
    // Larger than what browsers keep: leaving the page then asks, which is what matters.
  }
}

// Files

async function open(path, line) {
  const file = files.get(path);
  if (!file) return;
  if (file.text === null && file.reason === null) {
    try {
      const answer = await ask(`${url}/file?path=${encodeURIComponent(file.base)}`);
      if (answer.digest !== digest) throw new Error("The code has been changed elsewhere. Reload the page.");
      file.reason = answer.reason ?? null;
      file.text = file.deployed = answer.text ?? null;
    } catch (error) {
      notify("bad", error.message);
      return;
    }
  }
  opened = path;
  $("not-text").hidden = file.reason === null;
  $("editor").hidden = file.reason !== null;
  if (file.reason === null) {
    editor.open(path, file.text, languageOf(path, file.text));
    if (line) editor.goTo(line);
  } else $("not-text").textContent = file.reason;
  drawTree();
  refresh();
}

/** Ask for a path; resolves to it, or to null if the asking was given up. */
function askForPath({ title, submit, value = "" }) {
  const dialog = $("name-dialog"), input = $("file-path"), problem = dialog.querySelector(".notice");
  $("name-title").textContent = title;
  $("name-submit").textContent = submit;
  input.value = value;
  problem.hidden = true;
  dialog.returnValue = "";
  dialog.showModal();
  input.select();
  return new Promise((resolve) => {
    const form = dialog.querySelector("form");
    const check = (event) => {
      if (event.submitter?.value !== "ok") return;
      const told = problemOf(input.value.trim(), value);
      if (told) {
        event.preventDefault();
        problem.textContent = told;
        problem.hidden = false;
      }
    };
    form.addEventListener("submit", check);
    dialog.addEventListener("close", () => {
      form.removeEventListener("submit", check);
      resolve(dialog.returnValue === "ok" ? input.value.trim() : null);
    }, { once: true });
  });
}

function problemOf(path, own) {
  const parts = path.split("/");
  if (parts.some((part) => ["", ".", ".."].includes(part)) || path.includes("\\")) return "Write it like app.py or lib/tools.py.";
  if (path === own) return null;
  if (files.has(path)) return `There is a file ${path} already.`;
  for (const other of files.keys()) {
    if (other !== own && (other.startsWith(`${path}/`) || path.startsWith(`${other}/`))) return `${other} is in the way: a name is a file's or a directory's.`;
  }
  return null;
}

async function create() {
  const path = await askForPath({ title: "New file", submit: "Create" });
  if (path === null) return;
  // A new file in the place of one that was deleted is a change of that one.
  const isBack = removed.delete(path);
  files.set(path, { base: isBack ? path : null, size: 0, isLink: false, deployed: null, text: "", reason: null });
  await open(path);
  editor.focus();
}

async function rename() {
  const path = await askForPath({ title: `Rename ${opened}`, submit: "Rename", value: opened });
  if (path === null || path === opened) return;
  const file = files.get(opened);
  files.delete(opened);
  editor.forget(opened);
  files.set(path, file);
  await open(path);
}

function remove() {
  const path = opened, file = files.get(path);
  if (file.base !== null) removed.add(file.base);
  files.delete(path);
  editor.forget(path);
  opened = null;
  const next = [...files.keys()].sort()[0];
  if (next !== undefined) open(next);
  else {
    $("editor").hidden = true;
    drawTree();
    refresh();
  }
  notify("note", `${path} is gone with the next deployment. Reload without deploying to keep it.`);
}

// Deploying

function progress(kind, text) {
  const pill = $("progress");
  pill.hidden = false;
  pill.className = `pill ${kind}`;
  pill.textContent = text;
  say(text);
}

async function deploy() {
  if (isBusy || !hasChanges()) return;
  isBusy = true;
  refresh();
  const began = performance.now();
  const sent = changes();
  const order = new Map(files);
  const told = $("deploy-message");
  told.textContent = "";
  progress("warn busy", "Uploading");
  try {
    let state = await ask(`${url}/edit`, { method: "POST", json: { digest, ...sent } });
    accept(state.digest, sent, order);
    progress("warn busy", "Deploying");
    state = await settled(url, state);
    if (state.problem) throw new Error(state.problem);
    progress("good", "Deployed");
    told.textContent = `in ${((performance.now() - began) / 1000).toFixed(1)} s. The next invocation runs it.`;
  } catch (error) {
    progress("bad", "Not deployed");
    told.textContent = error.message;
    notify("bad", error.message);
  } finally {
    isBusy = false;
    htmx.ajax("GET", `/console/functions/${bench.dataset.function}/state`, { target: "#state", swap: "outerHTML" });
    drawTree();
    refresh();
  }
}

/** What was sent is deployed now; what was typed since is not. */
function accept(newDigest, sent, order) {
  digest = newDigest;
  for (const path of sent.removed) removed.delete(path);
  for (const [path, file] of order) {
    file.base = path;
    if (path in sent.written) file.deployed = sent.written[path];
  }
}

// Beginning

function restoreDraft() {
  const draft = JSON.parse(sessionStorage.getItem(draftKey) ?? "null");
  if (draft === null) return;
  if (draft.digest !== digest) {
    sessionStorage.removeItem(draftKey);
    notify("note", "The code was deployed from elsewhere, so changes that were begun here are dropped.");
    return;
  }
  for (const path of draft.removed) {
    removed.add(path);
    files.delete(path);
  }
  const moved = Object.entries(draft.renamed).map(([from, to]) => [to, files.get(from), files.delete(from)]);
  for (const [to, file] of moved) files.set(to, file);
  for (const [path, text] of Object.entries(draft.written)) {
    const file = files.get(path) ?? { base: null, size: 0, isLink: false, deployed: null, reason: null };
    file.text = text;
    files.set(path, file);
  }
}

function place() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const path = wanted.get("file");
  return files.has(path) ? [path, Number(wanted.get("line"))] : null;
}

$("new-file").addEventListener("click", create);
$("rename-file").addEventListener("click", rename);
$("delete-file").addEventListener("click", remove);
$("deploy").addEventListener("click", deploy);
document.addEventListener("keydown", (event) => {
  // The editor has had its turn, and has done it if it was the one with the cursor.
  if (event.defaultPrevented || event.key.toLowerCase() !== "s" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  deploy();
});
addEventListener("hashchange", () => { const found = place(); if (found) open(...found); });
addEventListener("pagehide", keepDraftNow);
document.addEventListener("click", (event) => { isLeaving = event.target.closest("a[href^='/console']") !== null; });
addEventListener("beforeunload", (event) => {
  // What is begun is kept while this browser tab is open, so only closing it would lose it.
  if (hasChanges() && !isLeaving) event.preventDefault();
});

restoreDraft();
drawTree();
refresh();
const start = place() ?? [bench.dataset.opened || [...files.keys()].sort()[0], 0];
if (files.has(start[0])) open(...start);
else if (files.size) open([...files.keys()].sort()[0]);
if (bench.dataset.busy) {
  isBusy = true;
  refresh();
  settled(url, { isBusy: true }).catch((error) => notify("bad", error.message)).finally(() => {
    isBusy = false;
    refresh();
  });
}
