"""What every script here prints and keeps: machine, table, one JSON line in bench/results/."""

import importlib.metadata
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from dinoseek.vit import blas

blas.prefer_fast_kernels()  # as the command line does; each script imports this before NumPy

RESULTS = Path(__file__).parent / "results"
PEERS = ("numpy", "onnxruntime", "openvino", "torch", "transformers", "faiss-cpu")


def machine():
    """The processor, the BLAS in use and the versions of what is compared, in one line."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [
        line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")
    ]
    processor = names[0] if names else platform.processor()
    used = blas.kernels()[0]
    versions = ", ".join(f"{name} {found}" for name, found in peer_versions().items())
    cores = os.cpu_count()
    return (
        f"{processor}, {cores} cores, Python {platform.python_version()}, "
        f"OpenBLAS {used.get('version')} {used.get('architecture')}; {versions}"
    )


def peer_versions():
    found = {}
    for name in PEERS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def report(script, title, rows):
    """Prints rows {name: {column: number}} and appends them to bench/results/SCRIPT.jsonl."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    print(f"\n{title}")
    print(" " * 22 + "".join(f"{column:>18}" for column in columns))
    for name, row in rows.items():
        cells = "".join(f"{row[c]:>18.4g}" if c in row else " " * 18 for c in columns)
        print(f"{name:<22}{cells}", flush=True)
    RESULTS.mkdir(exist_ok=True)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    line = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "machine": machine(),
        "title": title,
        "rows": rows,
    }
    with (RESULTS / f"{script}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
