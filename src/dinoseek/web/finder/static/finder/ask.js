// Ways to ask: a picture that is chosen, photographed, dropped or pasted, or an address, is shown and sent at once.
// The form works without this script too; all words come from its data- attributes.

const form = document.querySelector("form[data-ask]");
const TRIES = 3;
const LONGEST = 60; // seconds that are worth waiting for

if (form) {
  const part = (name) => form.querySelector(`[data-${name}]`);
  const words = form.dataset;
  const preview = part("preview");
  const picture = part("picture");
  const doing = part("doing");
  const note = part("note");
  const trouble = part("trouble");
  const address = part("address");
  let sending = null; // the AbortController of what is on its way

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const file = [...form.querySelectorAll("[data-pick]")].map((input) => input.files[0]).find(Boolean);
    if (file) ask(file);
    else if (address?.value) ask(address.value);
    else tell({ title: words.noPicture, fix: words.noPictureFix });
  });
  for (const input of form.querySelectorAll("[data-pick]")) {
    input.addEventListener("change", () => input.files[0] && ask(input.files[0]));
  }
  part("clear").addEventListener("click", () => {
    clear();
    part("pick").focus();
  });
  window.addEventListener("pageshow", (event) => event.persisted && clear()); // back from the results

  /** Takes what was dropped or pasted: a picture, else an address. */
  function take(data) {
    const file = [...data.files].find((each) => each.type.startsWith("image/")) || data.files[0];
    const text = (data.getData("text/uri-list") || data.getData("text/plain")).trim().split(/\s/)[0];
    if (file) ask(file);
    else if (!/^https?:\/\//i.test(text)) tell({ title: words.noPicture, fix: words.noPictureFix });
    else if (address) ask(text);
    else tell({ title: words.noAddress, fix: words.noAddressFix });
  }

  // What is dragged inside the page (a tile, a link) is no query.
  const veil = document.querySelector("[data-veil]");
  let inside = false;
  document.addEventListener("dragstart", () => (inside = true));
  document.addEventListener("dragend", () => (inside = false));
  document.addEventListener("dragover", (event) => {
    if (inside) return;
    event.preventDefault();
    veil.hidden = false;
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || (veil.hidden = true));
  document.addEventListener("drop", (event) => {
    veil.hidden = true;
    if (inside) return;
    event.preventDefault();
    take(event.dataTransfer);
  });
  document.addEventListener("paste", (event) => {
    const typing = event.target.closest?.("input:not([type=file]), textarea");
    if (typing && !event.clipboardData.files.length) return;
    event.preventDefault();
    take(event.clipboardData);
  });

  /** Shows the picture (a File) or address, and sends it. */
  async function ask(query) {
    clear();
    const mine = (sending = new AbortController());
    busy(true);
    preview.hidden = false;
    doing.textContent = words.working;
    let file = typeof query === "string" ? null : query;
    if (file) {
      picture.src = URL.createObjectURL(file);
      note.textContent = file.name;
      file = await fitting(file);
    } else {
      note.textContent = query;
    }
    if (mine.signal.aborted || (file === null && typeof query !== "string")) return;
    const body = new FormData(form);
    body.delete("image");
    body.delete("url");
    if (file) body.set("image", file, file.name);
    else body.set("url", query);
    await send(body, mine.signal);
  }

  /** The file as it can be sent: of a format that is taken and not too large; null if it cannot be. */
  async function fitting(file) {
    const most = Number(words.maxBytes);
    const known = !words.accept || !file.type || words.accept.includes(file.type);
    if (file.size <= most && known) return file;
    doing.textContent = words.shrinking;
    const { shrink } = await import(words.shrink);
    const smaller = await shrink(file);
    doing.textContent = words.working;
    if (smaller && smaller.size <= most) {
      if (file.size > most) note.textContent = words.shrunk;
      return smaller;
    }
    if (file.size <= most) return file; // the server says what is wrong with it
    tell({ title: words.tooLarge, fix: words.tooLargeFix });
    return null;
  }

  async function send(body, signal, turn = 1) {
    try {
      const headers = { Accept: "application/json" };
      const answer = await fetch(form.action, { method: "POST", body, headers, signal });
      const seconds = Number(answer.headers.get("Retry-After")) || 1;
      if ([429, 503].includes(answer.status) && turn <= TRIES && seconds <= LONGEST) {
        doing.textContent = fill(words.busy, { seconds, n: turn, most: TRIES });
        await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
        if (!signal.aborted) await send(body, signal, turn + 1);
        return;
      }
      if (answer.redirected) return location.assign(answer.url); // to log in, for one
      const said = await answer.text();
      const isJson = answer.headers.get("Content-Type")?.includes("json");
      const { location: to, error } = isJson ? JSON.parse(said) : {};
      if (answer.ok && to) location.assign(to);
      else if (error) tell(error);
      else if (answer.status === 413) tell({ title: words.tooLarge, fix: words.tooLargeFix });
      else tell({ title: words.strange, reason: isPlain(answer) ? said.slice(0, 300) : "", fix: words.strangeFix });
    } catch (error) {
      if (error.name !== "AbortError") tell({ title: words.offline, fix: words.offlineFix });
    }
  }

  function tell({ title, reason = "", fix = "" }) {
    busy(false);
    doing.textContent = "";
    trouble.hidden = false;
    const [first, second, third] = trouble.children;
    [first.textContent, second.textContent, third.textContent] = [title, reason, fix];
  }

  function clear() {
    sending?.abort();
    busy(false);
    if (picture.src) URL.revokeObjectURL(picture.src);
    picture.removeAttribute("src");
    for (const input of form.querySelectorAll("[data-pick]")) input.value = "";
    doing.textContent = note.textContent = "";
    preview.hidden = trouble.hidden = true;
  }

  function busy(is) {
    preview.classList.toggle("is-busy", is);
    part("submit").disabled = is;
    form.setAttribute("aria-busy", is);
  }
}

function isPlain(answer) {
  return Boolean(answer.headers.get("Content-Type")?.startsWith("text/plain"));
}

function fill(text, values) {
  return text.replace(/{(\w+)}/g, (_, name) => values[name]);
}
