"""Indexing from the page: what is allowed, how it goes, and how it ends."""

import time
from pathlib import Path

import pytest
from PIL import Image

import dinoseek


@pytest.fixture
def more(tmp_path: Path) -> Path:
    folder = tmp_path / "allowed" / "more"
    folder.mkdir(parents=True)
    for number in range(5):
        Image.new("RGB", (40, 40), (40 * number, 9, 200)).save(folder / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    return folder


def wait(here) -> str:
    """The page's part about the run, once that has ended."""
    for _ in range(1200):
        state = here.service.jobs.state()
        if state is not None and state.finished is not None:
            return here.client.get("/indexing/progress").content.decode()
        time.sleep(0.05)
    raise AssertionError("the run does not end")


def test_there_is_no_such_page_unless_it_was_allowed(site) -> None:
    here = site()
    assert here.client.get("/indexing").status_code == 404
    assert "/indexing" not in here.client.get("/").content.decode()


def test_a_folder_is_indexed_and_found(site, more, embedder) -> None:
    here = site(indexing_below=(more.parent,))
    assert here.post("/indexing", {"source": str(more)}).status_code == 303
    shown = wait(here)
    assert "5" in shown
    assert "broken.jpg" in shown
    assert here.service.jobs.state().summary.stored == 5
    with dinoseek.open_gallery(here.config.gallery, embedder) as gallery:
        assert len(gallery) == 41
    page = here.client.get("/indexing").content.decode()
    assert str(more) in page, "after a reload it is still there"


@pytest.mark.parametrize(
    "source", ["", "/etc", "..", "relative", "/nonexistent\0", "x" * 5000, "{more}/../../secret"]
)
def test_only_what_lies_below_the_allowed_folders_is_indexed(site, more, source: str) -> None:
    (more.parent.parent / "secret").mkdir()
    here = site(indexing_below=(more.parent,))
    response = here.post("/indexing", {"source": source.format(more=more)})
    assert response.status_code == 422
    assert here.service.jobs.state() is None


def test_a_link_out_of_the_allowed_folder_is_not_followed(site, more, tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (more.parent / "link").symlink_to(tmp_path / "elsewhere")
    here = site(indexing_below=(more.parent,))
    assert here.post("/indexing", {"source": str(more.parent / "link")}).status_code == 422


def test_with_accounts_only_operators_index(site, more) -> None:
    here = site(accounts=True, operators=("alice",), indexing_below=(more.parent,))
    assert here.client.get("/indexing").status_code == 403
    fields = {"username": "bob", "password1": "correct horse", "password2": "correct horse"}
    here.post("/accounts/register", fields)
    assert here.client.get("/indexing").status_code == 403
    assert here.post("/indexing", {"source": str(more)}).status_code == 403
    here.post("/accounts/logout", {})
    here.post("/accounts/register", {**fields, "username": "alice"})
    assert here.client.get("/indexing").status_code == 200
    assert here.post("/indexing", {"source": str(more)}).status_code == 303
    wait(here)


def test_a_run_can_be_stopped_and_what_it_did_stays(site, more, embedder, monkeypatch) -> None:
    for number in range(60):
        Image.new("RGB", (40, 40), (4 * number, 99, 20)).save(more / f"more{number}.png")
    here = site(indexing_below=(more.parent,))

    def until_stopped(*arguments, **options):
        for outcome in dinoseek.ingest(*arguments, **options):
            yield outcome
            assert here.service.jobs._stop.wait(60)

    monkeypatch.setattr("dinoseek.web.live.jobs.ingest", until_stopped)
    here.post("/indexing", {"source": str(more)})
    assert here.post("/indexing/stop", {}).status_code == 303
    wait(here)
    state = here.service.jobs.state()
    assert state.state == "stopped"
    with dinoseek.open_gallery(here.config.gallery, embedder) as gallery:
        assert 36 + state.summary.stored <= len(gallery) < 36 + 65


def test_what_ran_when_the_server_ended_is_called_interrupted(site, more) -> None:
    from django.utils import timezone

    from dinoseek.web.finder.models import IndexingRun
    from dinoseek.web.finder.runs import interrupt_old

    here = site(indexing_below=(more.parent,))
    IndexingRun.objects.create(source=str(more), state="running", started=timezone.now())
    interrupt_old()
    assert IndexingRun.objects.get().state == "interrupted"
    assert here.client.get("/indexing").status_code == 200
