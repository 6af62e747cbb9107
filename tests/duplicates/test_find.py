"""Groups of generated pictures: what is exact, near, similar or neither, and what is left out."""

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from dinoseek.duplicates import levels
from dinoseek.duplicates.census import take_census
from dinoseek.duplicates.find import find_duplicates
from dinoseek.duplicates.keeper import Preference
from dinoseek.errors import UsageError
from dinoseek.gallery.base import WEB, Record
from dinoseek.gallery.decisions import decide
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.holdings import copies
from dinoseek.images.perceptual_hash import look
from dinoseek.images.thumbnail import thumbnail_jpeg

from .conftest import record_of


def names(group):
    return [os.path.basename(member.copy.path.decode()) for member in group.members]  # noqa: PTH119


def told(gallery, level="near", **options):
    """The groups by level and names, and that each says what it must."""
    groups = list(find_duplicates(gallery, level, **options))
    for group in groups:
        first, *others = group.members
        assert first.keep
        assert first.evidence is None
        assert others
        assert all(member.evidence for member in others)
        assert all(member.why for member in group.members)
        worst = max(others, key=lambda member: levels.LEVELS.index(member.evidence.level))
        assert group.level == worst.evidence.level
    return [(group.level, names(group)) for group in groups]


def test_files_of_the_same_bytes_are_exact(save, scene, index):
    original = save("b.png", scene(1)).read_bytes()
    save("a.png", original)
    save("sub/c.png", original)
    save("other.png", scene(2))
    os.utime(save("d.png", original), ns=(1, 1))

    for level in ("exact", "near", "similar"):
        assert told(index(), level)[0] == ("exact", ["d.png", "a.png", "b.png", "c.png"])


EDITS = {
    "jpeg 90": lambda i: (i, {"format": "JPEG", "quality": 90}),
    "jpeg 30": lambda i: (i, {"format": "JPEG", "quality": 30}),
    "webp": lambda i: (i, {"format": "WEBP", "quality": 70}),
    "half": lambda i: (i.resize((160, 120)), {"format": "PNG"}),
    "quarter": lambda i: (i.resize((80, 60)), {"format": "JPEG", "quality": 80}),
    "brighter": lambda i: (ImageEnhance.Brightness(i).enhance(1.1), {"format": "PNG"}),
    "contrast": lambda i: (ImageEnhance.Contrast(i).enhance(0.9), {"format": "PNG"}),
}


@pytest.mark.parametrize("edit", EDITS)
def test_the_same_picture_in_other_bytes_is_near(edit, save, scene, index):
    for number in range(4):
        picture, options = EDITS[edit](scene(number))
        save(f"{number}.png", scene(number))
        save(f"{number}-edited.img.jpg", picture, **options)
    found = list(find_duplicates(index(), "near"))

    assert {group.level for group in found} == {"near"}
    assert sorted(min(names(group))[0] for group in found) == ["0", "1", "2", "3"]
    for group in found:
        evidence = group.members[1].evidence
        assert evidence.distance <= levels.NEAR_DISTANCE
        assert evidence.score >= levels.NEAR_SCORE
        assert evidence.colour <= levels.NEAR_COLOUR
    assert list(find_duplicates(index(), "exact")) == []


OTHERS = {
    "mirrored": ImageOps.mirror,
    "turned": lambda i: i.rotate(90, expand=True),
    "grey": lambda i: i.convert("L").convert("RGB"),
    "a part": lambda i: i.crop((40, 30, 320, 240)),
    "other colours": lambda i: Image.merge("RGB", i.split()[::-1]),
}


@pytest.mark.parametrize("change", OTHERS)
def test_another_picture_is_not_near(change, save, scene, index):
    for number in range(4):
        save(f"{number}.png", scene(number))
        save(f"{number}-changed.png", OTHERS[change](scene(number)))

    assert told(index(), "near") == []


def test_pictures_of_one_colour_are_never_near(save, index):
    for level in (250, 251, 252):
        save(f"{level}.png", Image.new("RGB", (300, 200), (level,) * 3))

    assert told(index(), "near") == []


