"""`dinoseek serve`: the web page of a gallery."""

import hashlib
import logging
import os
import signal
import sys
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dinoseek.cli.options import ModelChoice, index_key_file, model_options, setting, use_index_key
from dinoseek.cli.sources import allows_private_hosts
from dinoseek.errors import MachineError, UsageError

if TYPE_CHECKING:
    from dinoseek.embedder import Embedder
    from dinoseek.images.limits import Limits
    from dinoseek.web.config import ServeConfig

_NEEDED = "pip install 'dinoseek[web]'"
_PACKAGES = ("django", "django_htmx", "ninja", "whitenoise", "waitress", "prometheus_client")


@click.command("serve")
@click.argument("gallery", required=False, type=click.Path(path_type=Path))
@setting("--gallery", "chosen", type=click.Path(path_type=Path), help="The gallery to search.")
@model_options
@setting("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@setting(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0: any that is free.",
)
@setting("--token", metavar="SECRET", help="Let in only who knows this; at least 16 characters.")
@setting("--accounts", is_flag=True, help="Let in only who has an account.")
@click.option("--closed", is_flag=True, help="No new accounts.")
@click.option("--operator", multiple=True, metavar="NAME", help="This account runs the server.")
@setting("--public-url", metavar="URL", help="How people reach it through a proxy: https://...")
@setting("--trusted-proxy", metavar="ADDRESS", help="Believe what this proxy says of its clients.")
@click.option("--allowed-host", multiple=True, metavar="NAME", help="A further name of this site.")
@setting("--allow-urls", is_flag=True, help="Search with the address of a picture, too.")
@click.option(
    "--allow-indexing",
    "indexing",
    is_flag=False,
    flag_value="",
    multiple=True,
    metavar="[FOLDER]",
    help="Index what lies below FOLDER from the page; without one, anything on this machine.",
)
@click.option("--originals", is_flag=True, help="Let people save the files themselves.")
@setting("--state-dir", type=click.Path(path_type=Path), help="Where it keeps what it remembers.")
@setting("--keep-pictures", type=click.FloatRange(0.01), metavar="HOURS", help="[default: 24]")
@setting("--keep-queries", type=click.FloatRange(0.01), metavar="DAYS", help="[default: 30]")
@setting("--waiting", type=click.IntRange(1, 256), help="Pictures that may wait.  [default: 16]")
@setting("--uploads", type=click.IntRange(0), help="A minute and address.  [default: 60, 0: any]")
@setting("--requests", type=click.IntRange(0), help="As --uploads, of any.  [default: 3000]")
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
def command(
    *, gallery: Path | None, chosen: Path | None, choice: ModelChoice, show: bool, **options: Any
) -> int:
    """\b
    Examples:
      dinoseek serve photos.dino
      dinoseek serve --gallery photos.dino --port 8080 --open
      dinoseek serve photos.dino --allow-indexing photos/
      dinoseek serve photos.dino --host 0.0.0.0 --token "$TOKEN"
      dinoseek serve photos.dino --accounts --public-url https://photos.example.org

    Serves a page that finds images by image. Only this machine can reach it, unless --host says
    otherwise, which takes a token or accounts. Ctrl-C ends it after what is being answered.
    """
    path = gallery or chosen
    if path is None:
        fix = "name it: dinoseek serve photos.dino"
        raise UsageError("serve.gallery", "dinoseek serve", "which gallery?", fix=fix)
    _check_installed()
    config = _config(path, choice, options)
    _set_logging()
    _run(config, choice, show=show)
    return 0


def _check_installed() -> None:
    """MachineError for a missing package of the extra; importing them would need settings first."""
    for name in _PACKAGES:
        if find_spec(name) is None:
            reason = f"{name} is not installed"
            raise MachineError("serve.not_installed", "dinoseek serve", reason, fix=_NEEDED)


