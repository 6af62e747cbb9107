"""One writer at a time, named, and never in the way after its death."""

import os
import select

import pytest

from dinoseek.errors import MachineError
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.lock import WriterLock

HOLD = """
with open_gallery(sys.argv[1], embedder) as gallery, gallery.writing():
    print("holding", flush=True)
    sys.stdin.readline()
"""


def test_IDX_17_a_second_writer_is_refused_and_told_who_is_writing(
    tmp_path, embedder, start_python, make_record, unit_vectors
):
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([make_record(1)], unit_vectors(1))
        holder = start_python(HOLD, tmp_path / "g.dino")
        assert holder.stdout.readline() == "holding\n"
        with pytest.raises(MachineError, match=f"process {holder.pid}") as caught:
            gallery.add([make_record(2)], unit_vectors(1))
        assert (caught.value.code, caught.value.exit_code) == ("gallery.locked", 4)
        assert len(gallery.search(unit_vectors(1), 5)[0]) == 1  # reading goes on
        holder.communicate("\n")
        gallery.add([make_record(2)], unit_vectors(1))
        assert len(gallery) == 2


def test_IDX_18_a_killed_writer_leaves_no_lock(
    tmp_path, embedder, start_python, make_record, unit_vectors
):
    holder = start_python(HOLD, tmp_path / "g.dino")
    assert holder.stdout.readline() == "holding\n"
    holder.kill()
    holder.wait()
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([make_record(1)], unit_vectors(1))
        assert len(gallery) == 1


def test_two_galleries_in_one_process_exclude_each_other(tmp_path, embedder):
    with (
        open_gallery(tmp_path / "g.dino", embedder) as one,
        open_gallery(tmp_path / "g.dino", embedder) as other,
        one.writing(),
        pytest.raises(MachineError, match=f"process {os.getpid()}"),
        other.writing(),
    ):
        pass


def test_the_holder_may_ask_again(tmp_path):
    lock = WriterLock(tmp_path)
    with lock:
        with lock:
            pass
        with pytest.raises(MachineError), WriterLock(tmp_path):
            pass
    with WriterLock(tmp_path):
        pass


def test_an_error_frees_the_lock(tmp_path, embedder, make_record, unit_vectors):
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        with pytest.raises(ValueError, match="expected"):
            gallery.add([make_record(1)], unit_vectors(2))
        with WriterLock(gallery.path):
            pass


def test_a_link_in_the_locks_place_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "lock").symlink_to(victim)
    with pytest.raises(MachineError), WriterLock(tmp_path):
        pass
    assert victim.read_text() == "precious"


COMMITS = """
name, rounds = sys.argv[2], int(sys.argv[3])
done = refused = 0
while done < rounds:
    try:
        with open_gallery(sys.argv[1], embedder) as gallery:
            gallery.add([record(f"{name}-{done}-{i}") for i in range(3)], vectors(3, done))
        done += 1
    except DinoseekError as exc:
        assert exc.code == "gallery.locked", exc
        refused += 1
        time.sleep(0.001)
print(refused)
"""


def test_IDX_17_no_update_of_contending_writers_is_lost(tmp_path, embedder, start_python):
    writers = [start_python(COMMITS, tmp_path / "g.dino", name, 40) for name in "abcd"]
    for writer in writers:
        _, err = writer.communicate(timeout=300)
        assert writer.returncode == 0, err
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        assert len(gallery) == 4 * 40 * 3
        assert gallery.verify() == []


GROW = """
with open_gallery(sys.argv[1], embedder) as gallery:
    for i in range(60):
        if i % 12 == 0:
            print("look", flush=True)
            sys.stdin.readline()
        gallery.add([record(f"{i}-{j}") for j in range(10)], vectors(10, i))
        if i % 5 == 4:
            hits = gallery.search(vectors(1, i) / 10, 20)[0]
            gallery.remove([hit.id for hit in hits])
"""


def test_IDX_19_a_reader_sees_whole_versions_while_another_process_writes(
    tmp_path, embedder, start_python, unit_vectors
):
    writer = start_python(GROW, tmp_path / "g.dino")
    assert writer.stdout.readline() == "look\n"
    print(file=writer.stdin, flush=True)
    seen, sizes = 0, set()
    with open_gallery(tmp_path / "g.dino", embedder, readonly=True) as gallery:
        while writer.poll() is None or not seen:
            waits, _, _ = select.select([writer.stdout], [], [], 0)
            (hits,) = gallery.search(unit_vectors(1), 10**6)
            assert len(hits) % 10 == 0  # commits are of ten images, removals of twenty
            assert len({hit.id for hit in hits}) == len(hits)
            seen, sizes = seen + 1, sizes | {len(hits)}
            if waits and writer.stdout.readline():
                print(file=writer.stdin, flush=True)
        assert writer.returncode == 0, writer.stderr.read()
        (hits,) = gallery.search(unit_vectors(1), 10**6)
        assert len(hits) == 600 - 12 * 20
    assert len(sizes) > 3