def test_similar_goes_by_the_cosine_alone(save, scene, index):
    save("a.png", scene(1))
    save("m.png", ImageOps.mirror(scene(1)).resize((280, 210)))
    save("b.png", scene(2, (200, 150)))
    gallery = index()

    assert told(gallery, "similar", min_score=0.99) == [("similar", ["a.png", "m.png"])]
    assert told(gallery, "similar", min_score=-1) == [("similar", ["a.png", "m.png", "b.png"])]
    (group,) = find_duplicates(gallery, "similar", min_score=0.99)
    assert group.members[1].evidence.score > 0.99
    assert group.members[1].why == "320 x 240 rather than 280 x 210"


def test_what_is_near_stays_together_where_it_is_also_similar(save, scene, index):
    save("a.png", scene(1, (400, 300)))
    save("a-small.png", scene(1, (400, 300)).resize((200, 150)))
    save("a-mirrored.png", ImageOps.mirror(scene(1, (400, 300))).resize((300, 225)))
    gallery = index()

    assert told(gallery, "near") == [("near", ["a.png", "a-small.png"])]
    (group,) = find_duplicates(gallery, "similar", min_score=0.95)
    assert names(group) == ["a.png", "a-small.png", "a-mirrored.png"]
    assert [member.evidence.level for member in group.members[1:]] == ["near", "similar"]


def test_near_pictures_join_a_similar_one_all_or_none(save, scene, gallery, album):
    """All of a group are alike with the one to keep, even if that is not what they were near to."""
    files = [
        save("wide.png", scene(2, (640, 480))),
        save("a.png", scene(1)),
        save("a-small.png", scene(1).resize((160, 120))),
    ]
    angles = np.radians([25, 0, -30])  # a-small is near to a, and far from what a is similar to
    vectors = np.zeros((3, gallery.embedder.dim), np.float32)
    vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
    gallery.add([record_of(file, album) for file in files], vectors)

    apart = told(gallery, "similar", min_score=0.85)
    together = told(gallery, "similar", min_score=0.5)

    assert apart == [("near", ["a.png", "a-small.png"])]
    assert together == [("similar", ["wide.png", "a.png", "a-small.png"])]


def test_a_chain_of_near_pictures_is_not_one_group(save, index, scene):
    """Each differs a little from the next; the ends are other pictures."""
    one, other = (np.asarray(scene(n), np.float32) for n in (1, 2))
    steps = [one + (other - one) * share for share in np.linspace(0, 1, 41)]
    for number, pixels in enumerate(steps):
        save(f"{number:02}.png", Image.fromarray(pixels.round().astype(np.uint8)))

    found = list(find_duplicates(index(), "near"))

    assert len(found) > 2
    for group in found:
        for member in group.members[1:]:
            assert member.evidence.distance <= levels.NEAR_DISTANCE
    assert sum(len(group.members) for group in found) <= 41


def test_missing_and_changed_files_and_links_do_not_count(save, scene, index, album):
    data = save("a.png", scene(1)).read_bytes()
    for name in ("b.png", "c.png", "d.png", "e.png"):
        save(name, data)
    gallery = index()
    (album / "b.png").unlink()
    save("c.png", scene(2))
    os.utime(album / "d.png", ns=(5, 5))
    (album / "e.png").unlink()
    (album / "e.png").symlink_to(album / "a.png")

    census = take_census(copies(gallery), Preference())

    assert dict(census.left_out) == {"missing": 1, "changed": 2, "link": 1}
    assert told(gallery) == []


def test_FS_15_hard_links_are_one_file_and_no_duplicates(save, scene, index, album):
    file = save("A.png", scene(1))
    (album / "a.png").hardlink_to(file)
    assert told(index()) == []

    save("b.png", file.read_bytes())
    os.utime(album / "b.png", ns=(9, 9))
    assert told(index()) == [("exact", ["b.png", "A.png", "a.png"])]


