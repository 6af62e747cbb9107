"""Times the NumPy engine against ONNX Runtime, OpenVINO, PyTorch and naive NumPy in one run.

    python bench/engines.py --batch 1 --threads 1     CPU time an image, one thread
    python bench/engines.py --batch 8 --threads 0     wall time an image, all cores

All run the same random weights at 224 x 224 in float32; the peers get the graph that PyTorch
exports of transformers' Dinov2Model. Rounds are interleaved and ratios taken within a round, so
that a machine that drifts does not favour anyone. Needs: make setup-bench.
"""

from dinoseek.vit.blas import prefer_fast_kernels

prefer_fast_kernels()

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from dinoseek.encoders.numpy_encoder import NumpyEncoder
from dinoseek.vit.config import SIZES
from dinoseek.weights.load import load_params
from record import machine, report

REPEATS = 3


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", default="small,base")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="0: all cores")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--engines", default="dinoseek,all-tokens,onnxruntime,openvino,torch")
    options = parser.parse_args()
    for size in options.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            compare(size, Path(folder), options)


def compare(size, folder, options):
    threads = options.threads or len(os.sched_getaffinity(0))
    pixels = np.random.default_rng(0).standard_normal((options.batch, 3, 224, 224), np.float32)
    export(size, folder, options.batch)
    engines = {name: MAKERS[name](folder, threads) for name in options.engines.split(",")}
    tokens = {name: run(pixels) for name, run in engines.items()}  # warm-up
    clock = time.process_time if threads == 1 else time.perf_counter
    times = {name: [] for name in engines}
    for _ in range(options.rounds):
        for name, run in engines.items():
            start = clock()
            for _ in range(REPEATS):
                run(pixels)
            times[name].append((clock() - start) / REPEATS / options.batch * 1e3)
    ours = np.array(times["dinoseek"])
    rows = {
        name: {
            "ms_per_image": float(np.median(values)),
            "dinoseek_ratio": float(np.median(ours / np.array(values))),
            "max_difference": float(np.abs(tokens[name] - tokens["dinoseek"]).max()),
        }
        for name, values in times.items()
    }
    milliseconds = naive_milliseconds(folder, threads)
    rows["naive NumPy"] = {
        "ms_per_image": milliseconds,
        "dinoseek_ratio": float(np.median(ours)) / milliseconds,
    }
    kind = "CPU" if threads == 1 else "wall"
    report(
        "engines", f"ViT-{size} 224 x 224, batch {options.batch}, {threads} thread(s), {kind}", rows
    )


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


def dinoseek(folder, threads):
    params, config = load_params(folder / "model.safetensors")
    config = type(config)(**{**config.as_dict(), "pos_flavour": "hf"})
    encoder = NumpyEncoder(params, config, threads=threads)
    return encoder.class_tokens


def dinoseek_all(folder, threads):
    """All tokens, as the peers' graphs compute them before they take the class token."""
    params, config = load_params(folder / "model.safetensors")
    config = type(config)(**{**config.as_dict(), "pos_flavour": "hf"})
    encoder = NumpyEncoder(params, config, threads=threads)
    return lambda pixels: encoder(pixels).cls


def onnxruntime(folder, threads):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return lambda pixels: session.run(None, {"pixels": pixels})[0]


def openvino(folder, threads):
    import openvino as ov

    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = ov.Core().compile_model(str(folder / "model.onnx"), "CPU", settings)
    return lambda pixels: model([pixels])[0]


def torch(folder, threads):
    import torch
    from transformers import Dinov2Model

    torch.set_num_threads(threads)
    model = Dinov2Model.from_pretrained(folder).eval()

    def run(pixels):
        with torch.inference_mode():
            return model(pixel_values=torch.from_numpy(pixels)).last_hidden_state[:, 0].numpy()

    return run


MAKERS = {
    "dinoseek": dinoseek,
    "all-tokens": dinoseek_all,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "torch": torch,
}

if __name__ == "__main__":
    print(machine())
    main()
