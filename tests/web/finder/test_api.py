"""The JSON API: what it finds, what it refuses, and what its document says."""

import json
import re

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

import dinoseek
from dinoseek.gallery.filters import parse


def upload(data: bytes, name: str = "a.jpg") -> dict[str, SimpleUploadedFile]:
    return {"image": SimpleUploadedFile(name, data)}


def test_a_picture_finds_what_the_library_finds(site, picture, embedder) -> None:
    here = site()
    response = here.client.post("/api/v1/search?k=7", upload(picture))
    with dinoseek.open_gallery(here.config.gallery, embedder) as gallery:
        hits = dinoseek.search(gallery, picture, 7)
    assert response.status_code == 200, response.content
    found = response.json()["hits"]
    assert [hit["id"] for hit in found] == [hit.id for hit in hits]
    assert [hit["score"] for hit in found] == pytest.approx([hit.score for hit in hits], abs=1e-5)
    assert [hit["rank"] for hit in found] == [1, 2, 3, 4, 5, 6, 7]
    assert found[0]["metadata"]["label"] == "red"
    assert found[0]["caption"].startswith("red picture")


def test_a_vector_finds_what_it_does_in_the_library(site, embedder, photos) -> None:
    here = site()
    vector = embedder.embed([photos / "blue-02.jpg"])[0]
    body = json.dumps({"vector": vector.tolist(), "k": 3})
    response = here.client.post("/api/v1/search/vector", body, content_type="application/json")
    assert response.json()["hits"][0]["path"].endswith("/blue-02.jpg")
    assert response.json()["fingerprint"] == embedder.fingerprint.id


def test_an_image_of_the_gallery_finds_others(site, embedder) -> None:
    here = site()
    with dinoseek.open_gallery(here.config.gallery, embedder) as gallery:
        hits = dinoseek.search(gallery, 7, 5, exclude_self=True)
    found = here.client.get("/api/v1/items/7/similar?k=5").json()["hits"]
    assert [hit["id"] for hit in found] == [hit.id for hit in hits]


def test_a_filter_a_cut_off_and_a_region_count(site, picture, embedder) -> None:
    here = site()
    where = "label = 'blue' and price < 20"
    response = here.client.post(f"/api/v1/search?where={where}&k=50", upload(picture))
    with dinoseek.open_gallery(here.config.gallery, embedder) as gallery:
        assert {hit["id"] for hit in response.json()["hits"]} == set(gallery.matching(parse(where)))
        region = dinoseek.Region.parse("0%,0%,50%,50%")
        expected = [hit.id for hit in dinoseek.search(gallery, picture, 5, region=region)]
    response = here.client.post("/api/v1/search?region=0%25,0%25,50%25,50%25&k=5", upload(picture))
    assert [hit["id"] for hit in response.json()["hits"]] == expected
    response = here.client.post("/api/v1/search?min_score=0.9&k=50", upload(picture))
    assert min(hit["score"] for hit in response.json()["hits"]) >= 0.9


def test_an_image_is_described_and_has_a_thumbnail(site) -> None:
    here = site()
    item = here.client.get("/api/v1/items/3").json()
    assert (item["width"], item["height"], item["format"]) == (320, 240, "JPEG")
    assert here.client.get(item["thumbnail"])["Content-Type"] == "image/jpeg"
    small = here.client.get("/api/v1/items/3/thumbnail")
    assert small.content[:2] == b"\xff\xd8"


def test_health_and_gallery(site) -> None:
    here = site()
    assert here.client.get("/api/v1/health").json() == {"ready": True}
    assert here.client.get("/api/v1/gallery").json()["images"] == 36


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/api/v1/search?k=0", 422),
        ("/api/v1/search?k=-1", 422),
        ("/api/v1/search?k=1000000000", 422),
        ("/api/v1/search?k=abc", 422),
        ("/api/v1/search?k=NaN", 422),
        ("/api/v1/search?min_score=7", 422),
        ("/api/v1/search?min_score=nan", 422),
        ("/api/v1/search?where=price+<<+5", 400),
        ("/api/v1/search?region=1,2", 400),
        ("/api/v1/search?nonsense=1", 400),
    ],
)
def test_WEB_15_what_makes_no_sense_is_refused_with_a_reason(
    site, picture, address: str, status: int
) -> None:
    response = site().client.post(address, upload(picture))
    assert response.status_code == status, response.content
    error = response.json()["error"]
    assert error["status"] == status
    assert error["reason"]


