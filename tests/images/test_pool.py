"""Pictures that crash, stall or bloat their decoder, and what is left of the others."""

import dataclasses
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dinoseek.images.child as child_module
import dinoseek.images.pool as pool_module
from dinoseek.errors import ImageError, MachineError, UsageError
from dinoseek.images.ahead import ahead
from dinoseek.images.decode import decode
from dinoseek.images.limits import Limits
from dinoseek.images.perceptual_hash import look
from dinoseek.images.pool import DecoderPool
from dinoseek.images.preprocess import find_preset
from dinoseek.images.region import Region

PRESET = find_preset("squash@28")
BAD = (sys.executable, str(Path(__file__).with_name("bad_decoder.py")))


def picture(seed=0, size=(40, 30), form="PNG", **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


@pytest.fixture
def bad_pool():
    """A pool of one process that misbehaves where it is told to."""
    with DecoderPool(PRESET, workers=1, seconds=60, memory=200_000_000, program=BAD) as pool:
        yield pool


def refused(pool, data):
    with pytest.raises(ImageError) as caught:
        pool.decode(data, "a picture")
    assert caught.value.subject == "a picture"
    return caught.value.code


def children():
    """The processes of this one, by /proc: also those that ended and were not waited for."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.append(int(folder.name))
    return found


def test_a_picture_comes_back_as_it_would_be_decoded_here():
    data = picture(size=(400, 300))
    with DecoderPool(PRESET, thumbnail=True) as pool:
        decoded = pool.decode(data, "x")

    image = decode(data)
    assert np.array_equal(decoded.prepared, PRESET.apply(image))
    assert (decoded.width, decoded.height, decoded.format) == (400, 300, "PNG")
    assert decoded.look == look(image)
    small = Image.open(BytesIO(decoded.thumbnail))
    assert (small.format, small.size) == ("JPEG", (256, 192))


def test_a_decoder_can_leave_a_busy_machine_to_others():
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    with DecoderPool(find_preset("official"), niceness=3) as pool:
        pool.decode(picture(), "a.png")
        (child,) = pool._idle
        assert os.getpriority(os.PRIO_PROCESS, child._process.pid) == min(mine + 3, 19)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has pipes of a chosen size")
def test_a_picture_goes_to_a_decoder_in_few_pieces():
    import fcntl

    with DecoderPool(PRESET) as pool:
        pool.decode(picture(), "a.png")
        (child,) = pool._idle
        assert fcntl.fcntl(child._to, fcntl.F_GETPIPE_SZ) == 1 << 20


def test_an_error_comes_back_with_its_code_its_reason_and_what_to_do():
    limits = Limits(max_pixels=100)
    with pytest.raises(ImageError) as here:
        decode(picture(), subject="photo\n.png", limits=limits)
    with DecoderPool(PRESET, limits) as pool, pytest.raises(ImageError) as there:
        pool.decode(picture(), "photo\n.png")

    assert there.value.as_dict() == here.value.as_dict()


def test_a_region_is_cut_from_the_full_size_before_the_preset_and_the_preview_shows_all():
    data = picture(size=(2000, 1400), form="JPEG")
    region = Region(1000, 0, 1000, 700)
    with DecoderPool(find_preset("squash@28-fast")) as pool:
        decoded = pool.decode(data, "x", region=region, thumbnail_side=500)
        whole = pool.decode(data, "x", thumbnail_side=500)

    alone = decode(data).crop((1000, 0, 2000, 700))
    assert np.array_equal(decoded.prepared, find_preset("squash@28-fast").apply(alone))
    assert not np.array_equal(decoded.prepared, whole.prepared)
    assert (decoded.width, decoded.height) == (2000, 1400)
    for each in (decoded, whole):  # even if it is read at a smaller scale
        assert max(Image.open(BytesIO(each.thumbnail)).size) <= 500


def test_a_region_that_reaches_outside_is_an_error_of_the_question_as_it_is_here():
    region = Region(30, 0, 20, 10)
    with pytest.raises(UsageError) as here:
        region.of(decode(picture()), "photo.png")
    with DecoderPool(PRESET, workers=1) as pool:
        with pytest.raises(UsageError) as there:
            pool.decode(picture(), "photo.png", region=region)
        (child,) = children()
        assert pool.decode(picture(), "next").width == 40
        assert children() == [child]
    assert there.value.as_dict() == here.value.as_dict()


def test_a_thumbnail_alone_is_upright_small_and_has_nothing_but_pixels():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "SECRET"
    data = picture(size=(2000, 1000), form="JPEG", exif=exif)
    with DecoderPool(find_preset("official@518")) as pool:
        small = pool.thumbnail(data, "x", 320)
        assert Image.open(BytesIO(small)).size == (160, 320)
        assert b"SECRET" not in small
        assert Image.open(BytesIO(pool.thumbnail(picture(), "x", 320))).size == (40, 30)


def test_a_thumbnail_needs_no_preset_that_takes_the_picture():
    with DecoderPool(find_preset("official")) as pool:
        small = pool.thumbnail(picture(size=(1000, 10)), "long.png", 320)
        assert Image.open(BytesIO(small)).size == (320, 3)
        with pytest.raises(ImageError) as caught:
            pool.thumbnail(b"no picture", "a.txt")
        assert (caught.value.code, caught.value.subject) == ("image.unrecognised", "a.txt")


def test_IMG_18_a_picture_of_too_many_scans_is_refused_in_the_process_too():
    data = picture(form="JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    bomb = data[:last] + data[last:-2] * 300 + data[-2:]
    with DecoderPool(PRESET) as pool:
        assert refused(pool, bomb) == "image.too_many_scans"


def test_IMG_39_a_crash_costs_only_the_picture_that_caused_it(bad_pool):
    assert refused(bad_pool, b"crash") == "image.decoder_crashed"
    assert bad_pool.decode(picture(), "next").width == 40


@pytest.mark.parametrize(
    ("stall", "limits", "reason"),
    [
        (b"sleep", {"seconds": 2.0}, "2 seconds"),
        (b"compute", {"cpu_seconds": 0.5}, "0.5 seconds of computing"),
    ],
)
def test_IMG_40_a_stall_is_ended(stall, limits, reason):
    with DecoderPool(PRESET, workers=1, program=BAD, **limits) as pool:
        with pytest.raises(ImageError) as caught:
            pool.decode(stall, "a picture")
        assert caught.value.code == "image.decode_timeout"
        assert caught.value.reason.endswith(reason)
        assert pool.decode(picture(), "next").width == 40


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no such limit")
def test_IMG_41_memory_is_bounded_and_the_next_picture_is_fine(bad_pool):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(bad_pool, b"eat 4096") == "image.decode_oom"
    assert bad_pool.decode(picture(), "next").width == 40
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB


def test_a_process_that_the_system_kills_is_said_to_lack_memory(bad_pool):
    bad_pool.decode(picture(), "x")  # so that it has started

    (child,) = children()

    def kill_at_work():
        while not bad_pool._busy:
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)

    killer = threading.Thread(target=kill_at_work)
    killer.start()
    assert refused(bad_pool, b"sleep") == "image.decode_oom"
    killer.join()


def test_a_process_that_is_killed_while_it_waits_costs_no_picture(bad_pool):
    bad_pool.decode(picture(), "x")
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert bad_pool.decode(picture(), "next").width == 40


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no such limit")
def test_IMG_41_a_file_larger_than_the_memory_is_refused_too():
    limits = Limits(max_bytes=10**9)
    with DecoderPool(PRESET, limits, workers=1, memory=50_000_000) as pool:
        assert refused(pool, bytes(100_000_000)) == "image.decode_oom"
        assert pool.decode(picture(), "next").width == 40


def test_a_file_over_the_limit_is_not_even_sent():
    with DecoderPool(PRESET, Limits(max_bytes=1000)) as pool:
        assert refused(pool, bytes(1001)) == "image.too_large_bytes"
        assert refused(pool, b"") == "image.empty"
        assert children() == []


def test_an_answer_that_makes_no_sense_is_a_crash(bad_pool, monkeypatch):
    monkeypatch.setattr(child_module, "_LAST_MOMENTS", 0.05)  # these processes go on, if let
    for answer in (b"lie shape", b"lie size", b"lie words"):
        assert refused(bad_pool, answer) == "image.decoder_crashed"
        assert bad_pool.decode(picture(), "next").width == 40


def test_a_refusal_by_the_preset_names_the_picture():
    with DecoderPool(find_preset("official")) as pool, pytest.raises(ImageError) as caught:
        pool.decode(picture(size=(1000, 10)), "long.png")
    assert (caught.value.code, caught.value.subject) == ("image.aspect", "long.png")


def test_a_preset_without_a_name_is_a_mistake():
    with pytest.raises(ValueError, match="no name"):
        DecoderPool(dataclasses.replace(PRESET, rounding="round"))


def test_what_a_library_prints_does_not_disturb_the_answers(bad_pool):
    assert bad_pool.decode(b"babble " + picture(), "x").width == 40


def test_IMG_43_ten_thousand_broken_pictures_leave_nothing_behind(capfd):
    broken = [b"\x89PNG\r\n\x1a\n" + bytes([number % 256]) * 40 for number in range(10_000)]
    descriptors = len(list(Path("/proc/self/fd").iterdir()))

    def code(data):
        try:
            pool.decode(data, "x")
        except ImageError as exc:
            return exc.code

    with DecoderPool(PRESET) as pool:
        codes = list(ahead(code, broken, workers=2, depth=32))
        alive = len(children())
    assert None not in codes
    assert alive <= 2
    assert children() == []
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert capfd.readouterr() == ("", "")


def test_threads_share_the_processes():
    data = [picture(number) for number in range(40)]
    with DecoderPool(PRESET, workers=2) as pool:
        results = list(ahead(lambda each: pool.decode(each, "x"), data, workers=6, depth=12))
        assert len(children()) == 2
    for each, result in zip(data, results, strict=True):
        assert np.array_equal(result.prepared, PRESET.apply(decode(each)))


def test_closing_ends_what_is_being_decoded_and_blames_no_picture():
    pool = DecoderPool(PRESET, workers=1, program=BAD)
    threading.Timer(0.5, pool.close).start()
    with pytest.raises(ValueError, match="closed"):  # and not after ten minutes
        pool.decode(b"sleep", "x")
    with pytest.raises(ValueError, match="closed"):
        pool.decode(picture(), "x")
    assert children() == []


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (["/no/such/program"], "No such file"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "status 3"),
        ([sys.executable, "-c", "import no_such_library"], "No module named 'no_such_library'"),
        ([sys.executable, "-c", "print('hello' * 99, flush=True); input()"], "something else"),
        (["sleep", "600"], "no sign of life"),
    ],
)
def test_a_process_that_cannot_be_started_is_the_machines_fault(program, reason, monkeypatch):
    if program[0] == "sleep":  # the others say something, however slow the machine is
        monkeypatch.setattr(pool_module, "_START_SECONDS", 0.5)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with DecoderPool(PRESET, program=program) as pool, pytest.raises(MachineError) as caught:
        pool.decode(picture(), "x")
    assert caught.value.code == "decoder.unstartable"
    assert reason in caught.value.reason
    assert children() == []
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_a_process_that_comes_too_late_for_closing_is_ended(monkeypatch):
    def too_late(program, start=pool_module.Child):
        child = start(program)
        pool.close()
        return child

    monkeypatch.setattr(pool_module, "Child", too_late)
    pool = DecoderPool(PRESET, program=[sys.executable, "-c", "import time; time.sleep(600)"])
    with pytest.raises(ValueError, match="closed"):
        pool.decode(picture(), "x")
    assert children() == []


def test_a_process_that_runs_takes_two_descriptors():
    before = len(list(Path("/proc/self/fd").iterdir()))
    with DecoderPool(PRESET, workers=1) as pool:
        pool.decode(picture(), "x")
        assert len(list(Path("/proc/self/fd").iterdir())) == before + 2


def test_closing_does_not_wait_for_a_process_that_is_starting():
    pool = DecoderPool(PRESET, program=[sys.executable, "-c", "import time; time.sleep(600)"])
    threading.Timer(0.3, pool.close).start()
    with pytest.raises(ValueError, match="closed"):
        pool.decode(picture(), "x")
    assert children() == []


SCRIPT = """
import os, signal, sys, time
from dinoseek.images.pool import DecoderPool
from dinoseek.images.preprocess import find_preset

pool = DecoderPool(find_preset("squash@28"))
data = open(sys.argv[1], "rb").read()
pool.decode(data, "x")
{then}
"""


def run(then, file):
    script = SCRIPT.format(then=textwrap.dedent(then))
    return subprocess.run(
        [sys.executable, "-c", script, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )


def test_a_script_needs_no_guard_and_Ctrl_C_does_not_reach_the_processes(tmp_path):
    (tmp_path / "a.png").write_bytes(picture())
    done = run(
        """
        try:
            os.killpg(0, signal.SIGINT)
            time.sleep(50)
        except KeyboardInterrupt:
            print(pool.decode(data, "x").width)
        pool.close()
        """,
        tmp_path / "a.png",
    )
    assert (done.stdout, done.stderr) == ("40\n", "")


def test_the_processes_end_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "a.png").write_bytes(picture())
    done = run(
        """
        print(pool._idle[0]._process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path / "a.png",
    )
    assert ends(int(done.stdout))


def ends(child):
    """Whether the process ends in the next seconds. A zombie has: its parent cannot wait for it."""
    for _ in range(1200):
        try:
            if "\nState:\tZ" in Path(f"/proc/{child}/status").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_a_stalled_process_ends_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "a.png").write_bytes(picture())
    done = run(
        f"""
        import threading
        pool = DecoderPool(find_preset("squash@28"), seconds=1, workers=1, program={BAD})
        pool.decode(data, "x")
        print(pool._idle[0]._process.pid, flush=True)
        threading.Thread(target=pool.decode, args=(b"sleep", "x"), daemon=True).start()
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path / "a.png",
    )
    assert ends(int(done.stdout))


def test_an_interrupt_leaves_a_process_at_its_work(bad_pool):
    bad_pool.decode(picture(), "x")
    (child,) = children()
    assert os.getpgid(child) != os.getpgid(0)  # where Ctrl-C goes, even while it is starting
    os.kill(child, signal.SIGINT)
    assert bad_pool.decode(picture(), "x").width == 40
    assert children() == [child]


def test_a_file_named_like_a_library_is_not_taken_for_it(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('a trap')")
    monkeypatch.chdir(tmp_path)
    with DecoderPool(PRESET) as pool:
        assert pool.decode(picture(), "x").width == 40
