"""What an upload costs: once for equal ones, nothing once nobody wants it, and never too much."""

import hashlib
import threading
import time

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import ImageError, UsageError
from dinoseek.images.region import Region
from dinoseek.web.live.batches import Batches
from dinoseek.web.live.busy import Busy, Gone
from dinoseek.web.live.lru import Lru
from dinoseek.web.live.pictures import Pictures

from .made import HereDecoders, flat, opened, photo, png, soon
from .test_timings import samples


class Reading:
    """Pictures on decoders that wait when told to, and the number of pictures embedded."""

    def __init__(self, embedder, timings, *, waiting=16, batch_size=8):
        self.embedded = 0
        self.decoders = HereDecoders(embedder)
        self.batches = Batches(
            self.vectors, waiting=waiting, batch_size=batch_size, timings=timings
        )
        self.embedder = embedder
        self.pictures = Pictures(embedder, self.batches, self.decoders, timings=timings)
        self.read = self.pictures.read

    def vectors(self, images):
        self.embedded += len(images)
        return self.embedder.vectors(images)


@pytest.fixture
def make(embedder, timings, many):
    made = []

    def make(**options):
        made.append(Reading(embedder, timings, **options))
        return made[-1]

    yield make
    for each in made:
        each.decoders.go_on.set()
        each.batches.close()


@pytest.fixture
def reading(make):
    return make()


def test_a_picture_is_what_the_library_makes_of_it(reading, embedder, timings):
    data = photo(size=(600, 400))
    stages = timings.begin()
    picture = reading.read(data, "a.jpg")
    assert np.allclose(picture.vector, embedder.embed([data])[0])
    assert picture.digest == hashlib.sha256(data).hexdigest()
    assert (picture.width, picture.height, picture.format) == (600, 400, "JPEG")
    assert set(stages) == {"queue", "decode", "embed"}


def test_the_preview_is_small_and_has_nothing_but_pixels(reading):
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010E] = "a secret"
    data = flat("red", size=(2000, 1000), form="JPEG", exif=exif, comment=b"a secret")
    preview = opened(reading.read(data, "a.jpg").preview)
    assert (preview.format, preview.size) == ("JPEG", (512, 1024))
    assert not preview.getexif()
    assert b"secret" not in reading.read(data, "a.jpg").preview


def test_WEB_21_a_thousand_identical_pictures_are_decoded_and_embedded_once(reading, many, timings):
    reading.decoders.go_on.clear()
    calls = [many.submit(reading.read, photo(), f"{number}.jpg") for number in range(1000)]
    assert soon(lambda: sum(f.followers for f in reading.pictures._flights._flights.values()) == 63)
    reading.decoders.go_on.set()
    pictures = [call.result() for call in calls]
    assert (reading.embedded, len(reading.decoders.decoded)) == (1, 1)
    assert len({picture.preview for picture in pictures}) == 1
    assert all(np.array_equal(each.vector, pictures[0].vector) for each in pictures)
    found = samples(timings)
    assert found["dinoseek_embedding_cache_total", "miss"] == 1
    assert found["dinoseek_embedding_cache_total", "hit"] == 999


def test_WEB_21_who_looked_before_another_was_done_does_not_do_it_again(reading, monkeypatch):
    reading.read(photo(), "a")
    look, looks = reading.pictures._remembered, iter([None])
    monkeypatch.setattr(reading.pictures, "_remembered", lambda key: next(looks, look(key)))
    assert reading.read(photo(), "b").preview
    assert (reading.embedded, len(reading.decoders.decoded)) == (1, 1)
    assert reading.decoders.shrunk == []


def test_other_pictures_and_other_regions_are_other_work(reading, embedder):
    left, right = Region(0, 0, 50, 100, percent=True), Region(50, 0, 50, 100, percent=True)
    image = Image.new("RGB", (40, 30), "red")
    image.paste("blue", (20, 0, 40, 30))
    data = png(image)
    found = {region: reading.read(data, "a", region=region) for region in (None, left, right, left)}
    assert reading.embedded == 3
    assert found[left].preview is None
    assert (found[left].width, found[left].height) == (40, 30)
    for region in (left, right):
        alone = embedder.vectors([embedder.prepare(region.of(image))])[0]
        assert np.allclose(found[region].vector, alone)


def test_a_vector_that_is_shared_cannot_be_changed(reading):
    vector = reading.read(photo(), "a").vector
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 1


def test_a_preview_that_was_forgotten_is_made_again_without_embedding(reading):
    reading.pictures._previews = Lru(0, len)
    first, second = (reading.read(photo(), name) for name in "ab")
    assert first.preview == second.preview
    assert np.array_equal(first.vector, second.vector)
    assert (reading.embedded, len(reading.decoders.decoded)) == (1, 1)
    assert reading.decoders.shrunk == [("the picture", 1024)]


