import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from dinoseek.web.middleware.record import server_timing

Make = Callable[..., Any]
HOSTILE = "a\r\nforged\x1b[31m\u2028" + "x" * 100_000


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    caplog.set_level(logging.DEBUG, logger="dinoseek.web.access")
    return lambda: [
        json.loads(record.getMessage())
        for record in caplog.records
        if record.name == "dinoseek.web.access"
    ]


def test_each_request_is_one_line_with_its_number(site: Make, lines: Any) -> None:
    response = site().client.get("/help", headers={"User-Agent": "a browser"})
    (line,) = lines()
    assert line.pop("ms") >= 0
    assert line == {
        "id": response["X-Request-ID"],
        "address": "127.0.0.0",
        "method": "GET",
        "path": "/help",
        "status": 200,
        "agent": "a browser",
    }


def test_WEB_34_what_clients_send_cannot_forge_a_line(
    site: Make, lines: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = site().client
    client.get("/%0d%0aforged%1b[31m" + "x" * 50_000, headers={"User-Agent": HOSTILE})
    client.generic("A\nB", "/", headers={"User-Agent": "\udcff日本"})
    assert len(lines()) == 2
    for record in [record for record in caplog.records if record.name.startswith("dinoseek")]:
        message = record.getMessage()
        assert message.isprintable()
        assert message.isascii()
        assert len(message) < 1_024


def test_log_has_no_query_of_a_person_and_no_whole_address(site: Make, lines: Any) -> None:
    site().client.get("/help?where=private", REMOTE_ADDR="192.0.2.77")
    (line,) = lines()
    assert "private" not in json.dumps(line)
    assert line["address"] == "192.0.2.0"


def test_monitors_do_not_fill_the_log(site: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="dinoseek.web.access")
    client = site().client
    for path in ("/healthz", "/readyz", "/metrics"):
        client.get(path)
    assert [r for r in caplog.records if r.name == "dinoseek.web.access"] == []


def test_OPS_10_full_log_disk_does_not_stop_the_service(
    site: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full:
        def write(self, _text: str) -> None:
            raise OSError(28, "No space left on device")

        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    logger, handler = logging.getLogger("dinoseek.web.access"), logging.StreamHandler(Full())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        assert site().client.get("/help").status_code == 200
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert "No space left" in capsys.readouterr().err


def test_answer_says_where_the_time_went(site: Make, picture: bytes) -> None:
    from io import BytesIO

    made = site()
    response = made.post("/search", {"image": BytesIO(picture)})
    assert response.status_code == 303
    stages = [part.partition(";")[0] for part in response["Server-Timing"].split(", ")]
    assert {"decode", "embed", "total"} <= set(stages)
    assert b'dinoseek_requests_total{method="POST",route="search",status="303"} 1.0' in (
        made.service.timings.text()
    )


def test_routes_that_are_counted_are_few(site: Make) -> None:
    made = site()
    for number in range(20):
        made.client.get(f"/no-such-page-{number}")
        made.client.generic(f"M{number}", "/")
    text = made.service.timings.text().decode()
    counted = [line for line in text.splitlines() if line.startswith("dinoseek_requests_total")]
    assert len(counted) <= 3


def test_times_are_in_milliseconds() -> None:
    assert server_timing({"decode": 0.01234, "total": 1}) == "decode;dur=12.3, total;dur=1000.0"
