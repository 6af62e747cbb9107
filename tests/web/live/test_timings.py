"""What /metrics tells, and what one request is told of its own time."""

import threading
import time

from prometheus_client.parser import text_string_to_metric_families

from dinoseek.web.live.timings import Timings


def samples(timings):
    """All values by name and labels, as another program reads them."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(timings.text().decode())
        for sample in family.samples
    }


def test_a_request_is_told_how_long_its_stages_took_and_so_is_prometheus(timings):
    stages = timings.begin()
    with timings.stage("decode"):
        time.sleep(0.02)
    with timings.stage("decode"):
        pass
    timings.observe("embed", 1.5)
    assert 0.02 <= stages["decode"] < 1
    assert stages["embed"] == 1.5
    found = samples(timings)
    assert found["dinoseek_stage_seconds_count", "decode"] == 2
    assert found["dinoseek_stage_seconds_sum", "embed"] == 1.5


def test_a_stage_that_fails_is_timed_too(timings):
    stages = timings.begin()
    try:
        with timings.stage("search"):
            raise KeyError
    except KeyError:
        pass
    assert list(stages) == ["search"]


def test_requests_at_one_time_do_not_share_their_stages(timings):
    stages, seen = timings.begin(), []

    def other():
        mine = timings.begin()
        timings.observe("embed", 7)
        seen.append(mine)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert (stages, seen) == ({}, [{"embed": 7}])


def test_stages_outside_a_request_are_only_counted(timings):
    fresh = threading.Thread(target=timings.observe, args=("queue", 1))
    fresh.start()
    fresh.join()
    assert samples(timings)["dinoseek_stage_seconds_count", "queue"] == 1


def test_answers_rejections_and_the_cache_are_counted(timings):
    for status in (200, 200, 503):
        timings.count_request("/item/<id>", "GET", status, 0.25)
    timings.count_rejected("busy")
    timings.count_cached(hit=True)
    timings.count_cached(hit=False)
    timings.count_cached(hit=True)
    found = samples(timings)
    assert found["dinoseek_requests_total", "/item/<id>", "200", "GET"] == 2
    assert found["dinoseek_requests_total", "/item/<id>", "503", "GET"] == 1
    assert found["dinoseek_request_seconds_sum", "/item/<id>"] == 0.75
    assert found["dinoseek_rejected_total", "busy"] == 1
    assert found["dinoseek_embedding_cache_total", "hit"] == 2
    assert found["dinoseek_embedding_cache_total", "miss"] == 1


def test_made_up_methods_do_not_each_make_a_series(timings):
    for number in range(100):
        timings.count_request("/", f"M{number}", 405, 0)
    methods = {key[-1] for key in samples(timings) if key[0] == "dinoseek_requests_total"}
    assert methods == {"other"}


def test_a_gauge_is_asked_when_somebody_looks(timings):
    values = iter([3, 4])
    timings.gauge("dinoseek_queue_depth", "Waiting.", lambda: next(values))
    assert samples(timings)["dinoseek_queue_depth",] == 3
    assert samples(timings)["dinoseek_queue_depth",] == 4


def test_WEB_31_metrics_tell_no_versions_and_no_paths(timings):
    text = timings.text().decode()
    assert "python_info" not in text
    assert "version" not in text.lower()
    assert "process_resident_memory_bytes" in text


def test_two_servers_fit_in_one_process():
    one, other = Timings(), Timings()
    one.count_rejected("busy")
    assert ("dinoseek_rejected_total", "busy") not in samples(other)
