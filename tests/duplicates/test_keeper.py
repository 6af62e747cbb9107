"""Which file is kept, and the words that say why."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from dinoseek.duplicates.keeper import Preference, amount
from dinoseek.errors import UsageError
from dinoseek.gallery.base import WEB
from dinoseek.gallery.holdings import Copy

DAY = 86_400 * 10**9
PLAIN = Copy(
    id=1,
    digest="a" * 64,
    width=1024,
    height=768,
    bytes=300_000,
    format="JPEG",
    root="/photos",
    path=b"b/x.jpg",
    kind="file",
    mtime_ns=20_000 * DAY + DAY // 2,  # noon
)


def better(copy=PLAIN, **changes):
    return replace(copy, **changes)


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        (better(width=4032, height=3024), "4032 x 3024 rather than 1024 x 768"),
        (better(bytes=2_100_000), "2.1 MB rather than 300 kB"),
        (better(bytes=300_001), "300,001 bytes rather than 300,000"),
        (better(path=b"ref/z.jpg"), "in the reference folder /photos/ref"),
        (better(path=b"good/z.jpg"), "in the preferred folder /photos/good"),
        (better(mtime_ns=19_000 * DAY), "the older file: 2022-01-08 rather than 2024-10-04"),
        (
            better(mtime_ns=20_000 * DAY),
            "the older file: 2024-10-04 00:00:00 rather than 2024-10-04 12:00:00",
        ),
        (better(path=b"a/x.jpg"), "its path comes first"),
    ],
)
def test_each_rule_decides_where_those_before_it_do_not(kept, reason):
    preference = Preference.of(prefer=["/photos/good"], reference=["/photos/ref"])

    assert preference.rank(kept) < preference.rank(PLAIN)
    assert preference.reason(kept, PLAIN) == reason


def test_the_rules_go_before_each_other_in_their_order():
    preference = Preference.of(prefer=["/photos/good", "/photos/fair"], reference=["/photos/ref"])
    order = [
        better(width=1025, bytes=1),
        better(bytes=300_001, mtime_ns=30_000 * DAY),
        better(path=b"ref/x.jpg", mtime_ns=30_000 * DAY),
        better(path=b"good/x.jpg", mtime_ns=30_000 * DAY),
        better(path=b"fair/x.jpg", mtime_ns=29_000 * DAY),
        better(path=b"z.jpg", mtime_ns=1),
        better(path=b"a.jpg"),
        better(path=b"c.jpg"),
    ]

    assert all(preference.rank(a) < preference.rank(b) for a, b in pairwise(order))


@pytest.mark.parametrize(
    ("kind", "root", "words"),
    [("web", WEB, "on the web"), ("archive", "/photos/a.tar", "in an archive")],
)
def test_a_file_of_its_own_is_kept_rather_than_a_larger_image_elsewhere(kind, root, words):
    away = better(width=9000, kind=kind, root=root)

    assert Preference().rank(PLAIN) < Preference().rank(away)
    assert Preference().reason(PLAIN, away) == f"a file of its own rather than {words}"


def test_folders_are_whole_names(tmp_path):
    preference = Preference.of(prefer=["/photos/b"])

    assert preference.rank(PLAIN)[5] == 0
    assert preference.rank(better(path=b"bb/x.jpg"))[5] == 1
    assert Preference.of(prefer=["/"]).rank(PLAIN)[5] == 0


def test_a_folder_that_no_file_is_in_is_a_slip():
    with pytest.raises(UsageError, match="no file of the gallery is in this folder"):
        Preference.of(reference=["/photos/typo"]).check([PLAIN])
    Preference.of(prefer=[Path("/photos/b")]).check([PLAIN])


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (34_400, "34 kB"),
        (2_140_000, "2.1 MB"),
        (5_000_000_000, "5.0 GB"),
    ],
)
def test_amounts_are_told_in_a_unit_that_can_be_read(size, words):
    assert amount(size) == words
