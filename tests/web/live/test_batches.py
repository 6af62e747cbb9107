"""Pictures from many threads, embedded together by one."""

import threading
import time

import numpy as np
import pytest

from dinoseek.web.live.batches import Batches
from dinoseek.web.live.busy import Busy, Gone

from .made import soon


def picture(value, shape=(14, 14, 3)):
    return np.full(shape, value, np.uint8)


class Encoder:
    """Embeds a picture as its mean and its size; waits before each batch until it is let."""

    def __init__(self):
        self.batches, self.go_on = [], threading.Event()
        self.go_on.set()
        self.error = None

    def __call__(self, images):
        self.batches.append([int(image.flat[0]) for image in images])
        self.go_on.wait(60)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        assert len({image.shape for image in images}) == 1
        return np.array([[image.mean(), image.size] for image in images], np.float32)


@pytest.fixture
def encoder(many):
    encoder = Encoder()
    yield encoder
    encoder.go_on.set()


@pytest.fixture
def make(encoder, timings):
    made = []

    def make(**options):
        made.append(Batches(encoder, timings=timings, **options))
        return made[-1]

    yield make
    encoder.go_on.set()
    for batches in made:
        batches.close()


def blocked(batches, encoder, many):
    """Has the encoder wait with a first picture."""
    encoder.go_on.clear()
    first = many.submit(batches.embed, picture(99))
    assert soon(lambda: encoder.batches)
    return first


def test_a_picture_gets_its_vector(make):
    assert make().embed(picture(7)).tolist() == [7, 588]


def test_what_waits_goes_as_one_batch(make, encoder, many):
    batches = make()
    first = blocked(batches, encoder, many)
    rest = [many.submit(batches.embed, picture(value)) for value in range(5)]
    assert soon(lambda: batches.depth == 6)
    encoder.go_on.set()
    assert first.result().tolist() == [99, 588]
    assert [each.result()[0] for each in rest] == [0, 1, 2, 3, 4]
    assert [len(batch) for batch in encoder.batches] == [1, 5]


def test_a_batch_has_pictures_of_one_size_and_no_more_than_allowed(make, encoder, many):
    batches = make(batch_size=3)
    blocked(batches, encoder, many)
    shapes = [(14, 14, 3), (28, 14, 3)]
    rest = []
    for value in range(10):
        rest.append(many.submit(batches.embed, picture(value, shapes[value % 2])))
        assert soon(lambda: batches.depth == len(rest) + 1)
    encoder.go_on.set()
    assert [each.result()[0] for each in rest] == list(range(10))
    assert encoder.batches[1:] == [[0, 2, 4], [1, 3, 5], [6, 8], [7, 9]]


def test_many_threads_each_get_the_vector_of_their_own_picture(make, many):
    batches = make(waiting=1000)
    random = np.random.default_rng(0)
    pictures = [
        random.integers(0, 256, (14 * height, 14, 3), np.uint8)
        for height in random.integers(1, 4, 300).tolist()
    ]
    found = list(many.map(batches.embed, pictures))
    for image, vector in zip(pictures, found, strict=True):
        assert vector.tolist() == pytest.approx([image.mean(), image.size])


def test_WEB_18_a_full_queue_turns_away_at_once_and_says_when_to_come_back(make, encoder, many):
    batches = make(waiting=4, batch_size=2)
    batches.embed(picture(1))
    encoder.batches.clear()
    blocked(batches, encoder, many)
    rest = [many.submit(batches.embed, picture(value)) for value in range(5)]
    assert soon(lambda: batches.is_full)
    took = []
    for _ in range(50):
        start = time.monotonic()
        with pytest.raises(Busy) as caught:
            batches.embed(picture(9))
        took.append(time.monotonic() - start)
        assert 1 <= caught.value.retry_after <= 30
    assert min(took) < 0.1  # whenever no other program is in between
    encoder.go_on.set()
    assert [each.result()[0] for each in rest] == [0, 1, 2, 3, 4]
    assert not batches.is_full
    assert not any(9 in batch for batch in encoder.batches)


def test_retry_after_grows_with_what_waits(make, encoder, many):
    batches = make(waiting=40)
    batches._each = 0.5
    blocked(batches, encoder, many)
    rest = [many.submit(batches.embed, picture(value)) for value in range(19)]
    assert soon(lambda: batches.depth == 20)
    assert batches.retry_after == 10
    batches._each = 50
    assert batches.retry_after == 30
    encoder.go_on.set()
    for each in rest:
        each.result()


