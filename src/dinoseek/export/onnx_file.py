"""ONNX files: written from our own graph, run by ONNX Runtime."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dinoseek.errors import UsageError, WeightsError, printable
from dinoseek.export.loaded import Loaded
from dinoseek.export.options import ExportOptions
from dinoseek.export.trials import Images, Outputs, pixels_of

if TYPE_CHECKING:
    from dinoseek.graph.steps import Calibration


def onnx_runtime() -> Any:
    """The onnxruntime module; UsageError where it, or onnx, is not installed."""
    try:
        import onnx  # noqa: F401, PLC0415  an extra
        import onnxruntime  # noqa: PLC0415
    except ImportError as exc:
        reason = f"such a file is written by onnx and checked by onnxruntime ({exc})"
        fix = "needs: pip install 'dinoseek[onnx]'"
        raise UsageError("export.onnx", "--format onnx", reason, fix=fix) from exc
    return onnxruntime


def write_onnx(
    path: Path,
    loaded: Loaded,
    options: ExportOptions,
    metadata: Mapping[str, str],
    calibration: "Calibration | None" = None,
) -> None:
    """Writes the model; one of over 2 GB keeps its weights in a second file, `path`.data."""
    from dinoseek.graph.model_file import save_model  # noqa: PLC0415  needs an extra
    from dinoseek.graph.onnx_graph import onnx_model  # noqa: PLC0415

    model = onnx_model(
        loaded.params,
        loaded.config,
        size=options.size,
        precision=options.precision,  # type: ignore[arg-type]  # ExportOptions has checked it
        calibration=calibration,
        normalize=options.normalize,
        unit_length=options.unit_length,
    )
    save_model(model, path, metadata)


class OnnxRunner:
    """An ONNX file in ONNX Runtime on the CPU. Raises WeightsError if it cannot be loaded."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        library = onnx_runtime()
        settings = library.SessionOptions()
        settings.intra_op_num_threads = threads or 0  # 0: all cores
        settings.log_severity_level = 3  # errors; warnings are about how fast it will be
        try:
            self._session = library.InferenceSession(
                str(path), settings, providers=["CPUExecutionProvider"]
            )
        except Exception as exc:  # its errors share no base
            raise unloadable(path, exc) from exc
        self._input = self._session.get_inputs()[0]
        self._names = [output.name for output in self._session.get_outputs()]
        self.runtime = f"onnxruntime {library.__version__} on the CPU"

    def __call__(self, images: Images) -> Outputs:
        given = images if self._input.type == "tensor(uint8)" else pixels_of(images)
        found = self._session.run(self._names, {self._input.name: given})
        return dict(zip(self._names, found, strict=True))


def unloadable(path: Path, exc: Exception) -> WeightsError:
    """A file that was just written, and that its runtime refuses."""
    lines = str(exc).strip().splitlines() or [type(exc).__name__]
    reason = f"what was written cannot be loaded ({printable(lines[0])[:200]})"
    fix = "check the space on the disk; it was removed"
    return WeightsError("export.unloadable", path, reason, fix=fix)
