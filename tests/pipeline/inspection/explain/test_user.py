"""A user's sums, counts and events, of files whose answers are worked out by hand."""

import os
from pathlib import Path
from typing import Any

import pytest

from config import Config
from pipeline.errors import ConfigError, InputError
from pipeline.inspection.explain import user as user_module
from pipeline.inspection.explain.user import Event, RegionSum, explain_user
from pipeline.privacy import pseudonym_of
from tests.harness import HEADER
from tests.pipeline.inspection.explain.conftest import FILES, TOTALS, VERSION, Make

START = len(HEADER)
LINES = [file.splitlines(keepends=True) for file in FILES]
KEY = b"k" * 32


def test_the_events_of_a_user_add_up(make: Make) -> None:
    answer = explain_user(make().published, Config(), "u1")
    assert answer.regions == (
        RegionSum("Asia", f"out.versions/{VERSION}/data/geo_region=Asia", 1, 12.0, 1, 12.0, True),
        RegionSum("Europe", f"out.versions/{VERSION}/data/geo_region=Europe", 1, 2.5, 1, 2.5, True),
    )
    assert answer.agrees
    # a, b of f0; a, b, c of f1: a of f0 and c lost, b of f1 repeats b of f0
    assert (answer.rows, answer.event_count, answer.duplicates, answer.conflicts) == (5, 2, 1, 2)
    times = [lines[number].decode().split(",")[2] or None for lines, number in ((LINES[0], 2), (LINES[1], 0))]
    assert answer.events == (
        Event("a", "f1.csv", START, "Asia", 12.0, 2, times[1]),
        Event("b", "f0.csv", START + len(b"".join(LINES[0][:2])), "Europe", 2.5, 4, times[0]),
    )
    assert (answer.user_id, answer.version, answer.keep, answer.notes) == ("u1", VERSION, "longest", ())


@pytest.mark.parametrize("rows_at_once", [1, 2, 1000])
def test_the_number_of_passes_changes_nothing(rows_at_once: int, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    published = make().published
    expected = explain_user(published, Config(), "u1")
    monkeypatch.setattr(user_module, "_ROWS_AT_ONCE", rows_at_once)
    assert explain_user(published, Config(), "u1") == expected


@pytest.mark.parametrize("buckets", [1, 4, 1024])
def test_rivals_are_found_in_other_buckets(buckets: int, make: Make) -> None:
    """Each user has an event that another user, whose rows lie elsewhere, wins."""
    users = 24
    files = [b"".join(b"id%d,u%02d,,,,1.0.0.1,%d\n" % (n, (n + step) % users, 1 + step) for n in range(users))
             for step in range(2)]  # fmt: skip
    published = make(files, buckets=buckets, totals={"Asia": [(f"u{n:02d}", 2.0, 1) for n in range(users)]}).published
    for number in range(users):
        answer = explain_user(published, Config(), f"u{number:02d}")
        assert (answer.rows, answer.event_count, answer.conflicts, answer.agrees) == (2, 1, 1, True)


def test_the_longest_events_are_listed(make: Make) -> None:
    made = make([b"".join(b"id%02d,u,,,,1.0.0.1,%d\n" % (n, n % 7) for n in range(30))], totals={})
    answer = explain_user(made.published, Config(EXPLAIN_ROWS=5), "u")
    assert [(event.log_id, event.minutes) for event in answer.events] == [
        ("id06", 6.0), ("id13", 6.0), ("id20", 6.0), ("id27", 6.0), ("id05", 5.0),
    ]  # fmt: skip
    assert answer.event_count == 30


@pytest.mark.parametrize(
    ("totals", "published"),
    [
        ({"Asia": [("u1", 12.5, 1)], "Europe": TOTALS["Europe"]}, (1, 12.5)),
        ({"Asia": [("u1", 12.0, 2)], "Europe": TOTALS["Europe"]}, (2, 12.0)),
        ({"Europe": TOTALS["Europe"]}, (None, None)),
    ],
    ids=["other minutes", "other events", "no row"],
)
def test_sums_that_differ_from_what_is_published(totals: Any, published: tuple[Any, Any], make: Make) -> None:
    answer = explain_user(make(totals=totals).published, Config(), "u1")
    assert not answer.agrees
    asia, europe = answer.regions
    assert (asia.event_count, asia.total_watch_time_min, asia.agrees) == (1, 12.0, False)
    assert (asia.published_event_count, asia.published_total_watch_time_min) == published
    assert europe.agrees


def test_a_published_row_without_events_differs(make: Make) -> None:
    answer = explain_user(make(totals={"Asia": [("u9", 1.0, 1)]}).published, Config(), "u9")
    assert (answer.rows, answer.event_count, answer.agrees, answer.events) == (0, 0, False, ())


def test_a_file_that_is_missing_hides_its_log_ids(make: Make) -> None:
    made = make()
    os.remove(made.paths[1])
    answer = explain_user(made.published, Config(), "u1")
    assert [event.log_id for event in answer.events] == [None, "b"]
    assert answer.notes == ("f1.csv: it is no longer there: its log_ids cannot be shown",)
    assert answer.agrees


def test_a_user_that_is_not_there(make: Make) -> None:
    with pytest.raises(InputError, match=rf"no event of this user was handed over for version {VERSION}.*capitals"):
        explain_user(make().published, Config(), "U1")


def test_pseudonyms_are_taken_as_they_are_and_plain_ids_need_the_key(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOGMILL_PSEUDONYM_KEY", raising=False)
    pseudonym = pseudonym_of("u1", KEY)
    made = make([b"a,%b,,,,1.0.0.1,1\n" % pseudonym.encode()], hidden=True, totals={"Asia": [(pseudonym, 1.0, 1)]})
    key = tmp_path / "key"
    key.write_bytes(KEY)
    assert explain_user(made.published, Config(), pseudonym).agrees
    answer = explain_user(made.published, Config(PSEUDONYM_KEY_FILE=str(key)), "u1")
    assert (answer.user_id, answer.agrees) == (pseudonym, True)
    with pytest.raises(
        ConfigError, match=r"users have pseudonyms here: name one \(64 hexadecimal digits\), or the key"
    ):
        explain_user(made.published, Config(), "u1")
