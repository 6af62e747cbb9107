"""What a person decided: by bytes, so that it outlives everything that happens to files."""

import pytest

from dinoseek.duplicates.find import find_duplicates
from dinoseek.duplicates.named import digest_of
from dinoseek.errors import UsageError
from dinoseek.gallery.decisions import decide, decisions, forget_decisions
from dinoseek.ingest.outcomes import Removed, Stored
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.sources import from_folder


def test_decisions_outlive_renaming_indexing_again_and_removal(save, scene, album, gallery):
    save("a.png", scene(1))
    save("b.jpg", scene(1))
    list(ingest(from_folder(album), gallery))
    (group,) = find_duplicates(gallery)
    decide(gallery, *(member.copy.digest for member in group.members), "not-duplicate")
    assert list(find_duplicates(gallery)) == []

    (album / "a.png").rename(album / "z.png")
    list(ingest(from_folder(album), gallery, verify=True))
    assert list(find_duplicates(gallery)) == []

    data = (album / "b.jpg").read_bytes()
    (album / "b.jpg").unlink()
    assert Removed in map(type, list(ingest(from_folder(album), gallery)))
    save("back.jpg", data)
    assert Stored in map(type, list(ingest(from_folder(album), gallery)))
    assert list(find_duplicates(gallery)) == []

    assert forget_decisions(gallery) == 1
    assert len(list(find_duplicates(gallery))) == 1


def test_the_last_word_counts_in_whatever_order_the_two_are_named(gallery):
    decide(gallery, "b" * 64, "a" * 64, "not-duplicate")
    assert decisions(gallery) == {("a" * 64, "b" * 64): "not-duplicate"}
    decide(gallery, "a" * 64, "b" * 64, "keep-both")
    assert decisions(gallery) == {("a" * 64, "b" * 64): "keep-both"}
    assert forget_decisions(gallery) == 1
    assert decisions(gallery) == {}
    assert forget_decisions(gallery) == 0


def test_equal_bytes_cannot_be_different_pictures(gallery):
    with pytest.raises(UsageError, match="the same bytes"):
        decide(gallery, "a" * 64, "a" * 64, "not-duplicate")
    decide(gallery, "a" * 64, "a" * 64, "keep-both")
    with pytest.raises(ValueError, match="verdict"):
        decide(gallery, "a" * 64, "b" * 64, "maybe")  # type: ignore[arg-type]


def test_images_are_named_by_file_id_or_what_a_file_was(save, scene, index, album, monkeypatch):
    save("a.png", scene(1))
    save("2", scene(3), format="PNG")
    save("b.png", scene(2))
    gallery = index()
    first, second = (record.digest for record in gallery.get([1, 2]))
    monkeypatch.chdir(album)

    assert digest_of(gallery, "a.png") == first
    assert digest_of(gallery, str(album / "b.png")) == second
    assert digest_of(gallery, "id:1") == digest_of(gallery, "1") == first
    (album / "a.png").unlink()
    assert digest_of(gallery, "a.png") == first
    for name in ("2", "nothing.png", "id:77"):  # a file named like a number comes first
        with pytest.raises(UsageError):
            digest_of(gallery, name)
