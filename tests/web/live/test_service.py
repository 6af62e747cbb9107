"""All of it together, with real decoder processes: what it survives, and what it leaves behind."""

import os
import signal
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoseek.embedder import Embedder
from dinoseek.errors import DinoseekError, GalleryError, ImageError, MachineError
from dinoseek.images.pool import DecoderPool
from dinoseek.images.region import Region
from dinoseek.search import search
from dinoseek.web.config import ServeConfig
from dinoseek.web.live.service import open_service

from .made import children, descriptors, encoded, flat, opened, ours, photo, soon
from .test_timings import samples


@pytest.fixture
def make(path, embedder, many, tmp_path):
    made = []

    def make(gallery=path, embedder=embedder, weights=None, **options):
        config = ServeConfig(gallery=gallery, state_dir=tmp_path / "state", **options)
        made.append(open_service(config, embedder, weights=weights))
        return made[-1]

    yield make
    for service in made:
        service.close()


@pytest.fixture
def service(make):
    return make()


def png_claiming(width, height):
    """A PNG that is all black and compresses to next to nothing."""
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height, 9)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", rows)]
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, body in [*chunks, (b"IEND", b"")]:
        checksum = struct.pack(">I", zlib.crc32(name + body))
        parts += [struct.pack(">I", len(body)), name, body, checksum]
    return b"".join(parts)


def many_scans(count):
    """A progressive JPEG of 33 megapixels whose last scan is repeated."""
    data = encoded(Image.new("L", (5760, 5760)), "JPEG", progressive=True, quality=20)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def test_a_picture_finds_itself_in_the_gallery(service, photos):
    data = (photos / "3.jpg").read_bytes()
    picture = service.pictures.read(data, "mine.jpg")
    best = service.galleries.run(lambda gallery: search(gallery, picture.vector, 1))[0]
    assert best.path.endswith("3.jpg")
    assert best.score == pytest.approx(1, abs=1e-5)
    assert opened(picture.preview).size == (600, 400)
    region = service.pictures.read(data, "mine.jpg", region=Region(0, 0, 50, 50, percent=True))
    image = Image.open(photos / "3.jpg").convert("RGB").crop((0, 0, 300, 200))
    alone = service.embedder.vectors([service.embedder.prepare(image)])[0]
    assert np.allclose(region.vector, alone, atol=1e-6)
    assert opened(service.thumbnails.get(1, "thumb").jpeg).size == (320, 213)
    assert service.originals.read(best.id) == (data, "3.jpg")


def test_metrics_tell_what_waits_and_what_there_is(service):
    service.pictures.read(photo(), "a")
    found = samples(service.timings)
    assert found["dinoseek_queue_depth",] == 0
    assert found["dinoseek_gallery_images",] == 6
    assert found["dinoseek_stage_seconds_count", "embed"] == 1


def test_WEB_20_nothing_is_left_after_closing(make, photos, tmp_path):
    everything = (descriptors(), ours(), children())
    service = make(allow_urls=True, indexing_below=(photos,))
    service.pictures.read(photo(), "a")
    service.thumbnails.get(1, "thumb")
    service.galleries.run(lambda gallery: search(gallery, 1, 3))
    service.jobs.start(photos)
    assert len(ours()) > 5
    assert children()
    service.close()
    service.close()
    assert (descriptors(), ours(), children()) == everything