def test_a_gallery_whose_folder_is_gone_has_no_duplicates(save, scene, index, album):
    data = save("a.png", scene(1)).read_bytes()
    save("b.png", data)
    gallery = index()
    album.rename(album.parent / "elsewhere")

    assert told(gallery) == []


def test_folders_decide_between_equal_files(save, scene, index, album):
    data = save("a/x.png", scene(1)).read_bytes()
    for folder in ("b", "c"):
        save(f"{folder}/x.png", data)
    gallery = index()

    def kept(**options):
        (group,) = find_duplicates(gallery, **options)
        return [m.copy.path.decode()[0] for m in group.members if m.keep], group.keeper.why

    assert kept(prefer=[album / "b"]) == (["b"], f"in the preferred folder {album / 'b'}")
    assert kept(prefer=[album / "c", album / "b"])[0] == ["c"]
    assert kept(prefer=[album / "b"], reference=[album / "c"])[0] == ["c"]
    assert kept(reference=[album / "c", album / "b"])[0] == ["b", "c"]


def test_looks_that_the_gallery_has_are_used_and_others_are_kept(
    save, scene, index, gallery, album
):
    save("a.png", scene(1))
    save("b.jpg", scene(1))
    index()
    kept = lambda: {r for (r,) in gallery._connection.execute("SELECT look FROM images")}  # noqa: E731
    assert kept() == {None}

    assert told(gallery) == [("near", ["a.png", "b.jpg"])]
    assert kept() == {look(scene(1)), look(Image.open(album / "b.jpg").convert("RGB"))}

    gallery._connection.execute("UPDATE images SET look = ? WHERE format = 'PNG'", (b"\xaa" * 32,))
    assert told(gallery) == []


def test_a_gallery_that_can_only_be_read_is_searched_all_the_same(save, scene, index, gallery):
    save("a.png", scene(1))
    save("b.jpg", scene(1))
    index()
    with open_gallery(gallery.path, readonly=True) as opened:
        assert told(opened) == [("near", ["a.png", "b.jpg"])]


def test_images_of_the_web_and_of_archives_are_shown_and_not_kept_for_files(
    save, scene, index, gallery, embedder, tmp_path
):
    small = save("small.jpg", scene(1).resize((160, 120)))
    index()
    with tarfile.open(tmp_path / "shard.tar", "w"):
        pass
    buffer = io.BytesIO()
    scene(1).save(buffer, "PNG")
    values = {"width": 320, "height": 240, "bytes": 9, "mtime_ns": 0, "format": "PNG"}
    values["thumbnail"] = thumbnail_jpeg(scene(1))
    web = Record(path=b"https://e.org/a.png", root=WEB, digest="1" * 64, **values)
    member = Record(path=b"a.png", root=str(tmp_path / "shard.tar"), digest="2" * 64, **values)
    gallery.add([web, member], embedder.embed([scene(1), scene(1)]))

    (group,) = find_duplicates(gallery)

    first, *others = group.members
    assert first.copy.file == small
    assert first.why == "a file of its own rather than in an archive"
    assert [m.copy.shown for m in others] == [f"{tmp_path}/shard.tar/a.png", "https://e.org/a.png"]
    assert [m.why for m in others] == [
        "in an archive, so it is left alone",
        "on the web, so it is left alone",
    ]
    assert not group.spare


def test_damaged_pictures_without_a_look_are_not_near(save, scene, index, gallery):
    save("a.png", scene(1))
    save("b.jpg", scene(1))
    index()
    file = save("b.jpg", b"no picture")
    (record,) = gallery.get([2])
    os.utime(file, ns=(record.mtime_ns, record.mtime_ns))
    gallery._connection.execute("UPDATE images SET bytes = 10 WHERE id = 2")

    assert told(gallery) == []
    assert told(gallery, "similar", min_score=0.95) == [("similar", ["a.png", "b.jpg"])]


