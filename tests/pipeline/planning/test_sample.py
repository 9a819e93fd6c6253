"""The sample against DuckDB's count of everything, and the estimate of distinct pairs against sets."""

import random
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.shapes import Shape, make_logs
from pipeline.planning.sample import Sample, estimate_distinct, take_sample
from pipeline.reading.open_inputs import read_headers
from tests.harness import GEO
from tests.reference import ROLES

WANTED = {role: (name,) for role, name in ROLES.items() if role != "timestamp"}
PAIRS = st.sets(st.tuples(st.binary(max_size=1), st.integers(0, 2)), max_size=20)


@pytest.mark.parametrize(
    "shape",
    [
        Shape("usual", 3_000_000, files=3, users=5_000),
        Shape("wide", 3_000_000, files=1, users=1_000, padding=700, user_bytes=36),
        Shape("bot", 3_000_000, files=40, users=30_000, bot_share=0.3),
    ],
    ids=lambda shape: shape.name,
)
def test_the_sample_is_near_what_all_lines_say(shape: Shape, tmp_path: Path) -> None:
    make_logs(shape, tmp_path / "logs")
    names = sorted(map(str, (tmp_path / "logs").iterdir()))
    sample = take_sample(read_headers(names, WANTED, 2**20)[0], GEO.load())
    rows, users, pairs = duckdb.sql(
        f"""select count(*), avg(length(user_id)), count(distinct (user_id, case when ip_address like '1.%' then 'Asia'
              when ip_address like '2.%' then 'Europe' when ip_address like '10.%' then 'PRIVATE' end))
            from read_csv('{tmp_path}/logs/*.csv', all_varchar = true)"""
    ).fetchall()[0]
    assert sample.rows == pytest.approx(rows, rel=0.05)
    assert sample.user_bytes == pytest.approx(users, rel=0.05)
    assert sample.result_rows == pytest.approx(pairs, rel=0.35)
    assert sample.files == shape.files


@given(pieces=st.lists(PAIRS, max_size=5), rows=st.integers(0, 10**6))
def test_an_estimate_is_within_its_bounds(pieces: list[set[tuple[bytes, int]]], rows: int) -> None:
    found = estimate_distinct(pieces, rows)
    assert 0 <= found <= rows
    if not set().union(*pieces):
        assert found == 0


def test_pairs_that_are_in_every_piece_are_all_there_are() -> None:
    pairs = {(b"%d" % n, 0) for n in range(50)}
    assert estimate_distinct([pairs] * 5, 10**6) == 50


@pytest.mark.parametrize(("once", "twice", "exist"), [(4, 0, 10), (1, 5, 6), (10, 4, 23), (0, 7, 7)])
def test_unseen_pairs_are_estimated_by_the_bias_corrected_formula_of_chao(once: int, twice: int, exist: int) -> None:
    """seen + once * (once - 1) / (2 * (twice + 1)), by hand; of so many rows all that exist occur."""
    alone = {(b"alone %d" % n, 0) for n in range(once)}
    shared = {(b"shared %d" % n, 0) for n in range(twice)}
    assert estimate_distinct([alone | shared, shared], 10**9) == exist


@pytest.mark.parametrize("users", [200, 2_000, 20_000])
def test_the_estimate_is_near_the_number_of_users_that_occur(users: int) -> None:
    """Twenty pieces of 300 lines from a log of 50,000 lines, each user as frequent as any other."""
    chance = random.Random(7)
    log = [(b"%d" % chance.randrange(users), 0) for _ in range(50_000)]
    pieces = [set(log[first : first + 300]) for first in range(0, 50_000, 2_500)]
    assert estimate_distinct(pieces, len(log)) == pytest.approx(len(set(log)), rel=0.15)


def test_a_file_that_cannot_be_read_or_has_other_lines_is_skipped(tmp_path: Path) -> None:
    head = ",".join(ROLES.values()) + "\n"
    (tmp_path / "a.csv").write_text(head + "1,ann,1.0.0.1,2,t\n" * 100 + "too,few\n" * 50)
    (tmp_path / "b.csv").write_text(head + "1,bob,1.0.0.1,2,t\n" * 100)
    files, _ = read_headers([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], WANTED, 2**20)
    both = take_sample(files, GEO.load())
    assert both.user_bytes == 3
    (tmp_path / "b.csv").unlink()
    one = take_sample(files, GEO.load())
    assert one.user_bytes == 3
    assert one.result_rows < both.result_rows
    assert replace(one, result_rows=both.result_rows, packed_user_bytes=both.packed_user_bytes) == both


def test_without_files_there_is_nothing() -> None:
    assert take_sample([], GEO.load()) == Sample()


def test_of_many_files_some_from_all_over_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = ",".join(ROLES.values()) + "\n"
    paths = [tmp_path / f"{number:03}.csv" for number in range(100)]
    for path in paths:
        path.write_text(head + "1,ann,1.0.0.1,2,t\n" * 20)
    files, _ = read_headers(list(map(str, paths)), WANTED, 2**20)
    opened: list[str] = []

    def note(path: str, stop: int) -> object:
        assert stop == 0, "no stream is begun for a look"
        opened.append(Path(path).stem)
        return open(path, "rb")

    monkeypatch.setattr("pipeline.planning.sample.open_bytes", note)
    sample = take_sample(files, GEO.load())
    assert opened == [f"{100 * n // 16:03}" for n in range(16)]
    assert (sample.files, sample.rows) == (100, 2000)
