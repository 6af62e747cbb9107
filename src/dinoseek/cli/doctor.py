"""`dinoseek doctor`: what this machine has, how fast it is, and what to do about what is wrong."""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Literal

import click

from dinoseek.cli.models import models_dir_option
from dinoseek.errors import MachineError, printable

Status = Literal["good", "warning", "broken", "info"]
_MARKS = {
    "good": ("✓", "ok"),
    "warning": ("!", "warn"),
    "broken": ("✗", "FAIL"),
    "info": ("·", "-"),
}
_COLOURS = {"good": "green", "warning": "yellow", "broken": "red", "info": None}

_SIDE = 768  # of the matrices that are multiplied: about what a layer of the model does
_SECONDS = 0.12  # that one measurement lasts at least
_LITTLE_ROOM = 1_000_000_000
_REINSTALL = "reinstall it: pip install --force-reinstall pillow"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at, and what to do if it is not good."""

    section: str
    name: str
    status: Status
    found: str
    fix: str = ""


_EXTRAS = {
    "web": ("ninja", "the page, dinoseek serve"),
    "faiss": ("faiss", "an index for more than 200,000 images"),
    "parquet": ("pyarrow", "lists and exports in Parquet"),
    "map": ("umap", "maps that keep neighbours together"),
}


@click.command("doctor")
@models_dir_option
@click.option(
    "--cache-dir",
    envvar="DINOSEEK_CACHE_DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for what can be made again.  [default: the user's cache]",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def command(*, models_dir: Path | None, cache_dir: Path | None, as_json: bool) -> int:
    """\b
    Examples:
      dinoseek doctor
      dinoseek doctor --models-dir /data/models
      dinoseek doctor --json

    Checks this machine: Python, NumPy and how fast it multiplies, engines, weights, picture
    formats, extras, folders. Says what to do about each problem.

    Exit code 0, or 4 if something is broken; what is merely slow or missing is a warning.
    """
    found = chain(python(), numpy(), speed(), engines(cache_dir), weights(models_dir), pictures())
    checks = [*found, *extras(), *storage(cache_dir)]
    broken = any(check.status == "broken" for check in checks)
    if as_json:
        rows = [asdict(check) for check in checks]
        click.echo(json.dumps({"good": not broken, "checks": rows}, indent=2))
    else:
        show(checks)
    return MachineError.exit_code if broken else 0


def python() -> Iterator[Check]:
    import platform
    from importlib.metadata import version

    yield info("Python", "dinoseek", version("dinoseek"))
    yield info("Python", "Python", f"{platform.python_version()} at {printable(sys.executable)}")
    yield info("Python", "system", f"{platform.platform()}, {os.cpu_count()} processors")


def numpy() -> Iterator[Check]:
    import numpy as np

    from dinoseek.vit.blas import kernels, on_slow_kernels, thread_count

    yield info("NumPy", "NumPy", np.__version__)
    pools = kernels()
    for pool in pools:
        kind = pool.get("architecture") or "unnamed"
        found = f"{pool['internal_api']} {pool['version']}, {kind} kernels"
        yield kernel_check(found, slow=on_slow_kernels())
    if not pools:
        yield info("NumPy", "BLAS", "it does not say which (as Apple's Accelerate)")
    yield from lifted_pin(started_with("OPENBLAS_CORETYPE"), os.environ.get("OPENBLAS_CORETYPE"))
    yield info("NumPy", "threads", str(thread_count()))


def kernel_check(found: str, *, slow: bool) -> Check:
    if not slow:
        return good("NumPy", "BLAS", found)
    fix = (
        "the processor has AVX-512, which is about twice as fast: unset DINOSEEK_BLAS_KERNELS, or "
        "set OPENBLAS_CORETYPE=SkylakeX before Python starts"
    )
    return warning("NumPy", "BLAS", f"{found}, slow ones", fix)


def lifted_pin(before: str | None, now: str | None) -> Iterator[Check]:
    """Tells if the environment pinned BLAS to some kernels and the command line chose others."""
    if before and before != now:
        found = f"OPENBLAS_CORETYPE={printable(before)} of the environment is overruled by {now}"
        yield info("NumPy", "kernels", f"{found}; DINOSEEK_BLAS_KERNELS=keep keeps it")


def started_with(name: str) -> str | None:
    """An environment variable as this process found it, before it changed any (Linux only)."""
    try:
        block = Path("/proc/self/environ").read_bytes()
    except OSError:
        return None
    prefix = os.fsencode(f"{name}=")
    return next(
        (os.fsdecode(e[len(prefix) :]) for e in block.split(b"\0") if e.startswith(prefix)), None
    )


def speed() -> Iterator[Check]:
    """How fast float32 matrices are multiplied, on one thread and on all."""
    from dinoseek.vit.blas import one_thread, thread_count

    with one_thread():
        single = gflops()
    yield info("NumPy", "speed, 1 thread", f"{single:.0f} GFLOP/s")
    if (threads := thread_count()) > 1:
        yield info("NumPy", f"speed, {threads} threads", f"{gflops():.0f} GFLOP/s")


def gflops() -> float:
    """The best of a few multiplications, as others may use the machine too."""
    import numpy as np

    left = np.full((_SIDE, _SIDE), 0.5, np.float32)
    out = left @ left  # the first one also pays for BLAS's buffers
    best, end = float("inf"), time.perf_counter() + _SECONDS
    while (start := time.perf_counter()) < end:
        np.matmul(left, left, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * _SIDE**3 / best / 1e9


def engines(cache_dir: Path | None = None) -> Iterator[Check]:
    from dinoseek.cli.engines import states

    for engine, status, found, fix in states(cache_dir):
        yield _check(status, "Engines", engine, found, fix)


def weights(models_dir: Path | None) -> Iterator[Check]:
    from dinoseek.embedder import COLOR_HISTOGRAM, DEFAULT_MODEL
    from dinoseek.weights.hub import BUILT_IN, KNOWN, find_weights, megabytes

    here = {name: find_weights(name, models_dir) for name in KNOWN}
    for name, path in here.items():
        get = f"dinoseek models download {name}"
        size = megabytes(KNOWN[name].bytes)
        if path:
            yield good("Models", name, printable(path))
        elif name == DEFAULT_MODEL and not any(here.values()):
            yield warning("Models", name, "not here, nor any other", f"get it ({size}): {get}")
        else:
            yield info("Models", name, f"not here; {get} ({size})")
    yield good("Models", BUILT_IN, "built in: small, and sees less than DINOv2")
    yield good("Models", COLOR_HISTOGRAM, "built in: knows colours, not what a picture shows")


def pictures() -> Iterator[Check]:
    import PIL
    from PIL import features

    yield info("Pictures", "Pillow", PIL.__version__)
    # What Pillow calls the part; what stands and falls with it
    needed = {"jpg": "JPEG", "zlib": "PNG", "webp": "WebP", "libtiff": "compressed TIFF"}
    for part, kind in needed.items():
        yield codec(kind, features.version(part) or "" if features.check(part) else None)
    if not features.check("libjpeg_turbo"):
        fix = "take Pillow from PyPI: its wheels have libjpeg-turbo"
        yield warning("Pictures", "JPEG", "read without libjpeg-turbo, several times slower", fix)


def codec(kind: str, version: str | None) -> Check:
    if version is None:
        return broken("Pictures", kind, "this Pillow cannot read it", _REINSTALL)
    return good("Pictures", kind, version)


def extras() -> Iterator[Check]:
    from importlib.util import find_spec

    for name, (module, what) in _EXTRAS.items():
        absent = f"not here: pip install 'dinoseek[{name}]' brings {what}"
        yield good("Extras", name, what) if find_spec(module) else info("Extras", name, absent)


def storage(cache_dir: Path | None) -> Iterator[Check]:
    import sqlite3

    import platformdirs

    yield info("Storage", "SQLite", sqlite3.sqlite_version)
    folder = cache_dir or platformdirs.user_cache_path("dinoseek")
    yield writable(folder)
    yield from free_room(folder)
    yield writable(Path(tempfile.gettempdir()), "temporary files")


def writable(folder: Path, name: str = "cache") -> Check:
    """Whether a file can be made in the folder, or in the one in which it would be made."""
    try:
        with tempfile.TemporaryFile(dir=nearest(folder)):
            return good("Storage", name, printable(folder))
    except OSError as exc:
        found = f"{printable(folder)} cannot be written to ({exc.strerror or exc})"
        fix = "choose another with --cache-dir" if name == "cache" else "set TMPDIR to another"
        return broken("Storage", name, found, fix)


def free_room(folder: Path) -> Iterator[Check]:
    try:
        free = shutil.disk_usage(nearest(folder)).free
    except OSError:
        return  # `writable` has told that something is wrong
    found = f"{free / 1e9:.1f} GB"
    if free < _LITTLE_ROOM:
        yield warning("Storage", "free on its disk", found, "make room, or use --cache-dir")
    else:
        yield good("Storage", "free on its disk", found)


def nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    absolute = folder.absolute()
    return next((path for path in (absolute, *absolute.parents) if path.exists()), absolute)


def _check(status: Status, section: str, name: str, found: str, fix: str = "") -> Check:
    return Check(section=section, name=name, status=status, found=found, fix=fix)


good = partial(_check, "good")
info = partial(_check, "info")
warning = partial(_check, "warning")
broken = partial(_check, "broken")


def show(checks: list[Check]) -> None:
    """Prints the sections; a terminal that can gets colours and ticks."""
    fancy = _can_show("✓✗·")
    width = max(len(check.name) for check in checks)
    for section, members in groupby(checks, key=lambda check: check.section):
        click.secho(section, bold=True)
        for check in members:
            mark = click.style(_MARKS[check.status][0 if fancy else 1], fg=_COLOURS[check.status])
            click.echo(
                f"  {mark if fancy else mark.ljust(4)} {check.name.ljust(width)}  {check.found}"
            )
            if check.fix:
                click.echo(f"    {'' if fancy else '   '}{' ' * width}  -> {check.fix}")
    click.echo(verdict(checks))


def verdict(checks: list[Check]) -> str:
    counts = {status: sum(c.status == status for c in checks) for status in ("broken", "warning")}
    if not any(counts.values()):
        return "All is well."
    words = [f"{count} {status}" for status, count in counts.items() if count]
    return f"{', '.join(words)}: see the lines with ->"


def _can_show(text: str) -> bool:
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return sys.stdout.isatty()
