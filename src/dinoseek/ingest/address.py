"""Addresses of images: one normal form, and which may be asked at all."""

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit, urlunsplit

from dinoseek.errors import FetchError

MAX_LENGTH = 4_096  # characters
_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BAD = re.compile(r"[\x00-\x20\x7f\\]")
_ESCAPED_BAD = re.compile(r"%(0[0-9A-Fa-f]|1[0-9A-Fa-f]|7[fF])")
# what stands for itself in a path or query; everything else is escaped
_PATH, _QUERY = "!$&'()*+,;=:@/~", "!$&'()*+,;=:@/?~"

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Networks that lead inside although Python's ipaddress may call them global.
_INSIDE = tuple(
    map(
        ipaddress.ip_network,
        (
            "::/96",  # IPv4-compatible: ::127.0.0.1
            "::ffff:0:0/96",
            "64:ff9b::/96",  # NAT64, of which the last four bytes are an IPv4 address
            "64:ff9b:1::/48",
            "2002::/16",  # 6to4, of which bytes 2 to 5 are
            "2001::/23",
            "5f00::/16",
            "fec0::/10",
            "192.88.99.0/24",
            "168.63.129.16/32",  # the host of a virtual machine on Azure
        ),
    )
)


def normalised(url: str) -> str:
    """The normal form of an address: two that mean the same are the same text.

    Scheme and host are lower-case, the host in ASCII, an own port and the fragment are left out,
    everything that needs no escape has none (RFC 3986, section 6.2.2). Raises FetchError url.scheme
    for anything but http and https, url.syntax for what is no address or hides something.
    """
    text = url.strip(" \t\r\n")
    if len(text) > MAX_LENGTH:
        raise _syntax(url[:100] + "...", f"it is longer than {MAX_LENGTH} characters")
    scheme = _SCHEME.match(text)
    if scheme is None or scheme[0][:-1].lower() not in _PORTS:
        fix = "write it with http:// or https://"
        raise FetchError("url.scheme", url, "only http and https are fetched", fix=fix)
    if bad := _BAD.search(text.replace(" ", "%20")):
        raise _syntax(url, f"it has the character {bad[0]!r}")
    try:
        parts = urlsplit(text.replace(" ", "%20"))
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise _syntax(url, str(exc)) from exc
    if "@" in parts.netloc:
        raise _syntax(url, "it has a user's name or password")
    netloc = _host(host, url)
    if port is not None and port != _PORTS[parts.scheme]:
        netloc += f":{port}"
    path = _escaped(parts.path or "/", _PATH, url)
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
        name = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError as exc:
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
    port = parts.port or _PORTS[parts.scheme]
    if port not in allowed:
        fix = f"--port {port} allows it"
        raise FetchError("url.port", parts.geturl(), f"port {port} is not allowed", fix=fix)


def is_public(address: IPAddress) -> bool:
    """Whether an address is on the public internet, not one that leads inside in some way."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    inside = any(address.version == net.version and address in net for net in _INSIDE)
    special = address.is_reserved or address.is_multicast or address.is_private
    return address.is_global and not (inside or special or address.is_unspecified)
