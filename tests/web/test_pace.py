from dinoseek.web.pace import Pace


def pace() -> Pace:
    return Pace(100.0, 0, grace=30, rate=10, window=5)


def test_nobody_is_too_slow_before_the_grace_is_over():
    assert not pace().is_too_slow(129.9, 0)


def test_dripping_client_is_too_slow_when_the_grace_is_over():
    assert pace().is_too_slow(130.0, 30)


def test_client_at_the_rate_goes_on_and_is_judged_by_the_window_then():
    slow = pace()
    assert not slow.is_too_slow(130.0, 300)
    assert not slow.is_too_slow(134.9, 300)
    assert not slow.is_too_slow(135.0, 350)
    assert slow.is_too_slow(140.0, 399)
