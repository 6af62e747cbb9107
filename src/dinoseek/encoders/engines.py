"""The engines: what each needs, how exactly it can calculate, and how a model is put on one."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from dinoseek.encoders.base import Encoder
from dinoseek.encoders.numpy_encoder import NumpyEncoder
from dinoseek.encoders.precision import AUTO, FLOAT32, short_of
from dinoseek.errors import DinoseekError, UsageError, printable
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Params

if TYPE_CHECKING:
    from dinoseek.graph.nodes import Precision

NUMPY = "numpy"


@dataclass(frozen=True, kw_only=True)
class Engine:
    """`needs` are modules, `packages` what may bring the last of them; it is of that version."""

    needs: tuple[str, ...]
    packages: tuple[str, ...]
    precisions: tuple[str, ...]


ENGINES: Mapping[str, Engine] = {
    NUMPY: Engine(needs=("numpy",), packages=("numpy",), precisions=(FLOAT32,)),
    "onnx": Engine(
        needs=("onnx", "onnxruntime"),
        packages=("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml"),
        precisions=(FLOAT32, "float16", "int8"),
    ),
    "openvino": Engine(
        needs=("onnx", "openvino"),
        packages=("openvino",),
        precisions=(FLOAT32, "float16", "bfloat16", "int8"),
    ),
    "torch": Engine(
        needs=("torch",), packages=("torch",), precisions=(FLOAT32, "float16", "bfloat16")
    ),
}


def check_engine(engine: str) -> None:
    """UsageError engine.unknown for a name that is neither "auto" nor an engine's."""
    if engine not in (AUTO, *ENGINES):
        fix = f"use auto, {', '.join(list(ENGINES)[:-1])} or {list(ENGINES)[-1]}"
        raise UsageError("engine.unknown", engine, "no such engine", fix=fix)


def is_installed(engine: str) -> bool:
    """Whether what the engine needs is here; it may still fail to load."""
    return all(find_spec(module) is not None for module in ENGINES[engine].needs)


def installed_version(engine: str) -> str:
    """The version of what runs the engine; "unknown" where no package says so."""
    from importlib.metadata import PackageNotFoundError, version  # 20 ms that a search can spare

    for package in ENGINES[engine].packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "unknown"


def own_version() -> str:
    from importlib.metadata import version

    return version("dinoseek")


def how_to_install(engine: str) -> str:
    return f"needs: pip install 'dinoseek[{engine}]'"


def build(
    engine: str,
    params: Params,
    config: ViTConfig,
    *,
    precision: str = FLOAT32,
    threads: int | None = None,
) -> Encoder:
    """Puts a model on an engine, which may take the parameters out of `params`.

    Raises UsageError engine.not_installed or engine.precision for what it lacks.
    """
    check_ability(engine, precision)
    if not is_installed(engine):
        raise not_installed(engine)
    try:
        return _built(engine, params, config, precision, threads)
    except (ImportError, OSError) as exc:  # OSError: a library that its module wants
        raise not_installed(engine, f"it cannot be loaded ({exc})") from exc


def _built(
    engine: str, params: Params, config: ViTConfig, precision: str, threads: int | None
) -> Encoder:
    known = cast("Precision", precision)  # by `check_ability`
    match engine:
        case "onnx":
            from dinoseek.encoders.onnx_encoder import OnnxEncoder

            return OnnxEncoder(params, config, precision=known, threads=threads)
        case "openvino":
            from dinoseek.encoders.openvino_encoder import OpenvinoEncoder

            return OpenvinoEncoder(params, config, precision=known, threads=threads)
        case "torch":
            from dinoseek.encoders.torch_encoder import TorchEncoder

            return TorchEncoder(params, config, precision=precision, threads=threads)
        case _:
            return NumpyEncoder(params, config, precision=precision, threads=threads)


def usual_precisions(engine: str) -> tuple[str, ...]:
    """The precisions that need no asking for: float32, and bfloat16 where the machine has it."""
    match engine:
        case "openvino":
            from dinoseek.encoders.openvino_encoder import precisions

            return ("bfloat16", FLOAT32) if "bfloat16" in precisions() else (FLOAT32,)
        case "torch":
            from dinoseek.encoders.torch_encoder import has_fast_bfloat16

            return ("bfloat16", FLOAT32) if has_fast_bfloat16() else (FLOAT32,)
        case _:
            return (FLOAT32,)


def check_ability(engine: str, precision: str) -> None:
    """UsageError engine.precision where an engine cannot calculate so."""
    if precision in ENGINES[engine].precisions:
        return
    ways = [f"--engine {name}" for name in able_to(precision)]
    ways += [f"--precision {short_of(each)}" for each in ENGINES[engine].precisions]
    reason = f"it cannot calculate in {precision}"
    raise UsageError("engine.precision", engine, reason, fix=f"use {' or '.join(ways)}")


def able_to(precision: str) -> list[str]:
    """The engines that calculate in a precision, on some machine."""
    return [name for name, each in ENGINES.items() if precision in each.precisions]


def fault_of(exc: Exception) -> str:
    """What went wrong with an engine, in one line."""
    said = exc.reason if isinstance(exc, DinoseekError) else f"{type(exc).__name__}: {exc}"
    return printable(said.strip().partition("\n")[0][:300])


def not_installed(engine: str, reason: str = "it is not installed") -> UsageError:
    return UsageError("engine.not_installed", engine, reason, fix=how_to_install(engine))
