"""Addresses of images: one normal form, and which may be asked at all."""

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit, urlunsplit

import idna

from dinoseek.errors import FetchError

MAX_LENGTH = 4_096  # characters
_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BAD = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")  # the last are bytes that were no text
_ESCAPED_BAD = re.compile(r"%(0[0-9A-Fa-f]|1[0-9A-Fa-f]|7[fF])")
# what stands for itself in a path or query; everything else is escaped
_PATH, _QUERY = "!$&'()*+,;=:@/~", "!$&'()*+,;=:@/?~"

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# All of IPv6 that is given out. Outside of it lie the forms that only wrap an IPv4 address (::/96,
# NAT64) and all local ones, of which Python's ipaddress calls several global.
_GIVEN_OUT = ipaddress.ip_network("2000::/3")
# Networks that lead inside although Python's ipaddress may call them global.
_INSIDE = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocols, and the metadata of Oracle's cloud
            "192.88.99.0/24",
            "168.63.129.16/32",  # the host of a virtual machine on Azure
            "2001::/23",  # Teredo wraps IPv4, too
            "2002::/16",  # 6to4
            "3fff::/20",
        ),
    )
)


def normalised(url: str) -> str:
    """The normal form of an address: two that mean the same are the same text.

    Scheme and host are lower-case, the host in ASCII; the scheme's own port, the fragment and steps
    up and down ("/a/../b") are left out; nothing is escaped without need (RFC 3986, section 6.2.2).
    Raises FetchError url.scheme for anything but http and https, and url.syntax for what is no
    address or hides something.
    """
    text = url.strip(" \t\r\n")
    if len(text) > MAX_LENGTH:
        raise _syntax(url[:100] + "...", f"it is longer than {MAX_LENGTH} characters")
    scheme = _SCHEME.match(text)
    if scheme is None or scheme[0][:-1].lower() not in _PORTS:
        fix = "write it with http:// or https://"
        raise FetchError("url.scheme", url, "only http and https are fetched", fix=fix)
    text = text.replace(" ", "%20")
    if bad := _BAD.search(text):
        raise _syntax(url, f"it has the character {bad[0]!r}")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise _syntax(url, str(exc)) from exc
    if "@" in parts.netloc:
        raise _syntax(url, "it has a user's name or password")
    if "[" in parts.netloc and ":" not in host:  # an address of a version yet to come
        raise _syntax(url, "its host is no IPv6 address")
    netloc = _host(host, url)
    if port is not None and port != _PORTS[parts.scheme]:
        netloc += f":{port}"
    path = _without_dots(_escaped(parts.path or "/", _PATH, url))
    query = _escaped(parts.query, _QUERY, url)
    normal = urlunsplit((parts.scheme, netloc, path, query, ""))
    if len(normal) > MAX_LENGTH:
        raise _syntax(url[:100] + "...", f"it is longer than {MAX_LENGTH} characters")
    return normal


def _host(host: str, url: str) -> str:
    if not host:
        raise _syntax(url, "it names no host")
    if ":" in host:
        try:
            return f"[{ipaddress.IPv6Address(host.partition('%')[0])}]"
        except ValueError as exc:
            raise _syntax(url, "its host is no IPv6 address") from exc
    try:
        name = host if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError as exc:
        raise _syntax(url, "its host is no name") from exc
    name = name.lower()
    if not _NAME.fullmatch(name):
        raise _syntax(url, "its host is no name")
    return name


def _escaped(text: str, safe: str, url: str) -> str:
    """Text with exactly the escapes that it needs."""
    if _ESCAPED_BAD.search(text):
        raise _syntax(url, "it hides a control character")
    pieces = re.split(r"(%[0-9A-Fa-f]{2})", _ESCAPE.sub("%25", text))
    # what was escaped and must be stays so; what needs no escape loses it
    return "".join(
        _unescaped(piece) if i % 2 else quote(piece, safe) for i, piece in enumerate(pieces)
    )


def _without_dots(path: str) -> str:
    """A path without the segments "." and "..": clients never send them."""
    kept: list[str] = []
    *before, last = path.split("/")[1:]
    for segment in before:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if last == "..":
        del kept[-1:]
    return "/".join(["", *kept, "" if last in (".", "..") else last])


def _unescaped(escape: str) -> str:
    """An escape of three characters, or what it stands for where that is unreserved."""
    character = unquote_to_bytes(escape).decode("latin-1")
    return (
        character
        if character.isascii() and (character.isalnum() or character in "-._~")
        else escape.upper()
    )


def _syntax(url: str, reason: str) -> FetchError:
    return FetchError("url.syntax", url, reason)


def check_port(parts: SplitResult, allowed: Collection[int]) -> None:
    """Raises FetchError url.port for a port that is not allowed."""
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    if port not in allowed:
        fix = f"--port {port} allows it"
        raise FetchError("url.port", parts.geturl(), f"port {port} is not allowed", fix=fix)


def is_public(address: IPAddress) -> bool:
    """Whether an address is on the public internet, not one that leads inside in some way."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address not in _GIVEN_OUT:
            return False
    inside = any(address in network for network in _INSIDE)  # False where versions differ
    return address.is_global and not (inside or address.is_reserved or address.is_multicast)
