from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest

from dinoseek.web.buckets import Buckets

Make = Callable[..., Any]


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_bucket_gives_as_much_at_once_as_in_a_minute_and_then_as_it_fills() -> None:
    clock = Clock()
    buckets = Buckets(60, clock=clock)
    assert [buckets.take("a") for _ in range(60)] == [0.0] * 60
    assert buckets.take("a") == pytest.approx(1.0)
    clock.now += 0.75
    assert buckets.take("a") == pytest.approx(0.25)
    clock.now += 0.25
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == pytest.approx(1.0)


def test_bucket_never_holds_more_than_a_minute_gives() -> None:
    clock = Clock()
    buckets = Buckets(2, clock=clock)
    buckets.take("a")
    clock.now += 86_400
    assert [buckets.take("a") == 0.0 for _ in range(3)] == [True, True, False]


def test_buckets_of_0_let_everything_pass() -> None:
    buckets = Buckets(0)
    assert not any(buckets.take("a") for _ in range(10_000))
    assert len(buckets) == 0


def test_buckets_of_many_clients_take_bounded_memory() -> None:
    buckets = Buckets(1, most=100)
    for number in range(10_000):
        buckets.take(number)
    assert len(buckets) == 100
    assert buckets.take(9_999) > 0


def test_WEB_19_address_that_asks_too_often_waits_and_another_does_not(site: Make) -> None:
    client = site(requests=5).client
    statuses = [client.get("/help").status_code for _ in range(8)]
    assert statuses == [200] * 5 + [429] * 3
    refused = client.get("/help")
    assert 1 <= int(refused["Retry-After"]) <= 12
    assert client.get("/help", REMOTE_ADDR="192.0.2.2").status_code == 200


def test_WEB_19_forged_forwarding_does_not_help(site: Make) -> None:
    client = site(requests=2).client
    statuses = [
        client.get("/help", headers={"X-Forwarded-For": f"192.0.2.{n}"}).status_code
        for n in range(4)
    ]
    assert statuses == [200, 200, 429, 429]


def test_WEB_19_addresses_of_one_ipv6_network_count_as_one(site: Make) -> None:
    client = site(requests=2).client
    statuses = [
        client.get("/help", REMOTE_ADDR=f"2001:db8:1:2::{n}").status_code for n in range(1, 5)
    ]
    assert statuses == [200, 200, 429, 429]
    assert client.get("/help", REMOTE_ADDR="2001:db8:1:3::1").status_code == 200


def test_WEB_19_uploads_are_counted_by_themselves(site: Make, picture: bytes) -> None:
    made = site(uploads=2)
    statuses = [made.post("/search", {"image": BytesIO(picture)}).status_code for _ in range(3)]
    assert statuses == [303, 303, 429]
    assert made.client.get("/help").status_code == 200


def test_refusal_to_a_program_is_json(site: Make) -> None:
    client = site(requests=1).client
    client.get("/api/v1/gallery")
    refused = client.get("/api/v1/gallery")
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate"
    assert refused.json()["error"]["request_id"] == refused["X-Request-ID"]


def test_static_files_and_health_are_not_counted(site: Make) -> None:
    client = site(requests=1).client
    for _ in range(5):
        static = client.get("/static/finder/favicon.svg")
        static.close()
        assert static.status_code == 200
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
    assert client.get("/help").status_code == 200
    assert client.get("/help").status_code == 429
