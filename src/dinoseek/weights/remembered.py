"""What was found out once and is kept in a small JSON file of the user's cache.

A file that is damaged, foreign or of another version is read as empty, and one that cannot be
written is merely not used: all that it costs is finding out again.
"""

import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

logger = logging.getLogger(__name__)

MAX_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """A file `name` of at most `most` entries below the key `kind`, in the format `version`."""

    name: str
    kind: str
    version: int = 1
    most: int = 64

    def read(self, cache_dir: str | Path | None = None) -> dict[str, Any]:
        """All entries, of any shape: whoever asks must look whether they make sense."""
        path = self.path(cache_dir)
        try:
            with path.open("rb") as file:
                content = json.loads(file.read(MAX_BYTES))
        except (OSError, ValueError, RecursionError) as exc:
            logger.debug("nothing remembered in %s: %s", path, exc)
            return {}
        if not isinstance(content, dict) or content.get("format") != self.version:
            return {}
        entries = content.get(self.kind)
        return entries if isinstance(entries, dict) else {}

    def write(self, key: str, entry: Any, cache_dir: str | Path | None = None) -> None:
        """Adds an entry by replacing the whole file; the oldest entries fall out."""
        entries = {name: each for name, each in self.read(cache_dir).items() if name != key}
        kept = dict([*list(entries.items())[1 - self.most :], (key, entry)])
        path = self.path(cache_dir)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{self.name}.")
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"format": self.version, self.kind: kept}, file)
            Path(temporary).replace(path)
        except OSError as exc:
            logger.debug("could not remember anything in %s: %s", path, exc)

    def path(self, cache_dir: str | Path | None = None) -> Path:
        return Path(cache_dir or platformdirs.user_cache_path("dinoseek")) / self.name
