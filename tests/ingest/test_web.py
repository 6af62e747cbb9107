"""Addresses on their way into a gallery: fetched once, resumed, kept, and all accounted for."""

import errno
import json
import os
import random
import signal
import time
import traceback
from io import BytesIO

import pytest
from PIL import Image

from dinoseek.errors import MachineError
from dinoseek.gallery.factory import open_gallery
from dinoseek.ingest import prepare
from dinoseek.ingest.fetch import FetchOptions
from dinoseek.ingest.lists import FailedBefore, from_addresses, from_table
from dinoseek.ingest.outcomes import Failed, Stored, Summary
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.web import WebOptions

from .fault_server import FaultServer, picture
from .test_lists import short

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.2"])]


@pytest.fixture
def server():
    with FaultServer() as server:
        yield server


@pytest.fixture
def run(gallery):
    """Indexes addresses, and checks the sums and the record."""

    def index(urls, *, keep=None, total=30.0, **options):
        fetch = FetchOptions(allow_private=True, total=total, read_timeout=total / 2, retries=0)
        web = WebOptions(fetch=fetch, keep=keep)
        source = from_addresses(urls) if isinstance(urls, list) else urls
        outcomes = list(ingest(source, gallery, web=web, **options))
        assert Summary.of(outcomes).total == len(outcomes)
        if isinstance(urls, list):
            assert len(outcomes) == len(urls)
        assert gallery.verify() == []
        return outcomes

    return index


def test_an_image_is_fetched_embedded_and_shown_by_its_thumbnail(server, run, gallery):
    url = server.url("/good/1.jpg")
    assert short(run([url])) == ["Stored"]
    ((hit,),) = gallery.search(gallery.vectors([1]), 1)
    assert (hit.path, hit.url, hit.file) == (url, url, None)
    assert Image.open(BytesIO(gallery.thumbnail(1))).size == (32, 24)


def test_URL_25_an_error_page_is_no_picture(server, run):
    assert short(run([server.url("/page")])) == ["image.unrecognised"]


def test_URL_26_the_contents_decide_whatever_their_type_is_said_to_be(server, run):
    good = server.url("/good/1.jpg?header=Content-Type:text/html")
    bad = server.url("/page?header=Content-Type:image/jpeg")
    assert sorted(short(run([good, bad, server.url("/svg")]))) == [
        "Stored",
        "image.format_not_allowed",
        "image.unrecognised",
    ]


def test_URL_36_an_address_is_fetched_once_however_often_and_in_whatever_way(server, run):
    plain = server.url("/good/1.jpg")
    ways = [plain, plain + "#top", plain.upper().replace("/GOOD/1.JPG", "/go%6Fd/1.jpg")]
    outcomes = run(ways * 100)
    assert server.asked() == ["/good/1.jpg"]
    assert short(outcomes).count("Stored") == 1
    assert short(run([plain])) == ["unchanged"]
    assert len(server.asked()) == 1


def test_URL_37_two_addresses_of_the_same_bytes_are_one_image(server, run, gallery):
    urls = [server.url("/good/1.jpg"), server.url("/good/1.jpg", host="127.0.0.2")]
    assert sorted(short(run(urls))) == ["Duplicate", "Stored"]
    assert len(gallery) == 1


def test_URL_38_what_changed_is_fetched_again_on_request_only(server, run, gallery):
    url = server.url("/good/1.jpg")
    run([url])
    before = gallery.get([1])[0].digest
    server.numbers["/good/1.jpg"] = 99
    assert short(run([url])) == ["unchanged"]
    assert short(run([url], refresh=True)) == ["Stored"]
    assert len(gallery) == 1
    assert gallery.get([2])[0].digest != before
    assert short(run([url], refresh=True)) == ["unchanged"]


def test_URL_38_an_error_never_takes_the_place_of_a_picture(server, run, gallery):
    url = server.url("/good/1.jpg")
    run([url])
    server.gone = True
    (outcome,) = run([url], refresh=True)
    assert isinstance(outcome, Failed)
    assert len(gallery) == 1
    ((hit,),) = gallery.search(gallery.vectors([1]), 1)
    assert hit.url == url


def test_what_may_pass_is_tried_again_by_the_next_run_and_what_will_not_on_request(server, run):
    soon, never = server.url("/status/503?times=1"), server.url("/status/404?times=1")
    assert sorted(short(run([soon, never]))) == ["url.http_404", "url.http_503"]
    assert sorted(short(run([soon, never]))) == ["Stored", "url.http_404"]
    assert server.asked("/status/404?times=1") == 1
    assert short(run(FailedBefore())) != []
    assert server.asked("/status/404?times=1") == 2


