"""Searching in the page: sending a picture, its address, refining, cutting, filtering, paging."""

import re
from html.parser import HTMLParser
from io import BytesIO
from urllib.parse import urlsplit

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

import dinoseek
from dinoseek.gallery.filters import parse


class Links(HTMLParser):
    """The addresses that a page's links and pictures lead to, and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag == "img" and values.get("src"):
            self.pictures.append(values["src"])


def page_of(response) -> str:
    assert response.status_code == 200, response.content
    return response.content.decode()


def found_ids(page: str) -> list[int]:
    """The ids of a page's hits, in their order: each tile shows its thumbnail."""
    ids = re.findall(r"/media/(\d+)/thumb/", page)
    return list(dict.fromkeys(map(int, ids)))


def upload(data: bytes, name: str = "cat.jpg") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data, "image/jpeg")


def id_of(site, name: str) -> int:
    """The id of an image by its file's name: lists are read side by side, in no order."""
    found = site.service.galleries.run(lambda gallery: gallery.matching(parse(f'path = "{name}"')))
    return found[0]


def sent(site, data: bytes, **fields) -> str:
    """The address that a picture's results have."""
    response = site.post("/search", {"image": upload(data), **fields})
    assert response.status_code == 303, response.content
    return response["Location"]


def test_a_picture_that_is_sent_leads_to_what_is_like_it(site, picture, embedder) -> None:
    here = site()
    address = sent(here, picture)
    assert re.fullmatch(r"/q/[A-Za-z0-9_-]{22,32}", address)
    page = page_of(here.client.get(address))
    with dinoseek.open_gallery(here.config.gallery, embedder) as gallery:
        expected = [hit.id for hit in dinoseek.search(gallery, picture, 20)]
    assert found_ids(page)[:20] == expected


def test_the_same_picture_of_the_same_browser_has_one_address(site, picture) -> None:
    here = site()
    assert sent(here, picture) == sent(here, picture)


def test_two_browsers_never_share_the_address_of_a_picture(site, picture) -> None:
    here = site()
    first = sent(here, picture)
    here.client.cookies.clear()
    assert sent(here, picture) != first
    assert here.client.get(first).status_code == 200, "but it can be sent to a friend"


def test_programs_get_the_address_as_json(site, picture) -> None:
    response = site().post(
        "/search", {"image": upload(picture), "k": "40"}, headers={"Accept": "application/json"}
    )
    assert response.status_code == 201
    assert urlsplit(response.json()["location"]).query == "k=40"


def test_an_image_of_the_gallery_is_searched_for_without_itself(site, embedder) -> None:
    here = site()
    with dinoseek.open_gallery(here.config.gallery, embedder) as gallery:
        expected = [hit.id for hit in dinoseek.search(gallery, 7, 20, exclude_self=True)]
    page = page_of(here.client.get("/q/7"))
    assert 7 not in expected
    assert [id for id in found_ids(page) if id != 7] == expected


def test_plus_and_minus_are_the_weighted_sum_of_the_vectors(site, embedder) -> None:
    here = site()
    with dinoseek.open_gallery(here.config.gallery, embedder) as gallery:
        mix = dinoseek.Mix(positives=[1, 2], negatives=[3])
        expected = [hit.id for hit in dinoseek.search(gallery, mix, 20, exclude_self=True)]
    page = page_of(here.client.get("/q/1?plus=2&minus=3"))
    assert [id for id in found_ids(page) if id not in (1, 2, 3)] == expected


def test_every_hit_can_refine_the_search_and_every_part_be_taken_away(site) -> None:
    page = page_of(site().client.get("/q/1?plus=2"))
    links = Links(page).links
    for id in set(found_ids(page)) - {1, 2}:
        assert f"/q/1?plus=2&plus={id}" in links
        assert f"/q/1?plus=2&minus={id}" in links
    assert "/q/1" in links, "2 can be taken away"