def test_images_without_a_vector_are_compared_by_their_bytes(save, scene, index, embedder):
    data = save("a.png", scene(1)).read_bytes()
    save("b.png", data)
    gallery = index()
    gallery._connection.execute("DELETE FROM vectors")

    assert told(gallery, "similar") == [("exact", ["a.png", "b.png"])]


def test_several_spaces_need_a_choice_but_for_equal_bytes(save, scene, index, gallery, embedder):
    data = save("a.png", scene(1)).read_bytes()
    save("b.png", data)
    index()
    other = replace(embedder.fingerprint, weights="other")
    with open_gallery(gallery.path, type(embedder)(None, embedder.preset, other)) as second:
        record = second.get([1])
        second.add(record, embedder.embed([scene(1)]))
    with open_gallery(gallery.path) as opened:
        assert told(opened, "exact") == [("exact", ["a.png", "b.png"])]
        with pytest.raises(UsageError, match="several models"):
            list(find_duplicates(opened, "near"))
    assert told(gallery, "near") == [("exact", ["a.png", "b.png"])]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"level": "fuzzy"}, "dupes.level"),
        ({"level": "near", "min_score": 0.9}, "dupes.min_score"),
        ({"level": "similar", "min_score": 1.5}, "dupes.min_score"),
        ({"level": "similar", "min_score": float("nan")}, "dupes.min_score"),
        ({"prefer": ["/nowhere"]}, "dupes.folder"),
    ],
)
def test_what_makes_no_sense_is_refused(options, code, gallery):
    with pytest.raises(UsageError) as caught:
        list(find_duplicates(gallery, **options))
    assert caught.value.code == code


def test_an_empty_gallery_has_no_duplicates(gallery):
    assert [told(gallery, level) for level in levels.LEVELS] == [[], [], []]


def test_groups_come_by_level_and_then_by_how_much_can_go(save, scene, index):
    for number, size in ((1, (100, 80)), (2, (400, 300)), (3, (200, 150))):
        data = save(f"{number}.png", scene(number, size)).read_bytes()
        save(f"{number}-copy.png", data)
    save("4.png", scene(4, (800, 600)))
    save("4.jpg", scene(4, (800, 600)), quality=95)

    assert [names(g)[0][0] for g in find_duplicates(index())] == ["2", "3", "1", "4"]


def test_decisions_are_left_out_unless_asked_for(save, scene, index, gallery):
    data = save("a.png", scene(1)).read_bytes()
    save("a-copy.png", data)
    save("b.jpg", scene(1), quality=95)
    save("c.jpg", scene(1), quality=60)
    index()
    (group,) = find_duplicates(gallery)
    assert names(group) == ["a-copy.png", "a.png", "b.jpg", "c.jpg"]
    a, _, b, c = (member.copy.digest for member in group.members)

    decide(gallery, a, b, "not-duplicate")
    apart = [("exact", ["a-copy.png", "a.png"]), ("near", ["b.jpg", "c.jpg"])]
    assert told(gallery) == apart  # c is rather a copy of b
    decide(gallery, c, a, "keep-both")
    assert told(gallery) == apart
    decide(gallery, a, a, "keep-both")
    assert told(gallery) == [("near", ["b.jpg", "c.jpg"])]

    (group,) = find_duplicates(gallery, decided=True)
    said = [member.decided for member in group.members[1:]]
    assert said == ["keep-both", "not-duplicate", "keep-both"]


def test_decisions_hold_within_similar_groups_too(save, scene, index, gallery):
    save("a.png", scene(1, (400, 300)))
    save("a-small.png", scene(1, (400, 300)).resize((200, 150)))
    save("m.png", ImageOps.mirror(scene(1, (400, 300))).resize((300, 225)))
    index()
    (group,) = find_duplicates(gallery, "similar", min_score=0.95)
    _, small, mirrored = (member.copy.digest for member in group.members)

    decide(gallery, small, mirrored, "not-duplicate")

    assert told(gallery, "similar", min_score=0.95) == [("near", ["a.png", "a-small.png"])]
    assert Path(group.keeper.copy.shown).name == "a.png"
