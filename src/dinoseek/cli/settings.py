"""Reads ./dinoseek.toml: the values that flags and the environment did not give.

The order is flag, environment (DINOSEEK_...), dinoseek.toml, default. Paths in the file are
relative to it; a leading ~ is the home folder; $NAME is not replaced.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from dinoseek.errors import UsageError, printable

FILE_NAME = Path("dinoseek.toml")
MAX_BYTES = 64 * 1024
Value = str | int | float


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a key of the file may hold; what is secret is never shown."""

    kind: type = str
    minimum: float = -math.inf
    maximum: float = math.inf
    is_path: bool = False
    is_secret: bool = False


SETTINGS: Mapping[str, Setting] = {
    "model": Setting(),
    "preprocess": Setting(),
    "pooling": Setting(),
    "engine": Setting(),
    "precision": Setting(),
    "gallery": Setting(is_path=True),
    "models_dir": Setting(is_path=True),
    "cache_dir": Setting(is_path=True),
    "threads": Setting(kind=int, minimum=1, maximum=1024),
    "batch_size": Setting(kind=int, minimum=1, maximum=4096),
    "max_megapixels": Setting(kind=float, minimum=0.01, maximum=10_000),
    "max_megabytes": Setting(kind=float, minimum=0.001, maximum=100_000),
    "workers": Setting(kind=int, minimum=1, maximum=256),
    "per_host": Setting(kind=int, minimum=1, maximum=256),
    "timeout": Setting(kind=float, minimum=0.1, maximum=3600),
    "k": Setting(kind=int, minimum=1, maximum=1_000_000),
    "host": Setting(),
    "port": Setting(kind=int, minimum=0, maximum=65535),
    "token": Setting(is_secret=True),
    "accounts": Setting(kind=bool),
    "public_url": Setting(),
    "trusted_proxy": Setting(),
    "allow_urls": Setting(kind=bool),
    "state_dir": Setting(is_path=True),
    "keep_pictures": Setting(kind=float, minimum=0.01),
    "keep_queries": Setting(kind=float, minimum=0.01),
    "waiting": Setting(kind=int, minimum=1, maximum=256),
    "uploads": Setting(kind=int, minimum=0),
    "requests": Setting(kind=int, minimum=0),
}


def load_settings(path: Path) -> dict[str, Value]:
    """The settings in the file at `path`; none if there is no file. Raises UsageError."""
    text = _read(path)
    if text is None:
        return {}
    table = _parse(path, text)
    return {key: _checked(path, key, value) for key, value in table.items()}


def environment_name(key: str) -> str:
    """The environment variable for a setting: DINOSEEK_MODELS_DIR for models_dir."""
    return f"DINOSEEK_{key.upper()}"


def _read(path: Path) -> str | None:
    try:
        if not path.exists():
            return None
        if not path.is_file():  # a folder, or a pipe that would be waited on for ever
            raise UsageError("config.unreadable", path, "is not a file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as exc:
        reason = f"cannot be read: {exc.strerror}"
        raise UsageError("config.unreadable", path, reason) from exc
    if len(data) > MAX_BYTES:
        raise UsageError("config.too_large", path, f"is larger than {MAX_BYTES // 1024} KB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise UsageError("config.not_text", path, f"is not UTF-8 text at byte {exc.start}") from exc


def _parse(path: Path, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise UsageError("config.not_toml", path, _with_line(str(exc), text)) from exc
    except RecursionError as exc:
        raise UsageError("config.not_toml", path, "is nested too deeply") from exc


def _with_line(message: str, text: str) -> str:
    """A TOML error with the line it stands on, since the parser gives only its number."""
    number = message.partition("at line ")[2].partition(",")[0]
    lines = text.splitlines()
    if not number.isdigit() or not 0 < int(number) <= len(lines):
        return message
    line = lines[int(number) - 1]
    is_secret = any(key in line.lower() for key, setting in SETTINGS.items() if setting.is_secret)
    return f"{message}: {HIDDEN if is_secret else printable(line.strip()[:80])}"


def _checked(path: Path, key: str, value: object) -> Value:
    setting = SETTINGS.get(key)
    if setting is None:
        near = get_close_matches(key, SETTINGS, 1)
        fix = f"did you mean {near[0]}?" if near else f"known are {', '.join(SETTINGS)}"
        raise UsageError("config.unknown_key", path, f"unknown key {printable(key)}", fix=fix)
    if setting.kind is float and type(value) is int:
        value = float(value)
    if not isinstance(value, (str, int, float)) or type(value) is not setting.kind:
        shown = HIDDEN if setting.is_secret else _shown(value)
        reason = f"{key} must be {_WORDS[setting.kind]}, not {shown}"
        raise UsageError("config.wrong_type", path, reason)
    if not isinstance(value, str) and not setting.minimum <= value <= setting.maximum:
        reason = f"{key} must be {setting.minimum:g} to {setting.maximum:g}, not {_shown(value)}"
        raise UsageError("config.out_of_range", path, reason)
    if setting.is_path:
        return str(_resolved(path, key, str(value)))
    return value


_WORDS = {
    str: "a text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
HIDDEN = "(not shown)"


def _shown(value: object) -> str:
    """A value as TOML writes it, short enough for one line."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return printable(text if len(text) <= 40 else f"{text[:40]}...")


def _resolved(path: Path, key: str, value: str) -> Path:
    if not value or "\0" in value:
        raise UsageError("config.wrong_type", path, f"{key} must be a path")
    return path.parent / Path(value).expanduser()
