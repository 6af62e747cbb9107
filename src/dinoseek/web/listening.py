"""Sockets that listen where `dinoseek serve` was told to, or one line on why they cannot."""

import errno
import socket
from contextlib import ExitStack, suppress

from dinoseek.errors import MachineError

_BACKLOG = 1024
_OTHER_FILES = 300  # galleries, decoders, the log


def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to each address of `host`; port 0 is any free one, the same for all."""
    with ExitStack() as opened:
        sockets: list[socket.socket] = []
        for family, address in _addresses(host, port):
            chosen = sockets[0].getsockname()[1] if sockets else port
            try:
                bound = _bound(family, (address, chosen))
            except OSError as exc:
                if sockets and exc.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    continue  # `localhost` names ::1 where there is no IPv6
                raise _error(exc, host, port) from exc
            sockets.append(opened.enter_context(bound))
        opened.pop_all()
        return sockets


def connection_limit(wanted: int) -> int:
    """How many connections there may be, at most `wanted`, with this process's open files."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(10, min(wanted, soft - _OTHER_FILES))


def _addresses(host: str, port: int) -> list[tuple[int, str]]:
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except (OSError, UnicodeError, OverflowError) as exc:
        raise _no_such_host(host) from exc
    unique = dict.fromkeys((int(family), str(where[0])) for family, _, _, _, where in found)
    return sorted(unique)  # IPv4 first


def _bound(family: int, where: tuple[str, int]) -> socket.socket:
    created = socket.socket(family, socket.SOCK_STREAM)
    try:
        created.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            created.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        created.bind(where)
        created.listen(_BACKLOG)
    except BaseException:
        created.close()
        raise
    return created


def _error(exc: OSError, host: str, port: int) -> MachineError:
    if exc.errno == errno.EADDRINUSE:
        reason = "another program listens there already"
        fix = f"stop it, or choose another port: --port {port % 65_535 + 1}"
        return MachineError("serve.port_taken", f"{host}:{port}", reason, fix=fix)
    if exc.errno in (errno.EACCES, errno.EPERM):
        reason = "this user may not listen there"
        fix = "choose a port above 1023: --port 8000"
        return MachineError("serve.port_refused", f"{host}:{port}", reason, fix=fix)
    if exc.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return _no_such_host(host)
    reason = f"cannot listen there: {exc.strerror or exc}"
    return MachineError("serve.socket", f"{host}:{port}", reason)


def _no_such_host(host: str) -> MachineError:
    reason = "it is not an address of this machine"
    fix = "--host takes 127.0.0.1, 0.0.0.0 or an address that this machine has"
    return MachineError("serve.host", f"--host {host}", reason, fix=fix)
