// Grids of images: arrows move the focus, and "load more" puts it on the first new image.

const grid = document.querySelector("[data-grid]");
const opens = () => [...grid.querySelectorAll(".open")];

document.addEventListener("keydown", (event) => {
  if (!grid || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.defaultPrevented) return;
  const tiles = opens();
  const present = tiles.indexOf(document.activeElement.closest(".tile")?.querySelector(".open"));
  if (present < 0) {
    // From nowhere, left and right enter the grid; up and down still scroll the page.
    const idle = document.activeElement === document.body || document.activeElement.id === "main";
    if (!idle || !["ArrowRight", "ArrowLeft"].includes(event.key)) return;
    event.preventDefault();
    tiles.find((tile) => tile.getBoundingClientRect().top >= 0)?.focus();
    return;
  }
  const next = neighbour(tiles, present, event.key);
  if (!next) return;
  event.preventDefault();
  next.focus();
});

/** The tile that a key leads to: up and down by place on the screen, as rows may be broken. */
function neighbour(tiles, present, key) {
  const middle = (tile) => tile.getBoundingClientRect();
  const from = middle(tiles[present]);
  switch (key) {
    case "ArrowRight": return tiles[present + 1] || document.querySelector(".more");
    case "ArrowLeft": return tiles[present - 1];
    case "Home": return tiles[0];
    case "End": return tiles.at(-1);
    case "ArrowDown": return tiles.slice(present).find((tile) => middle(tile).top > from.top + 8 && middle(tile).left >= from.left - 8) || document.querySelector(".more");
    case "ArrowUp": return tiles.slice(0, present).findLast((tile) => middle(tile).top < from.top - 8 && middle(tile).left <= from.left + 8);
    default: return undefined;
  }
}

let before = 0;
document.addEventListener("htmx:beforeSwap", () => (before = grid ? opens().length : 0));
document.addEventListener("htmx:afterSettle", () => {
  if (!grid) return;
  const status = grid.querySelector(".end")?.dataset.status;
  if (!status) return;
  document.getElementById("live").textContent = status;
  const count = document.querySelector("[data-count]");
  if (count) count.textContent = status;
  opens()[before]?.focus();
});
// A failed request leaves the link in place: then it is followed like any other.
document.addEventListener("htmx:responseError", (event) => location.assign(event.detail.elt.href));
