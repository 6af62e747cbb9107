"""Measures `dinoseek serve` on loopback under load, attack and long use, against what it must hold.

    python bench/web_load.py [--model FILE] [--only flood ...] [--requests 50000] [--quick]

Each measure has a server and a folder of its own, and a gallery of 200 drawn pictures. Clients that
are timed one by one are in this process. Crowds are in another, which comes before others if it may
(root) so that it sends on schedule; both share the cores with the server, as real clients do not.
`flood` sends on schedule whatever becomes of the answers, and counts from when each was due.
Everything is measured with the color-histogram embedder, and again with --model, but for `memory`.

It ends with the figures that were missed, and status 1. --quick only shows that it works: it takes
two minutes, keeps no line in bench/results/, and its figures mean nothing.
"""

from dinoseek.vit.blas import prefer_fast_kernels

prefer_fast_kernels()

import argparse
import multiprocessing
import re
import signal
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import record
import web_load_crowd as crowd
from dinoseek.embedder import COLOR_HISTOGRAM, load_embedder
from web_load_memory import memory
from web_load_pictures import distinct, photographs
from web_load_server import Server, index
from web_load_stand import IMAGES, PICTURES, Stand, figure, p, search_for, times
from web_load_visitor import Visitor

SLOW_CLIENTS = 200
SAME = 1_000
HEALTH_EVERY = 0.1
WATCHED = 10.0  # seconds after a flood in which the usual times must come back


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="measure with this model, too")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--requests", type=int, default=50_000, help="of the measure of memory")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.requests = 6, min(options.requests, 2_000)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the server, too
    print(record.machine())
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, mp_context=spawn) as crowds,
        tempfile.TemporaryDirectory(prefix="dinoseek-web-load-") as folder,
    ):
        hurries = crowds.submit(crowd.prepare).result()
        print(f"crowds run {'before other processes' if hurries else 'beside the server'}")
        missed = measure_all(options, crowds, Path(folder))
    if missed:
        text = "\n".join(missed)
        print(f"\nmissed:\n{text}")
    sys.exit(bool(missed) and not options.quick)


def measure_all(options, crowds, folder):
    """Writes a table for each measure; returns a line for each figure that was missed."""
    if options.quick:
        record.RESULTS = folder  # whatever is measured in a hurry is not kept
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, picture in enumerate(photographs(IMAGES)):
        (pictures / f"{number}.jpg").write_bytes(picture)
    missed = []
    for model in [COLOR_HISTOGRAM, *([options.model] if options.model else [])]:
        name = Path(model).stem
        gallery = folder / f"{name}.dino"
        index(pictures, gallery, model)
        for measure in options.only:
            if measure == "memory" and model != COLOR_HISTOGRAM:
                continue
            place = folder / f"{name}-{measure}"
            place.mkdir()
            with Server(gallery, model, place) as server:
                rows = MEASURES[measure](
                    Stand(server, crowds, model, options.seconds, options.requests)
                )
            faults = server.errors()
            rows["faults in the log"] = figure(len(faults), most=0)
            record.report("web_load", f"{measure}, {name}", rows)
            print(*faults[:5], sep="\n", end="")
            missed += [f"{measure}, {name}: {row}" for row, f in rows.items() if not f["held"]]
    return missed


def flood(stand):
    """Goodput at once and ten times of what two clients get, and how the rest is refused."""
    browser = stand.visitor().browser
    usual = times(search_for(stand.visitor(), stand.seconds / 6))
    begin, end, job = stand.beside(crowd.press, browser, 2, seconds=stand.seconds / 2)
    capacity = rate(job.result(), begin, end)
    rows = {
        "C, uploads/s": figure(capacity),
        "a search, p50 ms": figure(p(usual, 50)),
    }
    for factor in (1, 10):
        for name, row in offered(stand, browser, factor, capacity, usual).items():
            rows[f"{factor}x: {name}"] = row
    return rows


def offered(stand, browser, factor, capacity, usual):
    begin, end, job = stand.beside(crowd.flood, browser, factor * capacity)
    computed = stand.server.cpu_seconds()
    health = watch(stand.port, begin, end)
    computed = stand.server.cpu_seconds() - computed
    back = recovery(stand.visitor(), end, p(usual, 50))
    sent = job.result()
    busy = [each for each in sent if each.status == 503]
    rows = {
        "offered/s": figure(len(sent) / (end - begin)),
        "kept": figure(rate(sent, begin, end) / capacity, least=0.9),
        "503": figure(len(busy) / len(sent)),
        "no Retry-After": figure(sum(not each.has_retry for each in busy), most=0),
        "other answers": figure(sum(each.status not in (201, 503, 0) for each in sent), most=0),
        "no answer": figure(sum(each.status == 0 for each in sent), most=0),
        "sent late, p99 ms": figure(p([s.start - s.due for s in sent], 99)),
        "healthz, p99 ms": figure(p([s for s, _ in health], 99), most=100),
        "healthz failed": figure(sum(not is_good for _, is_good in health), most=0),
        "back after s": figure(back, most=5),
        "server cores": figure(computed / (end - begin)),
    }
    if busy:
        rows["503, p99 ms"] = figure(p([s.end - s.due for s in busy], 99), most=100)
    return rows


def rate(sent, begin, end):
    """Pictures taken a second, without the first fifth of the time."""
    begin += (end - begin) / 5
    return sum(each.status == 201 and begin <= each.end <= end for each in sent) / (end - begin)


def watch(port, begin, end):
    """Asks /healthz on schedule: seconds since each was due, and whether it was answered well."""
    monitor, seen = Visitor(port), []
    for number in range(round((end - begin) / HEALTH_EVERY)):
        due = begin + number * HEALTH_EVERY
        time.sleep(max(0.0, due - time.monotonic()))
        reply = monitor.get("/healthz")
        seen.append((time.monotonic() - due, reply.status == 200))
    return seen


