"""Images in archives, with what stands beside them; and archives that mean harm."""

import gzip
import io
import json
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dinoseek.errors import ImageError, MachineError, UsageError
from dinoseek.images.limits import Limits
from dinoseek.ingest.shards import BadMember, Member, Shard, read_member

Make = Callable[..., Shard]


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **fields: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def shard(tmp_path: Path) -> Make:
    """An archive of these names and contents, in their order."""

    def make(*files: tuple[str, bytes], name: str = "a.tar", **options: Any) -> Shard:
        limits = options.pop("limits", Limits())
        path = tmp_path / name
        mode: Any = "w" if name.endswith(".tar") else "w:gz"
        with tarfile.open(path, mode, **options) as tar:
            for file in files:
                add(tar, *file)
        return Shard(path, limits)

    return make


def found(shard: Shard) -> list[tuple[bytes, str | bytes]]:
    """The name of each member, with its bytes or why they cannot be had."""
    return [
        (each.name, each.read() if isinstance(each, Member) else each.code)
        for each in shard.members()
    ]


each_packing = pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "A.TGZ"])


@each_packing
def test_an_image_comes_with_its_caption_and_metadata(shard: Make, name: str) -> None:
    made = shard(
        ("a/0.jpg", b"first"),
        ("a/0.json", b'{"w": 3, "caption": "from json", "none": null}'),
        ("a/1.txt", b"\xef\xbb\xbfa caption\r\n"),
        ("a/1.json", b'{"caption": "another"}'),
        ("a/1.PNG", b"second"),
        ("a/1.seg.png", b"third"),
        ("a/1.cls", b"7\n"),
        ("b/1.jpg", b"fourth"),
        name=name,
    )
    made.check()
    first, second, third, fourth = made.members()
    time = made.path.stat().st_mtime_ns
    assert isinstance(first, Member)
    assert (first.key, first.name, first.size, first.mtime_ns) == (b"a/0", b"a/0.jpg", 5, time)
    assert (first.caption, first.metadata, first.read()) == ("from json", {"w": 3}, b"first")
    for member, data in ((second, b"second"), (third, b"third")):
        assert isinstance(member, Member)
        assert (member.key, member.caption, member.read()) == (b"a/1", "a caption", data)
        assert member.metadata == {"caption": "another", "cls": 7}
    assert isinstance(fourth, Member)
    assert (fourth.caption, fourth.metadata, fourth.read()) == (None, {}, b"fourth")
    assert made.count() == (4 if name == "a.tar" else None)


@each_packing
def test_a_member_is_found_again_by_name(shard: Make, name: str) -> None:
    made = shard(("a.jpg", b"1"), ("b.jpg", b"2"), ("a.jpg", b"3"), ("c.jpg", b""), name=name)
    assert read_member(made.path, b"b.jpg") == b"2"
    assert read_member(made.path, b"a.jpg") == b"1"
    for wanted, code in ((b"no.jpg", "path.vanished"), (b"c.jpg", "image.empty")):
        with pytest.raises(ImageError) as caught:
            read_member(made.path, wanted)
        assert caught.value.code == code


def test_of_names_that_repeat_all_come_out_in_order(shard: Make) -> None:
    made = shard(("a.jpg", b"1"), ("b.jpg", b"2"), ("a.jpg", b"3"))
    assert found(made) == [(b"a.jpg", b"1"), (b"b.jpg", b"2"), (b"a.jpg", b"3")]


def test_what_is_no_image_or_hidden_is_left_out(shard: Make) -> None:
    made = shard(
        ("a.npy", b"x"), (".b.jpg", b"x"), ("._c.jpg", b"x"), (".git/d.jpg", b"x"), ("jpg", b"x"),
        ("README", b"x"), ("./e.jpg", b"e"), ("x.y/f.jpg", b"f"),
    )  # fmt: skip
    assert found(made) == [(b"./e.jpg", b"e"), (b"x.y/f.jpg", b"f")]
    assert made.count() == 2