def test_a_region_of_a_picture_is_searched_with_instead_of_all_of_it(site, embedder) -> None:
    here = site()
    halves = Image.new("RGB", (400, 300), "red")
    halves.paste("blue", (200, 0, 400, 300))
    file = BytesIO()
    halves.save(file, "PNG")
    address = sent(here, file.getvalue())
    names = {}
    for side, region in (("left", "0%,0%,50%,100%"), ("right", "50%,0%,50%,100%")):
        page = page_of(here.client.get(address, {"region": region}))
        names[side] = re.search(r"(red|green|blue|orange|purple|teal)-\d\d\.jpg", page)[1]
    assert names == {"left": "red", "right": "blue"}


def test_a_region_of_an_image_of_the_gallery_is_cut_from_its_file(site, embedder) -> None:
    here = site()
    region = dinoseek.Region(10, 10, 40, 40, percent=True)
    with dinoseek.open_gallery(here.config.gallery, embedder) as gallery:
        hits = dinoseek.search(gallery, 7, 20, region=region)
    page = page_of(here.client.get("/q/7", {"region": "10%,10%,40%,40%"}))
    assert set(found_ids(page)) >= {hit.id for hit in hits[:10]}


def test_filters_choose_which_images_are_searched(site) -> None:
    here = site()
    red = id_of(here, "red-00.jpg")
    blue = {id_of(here, f"blue-{number:02}.jpg") for number in (2, 8, 14, 20)}
    page = page_of(here.client.get(f"/q/{red}", {"is-label": "blue", "max-price": "20"}))
    assert set(found_ids(page)) - {red} == blue
    where = {"where": 'label = "blue" and price <= 20'}
    assert set(found_ids(page_of(here.client.get(f"/q/{red}", where)))) - {red} == blue


def test_a_slip_in_the_filter_is_shown_where_it_is(site) -> None:
    page = page_of(site().client.get("/q/1", {"where": "price << 5"}))
    assert "price &lt;" in page
    assert "character" in page


def test_a_name_that_no_image_has_is_told(site) -> None:
    page = page_of(site().client.get("/q/1", {"where": 'labl = "red"'}))
    assert "did you mean `label`" in page


def test_pages_follow_one_another_without_gap_or_repeat(site, embedder) -> None:
    here = site()
    first = found_ids(page_of(here.client.get("/q/1")))
    second = found_ids(page_of(here.client.get("/q/1?page=2", headers={"HX-Request": "true"})))
    ids = [id for id in first if id != 1] + second
    assert sorted(ids) == list(range(2, 37))


