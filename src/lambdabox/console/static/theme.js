// Before the page is drawn: the theme that its reader has chosen, if not the system's.
const chosen = localStorage.getItem("lambdabox.theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
