"""OpenVINO files: converted from the ONNX graph, .xml beside .bin, run by OpenVINO."""

import errno
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dinoseek.errors import UsageError
from dinoseek.export.loaded import Loaded
from dinoseek.export.onnx_file import unloadable, write_onnx
from dinoseek.export.options import ExportOptions
from dinoseek.export.parity import KINDS
from dinoseek.export.trials import Images, Outputs, pixels_of

if TYPE_CHECKING:
    from dinoseek.graph.steps import Calibration

_BETWEEN = "between.onnx"


def open_vino() -> Any:
    """The openvino module; UsageError where it, or onnx, is not installed."""
    try:
        import onnx  # noqa: F401, PLC0415  an extra
        import openvino  # noqa: PLC0415
    except ImportError as exc:
        reason = f"such a file is written by onnx and openvino ({exc})"
        fix = "needs: pip install 'dinoseek[openvino]'"
        raise UsageError("export.openvino", "--format openvino", reason, fix=fix) from exc
    return openvino


def write_openvino(
    path: Path,
    loaded: Loaded,
    options: ExportOptions,
    metadata: Mapping[str, str],
    calibration: "Calibration | None" = None,
) -> None:
    """Writes `path` (.xml) and its .bin; the ONNX file between lies in the same folder meanwhile.

    Raises OSError where the disk refuses.
    """
    library = open_vino()
    half = options.precision == "float16"  # OpenVINO compresses weights and computes as it likes
    between = path.with_name(_BETWEEN)
    stored = replace(options, precision="float32") if half else options
    write_onnx(between, loaded, stored, {}, calibration)
    try:
        model = library.Core().read_model(str(between))
        for name, text in metadata.items():
            model.set_rt_info(text, name.split("."))
        library.save_model(model, str(path), compress_to_fp16=half)
    except RuntimeError as exc:
        raise OSError(errno.EIO, f"OpenVINO cannot write it ({str(exc)[:200]})") from exc
    finally:
        for file in path.parent.glob(f"{_BETWEEN}*"):
            file.unlink()


class OpenvinoRunner:
    """An OpenVINO file on the CPU. Raises WeightsError if it cannot be loaded.

    It computes in float32 for the proof to be about the file, but in bfloat16, where the CPU has
    it, for a file that was asked for in bfloat16, and what one in int8 does not compute in that.
    """

    def __init__(self, path: Path, precision: str, threads: int | None = None) -> None:
        library = open_vino()
        core = library.Core()
        able = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        kind = "bf16" if precision in ("bfloat16", "int8") and able else "f32"
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": kind}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            self._model = core.compile_model(str(path), "CPU", settings)
        except RuntimeError as exc:
            raise unloadable(path, exc) from exc
        self._input = self._model.input(0)
        names = [output.get_names() for output in self._model.outputs]
        # a node that was optimised away leaves its name to its neighbour, which has two then
        self._names = [name for each in names for name in (each & set(KINDS) or each)]
        version = library.__version__.split("-")[0]
        self.runtime = f"openvino {version} on the CPU, computing in {kind}"

    def __call__(self, images: Images) -> Outputs:
        bytes_in = self._input.element_type.get_type_name() == "u8"
        found = self._model([images if bytes_in else pixels_of(images)])
        return {name: found[name].copy() for name in self._names}
