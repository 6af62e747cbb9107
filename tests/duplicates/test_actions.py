"""Clearing away: only what is a duplicate right now goes, and the gallery knows of it."""

import os
from pathlib import Path

import pytest

from dinoseek.duplicates.actions import Action, freed_bytes, perform, plan
from dinoseek.duplicates.discarded import discarded_files
from dinoseek.duplicates.find import find_duplicates
from dinoseek.duplicates.keeper import Preference
from dinoseek.errors import MachineError, UsageError
from dinoseek.gallery.choices import choices, discard, keep
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.holdings import copies

DELETE, HARDLINK = Action(kind="delete"), Action(kind="hardlink")


@pytest.fixture
def trio(save, scene, index):
    """Two equal files and a smaller picture: a.png is kept."""
    data = save("a.png", scene(1)).read_bytes()
    save("sub/a.png", data)
    save("sub/small.jpg", scene(1).resize((160, 120)))
    save("other.png", scene(2))
    return index()


def files(album):
    return sorted(p.relative_to(album).as_posix() for p in album.rglob("*.*") if p.is_file())


def known(gallery):
    return sorted(copy.path.decode() for copy in copies(gallery))


def done(gallery, action, level="near"):
    groups = list(find_duplicates(gallery, level))
    return [(o.copy.path.decode(), o.status, o.code) for o in perform(gallery, groups, action)]


ALL = ["a.png", "other.png", "sub/a.png", "sub/small.jpg"]


@pytest.fixture
def to(tmp_path):
    return Action(kind="move", folder=tmp_path / "spare")


def test_a_plan_touches_nothing_and_says_all(trio, album, to, tmp_path):
    groups = list(find_duplicates(trio))

    outcomes = list(plan(trio, groups, to))

    assert [(o.copy.path, o.status, o.target) for o in outcomes] == [
        (b"sub/a.png", "planned", str(tmp_path / "spare/sub/a.png")),
        (b"sub/small.jpg", "planned", str(tmp_path / "spare/sub/small.jpg")),
    ]
    assert files(album) == known(trio) == ALL
    assert not (tmp_path / "spare").exists()
    assert freed_bytes(groups) == sum((album / name).stat().st_size for name in ALL[2:])


def test_moved_files_keep_their_way_and_the_gallery_forgets_them(trio, album, to, tmp_path):
    before = (album / "sub/small.jpg").read_bytes()

    assert done(trio, to) == [("sub/a.png", "done", None), ("sub/small.jpg", "done", None)]

    assert files(album) == known(trio) == ["a.png", "other.png"]
    assert (tmp_path / "spare/sub/small.jpg").read_bytes() == before
    assert len(trio) == 2
    assert list(find_duplicates(trio)) == []
    assert done(trio, to) == []


def test_deleted_files_are_gone_and_forgotten(trio, album):
    assert [status for _, status, _ in done(trio, DELETE)] == ["done", "done"]
    assert files(album) == known(trio) == ["a.png", "other.png"]


def test_equal_files_become_one_on_the_disk(trio, album):
    groups = list(find_duplicates(trio, "exact"))
    freed = freed_bytes(groups)

    assert done(trio, HARDLINK, "exact") == [("sub/a.png", "done", None)]

    assert (album / "a.png").samefile(album / "sub/a.png")
    assert freed == (album / "a.png").stat().st_size
    assert files(album) == known(trio) == ALL
    assert list(find_duplicates(trio, "exact")) == []


def test_a_linked_file_is_not_taken_for_changed(save, scene, index, album):
    data = save("a.png", scene(1)).read_bytes()
    os.utime(save("b.png", data), ns=(10**18, 10**18))  # the older one
    gallery = index()

    assert done(gallery, HARDLINK, "exact") == [("a.png", "done", None)]

    assert {copy.mtime_ns for copy in copies(gallery)} == {10**18}
    assert (album / "a.png").stat().st_mtime_ns == 10**18


@pytest.mark.parametrize("kind", ["delete", "move"])
def test_no_file_goes_if_the_one_to_keep_is_not_what_it_was(kind, trio, album, to):
    groups = list(find_duplicates(trio))
    save = (album / "a.png").read_bytes()
    for spoil in (
        lambda: (album / "a.png").unlink(),
        lambda: (album / "a.png").write_bytes(save[:-1] + b"x"),
        lambda: ((album / "a.png").unlink(), (album / "a.png").symlink_to("sub/a.png")),
    ):
        spoil()
        outcomes = list(perform(trio, groups, DELETE if kind == "delete" else to))
        assert [o.status for o in outcomes] == ["skipped", "skipped"]
        assert all(str(album / "a.png") in o.reason for o in outcomes)
        assert {"sub/a.png", "sub/small.jpg"} <= set(files(album))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda f: f.unlink(), "path.vanished"),
        (lambda f: f.write_bytes(b"another picture"), "path.changed"),
        (lambda f: os.utime(f, ns=(1, 1)), "path.changed"),
        (lambda f: (f.unlink(), f.symlink_to("a.png")), "path.not_regular"),
    ],
)
def test_files_that_changed_meanwhile_are_skipped_and_listed(change, code, trio, album, to):
    groups = list(find_duplicates(trio))
    change(album / "sub/small.jpg")

    outcomes = {o.copy.path: o for o in perform(trio, groups, to)}

    assert outcomes[b"sub/small.jpg"].status == "skipped"
    assert outcomes[b"sub/small.jpg"].code == code
    assert outcomes[b"sub/a.png"].status == "done"
    assert "sub/small.jpg" in known(trio)