def test_what_is_remembered_is_limited(embedder, timings, reading):
    pictures = Pictures(embedder, reading.batches, reading.decoders, entries=2, timings=timings)
    for seed in (0, 1, 2, 1, 0):
        pictures.read(photo(seed), "a")
    assert reading.embedded == 4


def test_errors_name_the_file_of_who_is_told(reading, many):
    bad = photo()[:300]
    reading.decoders.go_on.clear()
    calls = {name: many.submit(reading.read, bad, name) for name in ("mine.jpg", "yours\n.jpg")}
    assert soon(lambda: reading.decoders.decoded)
    reading.decoders.go_on.set()
    for name, call in calls.items():
        with pytest.raises(ImageError) as caught:
            call.result()
        assert caught.value.subject == name.replace("\n", "\\n")
        assert caught.value.code == "image.truncated"
    assert set(reading.decoders.decoded) == {"the picture"}


def test_a_region_that_is_not_there_is_told(reading):
    with pytest.raises(UsageError) as caught:
        reading.read(photo(), "a", region=Region(0, 0, 41, 5))
    assert caught.value.code == "search.region"
    assert str(caught.value).endswith("it reaches outside the picture, which is 40 x 30 pixels")


def test_WEB_18_too_many_pictures_are_turned_away_within_100_ms_and_undecoded(make, many):
    reading = make(waiting=3, batch_size=2)
    reading.read(photo(77), "known")
    reading.decoders.go_on.clear()
    calls = [many.submit(reading.read, photo(seed), "a") for seed in range(5)]
    assert soon(lambda: reading.pictures.is_full)
    before, took = len(reading.decoders.decoded), []
    for seed in range(100, 130):
        data = photo(seed, size=(800, 600), form="BMP")
        start = time.monotonic()
        with pytest.raises(Busy):
            reading.read(data, "b")
        took.append(time.monotonic() - start)
    assert min(took) < 0.1  # whenever no other program is in between
    assert len(reading.decoders.decoded) == before
    assert reading.read(photo(77), "known").vector is not None  # costs nothing, so it is answered
    equal = many.submit(reading.read, photo(0), "a")  # as does what is being read already
    reading.decoders.go_on.set()
    for call in [*calls, equal]:
        call.result()
    assert reading.embedded == 6
    assert not reading.pictures.is_full


def test_WEB_20_who_leaves_while_waiting_for_a_decoder_costs_no_decoding(reading, many):
    reading.decoders.go_on.clear()
    at_work = [many.submit(reading.read, photo(seed), "a") for seed in range(2)]
    assert soon(lambda: len(reading.decoders.decoded) == 2)
    here = threading.Event()
    here.set()
    leaving = [
        many.submit(reading.read, photo(seed), "a", is_wanted=here.is_set) for seed in range(2, 8)
    ]
    assert soon(lambda: reading.pictures._reading == 8)
    here.clear()
    for call in leaving:
        with pytest.raises(Gone):
            call.result()
    assert reading.pictures._reading == 2
    reading.decoders.go_on.set()
    for call in at_work:
        call.result()
    assert (len(reading.decoders.decoded), reading.embedded) == (2, 2)


def test_WEB_20_who_leaves_after_decoding_is_not_embedded(reading):
    with pytest.raises(Gone):
        reading.read(photo(), "a", is_wanted=lambda: not reading.decoders.decoded)
    assert (len(reading.decoders.decoded), reading.embedded) == (1, 0)
    assert reading.read(photo(), "a").width == 40


def test_WEB_20_who_leaves_does_not_end_what_another_waits_for(reading, many):
    reading.decoders.go_on.clear()
    here = threading.Event()
    here.set()
    first = many.submit(reading.read, photo(), "a", is_wanted=here.is_set)
    assert soon(lambda: reading.decoders.decoded)
    second = many.submit(reading.read, photo(), "b")
    third = many.submit(reading.read, photo(), "c", is_wanted=here.is_set)
    flights = reading.pictures._flights._flights
    assert soon(lambda: sum(flight.followers for flight in flights.values()) == 2)
    here.clear()
    with pytest.raises(Gone):
        third.result()
    reading.decoders.go_on.set()
    assert np.array_equal(second.result().vector, first.result().vector)
    assert reading.embedded == 1


def test_an_encoder_that_fails_is_not_remembered(reading):
    vectors, reading.batches._vectors = reading.batches._vectors, lambda _: 1 / 0
    with pytest.raises(ZeroDivisionError):
        reading.read(photo(), "a")
    reading.batches._vectors = vectors
    assert reading.read(photo(), "a").width == 40
    assert reading.pictures._reading == 0