@pytest.mark.parametrize(
    ("vector", "status"),
    [
        ([], 422),
        ([1.0, 2.0], 400),
        ("abc", 422),
        ([float("nan")] * 3, 422),
        ([0.0] * 1000, 400),
    ],
)
def test_a_vector_that_is_none_is_refused(site, vector, status) -> None:
    body = json.dumps({"vector": vector})
    response = site().client.post("/api/v1/search/vector", body, content_type="application/json")
    assert response.status_code in (400, 422), response.content
    assert response.json()["error"]["reason"]


def test_a_zero_vector_is_refused(site, embedder) -> None:
    body = json.dumps({"vector": [0.0] * embedder.dim})
    response = site().client.post("/api/v1/search/vector", body, content_type="application/json")
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 422), (b"hello", 415), (b"\xff\xd8\xff\xe0 cut", 422), (b"II*\0" + bytes(99), 415)],
)
def test_WEB_05_what_is_no_picture_is_refused_as_json(site, data: bytes, status: int) -> None:
    response = site().client.post("/api/v1/search", upload(data))
    assert response.status_code in (400, 415, 422), response.content
    assert response.json()["error"]["code"]


@pytest.mark.parametrize("id", ["0", "99", "999999999999999999", "9" * 25, "-1", "x", "1%00"])
def test_WEB_09_an_image_that_is_not_there_is_not_found(site, id: str) -> None:
    here = site()
    for address in (f"/api/v1/items/{id}", f"/api/v1/items/{id}/similar"):
        assert here.client.get(address).status_code == 404


def test_WEB_39_nothing_tells_where_files_lie(site, picture, photos) -> None:
    here = site()
    answers = [
        here.client.post("/api/v1/search?k=36", upload(picture)),
        here.client.get("/api/v1/items/1"),
        here.client.get("/api/v1/gallery"),
        here.client.get("/api/v1/openapi.json"),
    ]
    for answer in answers:
        assert str(photos.parent) not in answer.content.decode()
        assert not re.search(r'"/(tmp|work|home|root)/', answer.content.decode())


def test_WEB_06_the_contents_decide_not_the_type_that_is_claimed(site, picture) -> None:
    here = site()
    for kind in ("text/html", "image/svg+xml", ""):
        file = SimpleUploadedFile("x.svg", picture, kind)
        assert here.client.post("/api/v1/search", {"image": file}).status_code == 200


def test_the_document_describes_each_address_that_there_is(site) -> None:
    here = site()
    document = here.client.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert set(document["paths"]) == {
        "/api/v1/search",
        "/api/v1/search/vector",
        "/api/v1/items/{id}/similar",
        "/api/v1/items/{id}",
        "/api/v1/items/{id}/thumbnail",
        "/api/v1/gallery",
        "/api/v1/health",
    }
    page = here.client.get("/api/docs").content.decode()
    for path in document["paths"]:
        assert path in page
    assert "curl -F image=@cat.jpg" in page


def test_hits_are_what_the_document_says(site, picture) -> None:
    here = site()
    document = here.client.get("/api/v1/openapi.json").json()
    said = document["components"]["schemas"]["HitOut"]["properties"]
    (hit,) = here.client.post("/api/v1/search?k=1", upload(picture)).json()["hits"]
    assert set(hit) == set(said)


def test_the_same_pixels_in_another_size_find_the_same(site, photos, embedder) -> None:
    here = site()
    data = (photos / "teal-05.jpg").read_bytes()
    (hit,) = here.client.post("/api/v1/search?k=1", upload(data)).json()["hits"]
    assert hit["score"] >= 0.999
    assert np.isclose(hit["percentile"], 100, atol=1)
