"""All files of an export in their places, or none."""

import errno
import os
import stat

import pytest

from dinoseek.errors import MachineError, UsageError, WeightsError
from dinoseek.export.files import placing, refuse_existing


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def write_two(folder, text="new", failure=None):
    (folder / "m.xml").write_text(text)
    (folder / "m.bin").write_text(text)
    if failure:
        raise failure


def test_files_take_their_places_together(tmp_path):
    with placing(tmp_path / "m.xml") as folder:
        write_two(folder)
        assert names(tmp_path) == [folder.name]

    assert names(tmp_path) == ["m.bin", "m.xml"]


def test_files_have_the_permissions_that_the_user_wants(tmp_path):
    old = os.umask(0o027)
    try:
        with placing(tmp_path / "m.xml") as folder:
            write_two(folder)
            (folder / "m.bin").chmod(0o600)
    finally:
        os.umask(old)

    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o640}


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_what_is_interrupted_leaves_nothing_and_old_files_as_they_were(tmp_path, failure):
    (tmp_path / "m.xml").write_text("old")

    with pytest.raises(failure), placing(tmp_path / "m.xml", force=True) as folder:
        write_two(folder, failure=failure)

    assert names(tmp_path) == ["m.xml"]
    assert (tmp_path / "m.xml").read_text() == "old"


def test_the_one_that_says_the_others_are_there_comes_last(tmp_path, monkeypatch):
    moved = []
    real = type(tmp_path).replace
    monkeypatch.setattr(
        type(tmp_path), "replace", lambda self, to: (moved.append(to.name), real(self, to))[1]
    )

    with placing(tmp_path / "a.xml") as folder:
        (folder / "a.xml").write_text("")
        (folder / "z.bin").write_text("")

    assert moved == ["z.bin", "a.xml"]


def test_interrupted_between_two_files_none_stays(tmp_path, monkeypatch):
    real = type(tmp_path).replace

    def replace(self, to):
        if to.name == "m.xml":
            raise KeyboardInterrupt
        return real(self, to)

    monkeypatch.setattr(type(tmp_path), "replace", replace)

    with pytest.raises(KeyboardInterrupt), placing(tmp_path / "m.xml") as folder:
        write_two(folder)

    assert names(tmp_path) == []


def test_what_is_there_is_refused_before_and_at_the_end(tmp_path):
    (tmp_path / "m.bin").write_text("old")

    with pytest.raises(UsageError, match="use --force"):
        refuse_existing([tmp_path / "m.xml", tmp_path / "m.bin"], force=False)
    with pytest.raises(UsageError, match="use --force"), placing(tmp_path / "m.xml") as folder:
        write_two(folder)

    assert names(tmp_path) == ["m.bin"]
    assert (tmp_path / "m.bin").read_text() == "old"
    with placing(tmp_path / "m.xml", force=True) as folder:
        write_two(folder)
    assert (tmp_path / "m.bin").read_text() == "new"


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "disk.full"), (errno.EACCES, "export.unwritable")]
)
def test_a_disk_that_refuses_is_told_in_one_line(tmp_path, number, code):
    with pytest.raises(MachineError) as caught, placing(tmp_path / "m.xml"):
        raise OSError(number, os.strerror(number))

    assert caught.value.code == code
    assert str(caught.value).startswith(f"{tmp_path / 'm.xml'}: {os.strerror(number)}; ")
    assert names(tmp_path) == []


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(MachineError, match="No such file"), placing(tmp_path / "no" / "m.xml"):
        pass


def test_an_error_about_a_file_in_the_folder_is_told_of_the_target(tmp_path):
    with pytest.raises(WeightsError) as caught, placing(tmp_path / "m.xml") as folder:
        raise WeightsError("a.code", folder / "m.xml", "is bad", fix="do it again")

    assert str(caught.value) == f"{tmp_path / 'm.xml'}: is bad; do it again"


def test_an_error_about_something_else_stays_as_it_is(tmp_path):
    with pytest.raises(WeightsError) as caught, placing(tmp_path / "m.xml"):
        raise WeightsError("a.code", "other.pth", "is bad")

    assert caught.value.subject == "other.pth"
