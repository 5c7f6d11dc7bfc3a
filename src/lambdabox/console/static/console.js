// What every page does beside following links: theme, dialogs, menus, messages, copying.

const root = document.documentElement;

function toggleTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const next = (root.dataset.theme ?? system) === "dark" ? "light" : "dark";
  root.dataset.theme = next;
  localStorage.setItem("lambdabox.theme", next);
  say(next === "dark" ? "Dark theme" : "Light theme");
}

/** Tell those who listen to the page. */
export function say(text) {
  const region = document.getElementById("announcer");
  if (region) region.textContent = text;
}

/** Take a message away when there was time to read it. */
function fade(message) {
  setTimeout(() => message.remove(), Math.max(6000, message.textContent.length * 90));
}

/** Show a message over the page: `kind` is good, bad or note. */
export function notify(kind, text) {
  const message = document.createElement("div");
  message.className = `message ${kind}`;
  message.setAttribute("role", kind === "bad" ? "alert" : "status");
  const words = document.createElement("p");
  words.textContent = text;
  const close = document.createElement("button");
  close.className = "button quiet compact";
  close.type = "button";
  close.dataset.dismiss = "";
  close.textContent = "Close";
  message.append(words, close);
  document.getElementById("messages").append(message);
  if (kind !== "bad") fade(message);
}

/** Ask the node for JSON, as this session. Throws an Error with the node's words. */
export async function ask(url, { method = "GET", json, body, headers = {} } = {}) {
  const response = await fetch(url, {
    method,
    headers: {
      Accept: "application/json",
      "X-CSRF-Token": document.querySelector("meta[name=csrf-token]").content,
      ...(json === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    body: json === undefined ? body : JSON.stringify(json),
    redirect: "error",
  }).catch(() => {
    throw new Error("The node does not answer. Is it still running?");
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.message ?? `The node answered ${response.status}.`);
  return answer;
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-theme-switch], [data-opens], [data-closes], [data-dismiss], [data-copy]");
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  if (!target) return;
  const { dataset } = target;
  if ("themeSwitch" in dataset) toggleTheme();
  else if ("opens" in dataset) {
    target.closest("details.menu")?.removeAttribute("open");
    document.getElementById(dataset.opens)?.showModal();
  } else if ("closes" in dataset) target.closest("dialog")?.close();
  else if ("dismiss" in dataset) target.closest(".message")?.remove();
  else copy(target);
});

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    notify("good", "Copied.");
  } catch {
    notify("note", `Your browser does not let pages copy here. Copy it yourself: ${button.dataset.copy}`);
  }
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    const menu = document.querySelector("details.menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  const isTyping = event.target.closest("input, textarea, select, [contenteditable=true]");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.querySelector("input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
});

// A deletion is confirmed by typing the name of what goes.
document.addEventListener("input", (event) => {
  const expected = event.target.dataset?.mustEqual;
  if (expected === undefined) return;
  event.target.form.querySelector("[type=submit]").disabled = event.target.value !== expected;
});

// Whoever sends a form sees that it is on its way, and sends it once.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.method === "dialog") return;
  const button = event.submitter;
  if (button?.dataset.busy) {
    button.textContent = button.dataset.busy;
    setTimeout(() => { button.disabled = true; });
  }
});

// A page that comes back from the browser's memory has its buttons again.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

document.addEventListener("htmx:sendError", () => notify("bad", "The node does not answer. Is it still running?"));

const left = sessionStorage.getItem("lambdabox.say");
if (left) {
  sessionStorage.removeItem("lambdabox.say");
  notify("good", left);
}

for (const message of document.querySelectorAll(".message:not(.bad)")) {
  fade(message);
}