def test_WEB_20_who_leaves_the_queue_frees_its_place_and_is_not_embedded(make, encoder, many):
    batches = make(waiting=2, batch_size=1)
    blocked(batches, encoder, many)
    here = threading.Event()
    here.set()
    leaving = [many.submit(batches.embed, picture(5), is_wanted=here.is_set) for _ in range(2)]
    assert soon(lambda: batches.is_full)
    here.clear()
    for each in leaving:
        with pytest.raises(Gone):
            each.result()
    assert batches.depth == 1
    staying = many.submit(batches.embed, picture(6))
    encoder.go_on.set()
    assert staying.result()[0] == 6
    assert encoder.batches == [[99], [6]]


def test_WEB_20_who_left_is_noticed_right_before_embedding(make, encoder, many):
    batches = make()
    blocked(batches, encoder, many)

    def is_wanted():  # as seen by the thread that embeds; its own has not looked again yet
        return threading.current_thread().name != "dinoseek-batches"

    left = many.submit(batches.embed, picture(5), is_wanted=is_wanted)
    stays = many.submit(batches.embed, picture(6))
    assert soon(lambda: batches.depth == 3)
    encoder.go_on.set()
    with pytest.raises(Gone):
        left.result()
    assert stays.result()[0] == 6
    assert encoder.batches == [[99], [6]]


def test_a_question_that_fails_harms_only_who_asked_it(make, encoder, many):
    batches = make()
    blocked(batches, encoder, many)

    def is_wanted():
        if threading.current_thread().name == "dinoseek-batches":
            raise OSError("no socket")
        return True

    broken = many.submit(batches.embed, picture(5), is_wanted=is_wanted)
    fine = many.submit(batches.embed, picture(6))
    assert soon(lambda: batches.depth == 3)
    encoder.go_on.set()
    with pytest.raises(OSError, match="no socket"):
        broken.result()
    assert fine.result()[0] == 6


def test_what_the_encoder_raises_reaches_the_callers_of_that_batch_and_no_other(
    make, encoder, many
):
    batches = make(batch_size=2)
    first = blocked(batches, encoder, many)
    rest = []
    for value in range(3):
        rest.append(many.submit(batches.embed, picture(value)))
        assert soon(lambda: batches.depth == len(rest) + 1)
    encoder.error = MemoryError("too large")
    encoder.go_on.set()
    with pytest.raises(MemoryError):
        first.result()
    assert [each.result()[0] for each in rest] == [0, 1, 2]

    encoder.error = RuntimeError("broken")
    with pytest.raises(RuntimeError):
        batches.embed(picture(1))
    assert batches.embed(picture(2))[0] == 2


def test_an_encoder_that_returns_too_little_is_an_error_and_nobody_waits_for_ever(make, encoder):
    batches = make()
    vectors, batches._vectors = batches._vectors, lambda _: np.empty((0, 2), np.float32)
    with pytest.raises(ValueError, match="shorter"):
        batches.embed(picture(1))
    batches._vectors = vectors
    assert batches.embed(picture(2))[0] == 2


def test_a_picture_that_waits_too_long_is_given_up(make, encoder, many):
    batches = make()
    blocked(batches, encoder, many)
    with pytest.raises(Busy):
        batches.embed(picture(1), seconds=0.1)
    assert batches.depth == 1


def test_closing_ends_the_thread_and_turns_away_who_waits(make, encoder, many):
    batches = make()
    first = blocked(batches, encoder, many)
    rest = [many.submit(batches.embed, picture(value)) for value in range(3)]
    assert soon(lambda: batches.depth == 4)
    closing = many.submit(batches.close)
    time.sleep(0.1)
    encoder.go_on.set()
    closing.result()
    assert first.result()[0] == 99
    for each in rest:
        with pytest.raises(Busy):
            each.result()
    with pytest.raises(Busy):
        batches.embed(picture(1))


def test_the_time_in_the_queue_and_in_the_encoder_is_told_to_who_waited(
    make, encoder, many, timings
):
    batches = make()
    blocked(batches, encoder, many)

    def ask():
        stages = timings.begin()
        batches.embed(picture(1))
        return stages

    start = time.monotonic()
    asked = many.submit(ask)
    assert soon(lambda: batches.depth == 2)
    time.sleep(0.2)
    encoder.go_on.set()
    stages = asked.result()
    assert stages["queue"] >= 0.2
    assert stages["embed"] > 0
    assert stages["queue"] + stages["embed"] < time.monotonic() - start  # no time counts twice
