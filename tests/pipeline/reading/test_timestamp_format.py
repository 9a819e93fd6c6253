"""Patterns of TIMESTAMP_FORMAT as settings give them; test_timestamps.py has what they read."""

import pytest

from pipeline.reading.timestamp_format import timestamp_formats
from utils.settings import SettingFault


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", ()),
        ((), ()),
        ("%d.%m.%Y %H:%M", ("%d.%m.%Y %H:%M",)),
        ("%b %d, %Y", ("%b %d, %Y",)),
        ('["%d.%m.%Y", "%m/%d/%Y"]', ("%d.%m.%Y", "%m/%d/%Y")),
        (["%d.%m.%Y", "%m/%d/%Y"], ("%d.%m.%Y", "%m/%d/%Y")),
        ("[%d.%m.%Y]", ("[%d.%m.%Y]",)),
    ],
)
def test_one_pattern_or_several(raw: object, expected: tuple[str, ...]) -> None:
    assert timestamp_formats().read(raw) == expected


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("%d.%m.%Y %Q", "has %Q, expected only %Y"),
        ("%d.%m.%", "has %, expected only"),
        ("%H:%M", "does not say the day"),
        ("%d.%m", "does not say the day"),
        ("%d %Y", "does not say the day"),
        ("rubbish", "does not say the day"),
        ("%d.%m.%Y %d", "has %d twice"),
        ("%d.%m.%Y %T %H", "has %H twice"),
        ("%d.%m.%Y %I:%M", "only one of %I and %p"),
        ("%d.%m.%Y %H:%M %p", "only one of %I and %p"),
        ("%d.%m.%Y %y", "has %Y and %y"),
        ("%s %H", "more than %s and %f"),
        (["%d.%m.%Y", "%d.%m.%Y"], "twice"),
    ],
)
def test_a_pattern_that_says_no_moment_is_refused(raw: object, message: str) -> None:
    with pytest.raises(SettingFault, match=message):
        timestamp_formats().read(raw)


@pytest.mark.parametrize("raw", [1, None, [1], [""], "[1]", {"a": 1}])
def test_what_is_no_pattern_is_refused(raw: object) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        timestamp_formats().read(raw)
