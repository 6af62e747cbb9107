"""An ONNX graph while it grows: its nodes, and the constants that they read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dinoseek.graph.steps import Calibration, as_int8
from dinoseek.vit.ops import Array

Precision = Literal["float32", "bfloat16", "float16", "int8"]

# What ONNX Runtime 1.20 reads: LayerNormalization is of 17, Gelu of 20.
OPSET = 20
IR_VERSION = 10


class Nodes:
    """Collects nodes and constants under names that say where in the model they stand.

    Values are handed on by name, as ONNX does. `precision` says how weights are stored, and with
    "float16" also what is computed in. In "int8" the layers of a calibration are, the others stay
    float32.
    """

    def __init__(
        self, precision: Precision = "float32", calibration: Calibration | None = None
    ) -> None:
        self.precision = precision
        self.calibration = calibration or {}
        self.compute_type = TensorProto.FLOAT16 if precision == "float16" else TensorProto.FLOAT
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.norms: list[str] = []  # what the blocks' LayerNorms give
        self._scope: list[str] = []
        self._taken: dict[str, int] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    @contextmanager
    def within(self, scope: str) -> Iterator[None]:
        """What is added inside is named after this part of the model."""
        self._scope.append(scope)
        yield
        self._scope.pop()

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one result: its name."""
        return self.ops(kind, inputs, 1, **attributes)[0]

    def ops(self, kind: str, inputs: Sequence[str], count: int, **attributes: Any) -> list[str]:
        """Adds a node with several results: their names."""
        name = self._name(kind)
        results = [f"{name}.{i}" if count > 1 else name for i in range(count)]
        self.nodes.append(helper.make_node(kind, list(inputs), results, name, **attributes))
        return results

    def constant(self, values: Any, dtype: type = np.int64) -> str:
        """A small constant, such as a shape; equal ones are stored once."""
        array: NDArray[Any] = np.asarray(values, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant.{len(self._constants)}"
            self.tensors.append(numpy_helper.from_array(array, name))
            self._constants[key] = name
        return self._constants[key]

    def exact(self, name: str, values: Array) -> str:
        """Parameters in float32 whatever the precision."""
        return self._stored(name, values)

    def computed(self, value: str) -> str:
        """A float32 value as what is computed in."""
        if self.compute_type == TensorProto.FLOAT:
            return value
        return self.op("Cast", value, to=self.compute_type)

    def name(self, value: str, name: str) -> None:
        """Gives a value out in float32, as `name`; what is added later finds it under that name."""
        if self.compute_type != TensorProto.FLOAT:
            self.nodes.append(helper.make_node("Cast", [value], [name], name, to=TensorProto.FLOAT))
            return
        # A node that only renames would leave runtimes two names to choose from.
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [name if old == value else old for old in names]

    def vector(self, name: str, values: Array) -> str:
        """Parameters that are few: they are stored as what is computed in."""
        stored = values.astype(helper.tensor_dtype_to_np_dtype(self.compute_type))
        return self._stored(name, stored)

    def weight(self, name: str, values: Array) -> str:
        """A matrix (in, out) or a kernel, stored as the precision says."""
        match self.precision:
            case "bfloat16":
                stored = self._stored(name, as_bfloat16(values))
                return self.op("Cast", stored, to=self.compute_type)
            case _:
                return self.vector(name, values)

    def product(self, x: str, weight: Array) -> str:
        """x (b, n, in) times a matrix (in, out), in int8 where this layer is calibrated."""
        steps = self.calibration.get(".".join(self._scope))
        if steps is None:
            return self.op("MatMul", x, self.weight("weight", weight))
        x = self.op("Mul", x, self.vector("smooth", np.float32(1) / steps.smooth))
        scale, zero = self.constant(steps.scale, np.float32), self.constant(steps.zero, np.uint8)
        x = self.op("DequantizeLinear", self.op("QuantizeLinear", x, scale, zero), scale, zero)
        whole, scales = as_int8(weight * steps.smooth[:, None])
        stored = self._stored("weight", whole), self._stored("weight_scale", scales)
        return self.op("MatMul", x, self.op("DequantizeLinear", *stored, axis=1))

    def model(
        self,
        inputs: list[onnx.ValueInfoProto],
        outputs: list[onnx.ValueInfoProto],
    ) -> onnx.ModelProto:
        """The finished graph."""
        graph = helper.make_graph(self.nodes, "dinov2", inputs, outputs, self.tensors)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="dinoseek"
        )

    def _stored(self, name: str, values: NDArray[Any]) -> str:
        full = ".".join([*self._scope, name])
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(values), full))
        return full

    def _name(self, kind: str) -> str:
        """A name that no other node has: where it stands, what it does, which one it is."""
        name = ".".join([*self._scope, kind])
        count = self._taken[name] = self._taken.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"


def as_bfloat16(values: Array) -> NDArray[Any]:
    """Rounds to the nearest bfloat16, a type that NumPy itself does not have."""
    return values.astype(helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16))
