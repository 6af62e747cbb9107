"""Pictures that the server shows: made anew from pixels, by number only."""

import re
import shutil
from io import BytesIO
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

import dinoseek


def address_of(here, id: int, size: str = "thumb") -> str:
    """The address of an image's picture, as its page has it."""
    page = here.client.get(f"/item/{id}").content.decode()
    large = re.search(rf"/media/{id}/large/[0-9a-f]{{16}}\.jpg", page)[0]
    return large.replace("large", size)


@pytest.mark.parametrize(("size", "most"), [("thumb", 320), ("large", 1280)])
def test_pictures_are_jpegs_of_bounded_size_and_kept_for_ever(site, size: str, most: int) -> None:
    here = site()
    response = here.client.get(address_of(here, 3, size))
    assert response["Content-Type"] == "image/jpeg"
    assert "immutable" in response["Cache-Control"]
    assert max(Image.open(BytesIO(response.content)).size) <= most


@pytest.mark.parametrize(
    "path",
    [
        "/media/../../etc/passwd",
        "/media/%2e%2e/%2e%2e/etc/passwd",
        "/media/3/thumb/%00.jpg",
        "/media//etc/passwd/thumb/0123456789abcdef.jpg",
        "/media/-1/thumb/0123456789abcdef.jpg",
        "/media/100000000000000000000/thumb/0123456789abcdef.jpg",
        "/media/999999999999999999/thumb/0123456789abcdef.jpg",
        "/media/x/thumb/0123456789abcdef.jpg",
        "/media/3/huge/0123456789abcdef.jpg",
        "/media/3/thumb/0000000000000000.jpg",
        "/media/3/thumb/../large/0123456789abcdef.jpg",
        "/media/%D9%A3/thumb/0123456789abcdef.jpg",
        "/media/query/3.jpg",
        "/media/query/..%2f..%2fetc%2fpasswd.jpg",
    ],
)
def test_WEB_09_media_are_found_by_number_and_digest_only(site, path: str) -> None:
    response = site().client.get(path)
    assert response.status_code in (404, 410)
    assert b"root:" not in response.content


def test_WEB_10_only_pixels_are_served_however_odd_the_file(site, embedder, gallery_path) -> None:
    folder = gallery_path.parent / "odd"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    exif.get_ifd(0x8825)[1] = "N"
    file = BytesIO()
    Image.new("RGB", (300, 200), "pink").save(file, "JPEG", exif=exif)
    (folder / "gps.jpg").write_bytes(file.getvalue() + b"<script>alert(1)</script>")
    with dinoseek.open_gallery(gallery_path, embedder) as gallery:
        (stored,) = list(dinoseek.ingest(dinoseek.from_folder(folder), gallery))
    here = site()
    for size in ("thumb", "large"):
        response = here.client.get(address_of(here, stored.id, size))
        assert b"script" not in response.content
        assert b"taken at home" not in response.content
        assert not Image.open(BytesIO(response.content)).getexif()
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert re.fullmatch(
            r'inline; filename="[0-9a-f]{16}\.jpg"', response["Content-Disposition"]
        )


def test_WEB_11_a_link_put_in_the_gallerys_folder_shows_nothing(
    site, embedder, gallery_path, tmp_path
) -> None:
    folder = tmp_path / "linked"
    folder.mkdir()
    Image.new("RGB", (50, 50), "pink").save(folder / "a.png")
    with dinoseek.open_gallery(gallery_path, embedder) as gallery:
        (stored,) = list(dinoseek.ingest(dinoseek.from_folder(folder), gallery))
    here = site()
    address = address_of(here, stored.id)
    (folder / "a.png").unlink()
    (folder / "a.png").symlink_to("/etc/passwd")
    response = here.client.get(address)
    assert response.status_code == 404
    assert b"root:" not in response.content


def test_an_image_whose_file_has_gone_is_told_of_and_the_rest_goes_on(
    site, photos, embedder, tmp_path
) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.copy(photos / "red-00.jpg", moved / "red.jpg")
    with dinoseek.open_gallery(tmp_path / "moved.dino", embedder) as gallery:
        list(dinoseek.ingest(dinoseek.from_folder(moved), gallery))
    here = site(gallery=tmp_path / "moved.dino")
    address = address_of(here, 1)
    (moved / "red.jpg").unlink()
    assert here.client.get(address).status_code == 404
    assert here.client.get("/item/1").status_code == 200
    assert here.client.get("/q/1").status_code == 200


def test_files_themselves_are_only_given_out_if_that_was_allowed(site, photos: Path) -> None:
    assert site().client.get("/original/1").status_code == 404


def test_files_are_saved_and_never_shown_by_the_browser(site, photos: Path) -> None:
    here = site(originals=True)
    response = here.client.get("/original/1")
    assert response.content in [file.read_bytes() for file in photos.glob("*.jpg")]
    assert response["Content-Disposition"].startswith("attachment;")
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"


def test_WEB_38_results_are_kept_by_no_cache_and_the_query_picture_neither(site, picture) -> None:
    here = site()
    location = here.post("/search", {"image": SimpleUploadedFile("a.jpg", picture)})["Location"]
    page = here.client.get(location)
    assert page["Cache-Control"] == "no-store"
    assert "Cookie" in page["Vary"]
    shown = re.search(r"/media/query/[\w-]+\.jpg", page.content.decode())[0]
    assert "no-store" in here.client.get(shown)["Cache-Control"]


def test_the_picture_that_was_sent_is_shown_without_what_it_told(site) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    file = BytesIO()
    Image.new("RGB", (3000, 2000), "pink").save(file, "JPEG", exif=exif)
    here = site()
    sent = here.post("/search", {"image": SimpleUploadedFile("a.jpg", file.getvalue())})
    page = here.client.get(sent["Location"]).content.decode()
    shown = here.client.get(re.search(r"/media/query/[\w-]+\.jpg", page)[0])
    assert b"taken at home" not in shown.content
    assert max(Image.open(BytesIO(shown.content)).size) <= 1024
