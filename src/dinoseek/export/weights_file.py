"""Weights without a graph: .npz and safetensors files, run by the NumPy engine."""

from collections.abc import Mapping
from pathlib import Path

from dinoseek.encoders.numpy_encoder import NumpyEncoder
from dinoseek.export.loaded import Loaded
from dinoseek.export.options import ExportOptions
from dinoseek.export.trials import Images, Outputs, outputs_of, pixels_of
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Params
from dinoseek.weights.load import load_params, save_params
from dinoseek.weights.save import StoredFloat

_STORED: dict[str, StoredFloat] = {
    "float32": "float32",
    "float16": "float16",
    "bfloat16": "bfloat16",
}


def write_weights(
    path: Path, loaded: Loaded, options: ExportOptions, metadata: Mapping[str, str]
) -> None:
    """Writes the weights under Facebook's names. Raises as `save_params`."""
    dtype = _STORED[options.precision]
    save_params(path, loaded.params, loaded.config, dtype=dtype, metadata=dict(metadata))


class NumpyRunner:
    """The NumPy engine under the outputs' names; it takes the parameters out of `params`."""

    runtime = "dinoseek's NumPy engine"

    def __init__(
        self,
        params: Params,
        config: ViTConfig,
        *,
        unit_length: bool = False,
        threads: int | None = None,
    ) -> None:
        self._encoder = NumpyEncoder(params, config, threads=threads)
        self._unit_length = unit_length

    def __call__(self, images: Images) -> Outputs:
        return outputs_of(self._encoder(pixels_of(images)), unit_length=self._unit_length)


def read_weights(path: Path, threads: int | None = None) -> NumpyRunner:
    """A weights file as `--model` takes it. Raises WeightsError if it cannot be read back."""
    return NumpyRunner(*load_params(path), threads=threads)
