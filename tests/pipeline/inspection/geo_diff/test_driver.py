"""The names of the two databases, and what is refused before anything is read."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cli.progress import NullProgress
from config import Config
from pipeline.errors import InputError
from pipeline.geo.table import GeoTable
from pipeline.inspection.geo_diff.driver import compare_databases, name_builds


def table(build: str, digest: str, **regions: str) -> GeoTable:
    source = SimpleNamespace(regions=tuple(sorted(regions.items())))
    return cast(Any, SimpleNamespace(build=build, digest=digest, source=source))


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        (table("2026-05", "a", FR="Europe"), table("2026-06", "b", FR="EMEA"), ("2026-05", "2026-06")),
        (table("2026-06", "a", FR="Europe"), table("2026-06", "a", FR="Europe"), ("2026-06", "2026-06")),
        (
            table("2026-06", "a", FR="Europe", CN="Asia"),
            table("2026-06", "b", FR="EMEA", CN="Asia"),
            ("2026-06 (FR: Europe)", "2026-06 (FR: EMEA)"),
        ),
        (
            table("2026-06", "a", FR="Europe"),
            table("2026-06", "b"),
            ("2026-06 (FR: Europe)", "2026-06 (FR: UNKNOWN)"),
        ),
        (
            table("2026-06", "a", A="x", B="x", C="x", D="x", E="x"),
            table("2026-06", "b", A="y", B="y", C="y", D="y", E="y"),
            ("2026-06 (A: x, B: x, C: x and 2 more)", "2026-06 (A: y, B: y, C: y and 2 more)"),
        ),
        (
            table("2026-06", "0123456789", FR="Europe"),
            table("2026-06", "abcdefghij", FR="Europe"),
            ("2026-06 (table 01234567)", "2026-06 (table abcdefgh)"),
        ),
    ],
    ids=["other build", "same table", "other region", "no region", "many regions", "other table of one name"],
)
def test_builds_are_told_apart(old: GeoTable, new: GeoTable, names: tuple[str, str]) -> None:
    assert name_builds(old, new) == names


def test_where_nothing_is_published_nothing_is_made(tmp_path: Path) -> None:
    config = Config(OUTPUT_DIR=str(tmp_path / "out"), INTERMEDIATE_DIR=str(tmp_path / "work"))
    with pytest.raises(InputError, match="nothing is published"):
        compare_databases(config, NullProgress())
    assert list(tmp_path.iterdir()) == []
