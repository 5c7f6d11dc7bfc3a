// Who writes an ARN means an existing role.
const arn = document.getElementById("role-arn");
arn.addEventListener("input", () => { document.querySelector("input[name=role][value=existing]").checked = arn.value !== ""; });

// The runtimes that are there are told a moment later; what was chosen meanwhile stays.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, requestConfig } = event.detail;
  const field = target.querySelector?.("#runtime");
  if (field && field.value !== requestConfig.formData.get("runtime")) event.detail.shouldSwap = false;
});
