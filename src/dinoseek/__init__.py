"""The public names of dinoseek; each is imported on first use, so importing it costs little."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dinoseek.duplicates.find import find_duplicates
    from dinoseek.embedder import Embedder, load_embedder
    from dinoseek.encoders.factory import load_encoder
    from dinoseek.errors import (
        DataError,
        DinoseekError,
        FetchError,
        GalleryError,
        ImageError,
        MachineError,
        TrainingError,
        UsageError,
        WeightsError,
    )
    from dinoseek.explain import explain
    from dinoseek.gallery.base import Hit, Record
    from dinoseek.gallery.factory import open_gallery
    from dinoseek.images.region import Region
    from dinoseek.ingest.archives import from_archive
    from dinoseek.ingest.lists import from_addresses, from_stream, from_table
    from dinoseek.ingest.pipeline import ingest
    from dinoseek.ingest.sources import from_folder
    from dinoseek.queries import Mix, Part
    from dinoseek.search import search, search_many
    from dinoseek.weights.load import load_params

    __version__: str

__all__ = [
    "DataError",
    "DinoseekError",
    "Embedder",
    "FetchError",
    "GalleryError",
    "Hit",
    "ImageError",
    "MachineError",
    "Mix",
    "Part",
    "Record",
    "Region",
    "TrainingError",
    "UsageError",
    "WeightsError",
    "__version__",
    "explain",
    "find_duplicates",
    "from_addresses",
    "from_archive",
    "from_folder",
    "from_stream",
    "from_table",
    "ingest",
    "load_embedder",
    "load_encoder",
    "load_params",
    "open_gallery",
    "search",
    "search_many",
]

_HOMES = {
    "dinoseek.duplicates.find": ("find_duplicates",),
    "dinoseek.embedder": ("Embedder", "load_embedder"),
    "dinoseek.encoders.factory": ("load_encoder",),
    "dinoseek.errors": (
        "DataError",
        "DinoseekError",
        "FetchError",
        "GalleryError",
        "ImageError",
        "MachineError",
        "TrainingError",
        "UsageError",
        "WeightsError",
    ),
    "dinoseek.explain": ("explain",),
    "dinoseek.gallery.base": ("Hit", "Record"),
    "dinoseek.gallery.factory": ("open_gallery",),
    "dinoseek.images.region": ("Region",),
    "dinoseek.ingest.archives": ("from_archive",),
    "dinoseek.ingest.lists": ("from_addresses", "from_stream", "from_table"),
    "dinoseek.ingest.pipeline": ("ingest",),
    "dinoseek.ingest.sources": ("from_folder",),
    "dinoseek.queries": ("Mix", "Part"),
    "dinoseek.search": ("search", "search_many"),
    "dinoseek.weights.load": ("load_params",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # slow, and rarely asked for

        value: object = version("dinoseek")
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'dinoseek' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps `dinoseek.search`, `dinoseek.ingest` and `dinoseek.explain` the functions.

    Importing a submodule writes it into its package, over a function of the same name.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