HOSTILE = (
    "/page", "/empty", "/silent", "/drip?by=50", "/header-drip", "/reset?at=100", "/trunc",
    "/endless", "/huge", "/gz", "/status/500", "/status/404", "/hops/9", "/redir-nowhere",
    "/headers/300", "/svg",
)  # fmt: skip


def test_URL_41_hostile_answers_cost_no_good_one(server, run, gallery):
    good = [server.url(f"/good/{n}.jpg", host=f"127.0.0.{1 + n % 20}") for n in range(70)]
    bad = [server.url(path, host=f"127.0.0.{30 + n % 15}") for n, path in enumerate(HOSTILE * 2)]
    urls = good + [f"{url}{'&' if '?' in url else '?'}n={n}" for n, url in enumerate(bad)]
    random.Random(0).shuffle(urls)
    start = time.monotonic()
    outcomes = run(urls, total=3.0)
    stored = {each.item.url for each in outcomes if isinstance(each, Stored)}
    assert stored == set(good)
    assert sum(isinstance(each, Failed) for each in outcomes) == len(bad)
    assert time.monotonic() - start < 60
    assert max(server.most_at_once.values()) <= 4


def test_URL_41_a_full_disk_ends_the_run_and_the_next_one_goes_on(
    server, run, gallery, tmp_path, monkeypatch
):
    urls = [server.url(f"/good/{n}.jpg") for n in range(6)]
    write, written = prepare._kept, []

    def kept(file, data):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        written.append(file)
        return write(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "_kept", kept)
        with pytest.raises(MachineError) as caught:
            run(urls, keep=tmp_path / "kept", batch_size=1)
    assert caught.value.code == "disk.full"
    run(urls, keep=tmp_path / "kept")
    assert len(gallery) == 6
    assert len(list((tmp_path / "kept").rglob("*.jpg"))) == 6


def test_what_is_fetched_is_kept_whole_and_shown(server, run, gallery, tmp_path):
    url = server.url("/good/1.jpg")
    run([url], keep=tmp_path / "kept")
    (file,) = (tmp_path / "kept").rglob("*.jpg")
    assert file.read_bytes() == picture(1)
    ((hit,),) = gallery.search(gallery.vectors([1]), 1)
    assert (hit.file, hit.url) == (file, url)
    assert not list((tmp_path / "kept").rglob("*.part"))


def test_rows_of_a_table_describe_what_is_fetched_and_what_failed(server, run, gallery, tmp_path):
    flaky = server.url("/status/503?times=1")
    rows = [{"url": server.url("/good/1.jpg"), "caption": "one", "n": 1}]
    rows += [{"url": flaky, "caption": "two", "n": 2}]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run(from_table(tmp_path / "list.jsonl"))
    run(FailedBefore())
    described = {r.caption: dict(r.metadata) for r in gallery.get([1, 2])}
    assert described == {"one": {"n": 1}, "two": {"n": 2}}


def test_URL_40_a_run_that_is_killed_is_resumed_and_each_image_is_there_once(
    server, tmp_path, embedder
):
    urls = [server.url(f"/good/{n}.jpg?ms=200", host=f"127.0.0.{1 + n % 9}") for n in range(60)]
    web = WebOptions(fetch=FetchOptions(allow_private=True, total=30.0))
    folder, rng, killed = tmp_path / "g.dino", random.Random(1), 0

    def index(seconds):
        child = os.fork()
        if child == 0:
            try:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends it at once, as kill -9 does
                signal.setitimer(signal.ITIMER_REAL, seconds)
                with open_gallery(folder, embedder) as gallery:
                    for _ in ingest(from_addresses(urls), gallery, web=web, batch_size=4):
                        pass
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        assert status == 0 or os.WIFSIGNALED(status)
        return os.WIFSIGNALED(status)

    for _ in range(8):
        killed += index(rng.uniform(0.05, 0.3))
    assert killed >= 2
    assert not index(300)
    with open_gallery(folder, embedder) as gallery:
        assert gallery.verify() == []
        records = gallery.get(range(1, len(gallery) + 1))
        assert sorted(each.path.decode() for each in records) == sorted(urls)
        assert {url.split("?")[0].rsplit("/")[-1] for url in urls} == {
            f"{n}.jpg" for n in range(60)
        }
