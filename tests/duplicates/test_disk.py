"""Moving, linking and deleting: nothing is overwritten, and nothing is lost by what goes wrong."""

import errno
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path, PurePath

import pytest

from dinoseek.duplicates import disk
from dinoseek.errors import DinoseekError, ImageError, MachineError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "in" / "a.jpg"
    path.parent.mkdir()
    path.write_bytes(b"picture")
    os.utime(path, ns=(5_000, 5_000))
    return path


def digest(data=b"picture"):
    return hashlib.sha256(data).hexdigest()


def moved(file, folder, name="sub/a.jpg"):
    return disk.move(file, disk.verified(file, digest()), folder, PurePath(name), digest())


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


@pytest.fixture
def other_disk(tmp_path):
    """A folder that is really on another file system."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system here")
    with tempfile.TemporaryDirectory(dir=shm) as folder:
        yield Path(folder)


@pytest.fixture(params=["same disk", "other disk", "no rename"])
def out(request, tmp_path, monkeypatch):
    """A folder to move to: on this file system, really on another, or as if."""
    if request.param == "other disk":
        return request.getfixturevalue("other_disk") / "out"
    if request.param == "no rename":
        rename = Path.replace

        def refuse(self, target):
            if "out" in Path(target).parts:
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            return rename(self, target)

        monkeypatch.setattr(Path, "replace", refuse)
    return tmp_path / "out"


def test_a_file_is_moved_with_its_way_time_and_rights(file, out):
    file.chmod(0o640)

    target = moved(file, out)

    assert target == out / "sub" / "a.jpg"
    assert target.read_bytes() == b"picture"
    assert not file.exists()
    assert target.stat().st_mtime_ns == 5_000
    assert target.stat().st_mode & 0o777 == 0o640


def test_nothing_is_ever_overwritten(file, out):
    (out / "sub").mkdir(parents=True)
    (out / "sub" / "a.jpg").write_bytes(b"first")
    (out / "sub" / "a (2).jpg").symlink_to("nowhere")

    target = moved(file, out)

    assert target == out / "sub" / "a (3).jpg"
    assert (out / "sub" / "a.jpg").read_bytes() == b"first"
    assert (out / "sub" / "a (2).jpg").is_symlink()


def test_names_are_planned_as_they_will_be_given(tmp_path):
    taken: set[Path] = set()
    for expected in ("a.jpg", "a (2).jpg", "a (3).jpg"):
        name = disk.free_name(tmp_path / "a.jpg", taken)
        assert name.name == expected
        taken.add(name)
    (tmp_path / "b.jpg").touch()
    assert disk.free_name(tmp_path / "b.jpg", set()).name == "b (2).jpg"


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left"), OSError(errno.EIO, "I")])
def test_a_copy_that_fails_leaves_the_file_and_nothing_else(fault, file, out, monkeypatch):
    def fail(*_):
        raise fault

    status = disk.verified(file, digest())
    monkeypatch.setattr(disk.shutil, "copyfileobj", fail)
    monkeypatch.setattr(disk, "_renamed", lambda *_: False)

    with pytest.raises(MachineError) as caught:
        disk.move(file, status, out, PurePath("a.jpg"), digest())

    assert caught.value.code == "path.refused"
    assert file.read_bytes() == b"picture"
    assert contents(out) == {}


def test_a_copy_that_is_not_what_was_copied_is_thrown_away(file, out, monkeypatch):
    status = disk.verified(file, digest())
    monkeypatch.setattr(disk, "_renamed", lambda *_: False)
    monkeypatch.setattr(disk.shutil, "copyfileobj", lambda _, copy, __: copy.write(b"pixture"))

    with pytest.raises(ImageError):
        disk.move(file, status, out, PurePath("a.jpg"), digest())

    assert file.read_bytes() == b"picture"
    assert contents(out) == {}


@pytest.mark.parametrize("step", ["_renamed", "_copy", "_flush_folders"])
def test_an_interruption_at_any_step_leaves_the_bytes_somewhere(step, file, out, monkeypatch):
    status, real = disk.verified(file, digest()), getattr(disk, step)

    def interrupted(*arguments):
        real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(disk, step, interrupted)
    if step == "_copy":
        monkeypatch.setattr(disk, "_renamed", lambda *_: False)
    with pytest.raises(KeyboardInterrupt):
        disk.move(file, status, out, PurePath("a.jpg"), digest())

    left = [p for p in (file, out / "a.jpg") if p.exists() and p.read_bytes() == b"picture"]
    assert left


def test_a_file_that_changes_under_way_is_left(file, out, monkeypatch):
    status = disk.verified(file, digest())
    file.write_bytes(b"newer!!")

    for act in (
        lambda: disk.move(file, status, out, PurePath("a.jpg"), digest()),
        lambda: disk.delete(file, status),
    ):
        with pytest.raises(ImageError) as caught:
            act()
        assert caught.value.code == "path.changed"
    assert file.read_bytes() == b"newer!!"
    assert contents(out) == {}


def test_a_file_that_changes_while_it_is_copied_stays(file, out, monkeypatch):
    real = disk._copy

    def copy(*arguments):
        real(*arguments)
        file.write_bytes(b"newer, and longer")

    status = disk.verified(file, digest())
    monkeypatch.setattr(disk, "_renamed", lambda *_: False)
    monkeypatch.setattr(disk, "_copy", copy)

    with pytest.raises(ImageError, match="changed"):
        disk.move(file, status, out, PurePath("a.jpg"), digest())
    assert file.read_bytes() == b"newer, and longer"
    assert contents(out) == {}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda f: f.unlink(), "path.vanished"),
        (lambda f: (f.unlink(), f.mkdir()), "path.not_regular"),
        (lambda f: (f.unlink(), f.symlink_to("other")), "path.not_regular"),
        (lambda f: (f.unlink(), os.mkfifo(f)), "path.not_regular"),
        (lambda f: f.write_bytes(b"pixture"), "path.changed"),
    ],
)
def test_what_is_not_the_file_that_is_known_is_not_verified(change, code, file):
    (file.parent / "other").write_bytes(b"picture")
    change(file)

    with pytest.raises(DinoseekError) as caught:
        disk.verified(file, digest())
    assert caught.value.code == code


def test_a_linked_file_is_one_with_the_one_to_keep(file, tmp_path):
    keeper = tmp_path / "keeper.jpg"
    keeper.write_bytes(b"picture")

    status = disk.link(file, disk.verified(file, digest()), keeper)

    assert file.samefile(keeper)
    assert status.st_ino == keeper.stat().st_ino
    assert contents(file.parent) == {"a.jpg": b"picture"}


def test_a_file_of_other_bytes_is_never_linked(file, tmp_path):
    for data in (b"pictura", b"picture and more", b""):
        keeper = tmp_path / "keeper.jpg"
        keeper.write_bytes(data)
        with pytest.raises(ImageError) as caught:
            disk.link(file, disk.verified(file, digest()), keeper)
        assert caught.value.code == "path.changed"
        assert contents(file.parent) == {"a.jpg": b"picture"}


def test_files_on_two_disks_are_not_linked(file, other_disk):
    keeper = other_disk / "keeper.jpg"
    keeper.write_bytes(b"picture")

    with pytest.raises(MachineError, match="another disk"):
        disk.link(file, disk.verified(file, digest()), keeper)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EPERM, "does not permit"),
        (errno.ENOTSUP, "this disk cannot do that"),
        (errno.EMLINK, "as many names as the disk allows"),
    ],
)
def test_a_link_that_the_disk_refuses_leaves_the_file(number, words, file, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(number, "no")

    keeper = tmp_path / "keeper.jpg"
    keeper.write_bytes(b"picture")
    monkeypatch.setattr(os, "link", refuse)

    with pytest.raises(MachineError, match=words):
        disk.link(file, disk.verified(file, digest()), keeper)
    assert contents(file.parent) == {"a.jpg": b"picture"}


# Root may do everything, so as root the work is done by "nobody", in a process of its own.
SCRIPT = """
import hashlib, os, sys
from pathlib import Path, PurePath
from dinoseek.duplicates import disk
from dinoseek.errors import DinoseekError
Path("/").as_uri()
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
folder = Path(sys.argv[1])
digest = hashlib.sha256(b"picture").hexdigest()
file, keeper = folder / "closed" / "a.jpg", folder / "keeper.jpg"
status = disk.verified(file, digest)
for act in (
    lambda: disk.move(file, status, folder / "out", PurePath("a.jpg"), digest),
    lambda: disk.move(keeper, disk.verified(keeper, digest), folder / "closed", PurePath("b"), ""),
    lambda: disk.delete(file, status),
    lambda: disk.link(file, status, keeper),
):
    try:
        act()
    except DinoseekError as exc:
        print(exc.code, exc.reason)
"""


def test_a_folder_that_may_only_be_read_is_told_in_a_line(tmp_path):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "closed").mkdir()
        (folder / "out").mkdir()
        for file in (folder / "closed" / "a.jpg", folder / "keeper.jpg"):
            file.write_bytes(b"picture")
            file.chmod(0o666)
        for path, mode in ((folder, 0o777), (folder / "out", 0o777), (folder / "closed", 0o555)):
            path.chmod(mode)

        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, name], capture_output=True, text=True, check=True
        )

        refused = "path.refused it is left where it is: permission denied"
        assert done.stdout.splitlines() == [refused] * 4
        assert contents(folder) == {"closed/a.jpg": b"picture", "keeper.jpg": b"picture"}
