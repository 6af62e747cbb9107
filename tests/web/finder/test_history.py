"""What is remembered of searches: for whom, for how long, and how it is forgotten."""

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile


def send(here, data: bytes, name: str = "cat.jpg") -> str:
    return here.post("/search", {"image": SimpleUploadedFile(name, data)})["Location"]


def history(here) -> str:
    return here.client.get("/history").content.decode()


def test_a_search_is_in_the_history_and_can_be_opened_again(site, picture) -> None:
    here = site()
    address = send(here, picture)
    before = here.client.get(f"{address}?fold=1").content
    page = history(here)
    assert f"{address}?fold=1" in page
    assert "cat.jpg" in page
    again = here.client.get(f"{address}?fold=1").content
    ids = [re.findall(rb"/media/(\d+)/thumb/", each) for each in (before, again)]
    assert ids[0] == ids[1] != []


def test_the_latest_search_comes_first_and_each_once(site) -> None:
    here = site()
    for id in (1, 2, 1):
        here.client.get(f"/q/{id}")
    assert re.findall(r'href="(/q/\d+)"', history(here).split("<main")[1]) in (
        ["/q/1", "/q/2"],
        ["/q/1", "/q/1", "/q/2", "/q/2"],  # picture and name
    )


def test_another_browser_has_a_history_of_its_own(site, picture) -> None:
    here = site()
    address = send(here, picture)
    here.client.get(address)
    here.client.cookies.clear()
    assert address not in history(here)


def test_a_forged_browser_cookie_is_nobody(site, picture) -> None:
    here = site()
    address = send(here, picture)
    here.client.get(address)
    value = here.client.cookies["browser"].value
    here.client.cookies["browser"] = value[:-1] + ("A" if value[-1] != "A" else "B")
    assert address not in history(here)


def test_one_search_can_be_forgotten_with_its_picture(site, picture) -> None:
    here = site()
    address = send(here, picture)
    here.client.get(address)
    here.client.get("/q/2")
    number = re.search(
        rf'{re.escape(address)}.*?name="number" value="(\d+)"', history(here), re.DOTALL
    )[1]
    assert here.post("/history/forget", {"number": number}).status_code == 303
    assert address not in history(here)
    assert "/q/2" in history(here)
    assert here.client.get(address).status_code == 410


def test_nobody_forgets_a_search_of_somebody_else(site, picture) -> None:
    here = site()
    address = send(here, picture)
    here.client.get(address)
    number = re.search(r'name="number" value="(\d+)"', history(here))[1]
    mine = here.client.cookies["browser"].value
    here.client.cookies.clear()
    here.post("/history/forget", {"number": number})
    here.post("/history/clear", {})
    here.client.cookies["browser"] = mine
    assert address in history(here)


def test_clearing_forgets_everything_of_this_browser(site, picture) -> None:
    from dinoseek.web.finder.models import KeptQuery, Visit

    here = site()
    here.client.get(send(here, picture))
    assert here.post("/history/clear", {}).status_code == 303
    assert not KeptQuery.objects.exists()
    assert not Visit.objects.exists()


@pytest.mark.parametrize("number", ["", "abc", "-1", "9" * 30, "²"])
def test_a_number_that_is_none_forgets_nothing(site, number: str) -> None:
    here = site()
    here.client.get("/q/1")
    assert here.post("/history/forget", {"number": number}).status_code == 303
    assert "/q/1" in history(here)


@pytest.mark.parametrize("page", ["0", "-1", "abc", "9" * 40, "²", "3"])
def test_WEB_15_any_page_of_the_history_is_a_page(site, page: str) -> None:
    assert site().client.get("/history", {"page": page}).status_code == 200


def test_pictures_go_first_then_vectors_and_visits(site, picture) -> None:
    from dinoseek.web.finder.kept import forget_old
    from dinoseek.web.finder.models import KeptQuery, Visit

    here = site(keep_pictures=1, keep_queries=2)
    address = send(here, picture)
    here.client.get(address)
    KeptQuery.objects.update(created=KeptQuery.objects.get().created - timedelta(hours=2))
    forget_old()
    assert KeptQuery.objects.get().picture is None
    page = here.client.get(address).content.decode()
    assert "/media/query/" not in page
    assert "/thumb/" in page, "the hits are still there"
    KeptQuery.objects.update(created=KeptQuery.objects.get().created - timedelta(days=2))
    assert here.client.get(address).status_code == 410, "also before it is tidied up"
    Visit.objects.update(when=Visit.objects.get().when - timedelta(days=3))
    forget_old()
    assert not KeptQuery.objects.exists()
    assert not Visit.objects.exists()


def test_the_oldest_go_when_there_are_too_many(site, picture, monkeypatch) -> None:
    from dinoseek.web.finder import kept
    from dinoseek.web.finder.models import KeptQuery

    here = site()
    addresses = []
    for number in range(4):
        here.client.cookies.clear()
        addresses.append(send(here, picture, f"{number}.jpg"))
    monkeypatch.setattr(kept, "_MOST_KEPT", 2)
    kept.forget_old()
    assert {f"/q/{each.key}" for each in KeptQuery.objects.all()} == set(addresses[2:])


def test_WEB_35_uploads_leave_no_file_behind(site, picture, tmp_path, monkeypatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    here = site()
    here.client.get(send(here, picture))  # the first search writes the gallery's matrix
    before = files_below(here.config.state_dir, here.config.gallery, temporary)
    for number in range(30):
        send(here, picture, f"{number}.jpg")
        here.client.post(
            "/api/v1/search?k=1", {"image": SimpleUploadedFile("a.jpg", picture + bytes([number]))}
        )
    assert files_below(here.config.state_dir, here.config.gallery, temporary) == before


def files_below(*folders: Path) -> set[str]:
    return {
        os.path.join(place, name)  # noqa: PTH118
        for folder in folders
        for place, _, names in os.walk(folder)
        for name in names
    }


def test_WEB_07_the_name_of_a_file_is_shown_short_and_escaped(site, picture) -> None:
    here = site()
    names = {
        "../../etc/passwd.jpg": "passwd.jpg",
        "..\\evil.jpg": "evil.jpg",
        "<script>x.jpg": "&lt;script&gt;x.jpg",
        "CON": "CON",
        ".htaccess": ".htaccess",
        "x" * 200 + ".jpg": "…",
    }
    for name, expected in names.items():
        here.client.cookies.clear()
        page = here.client.get(send(here, picture, name)).content.decode()
        assert expected in page
        assert "<script>x" not in page
        assert "etc/passwd" not in page


def test_WEB_07_a_name_that_turns_the_writing_around_is_shown_as_its_letters(site, picture) -> None:
    from dinoseek.web.finder.kept import label_of

    assert "\u202e" not in label_of("photo\u202egpj.exe")
    assert "\0" not in label_of("a\0b.jpg")
    assert label_of("") == "picture"
