"""The engine of ONNX Runtime, on the best hardware that its build can use."""

import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnxruntime

from dinoseek.encoders.calibration import check_int8, drawn_calibration
from dinoseek.encoders.graph_inputs import GraphInputs, tokens_of
from dinoseek.errors import UsageError
from dinoseek.graph.model_file import LARGEST, save_model, weight_bytes
from dinoseek.graph.nodes import Precision
from dinoseek.graph.onnx_graph import onnx_model
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.model import Tokens
from dinoseek.vit.ops import Array, Params

# The best first. CoreML computes in float16 whatever it is given, so it is no float32 engine.
PROVIDERS = {
    "float32": ("CUDAExecutionProvider", "DmlExecutionProvider", "CPUExecutionProvider"),
    "float16": ("CUDAExecutionProvider", "DmlExecutionProvider", "CoreMLExecutionProvider"),
    "int8": ("CPUExecutionProvider",),
}
# Ten bits of mantissa would be no float32.
_PROVIDER_OPTIONS = {"CUDAExecutionProvider": {"use_tf32": "0"}}
_ERRORS_ONLY = 3


class OnnxEncoder:
    """An Encoder on ONNX Runtime; safe to call from several threads.

    Raises UsageError for a precision that nothing here computes in.
    """

    engine = "onnx"

    def __init__(
        self,
        params: Params,
        config: ViTConfig,
        *,
        precision: Precision = "float32",
        threads: int | None = None,
    ) -> None:
        self.config = config
        self.precision = precision
        self.threads = threads
        self.providers = usable_providers(precision)
        self._calibration = drawn_calibration(params, config) if precision == "int8" else None
        self._params = params
        self._lock = threading.Lock()
        self._sessions: dict[bool, Any] = {}
        self._inputs = GraphInputs(params, config)

    def __call__(self, pixels: Array) -> Tokens:
        """Encodes normalised pixels (b, 3, H, W). Raises UsageError for pixels it cannot take."""
        return tokens_of(self._run(pixels, class_only=False))

    def class_tokens(self, pixels: Array) -> Array:
        """The class tokens (b, d) alone, for less work. Raises as calling does."""
        return self._run(pixels, class_only=True)[0]

    def _run(self, pixels: Array, *, class_only: bool) -> list[Array]:
        inputs = self._inputs(pixels)
        return self._session(class_only).run(None, inputs)

    def _session(self, class_only: bool) -> Any:
        """The graph that gives all tokens or the one that gives class tokens, made when needed."""
        with self._lock:
            if class_only not in self._sessions:
                self._sessions[class_only] = self._load(class_only)
            return self._sessions[class_only]

    def _load(self, class_only: bool) -> Any:
        model = onnx_model(
            self._params,
            self.config,
            precision=self.precision,
            calibration=self._calibration,
            class_only=class_only,
            for_engine=True,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads or 0
        options.log_severity_level = _ERRORS_ONLY
        # Between two batches the cores belong to whoever decodes the next one.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        providers = [(name, _PROVIDER_OPTIONS.get(name, {})) for name in self.providers]
        if weight_bytes(model) <= LARGEST:
            return onnxruntime.InferenceSession(model.SerializeToString(), options, providers)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            save_model(model, path)
            return onnxruntime.InferenceSession(str(path), options, providers)


def usable_providers(precision: Precision) -> list[str]:
    """ONNX Runtime's names of what can compute in `precision` here, the best first."""
    if precision == "int8":
        check_int8()
    here = onnxruntime.get_available_providers()
    found = [name for name in PROVIDERS.get(precision, ()) if name in here]
    if not found:
        reason = f"ONNX Runtime computes in it on none of {', '.join(here)}"
        raise UsageError("engine.precision", precision, reason, fix="use --precision fp32")
    if "CPUExecutionProvider" not in found:
        found.append("CPUExecutionProvider")  # for the few operations that the others lack
    return found
