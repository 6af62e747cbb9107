"""Looking through duplicates: what is kept of each choice, what comes next, what is undone."""

import os
import shutil
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dinoseek
from dinoseek.duplicates.find import find_duplicates
from dinoseek.errors import MachineError, UsageError
from dinoseek.gallery.choices import Choice, choices, discards
from dinoseek.gallery.decisions import decide, decisions
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.holdings import copies
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.sources import from_folder
from dinoseek.web.live import grouping
from dinoseek.web.live.galleries import Galleries
from dinoseek.web.live.grouping import name_of_file
from dinoseek.web.live.review import Review

from .made import soon

EMBEDDER = dinoseek.load_embedder("color-histogram")


def scene(number: int) -> Image.Image:
    """Soft spots of colour with sharp squares on them."""
    rng = np.random.default_rng(number)
    spots = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    pixels = np.array(spots.resize((320, 240), Image.Resampling.BICUBIC))
    for left in range(20, 300, 60):
        top = rng.integers(0, 200)
        pixels[top : top + 40, left : left + 40] = rng.integers(0, 256, 3)
    return Image.fromarray(pixels)


class Album:
    """A folder of pictures, and the gallery of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "album"
        self.folder.mkdir(exist_ok=True)
        self.path = folder / "album.dino"

    def save(self, name: str, number: int, size: tuple[int, int] = (320, 240)) -> None:
        scene(number).resize(size).save(self.folder / name)
        os.utime(self.folder / name, ns=(10**18, 10**18))

    def copy(self, name: str, other: str) -> None:
        (self.folder / other).write_bytes((self.folder / name).read_bytes())
        os.utime(self.folder / other, ns=(10**18, 10**18))

    def index(self) -> None:
        with open_gallery(self.path, EMBEDDER) as gallery:
            list(ingest(from_folder(self.folder), gallery))

    def key(self, name: str) -> str:
        return name_of_file(self.files()[name])

    def files(self):
        with open_gallery(self.path) as gallery:
            return {copy.path.decode(): copy for copy in copies(gallery)}

    def discarded(self) -> dict[str, str]:
        """The discarded files, and a file of the image that is kept instead of each."""
        by_digest = {copy.digest: name for name, copy in reversed(self.files().items())}
        with open_gallery(self.path) as gallery:
            return {path.decode(): by_digest[d] for (_, path), d in discards(gallery).items()}

    def kept(self) -> set[str]:
        with open_gallery(self.path) as gallery:
            said = choices(gallery)
        return {path.decode() for (_, path), choice in said.items() if not choice.is_discard}

    def remembered(self):
        """Everything that was said."""
        with open_gallery(self.path) as gallery:
            return choices(gallery), decisions(gallery)

    def groups(self, level="near", **options):
        """What `dinoseek dupes` finds."""
        with open_gallery(self.path) as gallery:
            found = find_duplicates(gallery, level, **options)
            return [[member.copy.path.decode() for member in group.members] for group in found]


@pytest.fixture(scope="session")
def first_album(tmp_path_factory) -> Album:
    """a, a1, a2 are equal, and b, b1; c-half and c-third are smaller ones of c; d is alone."""
    album = Album(tmp_path_factory.mktemp("first"))
    for number, name in enumerate("abcd"):
        album.save(f"{name}.png", number)
    album.copy("a.png", "a1.png")
    album.copy("a.png", "a2.png")
    album.copy("b.png", "b1.png")
    album.save("c-half.png", 2, (160, 120))
    album.save("c-third.png", 2, (107, 80))
    album.index()
    return album


@pytest.fixture
def album(first_album, tmp_path) -> Album:
    shutil.copytree(first_album.folder.parent, tmp_path, dirs_exist_ok=True)
    return Album(tmp_path)


@pytest.fixture
def review(album):
    galleries = Galleries(album.path, EMBEDDER)
    made = Review(galleries)
    yield made
    made.close()
    galleries.close()


def ready(review: Review, level="exact", position=None):
    """The group once it is found."""
    end = time.monotonic() + 60
    while (seen := review.look(level, position)).is_computing:
        assert time.monotonic() < end
    return seen


def names(seen) -> list[str]:
    return [member.copy.path.decode() for member in seen.group.members]


def said(seen) -> dict[str, str]:
    return {path.decode(): each for (_, path), each in seen.said.items()}


# what is shown


def test_each_level_has_the_groups_of_exactly_this_level(review):
    exact = ready(review, "exact")
    assert (exact.position, exact.total) == (1, 2)
    first, second = (names(ready(review, "exact", place)) for place in (1, 2))
    assert sorted([first, second]) == [["a.png", "a1.png", "a2.png"], ["b.png", "b1.png"]]
    near = ready(review, "near")
    assert names(near) == ["c.png", "c-half.png", "c-third.png"]
    assert near.total == 1
    assert near.totals == {"exact": 2, "near": 1}
    similar = ready(review, "similar")
    assert similar.totals["similar"] == similar.total


def test_places_before_the_first_and_behind_the_last_lead_to_these(review):
    assert ready(review, "exact", 0).position == 1
    assert ready(review, "exact", 99).position == 2


def test_a_gallery_without_duplicates_has_no_group(tmp_path):
    album = Album(tmp_path)
    album.save("a.png", 1)
    album.index()
    galleries = Galleries(album.path, EMBEDDER)
    review = Review(galleries)
    seen = ready(review, "near")
    assert (seen.group, seen.total, seen.is_decided) == (None, 0, False)
    review.close()
    galleries.close()


def test_groups_are_found_on_another_thread_once_for_many_requests(review, monkeypatch):
    real, calls, go_on = grouping.groups_in, [], threading.Event()

    def slow(*args, **options):
        calls.append(threading.current_thread().name)
        assert go_on.wait(60)
        return real(*args, **options)

    monkeypatch.setattr(grouping, "groups_in", slow)
    begin = time.monotonic()
    for _ in range(3):
        assert review.look("near").is_computing
    assert time.monotonic() - begin < 30, "no request waits for them"
    assert not review.look("near").total
    go_on.set()
    ready(review, "near")
    for _ in range(5):
        review.look("near")
    assert len(calls) == 1


def test_choices_do_not_have_the_groups_found_again(review, album, monkeypatch):
    seen = ready(review, "near")
    monkeypatch.setattr(grouping, "groups_in", None)
    review.discard("me", "near", seen.name, album.key("c-half.png"))
    time.sleep(0.05)
    for _ in range(3):
        assert review.look("near").group == seen.group


def test_a_gallery_that_another_process_changed_is_looked_at_again(review, album):
    assert ready(review, "exact").total == 2
    album.copy("d.png", "d1.png")
    album.index()
    end = time.monotonic() + 60
    while review.look("exact").total != 3:
        assert time.monotonic() < end
    (album.folder / "d1.png").unlink()
    (album.folder / "d.png").rename(album.folder / "e.png")
    album.index()
    while review.look("exact").total != 2:
        assert time.monotonic() < end


def test_what_keeps_groups_from_being_found_is_told_and_tried_again(review, monkeypatch):
    def broken(*_args, **_options):
        raise MachineError("disk.full", "the disk", "it is full")

    with monkeypatch.context() as at_first:
        at_first.setattr(grouping, "groups_in", broken)
        with pytest.raises(MachineError, match="it is full"):
            ready(review, "near")
        at_first.setattr(grouping, "groups_in", lambda *_a, **_o: 1 / 0)
        assert soon(lambda: "could not be found" in str(failure(review)))
    assert soon(lambda: failure(review) is None)
    assert ready(review, "near").total == 1


def failure(review) -> MachineError | None:
    try:
        review.look("near")
    except MachineError as exc:
        return exc
    return None


# what is said, and where it is kept


def test_a_discarded_file_is_remembered_with_the_image_kept_instead(review, album):
    seen = ready(review, "near")
    place = review.discard("me", "near", seen.name, album.key("c-half.png"))

    assert place == 1, "c-third is not decided"
    assert album.discarded() == {"c-half.png": "c.png"}
    again = review.look("near")
    assert said(again) == {"c.png": "", "c-half.png": "discard", "c-third.png": ""}
    assert (again.discarded, again.is_decided) == (1, False)
    assert (album.folder / "c-half.png").exists()


def test_once_all_others_are_decided_so_is_the_one_to_keep(review, album):
    seen = ready(review, "near")
    for name in ("c-half.png", "c-third.png"):
        review.discard("me", "near", seen.name, album.key(name))
    again = review.look("near")
    assert said(again) == {"c.png": "keep", "c-half.png": "discard", "c-third.png": "discard"}
    assert again.is_decided


def test_a_kept_file_is_never_again_a_duplicate_of_what_is_kept(review, album):
    assert ["c.png", "c-half.png", "c-third.png"] in album.groups()
    seen = ready(review, "near")
    review.keep("me", "near", seen.name, album.key("c-half.png"))

    assert not [group for group in album.groups() if {"c.png", "c-half.png"} <= set(group)]
    assert any("c-third.png" in group for group in album.groups()), "nothing was said of it"
    files = album.files()
    pair = tuple(sorted(files[name].digest for name in ("c.png", "c-half.png")))
    assert album.remembered()[1] == {pair: "keep-both"}
    assert said(review.look("near"))["c-half.png"] == "keep"


def test_of_equal_files_one_is_kept_and_another_goes(review, album):
    seen = ready(review, "exact", 1)
    if "b.png" in names(seen):
        seen = ready(review, "exact", 2)
    review.keep("me", "exact", seen.name, album.key("a1.png"))
    assert said(ready(review, "exact", seen.position)) == {
        "a.png": "",
        "a1.png": "keep",
        "a2.png": "",
    }
    assert ["a.png", "a2.png"] in album.groups("exact"), "a2 can still go"

    review.discard("me", "exact", seen.name, album.key("a2.png"))

    assert said(ready(review, "exact", seen.position)) == {
        "a.png": "keep",
        "a1.png": "keep",
        "a2.png": "discard",
    }
    assert album.discarded() == {"a2.png": "a.png"}
    assert album.groups("exact") == [["b.png", "b1.png"]]


def test_the_suggested_file_can_go_instead_of_another(review, album):
    seen = ready(review, "near")
    review.discard("me", "near", seen.name, album.key("c-half.png"))
    review.discard("me", "near", seen.name, album.key("c.png"))

    # what was to be kept instead of c-half goes itself, so another is
    assert album.discarded() == {"c-half.png": "c-third.png", "c.png": "c-third.png"}
    assert said(review.look("near"))["c-third.png"] == "keep"
    assert ["c-third.png", "c.png", "c-half.png"] in album.groups()


def test_the_last_file_of_a_group_cannot_be_discarded(review, album):
    seen = ready(review, "near")
    for name in ("c.png", "c-half.png"):
        review.discard("me", "near", seen.name, album.key(name))
    before = album.remembered()
    with pytest.raises(UsageError, match="last file of this group"):
        review.discard("me", "near", seen.name, album.key("c-third.png"))
    assert album.remembered() == before


def test_a_discard_is_taken_back_by_keeping(review, album):
    seen = ready(review, "near")
    review.discard("me", "near", seen.name, album.key("c-half.png"))
    review.keep("me", "near", seen.name, album.key("c-half.png"))
    assert album.discarded() == {}
    assert album.kept() == {"c-half.png"}


def test_discarding_takes_back_that_both_are_wanted(review, album):
    seen = ready(review, "near")
    review.keep("me", "near", seen.name, album.key("c-half.png"))
    review.discard("me", "near", seen.name, album.key("c-half.png"))
    assert album.remembered()[1] == {}
    assert album.discarded() == {"c-half.png": "c.png"}


@pytest.mark.parametrize("level", ["exact", "near"])
def test_keep_all_leaves_nothing_of_the_group(review, album, level):
    seen = ready(review, level)
    group = names(seen)
    review.discard("me", level, seen.name, album.key(group[1]))
    review.keep_all("me", level, seen.name)

    assert album.discarded() == {}
    assert album.kept() == set(group)
    assert not [found for found in album.groups("near") if set(found) & set(group)]
    again = ready(review, level, seen.position)
    assert again.is_decided
    assert set(said(again).values()) == {"keep"}


def test_what_was_decided_on_the_command_line_is_shown(review, album):
    seen = ready(review, "near")
    files = album.files()
    with open_gallery(album.path) as gallery:
        for name in ("c-half.png", "c-third.png"):
            decide(gallery, files["c.png"].digest, files[name].digest, "not-duplicate")
    again = ready(review, "near")
    assert again.group == seen.group
    assert set(said(again).values()) == {"keep"}
    assert again.is_decided


def test_choices_survive_indexing_again_and_another_server(review, album):
    seen = ready(review, "near")
    review.discard("me", "near", seen.name, album.key("c-half.png"))
    review.keep("me", "near", seen.name, album.key("c-third.png"))
    with open_gallery(album.path, EMBEDDER) as gallery:
        list(ingest(from_folder(album.folder), gallery, verify=True))
    galleries = Galleries(album.path, EMBEDDER)
    other = Review(galleries)
    assert said(ready(other, "near")) == {
        "c.png": "keep",
        "c-half.png": "discard",
        "c-third.png": "keep",
    }
    other.close()
    galleries.close()


# what comes next


def test_the_next_group_that_is_not_decided_comes_next(review, album):
    for place in (1, 2):
        seen = ready(review, "exact", place)
        others = names(seen)[1:]
        for name in others[:-1]:
            assert review.discard("me", "exact", seen.name, album.key(name)) == place
        next_place = review.discard("me", "exact", seen.name, album.key(others[-1]))
        assert next_place == 2, "from the first to the second, and there is none behind it"
    assert review.look("exact").position == 1
    assert review.look("exact", 2).is_decided


def test_it_goes_on_at_the_start_when_groups_before_were_left_out(review, album):
    seen = ready(review, "exact", 2)
    assert review.keep_all("me", "exact", seen.name) == 1
    assert review.look("exact").position == 1


# undo


def test_undo_restores_exactly_what_was_step_by_step(review, album):
    seen = ready(review, "near")
    files = album.files()
    with open_gallery(album.path) as gallery:  # something that was said before
        decide(gallery, files["c.png"].digest, files["d.png"].digest, "not-duplicate")
    states = [album.remembered()]
    for step in (
        lambda: review.keep("me", "near", seen.name, album.key("c-half.png")),
        lambda: review.discard("me", "near", seen.name, album.key("c-half.png")),
        lambda: review.discard("me", "near", seen.name, album.key("c.png")),
        lambda: review.keep("me", "near", seen.name, album.key("c.png")),
        lambda: review.keep_all("me", "near", seen.name),
    ):
        step()
        states.append(album.remembered())
    assert all(before != after for before, after in pairwise(states))
    for state in reversed(states[:-1]):
        assert review.can_undo("me")
        assert review.undo("me") == ("near", 1)
        assert album.remembered() == state
    assert not review.can_undo("me")
    assert review.undo("me") is None


def test_everybody_undoes_their_own_steps_and_leaves_what_others_said_since(review, album):
    seen = ready(review, "near")
    review.discard("me", "near", seen.name, album.key("c-half.png"))
    review.discard("me", "near", seen.name, album.key("c-third.png"))
    review.keep("you", "near", seen.name, album.key("c-third.png"))
    assert not review.can_undo("nobody")

    review.undo("me")
    assert album.discarded() == {"c-half.png": "c.png"}
    assert album.kept() == {"c-third.png"}, "what you said of it later"
    review.undo("me")
    assert album.discarded() == {}
    review.undo("you")
    assert album.kept() == set()


def test_only_so_many_steps_of_so_many_people_are_remembered(album):
    galleries = Galleries(album.path, EMBEDDER)
    review = Review(galleries, depth=2, sessions=2)
    seen = ready(review, "near")
    for _ in range(3):
        review.keep("me", "near", seen.name, album.key("c-half.png"))
    assert [review.undo("me") for _ in range(3)] == [("near", 1), ("near", 1), None]
    for who in ("one", "two", "three"):
        review.discard(who, "near", seen.name, album.key("c-half.png"))
    assert [review.can_undo(who) for who in ("one", "two", "three")] == [False, True, True]
    review.close()
    galleries.close()


# what can go wrong


def test_while_another_process_writes_nothing_is_said_and_nothing_lost(review, album):
    seen = ready(review, "near")
    review.discard("me", "near", seen.name, album.key("c-half.png"))
    before = album.remembered()
    with open_gallery(album.path, EMBEDDER) as other, other.writing():
        for act in (
            lambda: review.keep("me", "near", seen.name, album.key("c-third.png")),
            lambda: review.undo("me"),
        ):
            with pytest.raises(MachineError) as caught:
                act()
            assert caught.value.code == "gallery.locked"
        assert review.look("near").group == seen.group, "it can be looked at all the same"
    assert album.remembered() == before
    assert review.undo("me") == ("near", 1)
    assert album.discarded() == {}


def test_a_short_writer_is_waited_for(review, album):
    seen = ready(review, "near")
    key, begun = album.key("c-half.png"), threading.Event()

    def write() -> None:
        with open_gallery(album.path, EMBEDDER) as other, other.writing():
            begun.set()
            time.sleep(0.2)

    writer = threading.Thread(target=write)
    writer.start()
    assert begun.wait(60)
    review.discard("me", "near", seen.name, key)
    writer.join()
    assert album.discarded() == {"c-half.png": "c.png"}


def test_a_group_of_which_a_file_changed_is_not_decided_on(review, album):
    seen = ready(review, "near")
    key = album.key("c-half.png")
    album.save("c-half.png", 9)
    os.utime(album.folder / "c-half.png", ns=(2 * 10**18, 2 * 10**18))
    album.index()
    for act in (review.keep, review.discard):
        with pytest.raises(UsageError, match="meanwhile"):
            act("me", "near", seen.name, key)
    with pytest.raises(UsageError, match="meanwhile"):
        review.keep_all("me", "near", seen.name)
    assert album.remembered() == ({}, {})
    assert not review.can_undo("me")


def test_groups_and_files_that_there_are_not_are_refused(review, album):
    seen = ready(review, "near")
    with pytest.raises(UsageError, match="not there any more"):
        review.keep("me", "near", "0" * 16, album.key("c.png"))
    with pytest.raises(UsageError, match="not there any more"):
        review.keep_all("me", "exact", seen.name)
    with pytest.raises(UsageError, match="no such file"):
        review.discard("me", "near", seen.name, album.key("a.png"))


def test_many_people_at_once_lose_nothing(review, album):
    exact = [ready(review, "exact", place) for place in (1, 2)]
    near = ready(review, "near")
    jobs = [("exact", each.name, name) for each in exact for name in names(each)[1:]]
    jobs += [("near", near.name, name) for name in names(near)[1:]]
    keys = {name: album.key(name) for _, _, name in jobs}
    threads = [
        threading.Thread(target=review.discard, args=(name, level, group, keys[name]))
        for level, group, name in jobs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(album.discarded()) == set(keys)


def test_a_closed_review_ends_its_thread(album):
    galleries = Galleries(album.path, EMBEDDER)
    review = Review(galleries)
    ready(review, "near")
    review.close()
    assert not [t for t in threading.enumerate() if t.name == "dinoseek-duplicates"]
    galleries.close()
    Review(galleries).close()


def test_choice_says_what_it_is():
    assert Choice(digest="a", instead="b").is_discard
    assert not Choice(digest="a").is_discard
