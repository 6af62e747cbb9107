"""Engines for tests: NumPy under another name, as exact, as coarse and as broken as is wanted."""

import numpy as np

from dinoseek.encoders.numpy_encoder import NumpyEncoder
from dinoseek.vit.model import Tokens


class FakeEncoder:
    """An Encoder called `engine`, which rounds as its precision says, and then is `spoilt`."""

    def __init__(self, engine, params, config, precision="float32", spoil=lambda tokens: tokens):
        self.engine, self.precision, self.config = engine, precision, config
        self._numpy = NumpyEncoder({**params, "blocks": list(params["blocks"])}, config, threads=1)
        self._spoil = spoil

    def __call__(self, pixels):
        tokens = self._numpy(pixels)
        if self.precision != "float32":
            tokens = Tokens(*(rounded(each) for each in tokens))
        return self._spoil(tokens)

    def class_tokens(self, pixels):
        return self(pixels).cls


def rounded(array):
    """float32 with the 8 bits of bfloat16, cut off."""
    return (array.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def install(patch, *engines, speeds=None, spoil=None, bfloat16=("openvino",)):
    """Makes these engines, besides NumPy, the ones that are here, as fakes; returns what is built.

    `speeds` are (engine, precision, ms) as measured; `spoil` has for an engine, or an engine and a
    precision, what becomes of its tokens, or an exception.
    """
    from dinoseek.encoders.speeds import Speed

    here, built = ("numpy", *engines), []

    def build(engine, params, config, precision, threads):
        built.append((engine, precision))
        if engine == "numpy":
            return NumpyEncoder(params, config, threads=threads)
        faults = spoil or {}
        fault = faults.get((engine, precision), faults.get(engine, lambda tokens: tokens))
        if isinstance(fault, Exception):
            raise fault
        return FakeEncoder(engine, params, config, precision, fault)

    def usual(engine):
        return ("bfloat16", "float32") if engine in bfloat16 else ("float32",)

    def measured(threads=None, cache_dir=None):
        if speeds is None:
            raise AssertionError("nobody should ask for speeds")
        return [Speed(engine=name, precision=precision, ms=ms) for name, precision, ms in speeds]

    for place in ("automatic", "engines"):
        patch.setattr(f"dinoseek.encoders.{place}.is_installed", lambda engine: engine in here)
    patch.setattr("dinoseek.encoders.automatic.installed", lambda: here)
    patch.setattr("dinoseek.encoders.automatic.speeds", measured)
    patch.setattr("dinoseek.encoders.automatic.recalled", lambda *_: [])
    patch.setattr("dinoseek.encoders.automatic.usual_precisions", usual)
    patch.setattr("dinoseek.encoders.engines._built", build)
    return built
