"""Time limits of tests follow the machine, and are never shorter than those of a quiet one."""

from functools import cache

import pytest

from tests import pace


@pytest.mark.parametrize(("taken", "limit"), [(0.001, 180), (pace.QUIET_SECONDS, 180), (4 * pace.QUIET_SECONDS, 720)])
def test_limits_follow_the_pace_and_never_fall(taken: float, limit: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "slowness", cache(pace.slowness.__wrapped__))
    monkeypatch.setattr(pace, "measure", lambda: taken)
    assert pace.patient(180) == pytest.approx(limit)


def test_the_pace_is_that_of_real_programs() -> None:
    assert pace.measure() > pace.QUIET_SECONDS / 20


def test_every_test_has_a_limit_of_this_pace(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("timeout") is None:
        (limit,) = request.node.get_closest_marker("timeout").args
        assert limit == pytest.approx(pace.patient(300))
    assert request.config.getini("timeout") == "300"
