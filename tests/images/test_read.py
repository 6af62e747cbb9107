import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dinoseek.errors import ImageError
from dinoseek.images.decode import Limits, read_bytes


def code_of(path, **limits):
    with pytest.raises(ImageError) as error:
        read_bytes(path, Limits(**limits))
    return error.value.code


def test_the_bytes_of_a_file_come_back_whatever_its_name_is(tmp_path):
    for name in ("a.jpg", "-leading.jpg", "line\nbreak", "😀.png"):
        (tmp_path / name).write_bytes(b"bytes")
        assert read_bytes(tmp_path / name) == b"bytes"
        assert read_bytes(str(tmp_path / name)) == b"bytes"
    name = os.fsencode(tmp_path) + b"/\xff.jpg"
    with open(name, "wb") as file:  # noqa: PTH123 - the name is bytes
        file.write(b"bytes")
    assert read_bytes(name) == b"bytes"


def test_FS_01_a_folder_is_not_a_file(tmp_path):
    assert code_of(tmp_path) == "path.not_regular"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_FS_02_pipes_devices_and_sockets_are_refused_without_waiting(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert code_of(tmp_path / "pipe.jpg") == "path.not_regular"
    assert code_of("/dev/zero") == "path.not_regular"
    monkeypatch.chdir(tmp_path)  # a socket's name must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        assert code_of("socket.jpg") == "path.not_regular"


def test_FS_05_what_is_not_there_has_vanished(tmp_path):
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "file").write_bytes(b"x")
    for name in ("nothing.jpg", "dangling.jpg", "file/below.jpg"):
        assert code_of(tmp_path / name) == "path.vanished"


def test_FS_08_a_name_that_is_too_long_or_has_a_null_byte_is_unreadable(tmp_path):
    assert code_of(tmp_path / ("a" * 5000)) == "path.unreadable"
    assert code_of("a\0b.jpg") == "path.unreadable"


def test_FS_06_no_permission_is_unreadable(tmp_path):
    file = tmp_path / "secret.jpg"
    file.write_bytes(b"x")
    file.chmod(0)
    tmp_path.chmod(0o755)
    program = (
        "import os, sys\n"
        "from dinoseek.errors import ImageError\n"
        "from dinoseek.images.decode import read_bytes\n"
        "if os.getuid() == 0: os.chdir(os.path.dirname(sys.argv[1])); os.setuid(65534)\n"
        "try: read_bytes('secret.jpg')\n"
        "except ImageError as error: print(error.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "path.unreadable\n", done.stderr


def test_FS_16_a_sparse_file_of_a_terabyte_is_refused_by_its_size(tmp_path):
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(2**40)
    assert code_of(tmp_path / "huge.jpg") == "image.too_large_bytes"


def test_IMG_01_an_empty_file_is_refused(tmp_path):
    (tmp_path / "empty.jpg").touch()
    assert code_of(tmp_path / "empty.jpg") == "image.empty"


@pytest.mark.parametrize("new_size", [3, 30])
def test_IMG_42_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch, new_size):
    file = tmp_path / "a.jpg"
    file.write_bytes(b"0123456789")
    read = os.read

    def read_and_change(descriptor, size):
        os.truncate(file, new_size)
        return read(descriptor, size)

    monkeypatch.setattr(os, "read", read_and_change)
    assert code_of(file) == "path.changed"


def test_a_file_that_comes_in_pieces_is_read_to_its_end(tmp_path, monkeypatch):
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: read(descriptor, min(size, 3)))
    (tmp_path / "a.jpg").write_bytes(b"0123456789")
    assert read_bytes(Path(tmp_path / "a.jpg")) == b"0123456789"


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
def test_no_file_stays_open(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    read_bytes(tmp_path / "a.jpg")
    code_of(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
