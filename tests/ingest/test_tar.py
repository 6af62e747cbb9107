"""Headers of tar archives, made by hand where no tool would make them so."""

import io

import pytest

from dinoseek.ingest.tar import BLOCK, Entry, Tape, TarError, entries


def header(
    name: bytes = b"a", size: bytes | int = 0, kind: bytes = b"0", tail: bytes = b""
) -> bytes:
    """A header block with a right checksum."""
    field = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(BLOCK)
    block[:100] = name.ljust(100, b"\0")
    block[124:136] = field
    block[156:157] = kind
    block[257 : 257 + len(tail)] = tail
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


END = bytes(2 * BLOCK)


def read(archive: bytes, *, seekable: bool = True) -> list[Entry]:
    tape = Tape(io.BufferedReader(io.BytesIO(archive)), len(archive) if seekable else None)
    return list(entries(tape))


def names(archive: bytes) -> list[bytes]:
    both = [
        [entry.name for entry in read(archive, seekable=seekable)] for seekable in (True, False)
    ]
    assert both[0] == both[1]
    return both[0]


def code(archive: bytes) -> str:
    codes = []
    for seekable in (True, False):
        with pytest.raises(TarError) as caught:
            read(archive, seekable=seekable)
        codes.append(caught.value.code)
    assert codes[0] == codes[1]
    return codes[0]


def record(name: bytes, value: bytes) -> bytes:
    """A pax record; its length counts itself."""
    rest = b" " + name + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d" % length + rest


def pax(*records: bytes) -> bytes:
    data = b"".join(records)
    return header(b"pax", len(data), b"x") + padded(data)


def test_data_are_where_the_entry_says() -> None:
    archive = header(b"a", 3) + padded(b"abc") + header(b"b", 513) + padded(b"x" * 513) + END
    first, second = read(archive)
    assert archive[first.offset : first.offset + first.size] == b"abc"
    assert archive[second.offset : second.offset + second.size] == b"x" * 513


def test_a_prefix_belongs_to_the_name_in_posix_archives_only() -> None:
    posix = header(b"name", tail=b"ustar\00000" + bytes(80) + b"prefix")
    gnu = header(b"name", tail=b"ustar  \0" + bytes(80) + b"0123456789")
    assert names(posix + gnu + END) == [b"prefix/name", b"name"]


@pytest.mark.parametrize(
    "size", [b"", b"3\0", b"    3 ", b"00000000003 ", b"\x80" + bytes(10) + b"\3"]
)
def test_sizes_are_octal_or_binary(size: bytes) -> None:
    (entry,) = read(header(b"a", size.ljust(12, b"\0")) + padded(b"abc" * bool(size)) + END)
    assert entry.size == (3 if size else 0)


@pytest.mark.parametrize(
    "size", [b"\xff" * 12, b"-0000000001\0", b"0o3\0", b"8\0", b"1_0\0", b"\x81" * 12]
)
def test_a_size_that_is_none_is_damage(size: bytes) -> None:
    assert code(header(b"a", size.ljust(12, b"\0")) + END) == "shard.damaged"


@pytest.mark.parametrize("size", [b"77777777777\0", b"\x80" + b"\xff" * 11])
def test_a_size_beyond_the_end_is_a_cut(size: bytes) -> None:
    assert code(header(b"a", size) + END) == "shard.truncated"
    assert code(pax(record(b"size", b"9" * 18)) + header(b"a") + END) == "shard.truncated"


@pytest.mark.parametrize("size", [b"-1", b"", b"9" * 19, b"1e3"])
def test_an_attribute_for_the_size_must_be_a_number(size: bytes) -> None:
    assert code(pax(record(b"size", size)) + header(b"a") + END) == "shard.damaged"


def test_attributes_give_name_and_size_of_the_next_member_only() -> None:
    archive = (
        pax(record(b"path", b"long=er\n"), record(b"size", b"3"), record(b"mtime", b"1.5"))
        + header(b"a") + padded(b"abc") + header(b"b") + END
    )  # fmt: skip
    assert [(entry.name, entry.size) for entry in read(archive)] == [(b"long=er\n", 3), (b"b", 0)]


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_links_folders_and_devices_have_no_data_whatever_their_size(kind: bytes) -> None:
    assert names(header(b"a", 700, kind) + header(b"b") + END) == [b"a", b"b"]


def test_global_attributes_and_long_links_are_passed_over() -> None:
    data = record(b"path", b"all")
    archive = (
        header(b"g", len(data), b"g") + padded(data) + header(b"k", 600, b"K") + padded(b"x" * 600)
        + header(b"a") + END
    )  # fmt: skip
    assert names(archive) == [b"a"]


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense",
        b"5 a=b\nx",
        b"99 a=b\n",
        b"0 a=b\n",
        b"6 ab\n\n",
        b"99999999999 a=b\n",
        b"-6 a=b\n",
        b"2 \n",
    ],
)
def test_attributes_that_cannot_be_read_are_damage(data: bytes) -> None:
    assert code(header(b"x", len(data), b"x") + padded(data) + header() + END) == "shard.damaged"


@pytest.mark.parametrize("kind", [b"L", b"x"])
def test_a_name_without_end_is_not_read(kind: bytes) -> None:
    assert code(header(b"a", 2_000_000, kind) + bytes(2_000_384) + END) == "shard.damaged"


def test_holes_of_sparse_files_are_passed_over() -> None:
    more = bytes(504) + b"\1" + bytes(7)
    old = bytearray(header(b"s", 3, b"S"))
    old[482] = 1
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    archive = bytes(old) + more + bytes(BLOCK) + padded(b"abc") + header(b"b") + END
    assert [(entry.name, entry.kind) for entry in read(archive)] == [
        (b"s", "sparse"),
        (b"b", "file"),
    ]
    new = (
        pax(record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.name", b"s"))
        + header(b"x")
        + END
    )
    assert [(entry.name, entry.kind) for entry in read(new)] == [(b"s", "sparse")]


def test_old_archives_have_folders_that_end_in_a_slash_and_signed_sums() -> None:
    block = bytearray(header(b"\xff/", kind=b"\0"))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % (sum(block) - 256)
    (entry,) = read(bytes(block) + END)
    assert (entry.name, entry.kind) == (b"\xff/", "folder")


@pytest.mark.parametrize("archive", [b"", b"abc", header()[:100], header(), header() + b"x"])
def test_an_archive_without_an_end_was_cut_off(archive: bytes) -> None:
    assert code(archive) == "shard.truncated"


def test_a_single_block_of_zeros_is_an_end_and_endless_ones_are_not_read() -> None:
    assert names(header(b"a") + bytes(BLOCK)) == [b"a"]
    stream = io.BytesIO(header(b"a") + bytes(20_000 * BLOCK))
    buffered = io.BufferedReader(stream)
    assert len(list(entries(Tape(buffered, None)))) == 1
    assert stream.tell() < 10_000 * BLOCK


def test_what_does_not_begin_with_a_header_is_no_archive() -> None:
    assert code(b"x" * BLOCK + END) == "shard.format"
    assert code(header() + b"x" * BLOCK + END) == "shard.damaged"