def test_WEB_35_pictures_leave_no_file(service, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    before = sorted(tmp_path.rglob("*"))
    for seed in range(100):
        service.pictures.read(photo(seed, (20, 20)), "a.jpg")
    assert sorted(tmp_path.rglob("*")) == before


def test_WEB_28_a_decoder_that_is_killed_fails_one_request_and_the_next_is_answered(service, many):
    service.pictures.read(photo(1), "first")
    before = pipes()
    (child,) = set(children()) & {each._process.pid for each in service.decoders._idle}
    os.kill(child, signal.SIGSTOP)  # so that it is in the middle of it
    call = many.submit(service.pictures.read, photo(2), "mine.jpg")
    assert soon(lambda: service.decoders._busy)
    os.kill(child, signal.SIGKILL)
    with pytest.raises(ImageError) as caught:
        call.result()
    assert (caught.value.code, caught.value.subject) == ("image.decode_oom", "mine.jpg")
    assert service.pictures.read(photo(2), "mine.jpg").width == 40
    assert service.readiness() == []
    assert service.pictures._reading == 0
    assert pipes() == before


def pipes() -> int:
    return sum(name.startswith("pipe:") for name in descriptors())


def test_WEB_28_a_decoder_that_is_killed_between_requests_fails_none(service):
    for size in ("thumb", "large"):
        service.thumbnails.get(1, size)
        for child in service.thumbnail_decoders._idle:
            os.kill(child._process.pid, signal.SIGKILL)
            child.wait()


def computed(service):
    """Seconds of computing of this process and of the decoder that is idle now."""
    (child,) = service.decoders._idle
    fields = Path(f"/proc/{child._process.pid}/stat").read_text().rpartition(")")[2].split()
    return time.process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    ("bomb", "code"),
    [
        (png_claiming(1, 60_000), "image.too_many_pixels"),
        (png_claiming(60_000, 1), "image.too_many_pixels"),
        (png_claiming(1, 29_000), None),
        (png_claiming(9400, 9400), "image.too_many_pixels"),
    ],
    ids=["1 x 60,000", "60,000 x 1", "1 x 29,000", "9,400 x 9,400"],
)
def test_WEB_22_F1_and_F2_small_files_of_huge_pictures_cost_nothing(service, bomb, code):
    assert len(bomb) < 300_000
    service.pictures.read(photo(), "warm")
    before = computed(service)
    if code is None:
        assert service.pictures.read(bomb, "bomb.png").height == 29_000
    else:
        with pytest.raises(ImageError) as caught:
            service.pictures.read(bomb, "bomb.png")
        assert caught.value.code == code
    assert computed(service) - before < 2


def test_WEB_22_F1_an_extreme_ratio_is_refused_where_the_model_would_choke(
    make, embedder, tmp_path
):
    from dinoseek.embedder import load_embedder

    official = load_embedder("color-histogram", preprocess="official")
    service = make(gallery=tmp_path / "new.dino", embedder=official, indexing_below=(tmp_path,))
    with pytest.raises(ImageError) as caught:
        service.pictures.read(png_claiming(1, 29_000), "bomb.png")
    assert caught.value.code == "image.aspect"
    assert caught.value.subject == "bomb.png"


def test_WEB_22_F3_a_jpeg_of_two_hundred_scans_is_refused_at_once(service):
    bomb = many_scans(200)
    service.pictures.read(photo(), "warm")
    before = computed(service)
    with pytest.raises(ImageError) as caught:
        service.pictures.read(bomb, "bomb.jpg")
    assert caught.value.code == "image.too_many_scans"
    assert computed(service) - before < 1


def test_WEB_22_other_pictures_are_read_while_bombs_come(service, many):
    bombs = [png_claiming(1, 60_000), png_claiming(9400, 9400), many_scans(200)]
    service.pictures.read(photo(), "warm")
    ended = threading.Event()

    def attack(number):
        codes = set()
        while not ended.wait(0.05):
            try:
                service.pictures.read(bombs[number % 3] + bytes([number]), "bomb")
            except ImageError as exc:
                codes.add(exc.code)
        return codes

    attacks = [many.submit(attack, number) for number in range(6)]
    for seed in range(100, 130):
        assert service.pictures.read(photo(seed), "a").width == 40
        assert service.thumbnails.get(seed % 6 + 1, "thumb").jpeg
    ended.set()
    codes = set().union(*(each.result() for each in attacks))
    assert codes == {"image.too_many_pixels", "image.too_many_scans"}


def test_uploads_and_thumbnails_do_not_wait_for_each_other(service, photos):
    for turn in range(2):
        service.pictures._turns._free.acquire()
        assert service.thumbnails.get(turn + 1, "thumb").jpeg
    for _ in range(2):
        service.pictures._turns._free.release()
        service.thumbnails._turns._free.acquire()
    assert service.pictures.read(photo(), "a").width == 40


