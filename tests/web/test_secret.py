import os
import stat
from pathlib import Path

import pytest

from dinoseek.errors import MachineError
from dinoseek.web.secret import FILE, secret_key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_WEB_29_key_is_long_made_once_and_of_its_own_for_each_server(
    folder: Path, tmp_path: Path
) -> None:
    key = secret_key(folder)
    assert len(key) >= 50
    assert len(set(key)) > 5
    assert secret_key(folder) == key
    assert secret_key(tmp_path / "other") != key
    assert [file.name for file in folder.iterdir()] == [FILE]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o177, 0o777])
def test_OPS_06_key_is_its_users_alone_whatever_the_umask(folder: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        key = secret_key(folder)
    finally:
        os.umask(before)
    assert (mode(folder), mode(folder / FILE)) == (0o700, 0o600)
    assert secret_key(folder) == key


@pytest.mark.parametrize("others", [0o640, 0o604, 0o660, 0o644])
def test_WEB_29_key_that_others_can_read_is_refused(folder: Path, others: int) -> None:
    secret_key(folder)
    (folder / FILE).chmod(others)
    with pytest.raises(MachineError, match="others can read") as caught:
        secret_key(folder)
    assert caught.value.exit_code == 4
    assert str(folder / FILE) in caught.value.fix


@pytest.mark.parametrize("content", ["", "short", "x" * 49, "\n" * 99])
def test_WEB_29_short_key_is_refused(folder: Path, content: str) -> None:
    secret_key(folder)
    (folder / FILE).write_text(content)
    with pytest.raises(MachineError, match="damaged"):
        secret_key(folder)


def test_WEB_29_key_that_is_no_text_is_refused(folder: Path) -> None:
    secret_key(folder)
    (folder / FILE).write_bytes(b"\xff" * 99)
    with pytest.raises(MachineError, match="damaged"):
        secret_key(folder)


def test_OPS_07_folder_and_key_of_another_user_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_key(folder)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(MachineError, match="another user") as caught:
        secret_key(folder)
    assert caught.value.exit_code == 4


def test_key_is_not_followed_elsewhere(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("k" * 60)
    elsewhere.chmod(0o600)
    folder.mkdir()
    (folder / FILE).symlink_to(elsewhere)
    with pytest.raises(MachineError):
        secret_key(folder)


def test_OPS_06_own_folder_that_others_can_look_into_is_closed(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    secret_key(folder)
    assert mode(folder) == 0o700
    folder.chmod(0o755)
    secret_key(folder)
    assert mode(folder) == 0o700


def test_folder_with_other_things_is_not_closed_to_others_without_being_asked(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "photo.jpg").touch()
    with pytest.raises(MachineError, match="chmod 700"):
        secret_key(folder)
    assert mode(folder) == 0o755


def test_OPS_08_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError) as caught:
        secret_key(tmp_path / "file" / "state")
    assert "file" in str(caught.value)
    assert "--state-dir" in caught.value.fix


def test_OPS_08_full_disk_leaves_no_half_a_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match="No space left"):
        secret_key(folder)
    assert list(folder.iterdir()) == []