def recovery(visitor, end, usual):
    """Seconds from `end` until the median of five searches is at most 1.5 times the usual."""
    time.sleep(max(0.0, end - time.monotonic()))
    begun, taken = [], []
    while time.monotonic() < end + WATCHED:
        begun.append(time.monotonic() - end)
        taken.append(visitor.search(distinct(PICTURES[0])) or float("inf"))
        if len(taken) >= 5 and np.median(taken[-5:]) <= 1.5 * usual:
            return begun[-5]
    return WATCHED


def slow(stand):
    """A client beside 200 that send or read as slowly as they may, or say nothing."""
    visitor = stand.visitor()
    large = re.search(r"/media/\d+/large/\w+\.jpg", visitor.get("/item/1").body.decode())[0]
    return beside(stand, visitor, 2, crowd.linger, large, SLOW_CLIENTS)


def bombs(stand):
    """A client beside another that sends ten bombs a second."""
    return beside(stand, stand.visitor(), 3, crowd.bombard, 10)


def beside(stand, visitor, most, *work):
    """A client alone, beside others, and alone again; p99 may be `most` times as long."""
    search_for(visitor, stand.seconds / 6)
    alone = search_for(visitor, stand.seconds / 2)
    begin, end, job = stand.beside(*work)
    time.sleep(max(0.0, begin + 1 - time.monotonic()))
    crowded = search_for(visitor, end - time.monotonic())
    others = job.result()
    alone += search_for(visitor, stand.seconds / 2)
    rows = {}
    for name, found in (("alone", alone), ("beside", crowded)):
        rows[f"{name}: searches"] = figure(len(found))
        rows[f"{name}: p50 ms"] = figure(p(times(found), 50))
        rows[f"{name}: p99 ms"] = figure(p(times(found), 99))
    ratio = p(times(crowded), 99) / p(times(alone), 99)
    rows["p99 ratio"] = figure(ratio, most=most)
    rows["failures"] = figure(sum(each is None for each in alone + crowded), most=0)
    return rows | (told(others) if isinstance(others, list) else slowness(others))


def told(sent):
    """What a crowd was answered."""
    return {
        "refused": figure(sum(400 <= each.status < 500 for each in sent)),
        "taken": figure(sum(200 <= each.status < 300 for each in sent), most=0),
        "503": figure(sum(each.status == 503 for each in sent)),
        "other answers": figure(
            sum(each.status != 503 and not 200 <= each.status < 500 for each in sent), most=0
        ),
        "answer, p99 ms": figure(p([each.end - each.due for each in sent], 99)),
    }


def slowness(held):
    return {
        "slow, at one time": figure(held["open"], least=0.9 * SLOW_CLIENTS),
        "slow, in all": figure(held["connections"]),
    }


def page(stand):
    """What sending a picture through the page takes beside decoding and embedding it here."""
    embedder, visitor = load_embedder(stand.model), stand.visitor()
    rounds, stages = [], []
    until = time.monotonic() + stand.seconds
    while time.monotonic() < until or len(rounds) < 20:
        picture = distinct(PICTURES[len(rounds) % len(PICTURES)])
        if len(rounds) % 2:  # neither is always the one that comes second
            inside, sent = in_process(embedder, picture), visitor.upload(picture)
        else:
            sent, inside = visitor.upload(picture), in_process(embedder, picture)
        found = visitor.results(sent)
        assert (sent.status, found.status) == (201, 200)
        rounds.append((inside, sent.seconds, found.seconds))
        stages.append(server_timing(sent))
    inside, upload, results = np.array(rounds[5:]).T
    rows = {
        "in process, p50 ms": figure(p(inside, 50)),
        "upload, p50 ms": figure(p(upload, 50)),
        "results, p50 ms": figure(p(results, 50)),
        # of medians: embedding varies by more from one picture to the next than the page takes
        "upload adds, ms": figure(p(upload, 50) - p(inside, 50), most=15),
        "upload and results add, ms": figure(
            p(upload, 50) + p(results, 50) - p(inside, 50), most=15
        ),
    }
    for name in stages[-1]:
        rows[f"stage {name}, ms"] = figure(np.median([each[name] for each in stages[5:]]))
    return rows


def in_process(embedder, picture):
    """Seconds of decoding and embedding a picture without a server."""
    begin = time.perf_counter()
    embedder.vectors([embedder.open(picture)])
    return time.perf_counter() - begin


def server_timing(reply):
    """Milliseconds by stage."""
    text = reply.headers.get("Server-Timing", "")
    return {name: float(ms) for name, ms in re.findall(r"(\w+);dur=([\d.]+)", text)}


def same(stand):
    """The same picture a thousand times: it is embedded once."""
    before = embedded(stand.server)
    sent = stand.crowds.submit(crowd.repeat, stand.port, stand.visitor().browser, 50, SAME).result()
    return {
        "uploads": figure(len(sent), least=SAME),
        "not answered well": figure(sum(each.status not in (200, 201) for each in sent), most=0),
        "embedded": figure(embedded(stand.server) - before, least=1, most=1),
        "uploads/s": figure(len(sent) / (sent[-1].end - sent[0].start)),
        "answer, p99 ms": figure(p([each.end - each.start for each in sent], 99)),
    }


def embedded(server):
    """How many pictures have been embedded."""
    return server.metric('dinoseek_stage_seconds_count{stage="embed"}')


MEASURES = {
    "flood": flood,
    "slow": slow,
    "bombs": bombs,
    "memory": memory,
    "page": page,
    "same": same,
}

if __name__ == "__main__":
    main()
