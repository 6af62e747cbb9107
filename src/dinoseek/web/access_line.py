"""One request as one line of the log, whatever the client put into it."""

import ipaddress
import json
from collections.abc import Mapping
from functools import lru_cache

_CLIENTS = 1024  # whose networks are remembered
LONGEST = 200  # characters of a value


def access_line(values: Mapping[str, str | int | float]) -> str:
    """`values` as a JSON object in ASCII on one line; text is escaped first, then cut."""
    return json.dumps({name: _cut(value) for name, value in values.items()})


def one_line(text: str) -> str:
    """`text` with everything but printable ASCII escaped, cut at 200 characters."""
    # a cut first: what is cut off need not be escaped
    escaped = text[:LONGEST].encode("unicode_escape", "backslashreplace").decode("ascii")
    return escaped[:LONGEST]


@lru_cache(_CLIENTS)
def network(address: str) -> str:
    """The network of `address` that one customer has: itself for IPv4, its /64 for IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:LONGEST]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


@lru_cache(_CLIENTS)
def blurred(address: str) -> str:
    """`address` without its last byte, or beyond its /48: it tells networks apart, not people."""
    try:
        parsed = ipaddress.ip_address(network(address).partition("/")[0])
    except ValueError:
        return ""
    bits = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network((parsed, bits), strict=False).network_address)


def _cut(value: str | int | float) -> str | int | float:
    return one_line(value) if isinstance(value, str) else value
