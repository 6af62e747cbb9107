"""What all tests share: fast BLAS kernels, strict arithmetic, and the real test material."""

import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from dinoseek.vit.blas import one_thread, prefer_fast_kernels

prefer_fast_kernels()  # before NumPy loads: the kernels cannot be changed afterwards
# a shell's background job ignores Ctrl-C, and so would every process that the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub and transformers are imported
# the machine may be busy with other things
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the tests out of the user's caches, and the user's settings out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("DINOSEEK_")]:
            if name != "DINOSEEK_SHARED":
                patch.delenv(name)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        # the same engine, whatever is installed, and no time for finding the fastest
        patch.setattr("dinoseek.encoders.automatic.installed", lambda: ("numpy",))
        yield


@pytest.fixture(autouse=True)
def own_levels() -> Iterator[None]:
    """What one test makes the library log, or not, is nothing to the next."""
    yield
    logging.getLogger("dinoseek").setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def single_blas_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Threads that wait for each other cost more than pictures of a few pixels."""
    real = any(request.node.get_closest_marker(name) for name in ("weights", "torch"))
    if real or {"vit", "encoders"} & set(request.path.parts):
        yield
        return
    with one_thread():
        yield


@pytest.fixture
def costs_at_most() -> Callable[[float], AbstractContextManager[None]]:
    """`with costs_at_most(0.1):` fails if what is done there takes this process more seconds.

    They are the processor's, which other programs do not make longer as they do those of the clock;
    the clock only shows that something hangs.
    """

    @contextmanager
    def within(seconds: float) -> Iterator[None]:
        gc.freeze()  # what other tests left is not looked through meanwhile
        began, spent = time.monotonic(), time.process_time()
        try:
            yield
            spent, took = time.process_time() - spent, time.monotonic() - began
        finally:
            gc.unfreeze()
        assert spent < seconds
        assert took < 60

    return within


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