def test_uploads_are_held_to_stricter_limits_than_the_gallery(service):
    tiff = encoded(Image.new("RGB", (40, 30)), "TIFF")
    with pytest.raises(ImageError) as caught:
        service.pictures.read(tiff, "a.tif")
    assert caught.value.code == "image.format_not_allowed"
    assert service.thumbnail_decoders.thumbnail(tiff, "a.tif").startswith(b"\xff\xd8")
    job = service.decoders._job
    assert (job.cpu_seconds, job.seconds, service.decoders.workers) == (5, 15, 2)


def test_WEB_23_readiness_tells_a_lost_weights_file_and_goes_on(make, tmp_path):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"x")
    service = make(weights=weights)
    assert service.readiness() == []
    weights.unlink()
    assert service.readiness() == []  # asked a moment ago
    service.health._until = 0
    assert service.readiness() == [
        "the weights file is gone, so the server cannot be started again"
    ]
    assert service.pictures.read(photo(), "a").width == 40


def test_readiness_tells_a_gallery_that_is_gone_or_unreadable(service, path):
    path.rename(path.with_name("gone.dino"))
    assert service.readiness() == ["the gallery is gone"]
    path.mkdir()
    (path / "gallery.sqlite").write_bytes(b"nothing of the kind")
    service.health._until = 0
    (problem,) = service.readiness()
    assert "is something else" in problem or "damaged" in problem


def test_readiness_tells_a_model_that_computes_something_else(make, embedder):
    changed = Embedder(
        lambda images: embedder.features(images), embedder.preset, embedder.fingerprint
    )
    service = make(embedder=changed)
    assert service.readiness() == []
    changed._features = lambda images: np.ones((len(images), embedder.dim), np.float32)
    service.health._until = 0
    assert service.readiness() == ["the model computes something else than at the start"]
    changed._features = lambda _: 1 / 0
    service.health._until = 0
    assert service.readiness() == ["a check failed (ZeroDivisionError)"]


def test_WEB_24_a_gallery_that_is_missing_damaged_or_of_another_model_is_refused_at_the_start(
    make, path, tmp_path
):
    from dinoseek.embedder import load_embedder

    with pytest.raises(MachineError) as caught:
        make(gallery=tmp_path / "none.dino")
    assert caught.value.code == "gallery.missing"
    with pytest.raises(GalleryError):
        make(embedder=load_embedder("color-histogram", preprocess="squash@14"))
    (path / "gallery.sqlite").write_bytes(b"nothing of the kind" * 1000)
    with pytest.raises(GalleryError):
        make()


def test_an_empty_gallery_is_served(make, tmp_path):
    service = make(gallery=tmp_path / "new.dino", indexing_below=(tmp_path,))
    assert service.readiness() == []
    assert service.galleries.summary()[0] == 0


def test_what_is_indexed_from_the_page_is_found_by_the_next_search(make, photos):
    service = make(indexing_below=(photos,))
    (photos / "new.jpg").write_bytes(photo(99, (600, 400)))
    picture = service.pictures.read((photos / "new.jpg").read_bytes(), "a")
    service.jobs.start(photos)
    assert soon(lambda: service.jobs.state().finished)
    assert (service.jobs.state().state, service.jobs.state().summary.stored) == ("done", 1)
    best = service.galleries.run(lambda gallery: search(gallery, picture.vector, 1))[0]
    assert best.path.endswith("new.jpg")


def test_addresses_are_fetched_only_where_that_is_allowed(make):
    assert make().fetcher is None
    fetcher = make(allow_urls=True).fetcher
    assert fetcher.options.max_bytes == 10_000_000
    assert not fetcher.options.allow_private
    with pytest.raises(DinoseekError) as caught:
        fetcher.fetch("http://127.0.0.1:1/")
    assert caught.value.code in ("url.blocked_address", "url.port")


def test_a_pool_that_is_closed_meanwhile_is_no_fault_of_a_picture(make):
    service = make()
    service.decoders.close()
    with pytest.raises(ValueError, match="closed"):
        service.pictures.read(flat("red"), "a")
    assert isinstance(service.decoders, DecoderPool)
