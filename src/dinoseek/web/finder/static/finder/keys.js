// Keys of every page: to the search field, to other pages, the sheet of shortcuts; and buttons that copy.

const sheet = document.getElementById("keys");
const choice = sheet.querySelector("[data-single-keys]");
// Single keys can be switched off, as speech input types them by accident (WCAG 2.1.4).
choice.checked = stored("single-keys") !== "off";
choice.addEventListener("change", () => store("single-keys", choice.checked ? "on" : "off"));

let went = -Infinity; // when g was pressed, which waits for a second key

document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey) {
    event.preventDefault();
    return search();
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target)) return;
  if (event.key === "Escape") return leave(event);
  if (!choice.checked || sheet.open || document.querySelector(":popover-open")) return;
  const to = performance.now() - went < 1500 && document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
  went = event.key === "g" ? performance.now() : -Infinity;
  if (to) return press(event, to);
  if (event.key === "/") return event.preventDefault(), search();
  if (event.key === "?") return event.preventDefault(), sheet.showModal();
  const tile = document.activeElement.closest(".tile");
  const wanted = `[data-key="${CSS.escape(event.key)}"]`;
  const found = tile ? tile.querySelector(wanted) : [...document.querySelectorAll(`main ${wanted}`)].find((each) => !each.closest(".tile"));
  if (found) press(event, found);
});

// The sheet closes on a click beside it.
sheet.addEventListener("click", (event) => event.target === sheet && sheet.close());

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const words = button.querySelector("span");
  const before = words.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    words.textContent = document.getElementById("live").textContent = button.dataset.copied;
    setTimeout(() => (words.textContent = before), 2000);
  } catch {
    getSelection().selectAllChildren(button.previousElementSibling); // not over plain http: select it instead
  }
});

function press(event, element) {
  event.preventDefault();
  element.click();
}

function search() {
  const form = document.querySelector("form[data-ask]");
  const field = form && [form.querySelector("[data-address]"), form.querySelector("[data-pick]")].find((each) => each?.offsetParent);
  field?.focus();
  field?.scrollIntoView({ block: "center" });
}

function leave(event) {
  const back = document.querySelector("[data-back]");
  if (sheet.open || document.querySelector(":popover-open") || !back) return;
  event.preventDefault();
  if (document.referrer.startsWith(location.origin + "/") && history.length > 1) history.back();
  else back.click();
}

function isTyping(element) {
  return Boolean(element.closest("select, textarea, [contenteditable], input:not([type=file], [type=checkbox], [type=radio], [type=submit])"));
}

function stored(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // storage may be forbidden
  }
}

function store(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // then it holds for this page only
  }
}