def _config(path: Path, choice: ModelChoice, options: dict[str, Any]) -> "ServeConfig":
    from dinoseek.web.config import ServeConfig

    folders: Sequence[str] = options.pop("indexing")
    indexing = tuple(Path(folder or "/").resolve() for folder in folders)
    state = options.pop("state_dir")
    given = {name: value for name, value in options.items() if value not in (None, ())}
    return ServeConfig(
        gallery=path,
        state_dir=state or _usual_state_dir(path),
        limits=_limits(choice),
        indexing_below=indexing or None,
        operators=tuple(given.pop("operator", ())),
        names=tuple(given.pop("allowed_host", ())),
        registration=not given.pop("closed", False),
        **given,
    )


def _limits(choice: ModelChoice) -> "Limits":
    from dinoseek.web.config import WEB_LIMITS

    limits = choice.limits()
    return replace(
        WEB_LIMITS,
        **{
            name: getattr(limits, name)
            for name, said in (
                ("max_pixels", choice.max_megapixels),
                ("max_bytes", choice.max_megabytes),
            )
            if said is not None
        },
    )


def _usual_state_dir(gallery: Path) -> Path:
    """A folder of this user's for this gallery."""
    from platformdirs import user_data_path

    place = os.fsencode(gallery.resolve())
    return user_data_path("dinoseek") / "serve" / hashlib.sha256(place).hexdigest()[:16]


def _set_logging() -> None:
    """What is served, and what goes wrong, goes to stderr; one line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for name, level in (("dinoseek", logging.INFO), ("django", logging.ERROR), ("waitress", 30)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(min(logger.level or level, level))


def _run(config: "ServeConfig", choice: ModelChoice, *, show: bool) -> None:
    from dinoseek.web.application import make_application
    from dinoseek.web.live.service import open_service
    from dinoseek.web.secret import secret_key

    embedder, images = _opened(config, choice)
    with _stopping() as stop:
        secret_key(config.state_dir)  # makes the folder, and refuses one that is not this user's
        service = open_service(
            config,
            embedder,
            weights=_weights(config.gallery, choice, embedder),
            index_key=index_key_file(),
            allow_private=allows_private_hosts(),
        )
        try:
            application = make_application(config, service)
            from dinoseek.web.finder.upkeep import Upkeep
            from dinoseek.web.server import serve

            with Upkeep():
                serve(application, config, stop=stop, on_ready=partial(_tell, images, show))
        finally:
            service.close()


def _tell(images: int, show: bool, address: str) -> None:
    click.echo(f"{images:,} images at {address}  (Ctrl-C ends it)", err=True)
    if show:
        webbrowser.open(address)


def _opened(config: "ServeConfig", choice: ModelChoice) -> "tuple[Embedder, int]":
    """The gallery's embedder and how many images it has, once it is known that both are there."""
    from dinoseek.gallery.factory import open_gallery

    may_make = config.indexing_below is not None
    if not may_make:
        open_gallery(config.gallery, readonly=True).close()  # say first if there is none
    embedder = choice.embedder_of(config.gallery)
    with open_gallery(config.gallery, embedder, create=may_make, readonly=not may_make) as opened:
        use_index_key(opened)
        return embedder, len(opened)


def _weights(gallery: Path, choice: ModelChoice, embedder: "Embedder") -> Path | None:
    """The file of the model, which must be there when the server is started again."""
    from dinoseek.embedder import COLOR_HISTOGRAM, DEFAULT_MODEL
    from dinoseek.interchange.given import IMPORTED
    from dinoseek.weights.hub import resolve

    if embedder.fingerprint.model in (COLOR_HISTOGRAM, IMPORTED):
        return None
    model = choice.of_gallery(gallery).model or DEFAULT_MODEL
    return Path(resolve(model, choice.models_dir))


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C or SIGTERM; the second ends the process at once."""
    stop = threading.Event()

    def ask(number: int, _frame: object) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    names = [name for name in ("SIGINT", "SIGTERM") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), ask) for name in names}
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
