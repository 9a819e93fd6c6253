"""The logs of the data sets, as DuckDB reads them, and the regions that Logmill and the peers are told of."""

import ipaddress
import json
import random
from pathlib import Path

import duckdb
import maxminddb
import pytest

from benchmarks import independent
from benchmarks.data_sets import DATA_SETS
from benchmarks.mmdb import write_countries
from pipeline.geo.ranges import load_ranges
from pipeline.geo.special import private_intervals
from pipeline.geo.table import SHIPPED_TABLE

SIZE = 2_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.mark.parametrize("name", DATA_SETS)
def test_logs_have_their_size_and_are_made_once(name: str, folder: Path) -> None:
    logs = DATA_SETS[name].prepare(folder, SIZE, 1)
    files = sorted(logs.glob("*.csv"))
    assert len(files) == 4
    assert sum(path.stat().st_size for path in files) == pytest.approx(SIZE, rel=0.01)
    before = [path.stat().st_mtime_ns for path in files]
    DATA_SETS[name].prepare(folder, SIZE, 1)
    assert [path.stat().st_mtime_ns for path in files] == before
    if name != "generator":
        files[0].write_bytes(files[0].read_bytes()[:-10])
        DATA_SETS[name].prepare(folder, SIZE, 1)
        assert sum(path.stat().st_size for path in files) == pytest.approx(SIZE, rel=0.01)


def test_independent_logs(folder: Path) -> None:
    logs = DATA_SETS["independent"].prepare(folder, SIZE, 1)
    size = sum(path.stat().st_size for path in logs.glob("*.csv"))
    rows = duckdb.sql(f"from read_csv('{logs}/*.csv', header = true, all_varchar = true, filename = true)")
    rows.create_view("independent_rows")
    counts = "select count(*), count(distinct log_id), count(distinct filename) from independent_rows"
    ((total, ids, files),) = duckdb.sql(counts).fetchall()
    contents = duckdb.sql(
        "select count(*) from (select distinct * exclude (filename) from independent_rows)"
    ).fetchall()
    assert files == 4
    assert size / total == pytest.approx(109, abs=0.5)
    assert contents == [(ids,)]  # copies are equal
    assert 1 - ids / total == pytest.approx(0.065, abs=0.01)
    across = duckdb.sql(
        "select count(*) from (select log_id from independent_rows group by 1 having count(distinct filename) > 1)"
    ).fetchall()
    assert across[0][0] / total == pytest.approx(0.015, abs=0.005)
    ascending = duckdb.sql(
        "select avg((log_id > before)::int) from (select log_id, lag(log_id) over () before from independent_rows)"
    ).fetchall()
    assert ascending[0][0] == pytest.approx(0.5, abs=0.02)
    odd = duckdb.sql(
        "select count(*) from independent_rows where not regexp_full_match(log_id, '[0-9a-f]{32}')"
    ).fetchall()
    assert odd == [(0,)]


def test_independent_logs_are_the_same_with_more_workers(tmp_path: Path) -> None:
    shape = independent.shape_of(100_000, 3, 0.05, 0.015)
    for workers in (1, 2):
        (tmp_path / str(workers)).mkdir()
        independent.write_logs(shape, tmp_path / str(workers), workers)
    one, two = (b"".join(path.read_bytes() for path in sorted((tmp_path / n).glob("*.csv"))) for n in "12")
    assert one == two
    assert one.count(independent.HEADER) == 3


def test_every_record_of_the_logs_with_json_has_an_object_with_doubled_quotes(folder: Path) -> None:
    logs = DATA_SETS["json"].prepare(folder, SIZE, 1)
    assert not (logs / "base").exists()
    first = sorted(logs.glob("*.csv"))[0].read_bytes().splitlines()
    assert first[0].endswith(b",watch_time(min),details")
    assert all(b',"{""title"":""vid_' in line for line in first[1:])
    read = duckdb.sql(f"select video_id, \"timestamp\", details from read_csv('{logs}/*.csv', all_varchar = true)")
    for video, moment, details in read.fetchall():
        assert json.loads(details) == {"title": video, "ep": int(moment[17:19])}


def test_peers_join_the_countries_of_the_database(folder: Path) -> None:
    geography = DATA_SETS["independent"].locate(folder)
    assert geography.options[:2] == ("--geo-level", "country")
    table = duckdb.sql(f"select a, region from '{geography.table}' order by a").fetchall()
    dice = random.Random(7)
    private = private_intervals(4)
    ranges = [dice.randrange(len(table) - 1) for _ in range(2000)]
    with maxminddb.open_database(geography.options[3]) as database:
        for number in ranges:
            (first, region), (after, _) = table[number], table[number + 1]
            for address in (first, after - 1):
                record = database.get(str(ipaddress.IPv4Address(address)))
                expected = record["country"]["iso_code"] if isinstance(record, dict) else "UNKNOWN"
                if any(low <= address <= high for low, high in private):
                    expected = "PRIVATE"
                assert region == expected, ipaddress.IPv4Address(address)
    assert len({region for _, region in table}) > 200


def test_a_database_has_the_countries_of_its_ranges(tmp_path: Path) -> None:
    ranges = load_ranges(SHIPPED_TABLE)
    write_countries(tmp_path / "a.mmdb", ranges.v4_start, ranges.v4_code, ranges.labels)
    dice = random.Random(3)
    starts, codes = ranges.v4_start.tolist(), ranges.v4_code.tolist()
    with maxminddb.open_database(tmp_path / "a.mmdb") as database:
        for number in [0, len(starts) - 1, *(dice.randrange(len(starts) - 1) for _ in range(2000))]:
            last = starts[number + 1] - 1 if number + 1 < len(starts) else 2**32 - 1
            label = ranges.labels[codes[number]]
            for address in (starts[number], last):
                found = database.get(str(ipaddress.IPv4Address(address)))
                assert found == ({"country": {"iso_code": label}} if label else None)