@each_packing
def test_names_that_lead_elsewhere_are_refused(shard: Make, name: str, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    names = ["../a.jpg", "/etc/b.jpg", "c/../../d.jpg", "e.jpg"]
    made = shard(*((each, b"x") for each in names), name=name)
    assert found(made) == [
        (b"../a.jpg", "shard.name"), (b"/etc/b.jpg", "shard.name"),
        (b"c/../../d.jpg", "shard.name"), (b"e.jpg", b"x"),
    ]  # fmt: skip
    assert set(tmp_path.rglob("*")) - before == {made.path}


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
        tarfile.GNUTYPE_SPARSE,
    ],
)  # fmt: skip
def test_what_is_no_plain_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        add(tar, "dir.jpg", type=tarfile.DIRTYPE)
        add(tar, "a.jpg", type=kind, linkname="/etc/passwd")
        add(tar, "a.txt", type=kind, linkname="/etc/passwd")
        add(tar, "b.jpg", b"b")
    assert found(Shard(path)) == [
        (b"a.jpg", "path.not_regular"), (b"a.txt", "path.not_regular"), (b"b.jpg", b"b"),
    ]  # fmt: skip
    with pytest.raises(ImageError) as caught:
        read_member(path, b"a.jpg")
    assert caught.value.code == "path.not_regular"


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_are_bytes_of_any_kind_and_length(shard: Make, format: int) -> None:
    names = ["\udcff.jpg", "new\nline.jpg", "é" * 30 + ".jpg", "a" * 90 + "/" + "b" * 90 + ".jpg"]
    if format != tarfile.USTAR_FORMAT:
        names.append("c" * 3_000 + ".jpg")
    options = {"format": format, "encoding": "utf-8", "errors": "surrogateescape"}
    made = shard(*((name, os.fsencode(name)) for name in names), **options)
    assert [name for name, _ in found(made)] == [os.fsencode(name) for name in names]
    for name in names:
        assert read_member(made.path, os.fsencode(name)) == os.fsencode(name)


@each_packing
def test_an_image_over_the_limit_is_not_read(shard: Make, name: str) -> None:
    files = [("a.jpg", bytes(5_000_000)), ("b.jpg", b"b"), ("c.jpg", b"")]
    made = shard(*files, name=name, limits=Limits(max_bytes=1_000_000))
    tracemalloc.start()
    assert found(made) == [
        (b"a.jpg", "image.too_large_bytes"), (b"b.jpg", b"b"), (b"c.jpg", "image.empty"),
    ]  # fmt: skip
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000
    with pytest.raises(ImageError) as caught:
        read_member(made.path, b"a.jpg", made.limits)
    assert caught.value.code == "image.too_large_bytes"


@pytest.mark.parametrize(
    "side", [b"{", b"[]", b"NaN", b"[" * 100_000, b'{"a": "' + b"x" * 1_048_576 + b'"}']
)
def test_metadata_that_cannot_be_read_spoil_no_image(shard: Make, side: bytes) -> None:
    made = shard(("a.json", side), ("a.jpg", b"a"), ("a.txt", b"A"), ("b.jpg", b"b"))
    assert found(made)[0] == (b"a.json", "shard.side")
    first, second = list(made.members())[1:]
    assert isinstance(first, Member)
    assert first.read() == b"a"
    assert first.metadata == {}
    assert second.name == b"b.jpg"


@each_packing
def test_a_key_of_endless_files_takes_no_memory(shard: Make, name: str) -> None:
    images = [(f"a.{number}.jpg", bytes(20_000)) for number in range(1_000)]
    sides = [("a.json", json.dumps({f"{n}": "x" * 100_000}).encode()) for n in range(100)]
    made = shard(*images, *sides, name=name)
    tracemalloc.start()
    codes = [getattr(each, "code", "image") for each in made.members()]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert codes.count("image") == 1_000
    assert codes.count("shard.side") == 90
    assert peak < 9_000_000


@each_packing
@pytest.mark.parametrize("kept", [0.01, 0.3, 0.7, 0.99])
def test_of_a_truncated_archive_what_came_before_is_kept(
    shard: Make, name: str, kept: float
) -> None:
    data = [os.urandom(3_000) for _ in range(10)]
    made = shard(*((f"{n}.jpg", each) for n, each in enumerate(data)), name=name)
    whole = made.path.read_bytes()
    made.path.write_bytes(whole[: int(len(whole) * kept)])
    *before, last = found(made)
    assert last == (b"./", "shard.truncated")
    assert before == [(b"%d.jpg" % n, each) for n, each in enumerate(data[: len(before)])]
    assert len(before) >= int(10 * kept * 0.8)
    made.check()


def test_an_archive_cut_between_two_members_is_seen_to_be(shard: Make) -> None:
    made = shard(("a.jpg", b"a"), ("b.jpg", b"b"))
    made.path.write_bytes(made.path.read_bytes()[:1024])
    assert found(made) == [(b"a.jpg", b"a"), (b"./", "shard.truncated")]


def test_a_damaged_header_ends_the_archive_aloud(shard: Make) -> None:
    made = shard(("a.jpg", b"a"), ("b.jpg", b"b"))
    data = bytearray(made.path.read_bytes())
    data[1024] ^= 1
    made.path.write_bytes(data)
    assert found(made) == [(b"a.jpg", b"a"), (b"./", "shard.damaged")]


