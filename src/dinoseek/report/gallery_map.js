"use strict";
// Draws the map: points that move and grow under the pointer, small pictures where there is room.
const data = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("map");
const context = canvas.getContext("2d");
const count = data.x.length;
const pictures = new Array(count).fill(null); // made when they are first seen
const view = { x: 0, y: 0, scale: 1 }; // the middle of the window in map units, pixels a unit
const state = { hovered: -1, selected: -1, found: null, drawn: [], showPictures: true, frame: 0 };
let width = 0, height = 0, first = 1; // of the window in pixels, and the scale that shows all
let side = 56; // pixels of a picture at that scale

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const screenX = (i) => (data.x[i] - view.x) * view.scale + width / 2;
const screenY = (i) => (view.y - data.y[i]) * view.scale + height / 2;
const color = (i) => (data.group ? data.colors[data.group[i]] : style("--accent"));

function fit() {
  const low = [Math.min(...data.x), Math.min(...data.y)];
  const high = [Math.max(...data.x), Math.max(...data.y)];
  view.x = (low[0] + high[0]) / 2;
  view.y = (low[1] + high[1]) / 2;
  const across = (width - 2 * side) / Math.max(high[0] - low[0], 1e-6);
  const down = (height - 2 * side) / Math.max(high[1] - low[1], 1e-6);
  view.scale = first = count > 1 ? Math.max(Math.min(across, down), 1e-3) : 1;
  draw();
}

function resize() {
  const box = canvas.getBoundingClientRect();
  const fresh = !width;
  width = box.width;
  height = box.height;
  side = Math.max(36, Math.min(56, width / 12));
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
  fresh ? fit() : draw();
}

function draw() {
  if (!state.frame) state.frame = requestAnimationFrame(paint);
}

function pictureSide() {
  return Math.min(side * Math.max(1, Math.sqrt(view.scale / first)), 128);
}

function paint() {
  state.frame = 0;
  context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  context.clearRect(0, 0, width, height);
  const size = pictureSide();
  state.drawn = [];
  const near = neighbours(state.selected);
  drawLinks(near);
  const [dots, shown] = placed(size);
  dots.forEach((i) => dot(i, 3.2));
  shown.forEach((i) => tile(i, size));
  near.forEach((i) => mark(i, size, false));
  for (const i of [state.selected, state.hovered]) if (i >= 0) mark(i, size * 1.25, true);
  context.globalAlpha = 1;
}

// Which images in the window are dots and which are pictures: one picture for each free place.
function placed(size) {
  const dots = [], shown = [], taken = new Map();
  for (let i = 0; i < count; i++) {
    const x = screenX(i), y = screenY(i);
    if (x < -size || y < -size || x > width + size || y > height + size) continue;
    if (!state.showPictures || !data.pictures[i] || (state.found && !state.found.has(i))) {
      dots.push(i);
      continue;
    }
    const column = Math.floor(x / size), row = Math.floor(y / size);
    let free = true;
    for (let c = column - 1; c <= column + 1 && free; c++)
      for (let r = row - 1; r <= row + 1 && free; r++)
        for (const other of taken.get(c + ":" + r) || [])
          if (Math.abs(other[0] - x) < size && Math.abs(other[1] - y) < size) free = false;
    if (!free) {
      dots.push(i);
      continue;
    }
    const key = column + ":" + row;
    taken.set(key, [...(taken.get(key) || []), [x, y]]);
    shown.push(i);
  }
  return [dots, shown];
}

function faded(i) {
  return state.found && !state.found.has(i) ? 0.12 : 1;
}

function dot(i, radius) {
  context.globalAlpha = 0.75 * faded(i);
  context.fillStyle = color(i);
  context.beginPath();
  context.arc(screenX(i), screenY(i), radius, 0, 7);
  context.fill();
}

function tile(i, size, alpha = faded(i)) {
  const image = picture(i);
  if (!image.complete || !image.naturalWidth) return dot(i, 3.2);
  const scale = (size - 4) / Math.max(image.naturalWidth, image.naturalHeight);
  const w = image.naturalWidth * scale, h = image.naturalHeight * scale;
  const left = screenX(i) - w / 2, top = screenY(i) - h / 2;
  context.globalAlpha = alpha;
  context.drawImage(image, left, top, w, h);
  if (data.group) frame(left, top, w, h, color(i), 2);
  state.drawn.push([i, left, top, w, h]);
  return undefined;
}

