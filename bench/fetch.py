"""Indexes 5,000 addresses of which 30 % misbehave, beside the good ones alone and img2dataset.

    python bench/fetch.py [--count 5000] [--model M] [--img2dataset PATH]

The server runs on loopback in a process of its own, on 60 addresses. Of the bad answers some drip,
some never come, some are huge, endless, cut off, packed, in circles, 5xx or no pictures. Both runs
are `dinoseek index list.csv` with a total deadline of 3 s an address. With --model color-histogram
the network is the bottleneck, with a real model the encoder is.
It is checked that every good image is indexed and that the sums are exact. img2dataset gets the
same list, with a timeout of 3 s.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import machine, report

SERVER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from fault_server import FaultServer
with FaultServer() as server:
    print(server.port, flush=True)
    sys.stdin.read()
"""
LONGEST = 120  # seconds that img2dataset gets
HOSTILE = (
    "/drip?by=50", "/header-drip", "/silent", "/huge", "/endless", "/trunc", "/reset?at=100",
    "/gz", "/hops/9", "/status/500", "/status/503", "/status/404", "/page", "/svg", "/empty",
)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--model", default="color-histogram")
    parser.add_argument("--img2dataset", type=Path)
    options = parser.parse_args()
    print(machine())
    tests = Path(__file__).parents[1] / "tests/ingest"
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tests)], stdin=-1, stdout=-1, text=True
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            measure(options, int(server.stdout.readline()), Path(folder))
    finally:
        server.stdin.close()
        server.wait()


def measure(options, port, folder):
    good, bad = addresses(options.count, port)
    mixed = [*good, *bad]
    random.Random(0).shuffle(mixed)
    rows = {
        "good alone": index(good, folder / "good", options.model),
        "30 % hostile": index(mixed, folder / "all", options.model),
    }
    for row, offered in zip(rows.values(), (good, mixed), strict=True):
        assert row["stored"] == len(good), row
        assert row["stored"] + row["failed"] == len(offered), row
    alone, hostile = rows.values()
    hostile["ratio to good alone"] = hostile["s"] / alone["s"]
    if options.img2dataset:
        rows["img2dataset, 30 % hostile"] = img2dataset(options, mixed, folder, len(good))
    report("fetch", f"{options.count} addresses, {Path(options.model).stem}", rows)


def addresses(count, port):
    """The good ones and the bad ones, on 60 hosts; the bad ones are on hosts of the good."""
    good = [f"http://127.0.0.{1 + n % 60}:{port}/good/{n}.jpg" for n in range(round(0.7 * count))]
    bad = []
    for n in range(count - len(good)):
        path = HOSTILE[n % len(HOSTILE)]
        bad.append(f"http://127.0.0.{1 + n % 60}:{port}{path}{'&' if '?' in path else '?'}n={n}")
    return good, bad


def index(urls, folder, model):
    folder.mkdir()
    write_list(urls, folder / "list.csv")
    command = [sys.executable, "-m", "dinoseek", "index", "list.csv", "--gallery", "g.dino"]
    command += ["--model", model, "--timeout", "3", "--json", "-q"]
    environment = {**os.environ, "DINOSEEK_ALLOW_PRIVATE_HOSTS": "1"}
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    counts = json.loads(done.stdout)
    return {
        "s": time.perf_counter() - begin,
        "stored": counts["stored"] + counts["duplicates"],
        "failed": counts["failed"],
    }


def write_list(urls, file):
    with file.open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["url"])
        writer.writerows([url] for url in urls)


def img2dataset(options, urls, folder, good):
    write_list(urls, folder / "i2d.csv")
    command = [str(options.img2dataset), "--url_list", "i2d.csv", "--input_format", "csv"]
    command += ["--url_col", "url", "--output_folder", "out", "--processes_count", "1"]
    command += ["--thread_count", "20", "--timeout", "3", "--resize_mode", "no"]
    command += ["--number_sample_per_shard", "1000", "--enable_wandb", "False"]
    begin, hung = time.perf_counter(), 0
    try:
        subprocess.run(command, cwd=folder, capture_output=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        hung = 1
    spent = time.perf_counter() - begin
    kept = sum(1 for _ in (folder / "out").rglob("*.jpg"))
    return {
        "s": spent,
        "stored": kept,
        "failed": len(urls) - kept,
        "good lost": good - kept,
        "had to be stopped": hung,
    }


if __name__ == "__main__":
    main()
