"""What a measurement was made on: processor, system, memory, versions of what computes."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from dinoseek.vit.blas import kernels, processor_flags, thread_count

_PACKAGES = ("dinoseek", "numpy", "onnx", "onnxruntime", "openvino", "torch", "pillow")
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
_GUESS = 8_000_000_000  # bytes free, where the system does not say


def machine() -> dict[str, Any]:
    """The processor with what it can do, the system, cores, and the BLAS in use."""
    used = kernels()
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor() or "unknown",
        "flags": [flag for flag in _FLAGS if flag in processor_flags()],
        "cores": os.cpu_count() or 1,
        "threads": thread_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "blas": f"{used[0]['internal_api']} {used[0]['version']}" if used else "",
        "kernels": str(used[0].get("architecture") or "") if used else "",
    }


def versions() -> dict[str, str]:
    """The versions of dinoseek and of the engines' packages that are installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def free_memory() -> int:
    """How many bytes may be used without swapping."""
    words = _field("/proc/meminfo", "MemAvailable").split()  # "8123456 kB"
    return int(words[0]) * 1024 if words else _GUESS


def resident_bytes() -> int | None:
    """What this process has in memory now; None where the system does not say."""
    return _bytes("VmRSS")


def peak_bytes() -> int | None:
    """The most that this process has had in memory; None where the system does not say."""
    return _bytes("VmHWM")


def _bytes(name: str) -> int | None:
    words = _field("/proc/self/status", name).split()
    return int(words[0]) * 1024 if words else None


def _field(file: str, name: str) -> str:
    """The first value of a line "name : value" of a kernel's file; "" where there is none."""
    try:
        text = Path(file).read_text(errors="replace")
    except OSError:  # another operating system
        return ""
    lines = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")