function mark(i, size, strong) {
  context.globalAlpha = 1;
  if (data.pictures[i] && state.showPictures) {
    tile(i, size, 1);
    const last = state.drawn[state.drawn.length - 1];
    if (last && last[0] === i) return frame(...last.slice(1), style("--ring"), strong ? 3 : 2);
  }
  context.globalAlpha = 1;
  context.fillStyle = color(i);
  context.strokeStyle = style("--ring");
  context.lineWidth = 2;
  context.beginPath();
  context.arc(screenX(i), screenY(i), strong ? 8 : 6, 0, 7);
  context.fill();
  context.stroke();
  return undefined;
}

function frame(left, top, w, h, stroke, line) {
  context.strokeStyle = stroke;
  context.lineWidth = line;
  context.strokeRect(left - line / 2, top - line / 2, w + line, h + line);
}

function drawLinks(near) {
  context.globalAlpha = 0.6;
  context.strokeStyle = style("--ring");
  context.lineWidth = 1.25;
  for (const i of near) {
    context.beginPath();
    context.moveTo(screenX(state.selected), screenY(state.selected));
    context.lineTo(screenX(i), screenY(i));
    context.stroke();
  }
}

function picture(i) {
  if (!pictures[i]) {
    pictures[i] = new Image();
    pictures[i].onload = draw;
    pictures[i].src = "data:image/jpeg;base64," + data.pictures[i];
  }
  return pictures[i];
}

function neighbours(i) {
  return i < 0 ? [] : data.near[i];
}

function under(x, y) {
  for (let n = state.drawn.length - 1; n >= 0; n--) {
    const [i, left, top, w, h] = state.drawn[n];
    if (x >= left && x <= left + w && y >= top && y <= top + h) return i;
  }
  let best = -1, least = 14;
  for (let i = 0; i < count; i++) {
    const away = Math.hypot(screenX(i) - x, screenY(i) - y);
    if (away < least && (!state.found || state.found.has(i))) [best, least] = [i, away];
  }
  return best;
}

function zoom(factor, x = width / 2, y = height / 2) {
  const scale = Math.min(Math.max(view.scale * factor, first / 4), first * 400);
  const change = 1 / view.scale - 1 / scale;
  view.x += (x - width / 2) * change;
  view.y -= (y - height / 2) * change;
  view.scale = scale;
  draw();
}

function select(i, centre) {
  state.selected = i;
  if (i >= 0 && centre) {
    const x = screenX(i), y = screenY(i), edge = 80;
    if (x < edge || y < edge || x > width - edge || y > height - edge) [view.x, view.y] = [data.x[i], data.y[i]];
  }
  showPanel();
  draw();
}

function showPanel() {
  const i = state.hovered >= 0 ? state.hovered : state.selected;
  const panel = document.getElementById("panel");
  panel.replaceChildren();
  if (i < 0) {
    panel.append(element("p", "hint", document.getElementById("hint").textContent));
    return;
  }
  if (data.pictures[i]) panel.append(imageOf(i, "large", data.names[i]));
  const name = element(data.links[i] ? "a" : "p", "name", data.names[i]);
  if (data.links[i]) name.href = data.links[i];
  panel.append(name);
  if (data.captions[i]) panel.append(element("p", "soft", data.captions[i]));
  if (data.group) panel.append(element("p", "soft", data.title + ": " + data.values[i]));
  panel.append(element("h2", "", "Nearest"));
  const list = element("ol", "near", "");
  data.near[i].forEach((other, place) => {
    const button = element("button", "", "");
    if (data.pictures[other]) button.append(imageOf(other, "", ""));
    button.append(element("span", "", data.names[other]), element("b", "", data.cosines[i][place].toFixed(3)));
    button.addEventListener("click", () => { state.hovered = -1; select(other, true); });
    const item = element("li", "", "");
    item.append(button);
    list.append(item);
  });
  panel.append(list);
}