def test_same_size_and_time_do_not_hide_other_bytes(trio, album):
    file = album / "sub/small.jpg"
    groups, status = list(find_duplicates(trio)), file.stat()
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    os.utime(file, ns=(status.st_mtime_ns, status.st_mtime_ns))

    outcomes = {o.copy.path: o.code for o in perform(trio, groups, DELETE)}

    assert outcomes == {b"sub/a.png": None, b"sub/small.jpg": "path.changed"}
    assert file.exists()


def test_a_file_that_became_the_one_to_keep_by_another_name_stays(trio, album):
    groups = list(find_duplicates(trio, "exact"))
    os.utime(album / "a.png", ns=(10**18, 10**18))
    trio._connection.execute("UPDATE files SET mtime_ns = ?", (10**18,))
    groups = list(find_duplicates(trio, "exact")) or groups
    (album / "sub/a.png").unlink()
    (album / "sub/a.png").hardlink_to(album / "a.png")

    for outcome in perform(trio, groups, DELETE):
        assert outcome.status == "skipped"
    assert (album / "sub/a.png").exists()
    assert (album / "a.png").exists()


def test_what_was_taken_back_or_lost_its_keeper_since_it_was_listed_is_skipped(trio, album):
    by_name = {copy.path: copy for copy in copies(trio)}
    kept, equal, small = (by_name[name] for name in (b"a.png", b"sub/a.png", b"sub/small.jpg"))
    discard(trio, equal, kept.digest)
    discard(trio, small, kept.digest)
    groups = discarded_files(
        trio, list(by_name.values()), Preference.of(choices=choices(trio))
    ).groups

    keep(trio, small)
    outcomes = {o.copy.path: o.code for o in perform(trio, groups, DELETE, chosen=True)}
    assert outcomes == {b"sub/a.png": None, b"sub/small.jpg": "dupes.kept"}

    discard(trio, small, kept.digest)
    discard(trio, kept, small.digest)
    (outcome,) = [
        o for o in perform(trio, groups, DELETE, chosen=True) if o.copy.path == b"sub/small.jpg"
    ]
    assert (outcome.status, outcome.code) == ("skipped", "dupes.keeper")
    assert files(album) == ["a.png", "other.png", "sub/small.jpg"]


def test_stopping_early_leaves_the_rest_and_the_gallery_right(trio, album):
    groups = list(find_duplicates(trio))
    outcomes = perform(trio, groups, DELETE)
    next(outcomes)
    outcomes.close()

    assert files(album) == known(trio) == ["a.png", "other.png", "sub/small.jpg"]


def test_a_path_that_leads_out_of_its_folder_is_not_followed(trio, album, to, tmp_path):
    (tmp_path / "evil.jpg").write_bytes((album / "sub/small.jpg").read_bytes())
    os.utime(tmp_path / "evil.jpg", ns=(1, 1))
    trio._connection.execute(
        "UPDATE files SET path = ?, mtime_ns = 1 WHERE path = ?", (b"../evil.jpg", b"sub/small.jpg")
    )

    assert ("../evil.jpg", "skipped", "path.outside") in done(trio, to)
    assert (tmp_path / "evil.jpg").exists()


def test_files_of_a_reference_folder_and_decided_ones_stay(trio, album, to):
    groups = list(find_duplicates(trio, reference=[album / "sub"]))

    assert [(o.copy.path, o.status) for o in perform(trio, groups, to)] == [(b"a.png", "done")]
    assert "sub/a.png" in files(album)


@pytest.mark.parametrize("inside", ["dupes", "sub/dupes", "../album/new"])
def test_a_folder_that_is_indexed_is_no_place_to_move_to(inside, trio, album):
    groups = list(find_duplicates(trio))
    action = Action(kind="move", folder=album / inside)

    for act in (plan, perform):
        with pytest.raises(UsageError, match="which is indexed"):
            list(act(trio, groups, action))
    with pytest.raises(UsageError, match="the gallery's own"):
        list(plan(trio, groups, Action(kind="move", folder=trio.path / "spare")))
    (album.parent / "file").touch()
    with pytest.raises(UsageError, match="a file, not a folder"):
        list(plan(trio, groups, Action(kind="move", folder=album.parent / "file")))


def test_actions_that_do_not_fit_the_level_are_refused(trio, save, scene, index):
    near = list(find_duplicates(trio))
    similar = list(find_duplicates(trio, "similar", min_score=-1))

    with pytest.raises(UsageError, match="same bytes"):
        list(perform(trio, near, HARDLINK))
    with pytest.raises(UsageError, match="different pictures"):
        list(perform(trio, similar, DELETE))
    for wrong in ({"kind": "move"}, {"kind": "delete", "folder": Path("x")}):
        with pytest.raises(ValueError, match="folder"):
            Action(**wrong)


def test_a_gallery_that_cannot_be_written_to_lets_nothing_be_touched(trio, album):
    with open_gallery(trio.path, readonly=True) as opened:
        groups = list(find_duplicates(opened))
        with pytest.raises(MachineError, match="only be read"):
            list(perform(opened, groups, DELETE))
    with trio.writing(), open_gallery(trio.path) as other:
        groups = list(find_duplicates(other))
        with pytest.raises(MachineError, match="is writing to it"):
            list(perform(other, groups, DELETE))
    assert files(album) == ALL


def test_names_of_one_file_only_free_its_bytes_together(save, scene, index, album):
    data = save("a.png", scene(1)).read_bytes()
    save("b.png", data)
    (album / "c.png").hardlink_to(album / "b.png")
    (album.parent / "elsewhere.png").hardlink_to(album / "b.png")
    gallery = index()
    groups = list(find_duplicates(gallery, "exact"))

    assert len(groups[0].spare) == 2
    assert freed_bytes(groups) == 0
    (album.parent / "elsewhere.png").unlink()
    assert freed_bytes(groups) == len(data)