def test_load_more_gets_the_next_tiles_alone(site) -> None:
    here = site()
    part = here.client.get("/q/1?page=2", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "<html" in page_of(here.client.get("/q/1?page=2"))


def test_a_cut_off_leaves_out_what_is_below(site, embedder) -> None:
    here = site()
    with dinoseek.open_gallery(here.config.gallery, embedder) as gallery:
        scores = [hit.score for hit in dinoseek.search(gallery, 1, 40, exclude_self=True)]
    least = scores[4]
    page = page_of(here.client.get("/q/1", {"min": f"{least - 1e-4:.4f}"}))
    count = sum(score >= round(least - 1e-4, 4) for score in scores)
    assert len([id for id in found_ids(page) if id != 1]) == count


def test_nothing_above_the_cut_off_offers_the_weaker_ones(site) -> None:
    here = site()
    address = "/q/1?" + "min=1"
    page = page_of(here.client.get(address))
    assert "/q/1" in Links(page).links


def test_near_duplicates_are_folded_and_counted(site, photos, embedder, gallery_path) -> None:
    here = site()
    twin = Image.open(photos / "red-00.jpg")
    twin.putpixel((0, 0), (1, 2, 3))
    folder = gallery_path.parent / "more"
    folder.mkdir()
    twin.save(folder / "twin.jpg", quality=88)
    with dinoseek.open_gallery(gallery_path, embedder) as gallery:
        list(dinoseek.ingest(dinoseek.from_folder(folder), gallery))
        hits = dinoseek.search(gallery, id_of(here, "blue-02.jpg"), 100, collapse=True)
    assert max(hit.copies for hit in hits) >= 1
    address = f"/q/{id_of(here, 'blue-02.jpg')}?k=100&fold=1"
    assert found_ids(page_of(here.client.get(address)))[-len(hits) + 1 :] == [
        hit.id for hit in hits if hit.id != id_of(here, "blue-02.jpg")
    ]


def test_an_expired_search_says_so_and_what_to_do(site) -> None:
    response = site().client.get("/q/qAbCdEfGhIjKlMnOpQrStUv")
    assert response.status_code == 410
    assert "<html" in response.content.decode()


def test_an_image_that_is_not_there_is_not_found(site) -> None:
    assert site().client.get("/q/123456789").status_code == 404


def test_the_first_page_has_samples_to_click_on(site) -> None:
    page = page_of(site().client.get("/"))
    assert len(found_ids(page)) >= 12


def test_WEB_24_an_empty_gallery_shows_the_command_that_fills_it(site, tmp_path, embedder) -> None:
    with dinoseek.open_gallery(tmp_path / "none.dino", embedder):
        pass
    page = page_of(site(gallery=tmp_path / "none.dino").client.get("/"))
    assert "dinoseek index" in page
    assert "none.dino" in page


def test_WEB_25_images_indexed_meanwhile_are_found_by_the_next_request(
    site, gallery_path, embedder, tmp_path
) -> None:
    here = site()
    before = found_ids(page_of(here.client.get("/q/1?k=100")))
    new = tmp_path / "new"
    new.mkdir()
    noise = np.random.default_rng(5).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(new / "noise.png")
    with dinoseek.open_gallery(gallery_path, embedder) as gallery:
        (stored,) = list(dinoseek.ingest(dinoseek.from_folder(new), gallery))
    assert stored.id not in before
    assert stored.id in found_ids(page_of(here.client.get("/q/1?k=100")))


@pytest.mark.parametrize(
    "path", ["/", "/q/1", "/browse", "/random", "/history", "/item/1", "/help"]
)
def test_every_page_knows_head_and_refuses_what_it_does_not_take(site, path) -> None:
    here = site()
    assert here.client.head(path, follow=True).status_code == 200
    for method in ("put", "delete", "patch"):
        assert getattr(here.client, method)(path).status_code in (403, 405)


def test_WEB_18_a_picture_that_there_is_no_room_for_is_refused_without_a_word_in_the_log(
    site, picture, monkeypatch, caplog
) -> None:
    here = site()
    monkeypatch.setattr(type(here.service.pictures), "is_full", True)
    for path in ("/search", "/api/v1/search"):
        response = here.post(path, {"image": upload(picture)})
        assert response.status_code == 503
        assert int(response["Retry-After"]) >= 1
    assert [entry for entry in caplog.records if entry.levelno >= 40] == []
    assert here.client.get("/q/1").status_code == 200, "searches by id go on"


def test_an_error_page_is_shown_in_the_readers_language_even_without_a_gallery(
    site, gallery_path
) -> None:
    here = site()
    (gallery_path / "gallery.sqlite").rename(gallery_path / "away")
    response = here.client.get("/q/1", headers={"Accept-Language": "zh-CN"})
    assert response.status_code == 503
    assert re.search(r"[\u4e00-\u9fff]{4}", response.content.decode())
    (gallery_path / "away").rename(gallery_path / "gallery.sqlite")
    assert here.client.get("/q/1").status_code == 200


def test_a_refusal_before_any_view_is_in_the_readers_language(site) -> None:
    here = site()
    response = here.client.get("/?" + "x" * 9000, headers={"Accept-Language": "zh-CN"})
    assert response.status_code == 414
    assert re.search(r"[\u4e00-\u9fff]{4}", response.content.decode())
