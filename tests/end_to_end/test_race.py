"""A short reader race; ``make chaos`` runs a longer one."""

from pathlib import Path

import pytest

from tests.end_to_end.race import HAS_JAVA, Race, run_race
from tests.result_readers import IN_PROCESS


@pytest.mark.parametrize("delta", [False, True], ids=["the resolved link", "the Delta table"])
def test_no_reader_mixes_versions_or_fails(delta: bool, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    spark = request.getfixturevalue("spark") if HAS_JAVA else None
    race = run_race(tmp_path, 2, spark, delta=delta)
    assert not race.bad
    assert race.exchanges > 0
    assert {name for name, _ in race.outcomes} == {"polars", "pyarrow", "duckdb", *(["spark"] if HAS_JAVA else [])}


def test_the_race_sees_a_mixture(tmp_path: Path) -> None:
    """Two versions in one folder, as a reader finds them that looks through the link twice."""
    race = Race(tmp_path, delta=False)
    mixed = tmp_path / "mixed"
    for version in race.versions[:2]:
        for path in (race.output.versions / version / "data").glob("*/*.parquet"):
            (mixed / path.parent.name).mkdir(parents=True, exist_ok=True)
            (mixed / path.parent.name / path.name).symlink_to(path)

    for read in IN_PROCESS.values():
        assert read(mixed).rows not in race.allowed
