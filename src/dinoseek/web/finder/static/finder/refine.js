// Refining a search: the box on the query picture, and addresses without empty fields.

const form = document.querySelector("[data-refine]");
form?.addEventListener("formdata", (event) => {
  for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
});

const opener = document.querySelector("[data-open-query]");
opener?.addEventListener("click", () => {
  const open = document.querySelector("[data-query]").classList.toggle("is-open");
  opener.setAttribute("aria-expanded", open);
  if (open) document.querySelector("[data-frame]")?.focus();
});

const figure = document.querySelector("[data-crop]");
if (figure) crop(figure);

/** Lets a box be drawn, moved and resized on the picture; all numbers are per cent of it. */
function crop(figure) {
  const frame = figure.querySelector("[data-frame]");
  const field = document.querySelector("[data-region]");
  const sides = [...document.querySelectorAll("[data-side]")];
  const button = document.querySelector("[data-search-region]");
  const before = field.value;
  const box = document.createElement("div");
  box.className = "box";
  for (const [x, y] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
    const handle = box.appendChild(document.createElement("i"));
    Object.assign(handle.dataset, { x, y });
  }
  frame.append(box);
  frame.tabIndex = 0;
  for (const side of sides) side.removeAttribute("name"); // they are sent without script only
  let region = parse(field.value);
  show();

  function show() {
    box.hidden = !region;
    const [x, y, w, h] = region || [0, 0, 100, 100];
    Object.assign(box.style, { left: `${x}%`, top: `${y}%`, width: `${w}%`, height: `${h}%` });
    field.value = region ? region.map((number) => `${round(number)}%`).join(",") : "";
    sides.forEach((side, place) => (side.value = round([x, y, w, h][place])));
    button.hidden = field.value === before;
    for (const each of document.querySelectorAll(".boxes button")) {
      each.setAttribute("aria-pressed", (parse(each.value) || []).join() === (region || []).join());
    }
  }

  function say() {
    const [x, y, w, h] = (region || []).map(Math.round);
    const text = region ? figure.dataset.label.replace(/{(\w)}/g, (_, name) => ({ x, y, w, h })[name]) : figure.dataset.whole;
    document.getElementById("live").textContent = text;
  }

  function choose(next) {
    region = next && fit(next);
    show();
  }

  // Pointer: a handle resizes, the box moves, anywhere else a new box is drawn.
  frame.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    frame.focus({ preventScroll: true });
    const at = point(event);
    const handle = event.target.closest("i");
    const held = !handle && event.target === box;
    const [x, y, w, h] = region || [0, 0, 0, 0];
    const fixed = handle ? [handle.dataset.x === "1" ? x : x + w, handle.dataset.y === "1" ? y : y + h] : at;
    const move = (event) => {
      const [to_x, to_y] = point(event);
      if (held) return choose([clamp(x + to_x - at[0], 0, 100 - w), clamp(y + to_y - at[1], 0, 100 - h), w, h]);
      const [left, top] = [Math.min(fixed[0], to_x), Math.min(fixed[1], to_y)];
      const drawn = [left, top, Math.abs(to_x - fixed[0]), Math.abs(to_y - fixed[1])];
      if (handle || (drawn[2] > 3 && drawn[3] > 3)) choose(drawn);
    };
    const end = () => {
      frame.removeEventListener("pointermove", move);
      say();
    };
    frame.setPointerCapture(event.pointerId);
    frame.addEventListener("pointermove", move);
    frame.addEventListener("lostpointercapture", end, { once: true });
  });

  frame.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-2, 0], ArrowRight: [2, 0], ArrowUp: [0, -2], ArrowDown: [0, 2] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step) {
      const [x, y, w, h] = region || [20, 20, 60, 60];
      if (!region) choose([x, y, w, h]);
      else if (event.shiftKey) choose([x, y, clamp(w + step[0], 4, 100 - x), clamp(h + step[1], 4, 100 - y)]);
      else choose([clamp(x + step[0], 0, 100 - w), clamp(y + step[1], 0, 100 - h), w, h]);
    } else if (event.key === "Enter") form.requestSubmit();
    else if (event.key === "Escape" && region) choose(null);
    else return;
    event.preventDefault();
    say();
  });

  for (const each of document.querySelectorAll(".boxes button")) {
    each.addEventListener("click", (event) => {
      event.preventDefault();
      choose(parse(each.value));
      form.requestSubmit();
    });
  }
  for (const side of sides) side.addEventListener("change", () => choose(sides.map((each) => Number(each.value))));

  function point(event) {
    const { left, top, width, height } = frame.getBoundingClientRect();
    return [clamp((100 * (event.clientX - left)) / width, 0, 100), clamp((100 * (event.clientY - top)) / height, 0, 100)];
  }
}

/** Four numbers of "x%,y%,w%,h%"; null for the whole picture. */
function parse(text) {
  const numbers = text.split(",").map(parseFloat);
  const whole = numbers.length !== 4 || numbers.some(Number.isNaN) || numbers.join() === "0,0,100,100";
  return whole ? null : numbers;
}

function fit([x, y, w, h]) {
  const left = clamp(x, 0, 99);
  const top = clamp(y, 0, 99);
  return [left, top, clamp(w, 1, 100 - left), clamp(h, 1, 100 - top)];
}

function clamp(number, least, most) {
  return Math.min(Math.max(number, least), most);
}

function round(number) {
  return Math.round(10 * number) / 10;
}
