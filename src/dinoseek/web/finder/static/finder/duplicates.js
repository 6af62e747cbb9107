// Duplicates by keyboard: arrows choose a file, k keeps it, d discards it; a, u, n and p act on the group.

const twins = [...document.querySelectorAll("[data-twins] .twin")];
const links = twins.map((twin) => twin.querySelector(".open"));
const undecided = twins.findIndex((twin) => !twin.matches(".is-keep, .is-discard"));

// After each decision the page is loaded anew: go on where there is something to decide.
if (matchMedia("(hover: hover)").matches) links[Math.max(undecided, 0)]?.focus({ preventScroll: true });

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea") || document.querySelector("dialog[open], :popover-open")) return;
  const present = twins.findIndex((twin) => twin.contains(document.activeElement));
  const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
  if (step && present >= 0) {
    event.preventDefault();
    links[Math.min(Math.max(present + step, 0), twins.length - 1)].focus();
    return;
  }
  if (!document.querySelector("[data-single-keys]").checked) return;
  const key = event.key.toLowerCase();
  const scope = "kd".includes(key) ? twins[present] : document;
  const button = scope?.querySelector(`[data-dupe="${CSS.escape(key)}"]:not(:disabled)`);
  if (!button) return;
  event.preventDefault();
  button.click();
});
