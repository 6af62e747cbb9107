"""The key that signs this server's cookies: made once, and readable by its user only."""

import contextlib
import os
import secrets
import stat
from pathlib import Path

from dinoseek.errors import MachineError

FILE = "secret.key"
_LEAST = 50  # characters, of which Django wants that many
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def secret_key(state_dir: Path) -> str:
    """The key kept in `state_dir`, which is made, with the key, where it is missing.

    MachineError if the folder or the file is not this user's alone.
    """
    file = state_dir / FILE
    try:
        _make_private(state_dir)
        if not os.path.lexists(file):
            _write(file)
        return _read(file)
    except OSError as exc:
        reason = f"cannot keep the server's key there: {exc.strerror or exc}"
        fix = "choose another folder: --state-dir"
        raise MachineError("serve.state", exc.filename or file, reason, fix=fix) from exc


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name != "posix":
        return
    status = folder.stat()
    if status.st_uid != os.geteuid():
        reason, fix = "the folder belongs to another user", "choose another one: --state-dir"
        raise MachineError("serve.state", folder, reason, fix=fix)
    if stat.S_IMODE(status.st_mode) != stat.S_IRWXU:
        is_ours = (folder / FILE).exists() or not any(folder.iterdir())
        if not is_ours and status.st_mode & _OTHERS:
            reason = "others can look into the folder, and it holds more than this server's files"
            raise MachineError("serve.state", folder, reason, fix=f"chmod 700 {folder}")
        folder.chmod(0o700)


def _write(file: Path) -> None:
    draft = file.with_name(f".{FILE}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(draft, flags, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            draft.chmod(0o600)  # whatever the umask took away
            out.write(secrets.token_urlsafe(50))
            out.flush()
            os.fsync(out.fileno())
        with contextlib.suppress(FileExistsError):  # another server started at the same time
            os.link(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def _read(file: Path) -> str:
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as opened:
        status = os.fstat(opened.fileno())
        key = opened.read(1_000).strip()
    fix = f"delete it, then a new one is made and everybody has to come in again: rm {file}"
    if os.name == "posix":
        if status.st_uid != os.geteuid():
            raise MachineError("serve.secret", file, "it belongs to another user", fix=fix)
        if status.st_mode & _OTHERS:
            raise MachineError("serve.secret", file, "others can read the server's key", fix=fix)
    if len(key) < _LEAST or not key.isascii():
        reason = f"the server's key is damaged: it has {len(key)} characters of at least {_LEAST}"
        raise MachineError("serve.secret", file, reason, fix=fix)
    return key
