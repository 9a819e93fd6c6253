"""The compiled parser: what it makes of a text is what the rules make of it, and what it gets wrong is noticed."""

import io
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exchange.split_rows import SplitRows
from pipeline.geo.table import GeoTable, load_geo_table
from pipeline.preprocess.enrichment import enrich
from pipeline.reading.compiled_parser import CompiledParser
from pipeline.reading.csv_reader import SplitReader, judge_values
from pipeline.reading.header import Header
from pipeline.reading.record_finder import FoundRecords, RecordFinder
from pipeline.reading.splits import Split
from pipeline.reading.text_parser import TextColumns
from pipeline.reading.value_formats import USUAL_FORMATS, ValueFormats
from tests.examples import tries
from tests.harness import GEO, Harness, accepted_rows, enriched, library
from tests.pipeline.geo.test_addresses import ENDPOINTS, LISTS
from tests.reference import WHITE_SPACE, moment, read_file

ROLES = ("log_id", "user_id", "timestamp", "ip_address", "watch_time")
HEADER = Header("|", ROLES, {role: place for place, role in enumerate(ROLES)}, 0, 1, 1.0)
GOOD = {"log_id": "i", "user_id": "u", "timestamp": "2026-01-01T00:00:00Z", "ip_address": "1.1.1.1", "watch_time": "1"}
MAX_RECORD = 1 << 20
FILE = b"log_id,user_id,timestamp,video_id,device_type,ip_address,watch_time(min)\n" + b"".join(
    b'"i%d",u%d,2026-01-01T00:00:%02dZ,"a, b",tv,%d.2.3.4,%d.5\n' % (n, n % 50, n % 60, n % 4 + 1, n)
    for n in range(300)
)
JSON = FILE.replace(b'"a, b"', b'"{""a"": ""b""}"')
WITHOUT_QUOTES = FILE.replace(b'"', b"_").replace(b"a, b", b"a. b")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> GeoTable:
    """The shipped table."""
    return load_geo_table(None, "country", None, tmp_path_factory.mktemp("cache"))


def read_lines(
    columns: dict[str, list[str]], geo: GeoTable, formats: ValueFormats = USUAL_FORMATS
) -> tuple[SplitRows, list[int]]:
    """(rows, lines that were left to the rules), of lines with these values and otherwise good ones."""
    length = len(next(iter(columns.values())))
    rows = SplitRows(timestamps=True)
    parser = CompiledParser(Path(library()), HEADER, geo, rows, MAX_RECORD, formats)
    values = [columns.get(role, [GOOD[role]] * length) for role in ROLES]
    chunk = "".join("|".join(line) + "\n" for line in zip(*values, strict=True)).encode()
    found = parser.parse(chunk + b'"x|', len(chunk), len(chunk), 0, whole=False)
    assert found is not None
    assert (found.tally.records, found.tally.lines, found.length) == (length, length, len(chunk))
    assert rows.count == length - found.left.records
    return rows, found.left.lines.tolist()


def assert_equals_the_rules(
    columns: dict[str, list[str]], geo: GeoTable, formats: ValueFormats = USUAL_FORMATS
) -> list[int]:
    """Whatever the compiled parser takes is exactly what the rules and Polars make of it; returns what it left."""
    rows, doubtful = read_lines(columns, geo, formats=formats)
    length = len(next(iter(columns.values())))
    texts = {role: pl.Series(columns.get(role, [GOOD[role]] * length), dtype=pl.String) for role in ROLES}
    everything = np.arange(length)
    # The offset carries the line's number; raw bytes of rejects are not looked at.
    good = judge_values(TextColumns(texts, everything, everything, everything), b"", HEADER, (), formats).rows
    expected = SplitRows(timestamps=True)
    expected.append(enrich(good, geo, formats).with_columns(pl.col("offset").cast(pl.UInt32)))
    taken = np.setdiff1d(everything, doubtful)
    places = {line: place for place, line in enumerate(good["offset"].to_list())}
    assert set(taken.tolist()) <= places.keys(), "a line was taken that the rules reject"
    same = expected.frame(np.array([places[line] for line in taken.tolist()], np.int64)).drop("place", "offset")
    assert rows.frame(np.arange(rows.count)).drop("place", "offset").equals(same)
    return doubtful


