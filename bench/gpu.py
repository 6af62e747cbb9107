"""Measures a CUDA GPU: PyTorch in bfloat16 and ONNX Runtime, over sizes and batches.

    python bench/gpu.py --out gpu.json                      S, B, L and g; at most about 8 minutes
    python bench/gpu.py --device cpu --sizes small --batches 2 --seconds 0.2      a trial without

Weights are random. For each size and batch: `on_device` is TorchViT.class_tokens of pixels that are
on the GPU, all of it in bfloat16; `engine` is TorchEncoder, from and to NumPy arrays, copies
included; `onnx` is OnnxEncoder in float16, where ONNX Runtime has CUDA. `share` is of the rate of
bfloat16 matrix products, measured on the same card just before each model; the figure to hold is
0.5 for ViT-L at batch 128 on the device. Without the device nothing is measured, which is no error.
"""

from dinoseek.vit.blas import prefer_fast_kernels

prefer_fast_kernels()

import argparse
import json
import time
from pathlib import Path

import numpy as np

from dinoseek.bench.flops import flops_per_image
from dinoseek.bench.models import random_params
from dinoseek.vit.config import SIZES
from record import machine, report

SIDE = 224
MINUTES = 8


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sizes", default="small,base,large,giant")
    parser.add_argument("--batches", default="64,128,256")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--compile", action="store_true", help="torch.compile as well")
    parser.add_argument("--out", type=Path, help="a JSON file for what is found")
    options = parser.parse_args()
    try:
        import torch
    except ImportError:
        return print("PyTorch is not installed: nothing is measured")
    if options.device == "cuda" and not torch.cuda.is_available():
        return print("there is no CUDA device: nothing is measured")
    return measure(torch, options)


def measure(torch, options):
    rows, end = {}, time.monotonic() + 60 * MINUTES
    card = torch.cuda.get_device_name() if options.device == "cuda" else "the processor"
    about = {"card": card, "torch": torch.__version__, "cuda": torch.version.cuda}
    for size in options.sizes.split(","):
        if time.monotonic() > end:
            print(f"{size} and what follows is left out: the time is over")
            break
        for name, row in of_size(torch, size, options).items():
            rows[name] = row
            if options.out:  # after each, in case the machine is taken away
                options.out.write_text(json.dumps({**about, "rows": rows}, indent=2))
    report("gpu", f"{card}, torch {torch.__version__}, {SIDE} x {SIDE}", rows)


def of_size(torch, size, options):
    """The rows of one size, "small 64 on_device" and so on, with the peak at that time."""
    config = SIZES[size]
    peak = peak_tflops(torch, options)
    params = random_params(config)
    makers = {"on_device": on_device, "engine": engine, "onnx": onnx}
    if options.compile:
        makers["compiled"] = compiled
    rows = {}
    for kind, make in makers.items():
        run = made(torch, kind, make, params, config, options)
        for batch in map(int, options.batches.split(",")) if run else ():
            rate = attempt(torch, run, batch, options)
            if rate:
                tflops = rate * flops_per_image(config, (SIDE, SIDE)) / 1e12
                rows[f"{size} {batch} {kind}"] = {
                    "images_per_s": rate, "tflops": tflops, "peak_tflops": peak,
                    "share": tflops / peak,
                }  # fmt: skip
        del run
        if options.device == "cuda":
            torch.cuda.empty_cache()
    return rows


def made(torch, kind, make, params, config, options):
    """What runs a batch; None where it cannot be had, with a note."""
    try:
        return make(torch, params, config, options)
    except Exception as exc:  # a missing provider, a missing library, no memory: the others go on
        return print(f"left out: {kind}: {type(exc).__name__}: {str(exc).splitlines()[:1]}")


def attempt(torch, run, batch, options):
    try:
        return images_per_second(torch, run, batch, options)
    except Exception as exc:  # no memory for this batch, say
        return print(f"left out: batch {batch}: {type(exc).__name__}: {str(exc).splitlines()[:1]}")


def on_device(torch, params, config, options):
    from dinoseek.encoders.torch_vit import TorchViT

    model = TorchViT.of(params, config).requires_grad_(False).eval()
    return runner(torch, model.to(options.device, torch.bfloat16).class_tokens, options)


def compiled(torch, params, config, options):
    from dinoseek.encoders.torch_vit import TorchViT

    model = TorchViT.of(params, config).requires_grad_(False).eval()
    model = model.to(options.device, torch.bfloat16)
    return runner(torch, torch.compile(model.class_tokens), options)


def runner(torch, class_tokens, options):
    def run(pixels):
        if not torch.is_tensor(pixels):
            return torch.from_numpy(pixels).to(options.device, torch.bfloat16)
        with torch.inference_mode():
            return class_tokens(pixels)

    run.prepare = run  # arrays become tensors on the device, outside the time
    return run


def engine(_torch, params, config, options):
    from dinoseek.encoders.torch_encoder import TorchEncoder

    encoder = TorchEncoder(params, config, precision="bfloat16", device=options.device)
    return encoder.class_tokens


def onnx(_torch, params, config, options):
    import onnxruntime

    from dinoseek.encoders.onnx_encoder import OnnxEncoder

    if options.device == "cuda":
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise RuntimeError("this ONNX Runtime has no CUDA")
        return OnnxEncoder(params, config, precision="float16").class_tokens
    return OnnxEncoder(params, config).class_tokens


def images_per_second(torch, run, batch, options):
    """The median rate over calls, of which the first three do not count."""
    pixels = np.random.default_rng(0).standard_normal((batch, 3, SIDE, SIDE), np.float32)
    if hasattr(run, "prepare"):
        pixels = run.prepare(pixels)
    times, end = [], float("inf")
    while len(times) < 8 or time.perf_counter() < end:
        if len(times) == 3:
            end = time.perf_counter() + options.seconds
        start = time.perf_counter()
        run(pixels)
        wait(torch, options)
        times.append(time.perf_counter() - start)
    return batch / float(np.median(times[3:]))


def peak_tflops(torch, options):
    """The best rate of bfloat16 matrix products, of several shapes."""
    sides = (4096, 8192, 12288) if options.device == "cuda" else (512,)
    best = 0.0
    for side in sides:
        left = torch.randn(side, side, device=options.device, dtype=torch.bfloat16)
        repeats = 10 if options.device == "cuda" else 2
        for _ in range(5):
            wait(torch, options)
            start = time.perf_counter()
            for _ in range(repeats):
                left @ left
            wait(torch, options)
            rate = repeats * 2 * side**3 / (time.perf_counter() - start)
            best = max(best, rate / 1e12)
        del left
    return best


def wait(torch, options):
    if options.device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    print(machine())
    main()
