"""What all tests share: the fast BLAS kernels, strict NumPy arithmetic, and the real test material."""

import os
from pathlib import Path

import pytest

from dinoseek.vit.blas import prefer_fast_kernels

prefer_fast_kernels()  # before NumPy loads: the kernels cannot be changed afterwards


@pytest.fixture
def shared() -> Path:
    """The folder of real weights, goldens and photographs named by $DINOSEEK_SHARED."""
    folder = os.environ.get("DINOSEEK_SHARED")
    if not folder:
        pytest.skip("set DINOSEEK_SHARED to the folder with the real weights and photographs")
    return Path(folder)


@pytest.fixture
def strict_numpy():
    """Turns silent overflow, division by zero and NaN inside the engine into errors."""
    import numpy as np

    with np.errstate(all="raise", under="ignore"):
        yield
