import json

import pytest

from dinoseek.web.access_line import access_line, blurred, network, one_line

HOSTILE = [
    "a\nb",
    "\x1b[31mred\x1b[0m",
    "\r\n\r\n",
    "\u2028\u2029",
    "\udcff",
    "日" * 9999,
    "\0",
    '"}',
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_WEB_34_what_clients_send_stays_on_one_line_and_is_cut(text: str) -> None:
    line = access_line({"path": text, "agent": text, "status": 200, "ms": 1.5})
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= 1_000
    read = json.loads(line)
    assert (read["status"], read["ms"]) == (200, 1.5)
    assert len(read["path"]) <= 200


def test_WEB_34_100_kb_are_cut_at_200_characters() -> None:
    assert one_line("x" * 100_000) == "x" * 200


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.77", "192.0.2.77"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.77", "192.0.2.77"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_addresses_of_one_customer_are_one_network(address: str, expected: str) -> None:
    assert network(address) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.77", "192.0.2.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::ffff:192.0.2.77", "192.0.2.0"),
        ("unix", ""),
    ],
)
def test_logged_address_tells_no_person(address: str, expected: str) -> None:
    assert blurred(address) == expected