def regions(texts: list[str], geo: GeoTable) -> np.ndarray:
    rows, doubtful = read_lines({"ip_address": texts}, geo)
    assert not doubtful
    return rows["region"]


# Values


@pytest.mark.slow
@tries(300)
@given(
    st.lists(
        st.one_of(
            st.decimals(0, 2 * 10**9, places=8).map(str),
            st.from_regex(r"[+-]?[0-9]{0,12}\.?[0-9]{0,12}(e[+-]?[0-9]{1,3})?", fullmatch=True),
            st.text("0123456789.,-+eE_ \tinfaNx٣", max_size=22),
            st.integers(0, 10**9 * 10**6).flatmap(
                lambda n: st.sampled_from(
                    [f"{n // 10**6}.{n % 10**6:06d}{tie}" for tie in ("5", "50", "49999", "500001")]
                )
            ),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_watch_times(texts: list[str]) -> None:
    texts = [text.replace("|", "").replace("\n", "") for text in texts]
    assert_equals_the_rules({"watch_time": texts}, GEO.load())


@pytest.mark.parametrize("unit", ["seconds", "milliseconds", "microseconds"])
@pytest.mark.parametrize("point", [".", ","])
@tries(20)
@given(data=st.data())
def test_watch_times_of_other_units(unit: str, point: str, data: st.DataObject) -> None:
    """Ties, long fractions and the limit of every unit, with either point."""
    number = st.one_of(
        st.from_regex(r"[0-9]{1,18}\.?[0-9]{0,12}", fullmatch=True).filter(str.isascii),
        st.from_regex(r"[0-9]{1,7}", fullmatch=True).filter(str.isascii),
        st.integers(0, 10**12).map(lambda n: f"{n // 10**5}.{n % 10**5:05d}"),
        st.sampled_from(
            ["60000000000", "59999999999.9999999", "60000000000000000", "999999999999999999", "", ".", "1e3"]
        ),
    )
    texts = [text.replace(".", point) for text in data.draw(st.lists(number, min_size=1, max_size=30))]
    formats = ValueFormats(watch_time="decimal_comma" if point == "," else "number", unit=unit)
    assert_equals_the_rules({"watch_time": [*texts, "30", "90", "0" + point + "3", "1.5", "1,5"]}, GEO.load(), formats)


@pytest.mark.parametrize(
    ("formats", "texts"),
    [
        (ValueFormats(unit="seconds"), ["0", "1", "62.5", "3600", "0.00003", "12.345678901234", "86400.000001"]),
        (ValueFormats(unit="milliseconds"), ["62500", "0.03", "3600000", "1.25"]),
        (ValueFormats(unit="microseconds"), ["30", "90", "150", "62500000", "3600000000"]),
        (ValueFormats(watch_time="decimal_comma"), ["62,5", "0,0000005", "12", "1,25"]),
    ],
)
def test_usual_watch_times_of_other_units_need_no_rules(formats: ValueFormats, texts: list[str]) -> None:
    assert assert_equals_the_rules({"watch_time": texts * 20}, GEO.load(), formats) == []


def test_every_byte_at_every_place_of_a_watch_time() -> None:
    texts = [
        text[:place] + chr(byte) + text[place:]
        for text in ("", "7", ".5", "12.5", "999.999", "0.123456", "9999999.9")
        for place in range(len(text) + 1)
        for byte in range(1, 128)
        if chr(byte) not in '\n\r|"'
    ]
    assert_equals_the_rules({"watch_time": texts}, GEO.load())


def test_the_limit_of_minutes_holds_before_rounding() -> None:
    texts = ["1000000000", "1000000000.0000000", "1000000000.0000001", "999999999.9999999", "1000000000.00000001"]
    assert assert_equals_the_rules({"watch_time": texts}, GEO.load()) == [2, 4]


MUTATIONS = st.sampled_from([*"0123456789abcdefABCDEFg:.:.%/[] +-x", "::", "00", "ffff:", "1.2.3.4", "٣", "é"])


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """An address, or one with a few characters put in, taken out or exchanged."""
    text = str(draw(st.ip_addresses()))
    if draw(st.booleans()):
        value = draw(st.integers(0, 2**32 - 1))
        text = draw(
            st.sampled_from(
                [
                    f"::ffff:{IPv4Address(value)}",
                    f"::{IPv4Address(value)}",
                    IPv6Address(text).exploded if ":" in text else text,
                ]
            )
        )
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.one_of(st.just(""), MUTATIONS)) + text[place + draw(st.integers(0, 2)) :]
    return text


@tries(60)
@given(st.lists(st.one_of(ENDPOINTS, LISTS), min_size=1, max_size=30), st.integers(0, 3))
def test_addresses_with_ports_and_in_lists(texts: list[str], proxies: int) -> None:
    texts = [*texts, "1.2.3.4:80", "[::1]:443", "2.3.4.5, 1.1.1.1", ",1.1.1.1,", "[1.2.3.4%eth0]", "1.1.1.1:65536"]
    assert assert_equals_the_rules({"ip_address": texts}, GEO.load(), ValueFormats(addresses="endpoint")) == []
    forwarded = ValueFormats(addresses="forwarded", proxies=proxies)
    assert assert_equals_the_rules({"ip_address": texts}, GEO.load(), forwarded) == []


def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # a zone makes it no address


@pytest.mark.slow
@tries(600)
@given(st.lists(addresses(), min_size=1, max_size=30))
def test_addresses(world: GeoTable, texts: list[str]) -> None:
    found = regions(texts, world)
    assert [world.names[code] != "INVALID" for code in found] == [is_address(text) for text in texts]
    assert found.tolist() == world.lookup(pl.Series(texts, dtype=pl.String)).tolist()


@pytest.mark.slow
def test_a_million_random_addresses(world: GeoTable) -> None:
    random = np.random.default_rng(7)
    quads = random.integers(0, 2**32, 500_000).tolist()
    halves = random.integers(0, 2**64, (500_000, 2), dtype=np.uint64)
    leading = random.choice(np.array([0x20, 0x24, 0x26, 0x28, 0x2A, 0x2C], np.uint64), 250_000)
    halves[::2, 0] = (halves[::2, 0] >> np.uint64(8)) | leading << np.uint64(56)  # where the registries hand out
    texts = [f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in quads]
    texts += [v6_text(hi, lo) for hi, lo in halves.tolist()]
    found = regions(texts, world)
    assert np.array_equal(found, world.lookup(pl.Series(texts)))
    assert len(np.unique(found[:500_000])) > 150
    assert len(np.unique(found[500_000:])) > 50


def v6_text(hi: int, lo: int) -> str:
    return ":".join(f"{half >> shift & 0xFFFF:x}" for half in (hi, lo) for shift in (48, 32, 16, 0))


@pytest.mark.slow
def test_the_first_and_last_address_of_every_range(world: GeoTable) -> None:
    arrays = world.arrays
    starts = arrays["v4_start"].tolist()
    numbers = {*starts, *(start - 1 for start in starts[1:]), 2**32 - 1}
    texts = [f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in sorted(numbers)]
    sizes = np.diff(np.append(arrays["first"], len(arrays["low"])))
    firsts = [
        hi << 64 | lo for hi, lo in zip(np.repeat(arrays["half"], sizes).tolist(), arrays["low"].tolist(), strict=True)
    ]
    wide = sorted({*firsts, *(first - 1 for first in firsts[1:]), 2**128 - 1})
    texts += [v6_text(number >> 64, number & 2**64 - 1) for number in wide]
    assert len(texts) > 500_000
    assert np.array_equal(regions(texts, world), world.lookup(pl.Series(texts)))


zones = st.one_of(
    st.none(),
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
        lambda zone: timezone(timedelta(minutes=zone // timedelta(minutes=1)))
    ),
)


@tries(300)
@given(
    st.lists(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=zones), min_size=1, max_size=20),
    st.sampled_from("T "),
)
def test_moments_that_are_good(moments: list[datetime], between: str) -> None:
    texts = [when.isoformat(between).replace("+00:00", "Z") for when in moments]
    rows, doubtful = read_lines({"timestamp": texts}, GEO.load())
    assert not doubtful
    assert rows["timestamp"].tolist() == [moment(text) for text in texts]
    assert_equals_the_rules({"timestamp": texts}, GEO.load())


def test_numbers_and_a_suffix_need_no_rules() -> None:
    texts = ["1795903200", "1795903200123", "1795903200123456", "1795903200123456789", "2026-11-28 22:00:00 UTC"]
    texts += ["2026-11-28T22:00:00.123456789Z", "2026-11-28 22:00:00.1 UTC", "9" * 19, "0"]
    rows, doubtful = read_lines({"timestamp": texts}, GEO.load())
    assert not doubtful
    assert rows["timestamp"].tolist() == [moment(text) for text in texts]


@pytest.mark.slow
@tries(300)
@given(
    st.lists(
        st.one_of(
            st.from_regex(
                r"[0-9]{4}-[0-2][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,11})?"
                r"(Z|z| UTC|UTC| utc|[+-][0-9]{2}:?[0-9]{2})?",
                fullmatch=True,
            ),
            st.tuples(
                st.datetimes().map(datetime.isoformat), st.integers(0, 26), st.text("0123456789-:TZ.+ ,é", max_size=2)
            ).map(lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]),
            st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{1,9})?", fullmatch=True),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_moments_of_any_kind(texts: list[str]) -> None:
    assert_equals_the_rules({"timestamp": texts}, GEO.load())


@pytest.mark.slow
@pytest.mark.parametrize("role", ["log_id", "user_id"])
def test_ids_of_every_single_character(role: str) -> None:
    """Nothing that is white space is taken, and whatever is taken is right; empty fields too."""
    characters = [chr(n) for n in range(1, 0x110000) if not 0xD800 <= n < 0xE000]
    texts = ["", *(c for c in characters if c not in '"|\n\r')]
    doubtful = assert_equals_the_rules({role: texts}, GEO.load())
    left = {texts[line] for line in doubtful}
    assert left >= ({"", *WHITE_SPACE} & set(texts))
    assert len(left) < 10_000, "ordinary characters are left to the rules"


@tries(200)
@given(
    st.lists(
        st.tuples(
            st.text(WHITE_SPACE.replace("\n", "").replace("\r", "") + "\0\ufeffaé", max_size=4), st.text(max_size=60)
        ),
        min_size=1,
        max_size=20,
    )
)
def test_ids_of_any_text(pairs: list[tuple[str, str]]) -> None:
    ids, users = ([re.sub('[|\n\r"\0]', "", text) for text in column] for column in zip(*pairs, strict=True))
    assert_equals_the_rules({"log_id": ids, "user_id": users}, GEO.load())


# Faults


def shifted(separators: np.ndarray, place: int, by: int) -> np.ndarray:
    separators[place] += by
    return separators


BREAKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "one dropped": lambda s: np.delete(s, 100),
    "the first dropped": lambda s: s[1:],
    "the last dropped": lambda s: s[:-1],
    "one twice": lambda s: np.insert(s, 100, s[100]),
    "one shifted to the right": lambda s: shifted(s, 100, 1),
    "one shifted to the left": lambda s: shifted(s, 101, -1),
    "two exchanged": lambda s: np.concatenate((s[:100], s[[101, 100]], s[102:])),
    "a line swallowed": lambda s: np.delete(s, range(70, 77)),
    "the first line swallowed": lambda s: s[7:],
    "the last line swallowed": lambda s: s[:-7],
    "a line twice": lambda s: np.insert(s, 70, s[70:77]),
    "two lines exchanged": lambda s: np.concatenate((s[:70], s[77:84], s[70:77], s[84:])),
    "two lines merged": lambda s: np.delete(s, [76, *range(78, 84)]),
    "the second half missing": lambda s: s[: len(s) // 14 * 7],
    "all missing": lambda s: s[:0],
    "all shifted by a field": lambda s: np.append(s[1:], s[-1] + 1).astype(np.int32),
    "one dropped and another twice": lambda s: np.insert(np.delete(s, 10), 20, s[21]),
    "a delimiter in quotes for one outside": lambda s: shifted(s, 3, -2 if s[3] else 0),
    "one field more for each": lambda s: np.sort(np.concatenate((s, s[::7]))),
    "in reverse": lambda s: s[::-1].copy(),
    "negative": lambda s: shifted(s, 0, -2 * int(s[0]) - 1),
    "beyond the chunk": lambda s: shifted(s, -1, 1000),
}


@pytest.mark.parametrize("file", [FILE, WITHOUT_QUOTES, JSON], ids=["quotes", "no quotes", "doubled quotes"])
@pytest.mark.parametrize("fault", BREAKS)
def test_broken_separators_are_never_believed(fault: str, file: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    search, find = RecordFinder._search, RecordFinder.find
    answers = []

    def broken(self: RecordFinder, chunk: Any) -> Any:
        found = search(self, chunk)
        before = self._separators[: found.records * 7]
        after = np.ascontiguousarray(BREAKS[fault](before.copy()), np.int32)
        self._separators = np.append(after, np.zeros(len(before) + 7, np.int32))
        found.separators, found.records = self._separators.ctypes.data, len(after) // 7
        return found

    def noted(*given: Any, **options: Any) -> Any:
        answers.append(find(*given, **options))
        return answers[-1]

    monkeypatch.setattr(RecordFinder, "_search", broken)
    monkeypatch.setattr(RecordFinder, "find", noted)
    truth = read_file(file, 256, timestamps=False)
    with Harness([file], chunk_bytes=5000) as run:
        outcome = run.read()
        (accepted,) = run.accepted(outcome)
    assert answers
    assert not any(answers)
    assert accepted == [(offset, enriched(e.log_id, e.user_id, e.ip_address, e.micro)) for offset, e in truth.events]
    assert len(accepted) == 300


def rolled(name: str) -> Callable[[SplitRows, slice], None]:
    def change(rows: SplitRows, new: slice) -> None:
        rows.columns[name][new] = np.roll(rows.columns[name][new], 1)

    return change


def added(name: str, by: int) -> Callable[[SplitRows, slice], None]:
    def change(rows: SplitRows, new: slice) -> None:
        rows.columns[name][new] += rows.columns[name].dtype.type(by)

    return change


def other_users(rows: SplitRows, new: slice) -> None:
    rows.users[rows.columns["user_end"][new] - 1] ^= 1


@pytest.mark.parametrize(
    "change",
    [rolled("id_hi"), rolled("id_lo"), rolled("region"), rolled("micro_minutes"), rolled("offset"), added("id_hi", 1),
     added("id_lo", 1), added("region", 1), added("micro_minutes", 1), added("micro_minutes", 1_000_000),
     added("offset", 1), added("user_hash", 1), rolled("user_hash"), other_users],
)  # fmt: skip
def test_wrong_values_refuse_the_file(
    change: Callable[[SplitRows, slice], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    add = CompiledParser._add_rows

    def broken(self: CompiledParser, found: FoundRecords, base: int) -> np.ndarray:
        doubtful = add(self, found, base)
        change(self._rows, slice(self._rows.count, self._rows.count + len(found.separators) - len(doubtful)))
        return doubtful

    with Harness([FILE], chunk_bytes=5000) as run:
        assert not run.read().refused
        monkeypatch.setattr(CompiledParser, "_add_rows", broken)
        ((path, reason),) = run.read().refused.items()
    assert path == run.paths[0]
    assert "the compiled parser and the rules disagree" in reason


@pytest.mark.parametrize("wrong", [0, 2, 3])
def test_of_files_in_one_task_the_wrong_one_alone_is_refused(wrong: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where files name their columns otherwise."""
    add = CompiledParser._add_rows
    marked = FILE.replace(b"i7,", b"wrong,").replace(b'"i7"', b'"wrong"')
    files = [FILE.replace(b"tv", b"phone"), FILE, FILE.replace(b"user_id", b"user"), FILE]
    files[wrong] = marked.replace(b"user_id", b"user") if wrong == 2 else marked

    def broken(self: CompiledParser, found: FoundRecords, base: int) -> np.ndarray:
        doubtful = add(self, found, base)
        if b"wrong" in found.data[: found.length]:
            self._rows.columns["micro_minutes"][: self._rows.count + len(found.separators)] += 1
        return doubtful

    monkeypatch.setattr(CompiledParser, "_add_rows", broken)
    with Harness(files) as run:
        outcome = run.read(user_id=("user_id", "user"))
        assert list(outcome.refused) == [run.paths[wrong]]
        assert "the compiled parser and the rules disagree" in outcome.refused[run.paths[wrong]]
        assert [ledger.records for ledger in outcome.ledgers] == [300] * 3


def test_any_number_of_doubts_is_left_to_the_rules() -> None:
    rows = SplitRows(timestamps=True)
    parser = CompiledParser(Path(library()), HEADER, GEO.load(), rows, MAX_RECORD)
    good, doubtful = "|".join(GOOD.values()) + "\n", "|".join({**GOOD, "watch_time": "1e1"}.values()) + "\n"
    chunk = (good + doubtful * 40 + good).encode()
    found = parser.parse(chunk, len(chunk), len(chunk), 0, whole=True)
    assert found is not None
    assert (found.tally.records, found.left.records, rows.count) == (42, 40, 2)
    assert found.left.texts["watch_time"].to_list() == ["1e1"] * 40
    assert found.left.lines.tolist() == list(range(1, 41))
    assert found.left.offsets.tolist() == [len(good) + len(doubtful) * n for n in range(40)]


def chunked(data: bytes, chunk_bytes: int) -> tuple[SplitRows, int]:
    """(all rows of a file, number of those that the rules judged), read in chunks."""
    header = read_header_of(data)
    rows = SplitRows(timestamps=False)
    compiled = CompiledParser(Path(library()), header, GEO.load(), rows, 256)
    split = Split(0, "", len(data), header.data_start, len(data), True, header)
    judged = 0
    for batch in SplitReader(split, io.BytesIO(data), chunk_bytes, 256, compiled):
        if len(batch.rows):
            judged += len(batch.rows)
            rows.append(enrich(batch.rows, GEO.load()))
    return rows, judged


def read_header_of(data: bytes) -> Header:
    names = tuple(data.split(b"\n")[0].decode().split(","))
    columns = {"log_id": 0, "user_id": 1, "ip_address": 5, "watch_time": 6}
    return Header(",", names, columns, data.index(b"\n") + 1, 2, 50.0)


def test_rows_of_both_parsers_lie_in_one_split() -> None:
    """Rows of either kind follow each other; every row keeps its own place."""
    body = b"".join(
        b'i%d,u,2026-01-01,"say ""%d""",tv,1.1.1.1,1e1\n' % (n, n) if n // 20 % 2 else FILE.splitlines(True)[n + 1]
        for n in range(300)
    )
    data = FILE.splitlines(True)[0] + body
    rows, judged = chunked(data, 700)
    assert (judged, rows.count) == (140, 300)
    truth = read_file(data, 256, timestamps=False)
    start = read_header_of(data).data_start
    assert sorted(accepted_rows(rows, GEO.load().names)) == [
        (offset - start, enriched(e.log_id, e.user_id, e.ip_address, e.micro)) for offset, e in truth.events
    ]


QUOTED = {
    "a JSON column": b'i%d,u%d,2026-01-01T00:00:00Z,"{""title"":""abc"",""ep"":7}",tv,1.2.3.4,1.5\n',
    "an empty quoted field": b'i%d,u%d,2026-01-01T00:00:00Z,"",tv,1.2.3.4,1.5\n',
    "a quoted line end": b'i%d,u%d,2026-01-01T00:00:00Z,"two\nlines",tv,1.2.3.4,1.5\n',
    "a quoted CRLF": b'i%d,u%d,2026-01-01T00:00:00Z,"two\r\nlines",tv,1.2.3.4,1.5\r\n',
    "a line end last": b'i%d,u%d,2026-01-01T00:00:00Z,"two\n",tv,1.2.3.4,1.5\n',
    "a quote in an unquoted field": b'i%d,u%d,2026-01-01T00:00:00Z,v,5" tv,1.2.3.4,1.5\n',
    "two quotes in an unquoted field": b'i%d,u%d,2026-01-01T00:00:00Z,v,say "" hi,1.2.3.4,1.5\n',
    "ids with doubled quotes": b'"i""%d","u""%d""",2026-01-01T00:00:00Z,v,tv,1.2.3.4,1.5\n',
    "ids with line ends": b'"i\n%d","u\n%d\n",2026-01-01T00:00:00Z,v,tv,1.2.3.4,1.5\n',
    "every field quoted": b'"i%d","u%d","2026-01-01T00:00:00Z","v","tv","1.2.3.4","1.5"\r\n',
    "commas everywhere": b'"i,%d","u,%d","a,b","c,d","e,f","1.2.3.4","1.5"\n',
    "only quotes": b'"i%d","u%d","""","""""","""\n""","1.2.3.4","1.5"\n',
}


@pytest.mark.parametrize("record", QUOTED.values(), ids=QUOTED)
def test_whatever_rfc_4180_allows_is_parsed_by_the_compiled_parser(record: bytes) -> None:
    data = FILE.splitlines(True)[0] + b"".join(record % (n, n) for n in range(100))
    truth = read_file(data, 256, timestamps=False)
    assert len(truth.events) == 100
    start = read_header_of(data).data_start
    for chunk_bytes in (64, 100, 1000, 100_000):
        rows, judged = chunked(data, chunk_bytes)
        assert (judged, rows.count) == (0, 100)
        assert accepted_rows(rows, GEO.load().names) == [
            (offset - start, enriched(e.log_id, e.user_id, e.ip_address, e.micro)) for offset, e in truth.events
        ]


@pytest.mark.parametrize("keep", ["first", "last"])
@pytest.mark.parametrize("delimiter", [b",", b";", b"\t", b"|"])
def test_quoted_timestamps_decide(keep: str, delimiter: bytes) -> None:
    records = [
        b'"i%d"%s"u""%d"%s"2026-01-01T00:00:%02dZ"%s"x%s""y"""%stv%s"1.2.3.4"%s"%d"\r\n'
        % (n % 3, delimiter, n, delimiter, n, delimiter, delimiter, delimiter, delimiter, delimiter, 10 - n)
        for n in range(9)
    ]
    names = [b'"' + name + b'"' for name in FILE.split(b"\n")[0].split(b",")]
    data = delimiter.join(names) + b"\r\n" + b"".join(records)
    with Harness([data], keep=keep) as run:
        found = run.run()
    winners = {f'u"{n}' for n in (range(3) if keep == "first" else range(6, 9))}
    assert {user for _, user in found.totals} == winners
    assert (found.records, found.kept, found.conflicts) == (9, 3, 6)
