"""A run's configuration from a YAML file and --set: each key known, of its type, and given once."""

import os
import types
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from dinoseek.errors import MachineError, UsageError, printable
from dinoseek.train.config import TrainConfig, refused

_MAX_BYTES = 1_000_000

# What others call the same thing.
_ALIASES = {
    "model_name_or_path": "model",
    "model_name": "model",
    "data_path": "data",
    "val_data_path": "val_data",
    "loss_type": "loss",
    "lr": "learning_rate",
    "mrl_dims": "matryoshka_dims",
    "gradient_cache_chunk_size": "gradient_cache",
    "use_torch_compile": "compile",
}

# Keys of vembed-factory that have no meaning here, and what to do instead.
_FOREIGN = {
    "use_lora": "say method: lora or method: full",
    "use_gradient_cache": "say gradient_cache: 64, how many images go through the model at once",
    "use_mrl": "say matryoshka_dims: [256, 128]",
    "fp16": "say precision: bf16 or precision: fp16",
    "torch_dtype": "say precision: float32, bf16 or fp16",
    "encoder_mode": "leave it out; every model here is a DINOv2",
    "model_type": "leave it out; every model here is a DINOv2",
    "retrieval_mode": "leave it out; images are found by images here",
    "pooling_method": "leave it out; the class token is trained",
    "max_image_size": "say preprocess: official@224",
    "teacher_model_name": "distilling is a command of its own: dinoseek train distill",
    "save_strategy": "say save_steps; 0 is once an epoch",
    "overwrite_output_dir": "say --force on the command line",
}


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, of which it would silently take the last."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if str(key.value) in seen:
            raise refused(str(key.value), f"is given twice, again in line {_line(key)}")
        seen.add(str(key.value))
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def load_config(path: Path, settings: Iterable[str] = ()) -> TrainConfig:
    """The configuration in a YAML file, some keys set anew by texts "key=value".

    Paths are relative to the file's folder, those in `settings` to the current one. Raises
    MachineError for a file that is not there, UsageError train.config for keys that are unknown,
    given twice under two names, or of another type, naming them.
    """
    values = {key: _moved(key, value, path.parent) for key, value in _read(path).items()}
    return _config(path, {**values, **_set(settings)})


def as_yaml(config: TrainConfig) -> str:
    """The whole configuration as a file that `load_config` reads."""
    return yaml.safe_dump(config.as_dict(), sort_keys=False, allow_unicode=True, width=100)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError("train.config", path, f"has over {_MAX_BYTES:,} bytes")
        found = yaml.load(path.read_bytes(), _Loader)
    except OSError as exc:
        fix = "name a YAML file as docs/training.md has it, or a command of dinoseek train --help"
        raise MachineError("train.config", path, exc.strerror or str(exc), fix=fix) from exc
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as exc:
        told = printable(" ".join(str(exc).split())[:200])
        raise UsageError("train.config", path, f"is no YAML: {told}") from exc
    if not isinstance(found, dict) or not found:
        raise UsageError("train.config", path, "has no keys", fix="see docs/training.md")
    return _named(found)


def _set(settings: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise refused(text, "is no key=value", fix="write --set key=value")
        try:
            ((name, read),) = _named({key.strip(): yaml.load(value, _Loader)}).items()
        except yaml.YAMLError as exc:
            raise refused(key, f"has a value that is no YAML: {value}") from exc
        if name in found:
            raise refused(name, "is set twice", fix="give it once")
        found[name] = read
    return found


def _named(values: Mapping[Any, Any]) -> dict[str, Any]:
    """The values by our names; none unknown, none under two names."""
    names: dict[str, Any] = {}
    given: dict[str, str] = {}
    for key, value in values.items():
        name = _ALIASES.get(str(key), str(key))
        if name in given:
            raise refused(str(key), f"is the same as {given[name]}, which is given too", "keep one")
        given[name], names[name] = str(key), value
    for name in names:
        if name not in _TYPES:
            raise _unknown(name)
    return names


def _unknown(name: str) -> UsageError:
    if name in _FOREIGN:
        return refused(name, "is no key here", _FOREIGN[name])
    near = get_close_matches(name, [*_TYPES, *_ALIASES], 1)
    return refused(name, "is no key", f"did you mean {near[0]}?" if near else "")


def _moved(key: str, value: Any, folder: Path) -> Any:
    """A path relative to the file becomes one relative to the current folder."""
    is_path = key in _PATHS or (key == "model" and _is_file(value))
    if not is_path or not isinstance(value, str) or not value:
        return value
    return os.path.normpath(folder / Path(value).expanduser())  # no examples/../runs for people


def _is_file(value: object) -> bool:
    """Whether a model is named as weights rather than by a known name: ./x, ../x, x.safetensors."""
    if not isinstance(value, str):
        return False
    return value.startswith(("./", "../")) or Path(value).suffix in (".safetensors", ".npz", ".pth")


def _config(path: Path, values: Mapping[str, Any]) -> TrainConfig:
    for name in ("data", "output_dir"):
        if values.get(name) is None:
            raise refused(name, f"is not in {path}", "name the images, and a folder for the result")
    typed = {name: _typed(name, value) for name, value in values.items()}
    return TrainConfig(**typed)


def _typed(name: str, value: Any) -> Any:
    """The value as its field has it; UsageError where it is something else."""
    found = _as(_TYPES[name], value)
    if found is _WRONG:
        raise refused(name, f"is {value!r}, expected {_words(_TYPES[name])}")
    return found


_WRONG = object()


def _as(kind: Any, value: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        inner = next(each for each in arguments if each is not type(None))
        return None if value is None else _as(inner, value)
    if origin is tuple:
        return _as_tuple(arguments, value)
    if origin is Literal:
        return value if isinstance(value, str) else _WRONG
    if kind is Path:
        return Path(value).expanduser() if isinstance(value, str) and value else _WRONG
    if kind is float:
        return _as_float(value)
    if origin is not None:  # the options of losses
        return _as_options(value)
    return value if type(value) is kind else _WRONG


def _as_float(value: Any) -> Any:
    if isinstance(value, str):  # YAML 1.1 reads 1e-4, which has no point, as a text
        try:
            return float(value)
        except ValueError:
            return _WRONG
    return float(value) if type(value) in (int, float) else _WRONG


def _as_tuple(arguments: tuple[Any, ...], value: Any) -> Any:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, list):
        return _WRONG
    fixed = len(arguments) if arguments[-1] is not Ellipsis else len(value)
    found = tuple(_as(arguments[0], each) for each in value)
    return _WRONG if len(found) != fixed or _WRONG in found else found


def _as_options(value: Any) -> Any:
    """{loss: {option: number}}."""
    if not isinstance(value, dict):
        return _WRONG
    found = {str(name): options for name, options in value.items()}
    if not all(isinstance(options, dict) for options in found.values()):
        return _WRONG
    numbers = [each for options in found.values() for each in options.values()]
    return found if all(type(each) in (int, float) for each in numbers) else _WRONG


def _words(kind: Any) -> str:
    """What a value should be, for people."""
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    if kind in names:
        return names[kind]
    if get_origin(kind) is tuple:
        return "a list"
    if get_origin(kind) in (Union, types.UnionType):
        inner = next(each for each in get_args(kind) if each is not type(None))
        return f"{_words(inner)}, or nothing"
    return "a path" if kind is Path else "what docs/training.md says"


_TYPES: dict[str, Any] = get_type_hints(TrainConfig)
_TYPES = {each.name: _TYPES[each.name] for each in fields(TrainConfig)}
_PATHS = ("data", "val_data", "image_root", "output_dir")
