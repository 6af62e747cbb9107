"""An ONNX model as a file: one below 2 GB, with its weights in a second one above."""

from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import helper

# No protobuf message can be larger than 2 GiB; some room is left for what is not weights.
LARGEST = 2**31 - 2**24


def save_model(
    model: onnx.ModelProto, path: Path, metadata: Mapping[str, str] | None = None
) -> list[Path]:
    """Writes `model` with `metadata` into it: the files written, `path` first.

    A model too large for one file leaves its weights in `path`.data, which must stay beside it;
    they are taken out of `model` on the way. Raises OSError as writing does.
    """
    if metadata:
        helper.set_model_props(model, dict(metadata))
    if weight_bytes(model) <= LARGEST:
        path.write_bytes(model.SerializeToString())
        return [path]
    data = path.with_name(path.name + ".data")
    data.unlink(missing_ok=True)  # it would be added to
    onnx.save_model(model, str(path), save_as_external_data=True, location=data.name)
    return [path, data]


def weight_bytes(model: onnx.ModelProto) -> int:
    """How much memory the weights take; `ByteSize` cannot say for large models."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)
