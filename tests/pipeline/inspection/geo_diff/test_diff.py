"""The answer of ``geo-diff`` from sums that are written by hand."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import BalanceError
from pipeline.inspection.geo_diff.diff import (
    GeoDiff,
    Move,
    RegionChange,
    UnreadFile,
    add_up,
    check_before,
    make_diff,
)
from pipeline.inspection.geo_diff.pairs import UNREAD
from pipeline.inspection.geo_diff.relocation import Relocation
from pipeline.publish.tasks import RegionTotal
from pipeline.versions.catalog import Version

M = 10**6
BUCKETS = [
    Relocation(
        {("Asia", "Asia"): (2, 5, 50 * M), ("Asia", "Europe"): (1, 1, 2 * M), ("Europe", UNREAD): (1, 3, 9 * M)},
        {"Asia": (2, 6, 52 * M), "Europe": (1, 3, 9 * M)},
        {"Asia": (2, 5, 50 * M), "Europe": (1, 1, 2 * M), UNREAD: (1, 3, 9 * M)},
        1,
    ),
    Relocation(
        {("Asia", "Europe"): (1, 2, 2**70), ("Europe", "Africa"): (1, 1, 500_000)},
        {"Asia": (1, 2, 2**70), "Europe": (1, 1, 500_000)},
        {"Europe": (1, 2, 2**70), "Africa": (1, 1, 500_000)},
        2,
    ),
]
REGIONS = [
    {"region": "Asia", "users": 3, "events": 8, "minutes": (52 * M + 2**70) / M},
    {"region": "Europe", "users": 2, "events": 4, "minutes": 9.5},
]


def version(regions: list[dict[str, Any]]) -> Version:
    return Version(Path("versions/v1"), {"regions": regions})


def test_sums_of_buckets_add_up() -> None:
    found = add_up(BUCKETS)
    assert found == Relocation(
        {
            ("Asia", "Asia"): (2, 5, 50 * M),
            ("Asia", "Europe"): (2, 3, 2 * M + 2**70),
            ("Europe", UNREAD): (1, 3, 9 * M),
            ("Europe", "Africa"): (1, 1, 500_000),
        },
        {"Asia": (3, 8, 52 * M + 2**70), "Europe": (2, 4, 9_500_000)},
        {"Asia": (2, 5, 50 * M), "Europe": (2, 3, 2 * M + 2**70), UNREAD: (1, 3, 9 * M), "Africa": (1, 1, 500_000)},
        3,
    )
    assert add_up([]) == Relocation({}, {}, {}, 0)


def test_the_answer_lists_moves_and_regions_without_the_unread() -> None:
    unread = UnreadFile("a.csv", "it is no longer there")
    assert make_diff(version(REGIONS), ("old", "new"), add_up(BUCKETS), 4, [unread], 1.5) == GeoDiff(
        version="v1",
        old_build="old",
        new_build="new",
        moved_users=3,
        moved_events=4,
        moved_minutes=(2 * M + 2**70 + 500_000) / M,
        moves=(
            Move("Asia", "Europe", 2, 3, (2 * M + 2**70) / M),
            Move("Europe", "Africa", 1, 1, 0.5),
        ),
        regions=(
            RegionChange("Africa", RegionTotal("Africa", 0, 0, 0.0), RegionTotal("Africa", 1, 1, 0.5)),
            RegionChange(
                "Asia", RegionTotal("Asia", 3, 8, (52 * M + 2**70) / M), RegionTotal("Asia", 2, 5, 50.0)
            ),
            RegionChange(
                "Europe", RegionTotal("Europe", 2, 4, 9.5), RegionTotal("Europe", 2, 3, (2 * M + 2**70) / M)
            ),
        ),
        examined_files=3,
        not_examined=(unread,),
        unknown_events=3,
        unknown_minutes=9.0,
        seconds=1.5,
    )  # fmt: skip


def test_moves_of_equal_minutes_are_in_order_of_their_regions() -> None:
    pairs = dict.fromkeys((("b", "c"), ("a", "d"), ("b", "a"), ("b", "b")), (1, 1, M))
    diff = make_diff(version([]), ("", ""), Relocation(pairs, {}, {}, 1), 1, [], 0.0)
    assert [(move.from_region, move.to_region) for move in diff.moves] == [("a", "d"), ("b", "a"), ("b", "c")]


def test_the_old_table_must_make_what_is_published() -> None:
    check_before(version(REGIONS), add_up(BUCKETS))
    for key, value in (("users", 2), ("events", 9), ("minutes", 9.25)):
        other = [REGIONS[0] | {key: value}, REGIONS[1]]
        with pytest.raises(BalanceError, match=r"another result than version v1.*report it"):
            check_before(version(other), add_up(BUCKETS))
    with pytest.raises(BalanceError):
        check_before(version(REGIONS[:1]), add_up(BUCKETS))