function imageOf(i, name, alt) {
  const image = element("img", name, "");
  image.src = "data:image/jpeg;base64," + data.pictures[i];
  image.alt = alt;
  return image;
}

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}

function say() {
  const i = state.selected;
  const near = i < 0 ? [] : data.near[i].slice(0, 3).map((other) => data.names[other]);
  document.getElementById("said").textContent = i < 0 ? "" : data.names[i] + ". Nearest: " + near.join(", ");
}

// The nearest image in the direction of an arrow key: far aside counts double.
function step(dx, dy) {
  const from = state.selected;
  let best = -1, least = Infinity;
  for (let i = 0; i < count; i++) {
    if (i === from || (state.found && !state.found.has(i))) continue;
    const x = screenX(i) - (from < 0 ? width / 2 : screenX(from));
    const y = screenY(i) - (from < 0 ? height / 2 : screenY(from));
    const ahead = x * dx + y * dy, aside = Math.abs(x * dy) + Math.abs(y * dx);
    const away = from < 0 ? Math.hypot(x, y) : ahead + 2 * aside;
    if ((from < 0 || ahead > Math.max(aside, 0.01)) && away < least) [best, least] = [i, away];
  }
  if (best >= 0) select(best, true);
  say();
}

const keys = {
  ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0),
  ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1),
  "+": () => zoom(1.4, ...middle()), "=": () => zoom(1.4, ...middle()), "-": () => zoom(1 / 1.4, ...middle()),
  "0": fit, Escape: () => { select(-1, false); say(); },
  Enter: () => { if (state.selected >= 0 && data.links[state.selected]) location.href = data.links[state.selected]; },
};

function middle() {
  const i = state.selected;
  return i < 0 ? [width / 2, height / 2] : [screenX(i), screenY(i)];
}

canvas.addEventListener("keydown", (event) => {
  const act = keys[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
});

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), event.offsetX, event.offsetY);
}, { passive: false });

const held = new Map(); // pointers that are down
let moved = 0, apart = 0;

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  held.set(event.pointerId, [event.offsetX, event.offsetY]);
  moved = apart = 0;
});

canvas.addEventListener("pointermove", (event) => {
  const here = [event.offsetX, event.offsetY], before = held.get(event.pointerId);
  if (!before) return hover(under(...here));
  held.set(event.pointerId, here);
  if (held.size === 2) return pinch();
  moved += Math.hypot(here[0] - before[0], here[1] - before[1]);
  view.x -= (here[0] - before[0]) / view.scale;
  view.y += (here[1] - before[1]) / view.scale;
  return draw();
});

function pinch() {
  const [[ax, ay], [bx, by]] = [...held.values()];
  const now = Math.hypot(ax - bx, ay - by);
  if (apart) zoom(now / apart, (ax + bx) / 2, (ay + by) / 2);
  apart = now;
  moved = 99;
}

function hover(i) {
  canvas.style.cursor = i >= 0 ? "pointer" : "grab";
  if (i === state.hovered) return;
  state.hovered = i;
  showPanel();
  draw();
}

for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, (event) => {
    if (end === "pointerup" && held.size === 1 && moved < 5) { select(under(event.offsetX, event.offsetY), false); say(); }
    held.delete(event.pointerId);
  });
}
canvas.addEventListener("pointerleave", () => hover(-1));

document.getElementById("find").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().trim();
  const has = (i) => (data.names[i] + " " + data.captions[i] + " " + (data.group ? data.values[i] : "")).toLowerCase().includes(words);
  state.found = words ? new Set([...Array(count).keys()].filter(has)) : null;
  document.getElementById("number").textContent = words ? state.found.size + " found" : "";
  draw();
});
document.getElementById("pictures").addEventListener("change", (event) => { state.showPictures = event.target.checked; draw(); });
document.getElementById("closer").addEventListener("click", () => zoom(1.5));
document.getElementById("farther").addEventListener("click", () => zoom(1 / 1.5));
document.getElementById("all").addEventListener("click", fit);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
new ResizeObserver(resize).observe(canvas);
showPanel();
