"""The engine of OpenVINO, the fastest on x86 processors."""

import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import openvino

from dinoseek.encoders.calibration import check_int8, drawn_calibration, has_int8
from dinoseek.encoders.graph_inputs import GraphInputs, tokens_of
from dinoseek.errors import UsageError
from dinoseek.graph.model_file import LARGEST, save_model, weight_bytes
from dinoseek.graph.nodes import Precision
from dinoseek.graph.onnx_graph import onnx_model
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.model import Tokens
from dinoseek.vit.ops import Array, Params

# Our precision: what OpenVINO calls the hint, and the capability of a processor that it needs.
HINTS = {
    "float32": ("f32", "FP32"),
    "bfloat16": ("bf16", "BF16"),
    "float16": ("f16", "FP16"),
}
# Precisions whose graph is written for them; float16 is made of a float32 one.
_OWN_GRAPHS = ("bfloat16", "int8")


class OpenvinoEncoder:
    """An Encoder on OpenVINO; safe to call from several threads.

    Raises UsageError for a precision that this processor does not compute in.
    """

    engine = "openvino"

    def __init__(
        self,
        params: Params,
        config: ViTConfig,
        *,
        precision: Precision = "float32",
        threads: int | None = None,
    ) -> None:
        check_precision(precision)
        self._calibration = drawn_calibration(params, config) if precision == "int8" else None
        self.config = config
        self.precision = precision
        self.threads = threads
        self._params = params
        self._lock = threading.Lock()
        self._compiled: dict[bool, Any] = {}
        self._local = threading.local()
        self._inputs = GraphInputs(params, config)

    def __call__(self, pixels: Array) -> Tokens:
        """Encodes normalised pixels (b, 3, H, W). Raises UsageError for pixels it cannot take."""
        return tokens_of(self._run(pixels, class_only=False))

    def class_tokens(self, pixels: Array) -> Array:
        """The class tokens (b, d) alone, for less work. Raises as calling does."""
        return self._run(pixels, class_only=True)[0]

    def _run(self, pixels: Array, *, class_only: bool) -> list[Array]:
        inputs = self._inputs(pixels)
        found = self._request(class_only).infer(inputs, share_inputs=True)
        outputs = list(found.values())
        return outputs[:-1] if self.precision == "bfloat16" else outputs  # without the norms

    def _request(self, class_only: bool) -> Any:
        """The calling thread's own request: one serves one caller at a time."""
        requests: dict[bool, Any] = self._local.__dict__.setdefault("requests", {})
        if class_only not in requests:
            with self._lock:
                if class_only not in self._compiled:
                    self._compiled[class_only] = self._compile(class_only)
                requests[class_only] = self._compiled[class_only].create_infer_request()
        return requests[class_only]

    def _compile(self, class_only: bool) -> Any:
        """The graph that gives all tokens or the one that gives class tokens, made when needed."""
        model = onnx_model(
            self._params,
            self.config,
            precision=self.precision if self.precision in _OWN_GRAPHS else "float32",
            calibration=self._calibration,
            class_only=class_only,
            for_engine=True,
        )
        # One stream: all cores work on one batch, and on a single picture too.
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": HINTS[_rest_of(self.precision)][0],
            "NUM_STREAMS": 1,
        }
        if self.threads:
            settings["INFERENCE_NUM_THREADS"] = self.threads
        core = openvino.Core()
        if weight_bytes(model) <= LARGEST:
            graph = core.read_model(model.SerializeToString())
            return core.compile_model(graph, "CPU", settings)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            save_model(model, path)
            return core.compile_model(core.read_model(path), "CPU", settings)


def precisions() -> list[str]:
    """The precisions that OpenVINO computes in on this processor."""
    can = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    found = [name for name, (_, capability) in HINTS.items() if capability in can]
    return [*found, "int8"] if has_int8() else found


def _rest_of(precision: str) -> str:
    """What is computed in where the graph does not say int8."""
    if precision != "int8":
        return precision
    return "bfloat16" if "bfloat16" in precisions() else "float32"


def check_precision(precision: str) -> None:
    """Raises UsageError if OpenVINO does not compute in it on this processor."""
    if precision == "int8":
        check_int8()
    if precision not in (here := precisions()):
        reason = f"OpenVINO computes in {' or '.join(here)} on this processor"
        raise UsageError("engine.precision", precision, reason, fix="use --precision fp32")
