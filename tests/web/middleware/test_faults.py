import errno
import logging
import sqlite3
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest

Make = Callable[..., Any]


def raising(monkeypatch: pytest.MonkeyPatch, made: Any, exc: BaseException) -> None:
    def read(*_: Any, **__: Any) -> None:
        raise exc

    monkeypatch.setattr(made.service.pictures, "read", read)


def faults() -> list[tuple[BaseException, int, str]]:
    from django.db.utils import OperationalError

    from dinoseek.errors import (
        FetchError,
        GalleryError,
        ImageError,
        MachineError,
        UsageError,
        WeightsError,
    )
    from dinoseek.web.live.busy import Busy, Gone

    full = OSError(errno.ENOSPC, "No space left on device", "/srv/secret")
    wrapped = MachineError("machine.io", "/srv/secret", "no space")
    wrapped.__cause__ = full
    stuck = OperationalError("database or disk is full")
    stuck.__cause__ = sqlite3.OperationalError("database or disk is full")
    return [
        (Busy(7), 503, "busy"),
        (Gone(), 499, ""),
        (ImageError("image.too_large_bytes", "a.jpg", "large"), 413, "image.too_large_bytes"),
        (ImageError("image.unrecognised", "a.jpg", "no picture"), 415, "image.unrecognised"),
        (ImageError("image.format_not_allowed", "a", "TIFF"), 415, "image.format_not_allowed"),
        (ImageError("image.truncated", "a.jpg", "short"), 422, "image.truncated"),
        (ImageError("image.decode_oom", "a.jpg", "memory"), 503, "image.decode_oom"),
        (ImageError("path.vanished", "/srv/secret", "gone"), 404, "path.vanished"),
        (UsageError("search.region", "region", "bad"), 400, "search.region"),
        (UsageError("id.unknown", "id 7", "none"), 404, "id.unknown"),
        (UsageError("query.expired", "a", "old"), 410, "query.expired"),
        (FetchError("url.timeout", "http://a", "slow"), 422, "url.timeout"),
        (MachineError("gallery.locked", "/srv/secret", "locked"), 503, "gallery.locked"),
        (GalleryError("gallery.corrupt", "/srv/secret", "damaged"), 503, "gallery.corrupt"),
        (WeightsError("weights.corrupt", "/srv/secret", "damaged"), 503, "weights.corrupt"),
        (full, 507, "disk.full"),
        (wrapped, 507, "disk.full"),
        (stuck, 507, "disk.full"),
        (OperationalError("database is locked"), 503, "store"),
        (RuntimeError("/srv/secret is broken"), 500, "fault"),
        (MemoryError(), 500, "fault"),
    ]


def test_each_fault_has_its_status_and_tells_no_folder(
    site: Make, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site()
    for exc, status, code in faults():
        raising(monkeypatch, made, exc)
        response = made.client.post("/api/v1/search", {"image": BytesIO(picture)})
        assert response.status_code == status, exc
        assert b"secret" not in response.content
        assert b"Traceback" not in response.content
        if code:
            assert response.json()["error"]["code"] == code
            assert response.json()["error"]["request_id"] == response["X-Request-ID"]
        assert ("Retry-After" in response) == (status == 503), exc


def test_WEB_30_fault_is_a_plain_page_with_a_number_and_the_log_has_the_rest(
    site: Make, picture: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = site()
    raising(monkeypatch, made, RuntimeError("/srv/secret is broken"))
    with caplog.at_level(logging.ERROR, logger="dinoseek"):
        response = made.post("/search", {"image": BytesIO(picture)})
    assert response.status_code == 500
    page = response.content.decode()
    assert response["X-Request-ID"] in page
    for word in ("secret", "Traceback", "RuntimeError", "site-packages", "Django", ".py"):
        assert word not in page
    (record,) = [r for r in caplog.records if r.name == "dinoseek.web.middleware.faults"]
    assert response["X-Request-ID"] in record.getMessage()
    assert record.exc_info
    assert "/srv/secret is broken" in str(record.exc_info[1])


def test_fixes_that_name_options_are_not_for_strangers(
    site: Make, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dinoseek.errors import ImageError

    made = site()
    exc = ImageError("image.too_many_pixels", "a.jpg", "many", fix="--max-megapixels 99 lets it in")
    raising(monkeypatch, made, exc)
    response = made.client.post("/api/v1/search", {"image": BytesIO(picture)})
    assert response.json()["error"]["fix"] == ""


def test_WEB_18_full_queue_is_503_before_the_form_is_read(
    site: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site()
    monkeypatch.setattr(type(made.service.pictures), "is_full", property(lambda _: True))
    for path in ("/search", "/api/v1/search"):
        response = made.client.post(path, b"not a form", content_type="multipart/form-data; x")
        assert response.status_code == 503, path
        assert int(response["Retry-After"]) >= 1
    assert made.client.get("/help").status_code == 200
    assert b'dinoseek_rejected_total{reason="busy"} 2.0' in made.service.timings.text()


def test_errors_outside_views_are_answered_as_well(site: Make) -> None:
    response = site().client.get("/no-such-page")
    assert response.status_code == 404
    assert response["X-Request-ID"].encode() in response.content
