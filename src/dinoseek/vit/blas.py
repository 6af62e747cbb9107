"""Which matrix kernels NumPy's OpenBLAS runs on, and how many threads it may use.

OpenBLAS picks its kernels when NumPy is first imported. Older builds fall back to AVX2 on
processors with AVX-512 that they do not know by name, and shared machines pin all programs to AVX2;
both cost about half the speed. So this module imports without NumPy: a program calls
`prefer_fast_kernels` before anything else.
"""

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

# What OpenBLAS's SkylakeX kernels are compiled for.
_SKYLAKEX_FLAGS = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"}
_SLOW_ON_AVX512 = {"haswell", "zen", "sandybridge", "nehalem", "prescott", "core2", "generic"}


def prefer_fast_kernels(*, keep: bool = False) -> bool:
    """Makes OpenBLAS use its AVX-512 kernels where the processor has them; True if it set anything.

    Only works before NumPy is imported. An OPENBLAS_CORETYPE in the environment stays if it is an
    AVX-512 one; a pin to older kernels, as shared machines have for all their programs, is lifted
    for this process unless `keep` is set.
    """
    if keep or "numpy" in sys.modules or not has_avx512():
        return False
    chosen = os.environ.get("OPENBLAS_CORETYPE")
    if chosen and chosen.lower() not in _SLOW_ON_AVX512:
        return False
    os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"
    return True


@cache
def has_avx512() -> bool:
    """Whether the processor has the AVX-512 parts that OpenBLAS's kernels need (Linux only)."""
    return processor_flags() >= _SKYLAKEX_FLAGS  # elsewhere OpenBLAS decides


def processor_flags() -> frozenset[str]:
    """What an x86 processor can do, in the kernel's names, as "avx512_vnni" (Linux only)."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(line.partition(":")[2].split())


def kernels() -> list[dict[str, Any]]:
    """The BLAS libraries that are loaded: name, version, architecture, threads."""
    import numpy  # noqa: F401, PLC0415 - loads the BLAS that is asked about
    from threadpoolctl import threadpool_info  # noqa: PLC0415 - slow to import, rarely needed

    return [pool for pool in threadpool_info() if pool["user_api"] == "blas"]


def on_slow_kernels() -> bool:
    """Whether NumPy runs on AVX2 kernels although the processor has AVX-512."""
    return has_avx512() and any(
        str(pool.get("architecture")).lower() in _SLOW_ON_AVX512
        for pool in kernels()
        if pool["internal_api"] == "openblas"
    )


@cache
def warn_if_slow() -> None:
    """Says once per process how to get the fast kernels, if they are not in use."""
    if on_slow_kernels():
        warnings.warn(
            "NumPy runs on OpenBLAS's AVX2 kernels on a processor with AVX-512, at about half the "
            "speed: set OPENBLAS_CORETYPE=SkylakeX in the environment before Python starts",
            RuntimeWarning,
            stacklevel=2,
        )


def core_count() -> int:
    """How many cores this process has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def thread_count() -> int:
    """How many threads BLAS uses: the cores that this process has, unless the user set fewer."""
    return max(1, min([core_count(), *(pool["num_threads"] for pool in kernels())]))


_lock = threading.Lock()
_users = 0
_restore: Any = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps BLAS to one thread while the caller runs threads of its own.

    The limit holds for the whole process. It is counted, so that callers at the same time do not
    restore each other's state.
    """
    global _users, _restore
    with _lock:
        _users += 1
        if _users == 1:
            _take_control()
            _restore = _controller().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _take_control()
                _restore.restore_original_limits()


def _take_control() -> None:
    """Lets this thread set limits: threadpoolctl from 3.8 on ignores all but the first that did."""
    for library in _controller().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController  # noqa: PLC0415 - see kernels

    return ThreadpoolController()