def test_archives_that_were_put_together_are_read_as_one(shard: Make) -> None:
    first = shard(("a.jpg", b"a")).path.read_bytes()
    made = shard(("b.jpg", b"b"))
    made.path.write_bytes(first + made.path.read_bytes())
    assert found(made) == [(b"a.jpg", b"a"), (b"b.jpg", b"b")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tar", b"x" * 5_000),
        ("a.tar", b"\x1f\x8b" * 500),
        ("a.tar.gz", b"x" * 5_000),
        ("a.zip", b"PK"),
    ],
)
def test_what_is_no_archive_is_refused_at_the_start(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        Shard(path).check()
    assert caught.value.code == "shard.format"


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="no such file"):
        Shard(tmp_path / "no.tar").check()
    os.mkfifo(tmp_path / "pipe.tar")
    (tmp_path / "folder.tar").mkdir()
    for name in ("pipe.tar", "folder.tar"):
        with pytest.raises(UsageError) as caught:
            Shard(tmp_path / name).check()
        assert caught.value.code == "path.not_regular"


def test_CSV_15_a_packed_bomb_is_stopped(shard: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from dinoseek.ingest import streams

    monkeypatch.setattr(streams, "_ALWAYS_ALLOWED", 1_000_000)
    made = shard(("a.jpg", b"a"), ("b.npy", bytes(9_000_000)), ("c.jpg", b"c"), name="a.tar.gz")
    assert found(made) == [(b"a.jpg", b"a"), (b"./", "shard.damaged")]


def test_an_archive_that_changes_gives_no_wrong_bytes(shard: Make) -> None:
    made = shard(("a.jpg", b"a"))
    (member,) = made.members()
    assert isinstance(member, Member)
    shard(("b.jpg", b"b"))
    os.utime(made.path, ns=(1, 1))
    with pytest.raises(ImageError) as caught:
        member.read()
    assert caught.value.code == "path.changed"
    made.path.write_bytes(b"")
    with pytest.raises(ImageError):
        member.read()


@each_packing
def test_memory_does_not_grow_with_the_members(tmp_path: Path, name: str) -> None:
    def peak(count: int) -> int:
        block = io.BytesIO()
        with tarfile.open(fileobj=block, mode="w") as tar:
            add(tar, "a.jpg", b"x")
        data = block.getvalue()[:1024] * count + bytes(1024)
        path = tmp_path / name
        path.write_bytes(data if name == "a.tar" else gzip.compress(data))
        tracemalloc.start()
        assert sum(isinstance(each, Member) for each in Shard(path).members()) == count
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(8_000) < peak(800) + 100_000


def test_unchanged_members_are_not_read(shard: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from dinoseek.ingest.streams import Snapshot

    made = shard(*((f"{n}.jpg", bytes(1_000_000)) for n in range(20)))
    read = 0
    original = Snapshot.readinto

    def counting(self: Snapshot, buffer: Any) -> int:
        nonlocal read
        read += (count := original(self, buffer))
        return count

    monkeypatch.setattr(Snapshot, "readinto", counting)
    assert sum(1 for _ in made.members()) == 20
    assert read < 1_000_000


names = st.text(st.sampled_from("ab/.é\udcff"), min_size=1, max_size=150)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=40,
)
@given(
    files=st.lists(st.tuples(names, st.binary(min_size=1, max_size=1_500)), max_size=6),
    format=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    packed=st.booleans(),
)
def test_every_archive_of_pythons_is_read_as_python_reads_it(
    shard: Make, files: list[tuple[str, bytes]], format: int, packed: bool
) -> None:
    files = [(name.strip("/") + "x.jpg", data) for name, data in files]
    made = shard(*files, name="a.tgz" if packed else "a.tar", format=format)
    with tarfile.open(made.path) as tar:
        expected = [
            (os.fsencode(info.name), tar.extractfile(info).read())  # type: ignore[union-attr]
            for info in tar
        ]
    got = [(name, data) for name, data in found(made) if data != "shard.name"]
    assert got == [
        (name, data) for name, data in expected
        if not any(part.startswith(b".") and part.strip(b".") for part in name.split(b"/"))
        and b".." not in name.split(b"/") and not name.startswith(b"/")
    ]  # fmt: skip


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=150,
)
@given(at=st.integers(0, 5_119), value=st.integers(0, 255))
def test_no_byte_of_a_header_brings_more_than_a_bad_member(
    shard: Make, at: int, value: int
) -> None:
    made = shard(
        ("a" * 120 + ".jpg", b"a"), ("b.jpg", b"b"), ("b.json", b"{}"), format=tarfile.PAX_FORMAT
    )
    data = bytearray(made.path.read_bytes())
    data[at] = value
    made.path.write_bytes(data)
    for each in made.members():
        assert isinstance(each, Member | BadMember)
        if isinstance(each, Member):
            assert len(each.read()) == 1
    assert made.count() in (0, 1, 2)
