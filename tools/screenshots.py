"""Makes docs/images/*.png: the page on the drawn demo gallery, in Chromium.

    python tools/screenshots.py [FOLDER] [--model FILE] [--only NAME]

It needs, on Debian: chromium, fonts-inter, fonts-wqy-microhei. Scores in the pictures are the
model's; without one the demo uses dinoseek-tiny.
"""

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Playwright, sync_playwright

from dinoseek.report.demo_gallery import FAMILIES, draw

MOST_BYTES = 250_000
DESK = {"viewport": {"width": 1280, "height": 860}}
PHONE = {
    "viewport": {"width": 375, "height": 760},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
DECODED = """() => Promise.all(
    [...document.images].filter(image => image.currentSrc && image.complete)
        .map(image => image.decode())
)"""
# The page takes the system's font, which is DejaVu on a bare Debian; most people have one of these.
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><include>/etc/fonts/fonts.conf</include>
<match><test name="family" qual="first" compare="eq"><string>DejaVu Sans</string></test>
<edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>
<match><test name="family" qual="first" compare="eq"><string>sans</string></test>
<edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>
<match><test name="family" qual="first" compare="eq"><string>sans-serif</string></test>
<edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>
</fontconfig>"""
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


@dataclass(frozen=True)
class Site:
    """Where the server is, and the pictures to search with."""

    address: str
    queries: Path


@dataclass(frozen=True)
class Shot:
    """A picture to be made: what is done on the page before, and how the browser is."""

    act: Callable[[Page, Site], None]
    options: dict[str, Any] = field(default_factory=lambda: dict(DESK))


def home(page: Page, site: Site) -> None:
    for family in ("mosaic", "waves", "sunset"):
        search(page, site, family)
    page.goto("/")


def results(page: Page, site: Site) -> None:
    search(page, site, "city")


def refine(page: Page, site: Site) -> None:
    search(page, site, "both")
    draw_box(page, (0.54, 0.1), (0.95, 0.88))
    page.get_by_role("button", name="Search with this region").click()
    page.wait_for_url("**region=**")
    like = page.locator(".tile").filter(has_text="flower").first
    press(like, "+")
    page.wait_for_url("**plus=**")
    unlike = page.locator(".tile").filter(has_not_text="flower").first
    press(unlike, "-")
    page.wait_for_url("**minus=**")
    page.locator(".tile").nth(1).hover()


def press(tile: Locator, sign: str) -> None:
    tile.hover()
    tile.locator(f'[data-key="{sign}"]').click()


def item(page: Page, site: Site) -> None:
    search(page, site, "bubbles")
    page.locator(".tile .open").first.click()
    page.wait_for_url("**/item/**")


def duplicates(page: Page, _site: Site) -> None:
    page.goto("/duplicates?level=near")
    while (
        page.get_by_role("heading", name="Duplicates").count() and not page.locator(".twin").count()
    ):
        time.sleep(0.3)  # the groups are found meanwhile
        page.reload()


def chinese(page: Page, site: Site) -> None:
    search(page, site, "mountains")


SHOTS = {
    "home-light": Shot(home),
    "results-light": Shot(results),
    "results-dark": Shot(results, {**DESK, "color_scheme": "dark"}),
    "refine": Shot(refine),
    "item": Shot(item),
    "duplicates": Shot(duplicates),
    "phone": Shot(results, PHONE),
    "chinese": Shot(chinese, {**DESK, "locale": "zh-CN"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/images"))
    parser.add_argument("--model", default="color-histogram", help="a weights file")
    parser.add_argument("--only", choices=SHOTS, help="one picture")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        demo, queries = Path(name) / "demo", Path(name) / "queries"
        make_gallery(demo, given.model)
        make_queries(queries)
        browser = launched(playwright, Path(name) / "fonts.conf")
        with serving(demo / "demo.dino", Path(name) / "state", given.model) as address:
            for each in [given.only] if given.only else SHOTS:
                file = given.folder / f"{each}.png"
                take(browser, SHOTS[each], Site(address, queries), file)
                print(f"{file}: {file.stat().st_size:,} bytes")
        browser.close()


def launched(playwright: Playwright, fonts: Path) -> Browser:
    fonts.write_text(FONTS, "utf-8")
    return playwright.chromium.launch(
        executable_path=shutil.which("chromium"),
        args=[OFFLINE],
        env={**os.environ, "FONTCONFIG_FILE": str(fonts)},
    )


def make_gallery(folder: Path, model: str) -> None:
    """The demo gallery, with some copies of its pictures in it."""
    dinoseek("demo", "--out", folder, "--model", model)
    pictures, listed = folder / "pictures", folder / "pictures.csv"
    with listed.open("a", encoding="utf-8") as file:
        for number, family in enumerate(("mosaic", "mountains", "waves"), start=1):
            name = f"{family}-{number:02}"
            with Image.open(pictures / f"{name}.jpg") as image:
                image.reduce(2).save(pictures / f"{name}-small.jpg", quality=80)
                image.save(pictures / f"{name}-sent.jpg", quality=50)
            for kind in ("small", "sent"):
                row = f"pictures/{name}-{kind}.jpg,a drawing of {family},{family},{number}"
                file.write(f"{row}\n")
    dinoseek("index", listed, "--gallery", folder / "demo.dino", "--model", model)


def make_queries(folder: Path) -> None:
    """Pictures that the gallery does not hold: one of each family, and two side by side."""
    folder.mkdir()
    for number, (family, paint) in enumerate(FAMILIES.items()):
        draw(paint, seed=1000 * number + 500).save(folder / f"{family}.jpg", quality=90)
    both = Image.new("RGB", (720, 480))
    for left, family in ((0, "sunset"), (360, "flower")):
        seed = 1000 * list(FAMILIES).index(family) + 501  # a portrait
        both.paste(draw(FAMILIES[family], seed), (left, 0))
    both.save(folder / "both.jpg", quality=90)


def dinoseek(*arguments: object) -> None:
    subprocess.run(
        [sys.executable, "-m", "dinoseek", *map(str, arguments)],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )


@contextlib.contextmanager
def serving(gallery: Path, state: Path, model: str) -> Iterator[str]:
    """`dinoseek serve` on a free port; its address."""
    command = [sys.executable, "-m", "dinoseek", "serve", str(gallery), "--port", "0"]
    log = state.with_suffix(".log")
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--model", model, "--allow-urls", "--state-dir", str(state)], stderr=file
        )
    try:
        while process.poll() is None:
            if found := re.search(r" at (http://[\d.:]+)", log.read_text("utf-8")):
                yield found[1]
                return
            time.sleep(0.1)
        raise SystemExit(log.read_text("utf-8"))
    finally:
        process.terminate()
        process.wait()


def take(browser: Browser, shot: Shot, site: Site, file: Path) -> None:
    options = {"locale": "en-GB", "color_scheme": "light", "reduced_motion": "reduce"}
    context = browser.new_context(base_url=site.address, **{**options, **shot.options})
    page = context.new_page()
    page.goto("/")
    shot.act(page, site)
    page.wait_for_load_state("networkidle")
    page.evaluate(DECODED)
    file.write_bytes(small(page.screenshot(animations="disabled")))
    context.close()


def search(page: Page, site: Site, name: str) -> None:
    with page.expect_navigation(url="**/q/**"):
        page.set_input_files("form[data-ask] input[name=image]", site.queries / f"{name}.jpg")


def draw_box(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draws on the query picture, from and to parts of its width and height."""
    frame = page.locator("[data-frame]")
    page.mouse.move(*place(frame, *start))
    page.mouse.down()
    page.mouse.move(*place(frame, *end), steps=4)
    page.mouse.up()


def place(frame: Locator, x: float, y: float) -> tuple[float, float]:
    box = frame.bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def small(png: bytes) -> bytes:
    """The same picture in as many colours as fit into the size, 256 at most."""
    with Image.open(BytesIO(png)) as image:
        shown = image.convert("RGB")
    for colours, dither in product(
        (256, 160, 96), (Image.Dither.FLOYDSTEINBERG, Image.Dither.NONE)
    ):
        palette = shown.quantize(colours, Image.Quantize.MEDIANCUT)
        file = BytesIO()
        shown.quantize(palette=palette, dither=dither).save(file, "PNG", optimize=True)
        if file.tell() <= MOST_BYTES:
            break
    return file.getvalue()


if __name__ == "__main__":
    main()
