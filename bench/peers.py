"""Times dinoseek's engines against what others would use for DINOv2, in one run.

    python bench/peers.py --batch 1 --threads 1        CPU time an image, one thread
    python bench/peers.py --batch 8 --threads 0        wall time an image, all cores
    python bench/peers.py --weights FILE --images FOLDER --quality     what low precision costs

All run the same random weights at 224 x 224. The peers are transformers' Dinov2Model in eager
PyTorch, and the graph that PyTorch exports of it, in ONNX Runtime and in OpenVINO. Rounds are
interleaved, each turn begins with a call that does not count, and ratios are taken within a round,
so that a machine that drifts favours nobody.

`speedup` is the best float32 peer's time over an engine's, `own_peer` that of the same runtime on
the exported graph; `cosine` and `max_difference` compare class tokens with transformers'.

`--dinov2-cpp PATH --gguf FILE --picture FILE` times a build of github.com/lavaman131/dinov2.cpp by
what it prints ("graph computation took ... ms"): one image at a time, its own weights, in wall
time. It is not built here, so that part is untested. Needs: make setup-bench.
"""

from dinoseek.vit.blas import prefer_fast_kernels

prefer_fast_kernels()

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from dinoseek.embedder import load_embedder
from dinoseek.encoders.engines import build
from dinoseek.encoders.precision import find_precision
from dinoseek.errors import DinoseekError
from dinoseek.vit.config import SIZES
from dinoseek.weights.load import load_params
from record import machine, report

PEERS = ("transformers", "onnxruntime", "openvino-hf", "openvino-hf:bf16")
# engines, each with the precisions in which it is asked for
_TRIED = {
    "numpy": ("",),
    "onnx": ("", ":int8"),
    "openvino": ("", ":bf16", ":int8"),
    "torch": ("", ":bf16"),
}
OURS = tuple(engine + precision for engine, tried in _TRIED.items() for precision in tried)
OWN_PEER = {
    "onnx": "onnxruntime",
    "openvino": "openvino-hf",
    "openvino:bf16": "openvino-hf:bf16",
    "torch": "transformers",
}
FLOAT32_PEERS = [name for name in PEERS if ":" not in name]
CPP = "dinov2.cpp"
REPEATS = 3


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", default="small,base")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--engines", default=",".join([*PEERS, *OURS]))
    parser.add_argument("--all-tokens", action="store_true", help="ours compute patch tokens too")
    parser.add_argument(
        "--naive", action="store_true", help="naive NumPy, as courses write it, too"
    )
    parser.add_argument("--dinov2-cpp", type=Path, help="its `inference` program")
    parser.add_argument("--gguf", type=Path, help="weights for it")
    parser.add_argument("--picture", type=Path, help="a picture file for it")
    parser.add_argument("--weights", help="a model for the quality of low precision")
    parser.add_argument("--images", type=Path, help="a folder of pictures for that")
    parser.add_argument("--quality", action="store_true", help="only that")
    options = parser.parse_args()
    for size in () if options.quality else options.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            compare(size, Path(folder), options)
    if options.weights and options.images:
        quality(options)


def compare(size, folder, options):
    threads = options.threads or len(os.sched_getaffinity(0))
    pixels = np.random.default_rng(0).standard_normal((options.batch, 3, 224, 224), np.float32)
    export(size, folder, options.batch)
    runs = engines_of(folder, threads, options)
    tokens = {name: run(pixels) for name, run in runs.items()}  # warm-up
    times = interleaved(runs, pixels, threads, options)
    best = min((each for each in FLOAT32_PEERS if each in times),
               key=lambda name: np.median(times[name]), default=None)  # fmt: skip
    rows = {name: row(name, times, best, tokens) for name in times}
    if options.naive:
        rows["naive NumPy"] = {"ms_per_image": naive_milliseconds(folder, threads)}
    kind = "CPU" if threads == 1 else "wall"
    title = f"ViT-{size} 224 x 224, batch {options.batch}, {threads} thread(s), {kind} time"
    report("peers", f"{title}; best float32 peer: {best}", rows)


def engines_of(folder, threads, options):
    """What runs pixels (b, 3, 224, 224) to class tokens (b, d), by name; without what cannot."""
    runs = {}
    for name in options.engines.split(","):
        make = MAKERS.get(name) or partial(ours, name=name, all_tokens=options.all_tokens)
        try:
            runs[name] = make(folder, threads)
            runs[name](np.zeros((1, 3, 224, 224), np.float32)) if name in OURS else None
        except DinoseekError as exc:
            runs.pop(name, None)
            print(f"left out: {name}: {exc.reason}")
    return runs


def interleaved(runs, pixels, threads, options):
    """Milliseconds an image of each, round by round, in another order each time."""
    clock = time.process_time if threads == 1 else time.perf_counter
    times = {name: [] for name in runs}
    for number in range(options.rounds):
        names = list(runs)
        first = number % len(names)
        for name in names[first:] + names[:first]:
            runs[name](pixels)
            start = clock()
            for _ in range(REPEATS):
                runs[name](pixels)
            times[name].append((clock() - start) / REPEATS / options.batch * 1e3)
        if options.dinov2_cpp:
            times.setdefault(CPP, []).append(cpp_milliseconds(options, threads))
    return {name: np.array(values) for name, values in times.items()}


