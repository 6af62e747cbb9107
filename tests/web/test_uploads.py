"""Forms as bytes, sent to the real site: what is whole is read, what is not is refused."""

from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., Any]
LIMIT = 10_000_000
ADDRESS = "/api/v1/search"


def part(data: bytes, name: str = "image", file: str = 'filename="a.jpg"', more: str = "") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"; {file}\r\n{more}'
    return b"--xyz\r\n" + head.encode() + b"\r\n" + data + b"\r\n"


def send(made: Any, body: bytes, kind: str = "multipart/form-data; boundary=xyz") -> Any:
    return made.client.generic("POST", ADDRESS, body, content_type=kind)


def code(response: Any) -> str:
    return str(response.json()["error"]["code"])


def test_picture_that_arrives_whole_is_searched_with(site: Make, picture: bytes) -> None:
    response = send(site(), part(picture) + b"--xyz--\r\n")
    assert response.status_code == 200
    assert response.json()["hits"]


def test_text_after_the_last_line_is_no_harm(site: Make, picture: bytes) -> None:
    assert send(site(), part(picture) + b"--xyz--\r\nepilogue").status_code == 200


@pytest.mark.parametrize("left", [0.0, 0.5, 0.99])
def test_WEB_04_form_that_is_cut_in_its_file_is_never_a_picture(
    site: Make, picture: bytes, monkeypatch: pytest.MonkeyPatch, left: float
) -> None:
    made = site()
    seen: list[bytes] = []
    monkeypatch.setattr(made.service.pictures, "read", lambda data, *_, **__: seen.append(data))
    whole = part(picture)
    response = send(made, whole[: len(whole) - len(picture) + int(len(picture) * left)])
    assert (response.status_code, code(response)) == (400, "upload.cut")
    assert seen == []


def test_WEB_04_form_that_is_cut_after_its_file_is_refused(site: Make, picture: bytes) -> None:
    for end in (b"", b"--xyz", b"--xyz-"):
        assert send(site(), part(picture) + end).status_code == 400


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT])
def test_WEB_01_file_up_to_the_limit_is_read(site: Make, size: int) -> None:
    response = send(site(), part(b"x" * size) + b"--xyz--\r\n")
    assert (response.status_code, code(response)) == (415, "image.unrecognised")


def test_WEB_01_file_one_byte_over_the_limit_is_refused(site: Make) -> None:
    response = send(site(), part(b"x" * (LIMIT + 1)) + b"--xyz--\r\n")
    assert (response.status_code, code(response)) == (413, "image.too_large_bytes")


def test_WEB_01_too_large_file_is_refused_while_it_arrives_wherever_it_is_sent(site: Make) -> None:
    body = part(b"x" * (LIMIT + 1)) + b"--xyz--\r\n"
    kind = "multipart/form-data; boundary=xyz"
    response = site().client.generic("POST", "/preferences/theme", body, content_type=kind)
    assert response.status_code == 413  # by what reads forms, before what the address does


def test_WEB_01_uploads_are_not_written_to_disk(
    site: Make, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a temporary file")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refused)
    monkeypatch.setattr("django.core.files.temp.NamedTemporaryFile", refused)
    monkeypatch.setattr("django.core.files.uploadedfile.tempfile.NamedTemporaryFile", refused)
    big = picture + b"\0" * 5_000_000
    assert send(site(), part(big) + b"--xyz--\r\n").status_code == 200


@pytest.mark.parametrize("count", [2, 101])
def test_WEB_03_more_than_one_file_is_refused(site: Make, picture: bytes, count: int) -> None:
    small = picture[:2_000]
    body = b"".join(part(small, name=f"image{n}") for n in range(count)) + b"--xyz--\r\n"
    assert send(site(), body).status_code == 400


def test_WEB_03_second_file_is_refused_even_where_django_would_take_it(
    site: Make, picture: bytes
) -> None:
    from django.test import override_settings

    made = site()
    with override_settings(DATA_UPLOAD_MAX_NUMBER_FILES=100):
        response = send(made, part(picture) * 2 + b"--xyz--\r\n")
    assert (response.status_code, code(response)) == (400, "upload.several")


def test_WEB_03_1001_fields_are_refused(site: Make) -> None:
    body = b"".join(part(b"1", name=f"f{n}", file="") for n in range(1_001)) + b"--xyz--\r\n"
    assert send(site(), body).status_code == 400


def test_WEB_03_3_mb_of_text_are_refused(site: Make) -> None:
    response = send(site(), part(b"t" * 3_000_000, file="") + b"--xyz--\r\n")
    assert (response.status_code, code(response)) == (413, "request.too_large")


def test_WEB_03_form_without_a_file_is_refused(site: Make) -> None:
    assert send(site(), part(b"1", name="k", file="") + b"--xyz--\r\n").status_code in (400, 422)


def test_WEB_04_form_without_a_proper_boundary_is_refused(site: Make, picture: bytes) -> None:
    made = site()
    for boundary in ("", "; boundary=", "; boundary=" + "b" * 10_000, "; boundary=日本"):
        kind = f"multipart/form-data{boundary}"
        assert send(made, part(picture) + b"--xyz--\r\n", kind).status_code in (400, 422), kind


def test_WEB_04_nested_form_is_no_picture(site: Make, picture: bytes) -> None:
    inner = part(picture, name="image").replace(b"xyz", b"inner") + b"--inner--\r\n"
    more = "Content-Type: multipart/mixed; boundary=inner\r\n"
    response = send(site(), part(inner, file="", more=more) + b"--xyz--\r\n")
    assert response.status_code in (400, 422)


def test_WEB_04_base64_with_5_mb_of_blanks_is_refused_soon(site: Make) -> None:
    import time

    more = "Content-Transfer-Encoding: base64\r\n"
    start = time.monotonic()
    response = send(site(), part(b" " * 5_000_000, more=more) + b"--xyz--\r\n")
    assert response.status_code in (400, 415, 422)
    assert time.monotonic() - start < 10


NAMES = [
    "../../etc/passwd",
    "..\\x",
    "a\0b.jpg",
    "<script>alert(1)</script>.jpg",
    ".htaccess",
    "CON",
    "gnp.\u202egpj.exe",
    ".",
    "..",
    "日本" * 100,
]


def test_WEB_07_name_of_a_file_is_only_a_name(site: Make, picture: bytes) -> None:
    made = site()
    for name in NAMES:
        response = send(made, part(picture, file=f'filename="{name}"') + b"--xyz--\r\n")
        assert response.status_code in (200, 400, 422), name
        assert "passwd" not in response.content.decode()


def test_WEB_07_name_of_5000_characters_is_refused(site: Make, picture: bytes) -> None:
    name = "x" * 5_000
    response = send(site(), part(picture, file=f'filename="{name}"') + b"--xyz--\r\n")
    assert response.status_code == 400


def test_WEB_06_content_decides_and_not_what_it_is_called(site: Make, picture: bytes) -> None:
    made = site()
    for kind in ("text/html", "image/svg+xml", "application/x-evil", "\u00ff"):
        body = part(picture, more=f"Content-Type: {kind}\r\n") + b"--xyz--\r\n"
        assert send(made, body).status_code == 200, kind


def test_form_in_the_other_encoding_has_no_picture(site: Make) -> None:
    response = send(site(), b"image=abc", "application/x-www-form-urlencoded")
    assert response.status_code in (400, 422)
