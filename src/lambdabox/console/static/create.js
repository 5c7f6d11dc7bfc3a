// The runtimes that are there are told a moment later; what was chosen meanwhile stays.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, requestConfig } = event.detail;
  const field = target.querySelector?.("#runtime");
  if (field && field.value !== requestConfig.formData.get("runtime")) event.detail.shouldSwap = false;
});