def row(name, times, best, tokens):
    found = {
        "ms_per_image": float(np.median(times[name])),
        "images_per_s": float(1e3 / np.median(times[name])),
    }
    if best:
        found["speedup"] = float(np.median(times[best] / times[name]))
    if OWN_PEER.get(name) in times:
        found["own_peer"] = float(np.median(times[OWN_PEER[name]] / times[name]))
    reference = tokens.get("transformers", next(iter(tokens.values())))
    if name in tokens:
        found["cosine"] = float(cosines(tokens[name], reference).mean())
        found["max_difference"] = float(np.abs(tokens[name] - reference).max())
    return found


def cosines(one, other):
    one, other = one.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / lengths


def quality(options):
    """What low precision does to the vectors of pictures, and to which ten are nearest."""
    suffixes = (".jpg", ".jpeg", ".png")
    files = sorted(path for path in options.images.rglob("*") if path.suffix.lower() in suffixes)
    exact = load_embedder(options.weights, engine="numpy").embed(files)
    rows = {}
    for name in (each for each in options.engines.split(",") if each in OURS and each != "numpy"):
        engine, _, precision = name.partition(":")
        try:
            embedder = load_embedder(
                options.weights, engine=engine, precision=find_precision(precision or "fp32")
            )
        except DinoseekError as exc:
            print(f"left out: {name}: {exc.reason}")
            continue
        vectors = embedder.embed(files)
        found = cosines(vectors, exact)
        rows[name] = {
            "mean_cosine": float(found.mean()),
            "least_cosine": float(found.min()),
            "top10_overlap": overlap(vectors, exact),
        }
    report("quality", f"{options.weights}: {len(files)} pictures against NumPy in float32", rows)


def overlap(vectors, exact, k=10):
    """The mean share of the k nearest others that both have, each picture as a query."""
    pairs = zip(nearest(vectors, k), nearest(exact, k), strict=True)
    return float(np.mean([len(set(one) & set(other)) / k for one, other in pairs]))


def nearest(vectors, k):
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1)[:, :k]


def cpp_milliseconds(options, threads):
    command = [options.dinov2_cpp, "-m", options.gguf, "-i", options.picture, "-t", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return cpp_time(done.stdout + done.stderr)


def cpp_time(said):
    """The milliseconds in what dinov2.cpp says."""
    found = re.search(r"graph computation took\s+([0-9.]+)\s*(ms|s)\b", said)
    assert found, f"no time in what it says: {said[-300:]}"
    return float(found[1]) * (1 if found[2] == "ms" else 1e3)


def naive_milliseconds(folder, threads):
    """A course's NumPy code in its own process, with the kernels that this machine gives it."""
    environment = dict(os.environ)
    environment.pop("OPENBLAS_CORETYPE", None)
    original = Path("/proc/self/environ").read_bytes().split(b"\0")
    environment |= {
        name.decode(): value.decode()
        for name, _, value in (line.partition(b"=") for line in original)
        if name == b"OPENBLAS_CORETYPE"
    }
    if threads == 1:
        environment["OPENBLAS_NUM_THREADS"] = "1"
    command = [sys.executable, Path(__file__).with_name("naive.py"), folder / "model.safetensors"]
    return float(subprocess.check_output(command, env=environment))


def export(size, folder, batch):
    """Writes a random Dinov2Model as model.safetensors and model.onnx into `folder`."""
    import torch
    from transformers import Dinov2Config, Dinov2Model

    shape = SIZES[size]
    torch.manual_seed(0)
    model = Dinov2Model(
        Dinov2Config(
            hidden_size=shape.embed_dim,
            num_hidden_layers=shape.depth,
            num_attention_heads=shape.num_heads,
            use_swiglu_ffn=shape.swiglu,
            image_size=518,
            patch_size=14,
        )
    ).eval()
    model.save_pretrained(folder)

    class Classes(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, pixels):
            return self.model(pixel_values=pixels).last_hidden_state[:, 0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Classes().eval(),
            (torch.zeros(batch, 3, 224, 224),),
            str(folder / "model.onnx"),
            input_names=["pixels"],
            dynamo=False,
        )


def ours(folder, threads, *, name, all_tokens):
    """One of dinoseek's engines: its name, or name:precision."""
    engine, _, precision = name.partition(":")
    params, config = load_params(folder / "model.safetensors")
    config = replace(config, pos_flavour="hf")
    precision = find_precision(precision or "fp32")
    encoder = build(engine, params, config, precision=precision, threads=threads)
    return (lambda pixels: encoder(pixels).cls) if all_tokens else encoder.class_tokens


def onnxruntime(folder, threads):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return lambda pixels: session.run(None, {"pixels": pixels})[0]


def openvino(folder, threads, precision="f32"):
    import openvino as ov

    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = ov.Core().compile_model(str(folder / "model.onnx"), "CPU", settings)
    return lambda pixels: model([pixels])[0]


def transformers(folder, threads):
    import torch
    from transformers import Dinov2Model

    model = Dinov2Model.from_pretrained(folder).eval()

    def run(pixels):
        torch.set_num_threads(threads)  # for the process: our own engine sets it too
        with torch.inference_mode():
            return model(pixel_values=torch.from_numpy(pixels)).last_hidden_state[:, 0].numpy()

    return run


MAKERS = {
    "transformers": transformers,
    "onnxruntime": onnxruntime,
    "openvino-hf": openvino,
    "openvino-hf:bf16": partial(openvino, precision="bf16"),
}

if __name__ == "__main__":
    print(machine())
    main()
