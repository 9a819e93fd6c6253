"""What a split's reader finds, and that no parser is believed: one that is broken on purpose changes no result."""

import io
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.errors import FileRefused
from pipeline.quality import Rule
from pipeline.reading import careful_parser as careful_path
from pipeline.reading import csv_reader, scanner, text_parser
from pipeline.reading.csv_reader import JudgedRecords, SplitReader, judge_values
from pipeline.reading.header import Header
from pipeline.reading.record_finder import FoundRecords, RecordFinder
from pipeline.reading.record_rules import bind_rules
from pipeline.reading.single_record import Record, read_record
from pipeline.reading.splits import Split
from pipeline.reading.text_parser import REJECTED, Positions, TextColumns, parse, rejected_frame
from tests.harness import HEADER, Harness, region_of
from tests.properties.readers import assert_reader_equals_reference
from tests.reference import read_file, run

MAX_RECORD = 256
ROLES = ("log_id", "user_id", "ip_address", "watch_time")
ROW_OF_NAMES = ("id", "user", "ip", "minutes")

Texts = dict[str, pl.Series]
Change = Callable[[pl.Series], pl.Series]
Breakage = Callable[[Texts, Texts], Texts | None]
"""What a broken parser makes of its columns, and of those of the chunk before."""


def clean_lines(count: int = 60) -> Iterator[str]:
    """Records as real logs have them: user ids and addresses of one length, with a common beginning."""
    rng = random.Random(7)
    for number in range(count):
        log_id = f"{rng.getrandbits(64):016x}"
        user = f"user_{rng.randrange(100):08d}"
        title = rng.choice(["vid_00001", "ünïcode", '"quoted"', "x"])
        address = f"10.0.{rng.randrange(100, 200)}.{rng.randrange(101, 103)}"
        yield f"{log_id},{user},2026-01-01T00:00:{number % 60:02d}Z,{title},tv,{address},{rng.randrange(10**5) / 100}\n"


CLEAN = HEADER + "".join(clean_lines()).encode()
EXTRAS = ["", 'a,"b\nc",,"d,""e",,1.1.1.1,5\n', "\n", 'q"r,u,t,v,d,2.2.2.2,7\r\n', "short,line\n"]
ODD = HEADER + "".join(line + extra for line, extra in zip(clean_lines(), 12 * EXTRAS, strict=True)).encode()
FILES = {"clean": CLEAN, "odd": ODD}


def on_all(change: Change) -> Breakage:
    """A breakage that does the same to every column."""
    return lambda texts, _: {role: change(text) for role, text in texts.items()}


def on_one(role: str, change: Change) -> Breakage:
    """A breakage of one column."""
    return lambda texts, _: {**texts, role: change(texts[role])}


def without(text: pl.Series, row: int) -> pl.Series:
    return pl.concat([text[:row], text[row + 1 :]])


def with_value(text: pl.Series, row: int, change: Callable[[str], str | None]) -> pl.Series:
    return pl.concat([text[:row], pl.Series([change(text[row])], dtype=pl.String), text[row + 1 :]])


def rolled(text: pl.Series) -> pl.Series:
    return pl.concat([text[1:], text[:1]])


def swapped(text: pl.Series) -> pl.Series:
    return pl.concat([text[1:2], text[:1], text[2:]])


def shift_fields(texts: Texts, _: Texts) -> Texts:
    roles = ["log_id", "user_id", "ip_address", "watch_time"]
    return dict(zip(roles, [texts[role] for role in [*roles[1:], roles[0]]], strict=True))


def swap_columns(texts: Texts, _: Texts) -> Texts:
    return {**texts, "log_id": texts["user_id"], "user_id": texts["log_id"]}


def stale(texts: Texts, before: Texts) -> Texts:
    """Rows of the chunk before, as far as they go."""
    if not before:
        return texts
    rows = min(len(before["log_id"]), len(texts["log_id"]))
    return {role: pl.concat([before[role][:rows], texts[role][rows:]]) for role in texts}


BREAKAGES: dict[str, Breakage] = {
    "drop the first row": on_all(lambda text: text[1:]),
    "drop a row in the middle": on_all(lambda text: without(text, len(text) // 2)),
    "drop the last row": on_all(lambda text: text[:-1]),
    "double a row": on_all(lambda text: pl.concat([text[:2], text[1:]])),
    "double one and drop another": on_all(lambda text: pl.concat([text[:1], text[:1], text[2:]])),
    "double the last and drop the first": on_all(lambda text: pl.concat([text[1:], text[-1:]])),
    "swallow the chunk": on_all(lambda text: text[:0]),
    "swallow half of the chunk": on_all(lambda text: text[: len(text) // 2]),
    "join two rows": on_all(lambda text: with_value(text[1:], 0, lambda v: v + text[0]) if len(text) > 1 else text),
    "reverse the rows": on_all(lambda text: text[::-1]),
    "exchange two rows": on_all(swapped),
    "roll the rows": on_all(rolled),
    "shift a field": shift_fields,
    "swap two columns": swap_columns,
    "rows of the chunk before": stale,
    **{f"roll {role} alone": on_one(role, rolled) for role in ("log_id", "user_id", "ip_address", "watch_time")},
    **{f"exchange two of {role}": on_one(role, swapped) for role in ("log_id", "user_id", "ip_address", "watch_time")},
    "truncate a value": on_one("log_id", lambda text: with_value(text, 0, lambda value: value[:-1])),
    "lengthen a value": on_one("user_id", lambda text: with_value(text, 0, lambda value: value + "0")),
    "change a first character": on_one("log_id", lambda text: with_value(text, 0, lambda value: "z" + value[1:])),
    "change a last character": on_one("user_id", lambda text: with_value(text, 0, lambda value: value[:-1] + "z")),
    "change the last of the last value": on_one(
        "watch_time", lambda text: with_value(text, len(text) - 1, lambda value: value[:-1] + "0" * 2)
    ),
    "empty a value": on_one("user_id", lambda text: with_value(text, 0, lambda _: "")),
    "null a value": on_one("user_id", lambda text: with_value(text, 0, lambda _: None)),
    "null everything": on_all(lambda text: pl.Series([None] * len(text), dtype=pl.String)),
    "trim": on_all(lambda text: (text + " ").str.strip_chars()[: len(text) - 1]),
    "upper case": on_all(lambda text: text.str.to_uppercase()),
    "round numbers": on_one("watch_time", lambda text: text.cast(pl.Float64, strict=False).round(0).cast(pl.String)),
    "an error": lambda _texts, _before: None,
}


def break_parser(monkeypatch: pytest.MonkeyPatch, breakage: Breakage) -> list[bytes]:
    """Put ``breakage`` behind the parser; returns the list of chunks that it changed."""
    before: Texts = {}
    changed: list[bytes] = []

    def broken(data: bytes, header: Header) -> Texts | None:
        texts = parse(data, header)
        if texts is None or not len(texts["log_id"]):
            return texts
        result = breakage(texts, dict(before))
        before.update(texts)
        if result is None or any(not result[role].equals(texts[role], null_equal=True) for role in texts):
            changed.append(data)
        return result

    monkeypatch.setattr(text_parser, "parse", broken)
    return changed


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
@pytest.mark.parametrize("breakage", BREAKAGES.values(), ids=BREAKAGES)
def test_broken_parser_changes_nothing(monkeypatch: pytest.MonkeyPatch, breakage: Breakage, data: bytes) -> None:
    changed = break_parser(monkeypatch, breakage)
    with Harness([data], chunk_bytes=700, max_record=MAX_RECORD, compiled=False) as harness:
        found = harness.run()
    assert changed, "the breakage broke nothing"
    truth = run([data], MAX_RECORD, "longest", region_of)
    assert found.totals == truth.totals
    assert (found.records, found.kept, found.rejected.total()) == (truth.records, truth.kept, truth.rejected.total())


def swallow_the_next(data: bytes, start: int, *rest: Any) -> Record:
    record = read_record(data, start, *rest)
    following = data.find(b"\n", record.end) + 1
    return replace(record, end=following or record.end)


def stop_at_the_line(data: bytes, start: int, *rest: Any) -> Record:
    """As if there were no quoted line ends: the lines of such a record become records of their own."""
    return replace(read_record(data, start, *rest), end=data.index(b"\n", start) + 1)


@pytest.mark.parametrize("careful", [swallow_the_next, stop_at_the_line])
@pytest.mark.parametrize("name", ["drop a row in the middle", "double a row", "roll user_id alone", "an error"])
def test_with_the_careful_path_broken_too_the_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, careful: Callable[..., Record]
) -> None:
    break_parser(monkeypatch, BREAKAGES[name])
    monkeypatch.setattr(careful_path, "read_record", careful)
    with Harness([ODD, CLEAN[: len(HEADER)]], chunk_bytes=700, max_record=MAX_RECORD, compiled=False) as harness:
        outcome = harness.read()
    assert "does not balance" in outcome.refused[harness.paths[0]]
    assert [ledger.file.path for ledger in outcome.ledgers] == [harness.paths[1]]


@pytest.mark.parametrize("error", [-1, 1])
def test_a_scanner_off_by_one_refuses_the_file(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    tally = scanner.tally
    monkeypatch.setattr(scanner, "check", lambda *_: None)
    monkeypatch.setattr(scanner, "tally", lambda *given: replace(found := tally(*given), records=found.records + error))
    for data in FILES.values():
        with Harness([data], chunk_bytes=700, max_record=MAX_RECORD, compiled=False) as harness:
            outcome = harness.read()
        assert "does not balance" in outcome.refused[harness.paths[0]]
        assert not outcome.ledgers


@pytest.mark.parametrize("cut", [slice(1, None), slice(None, -1)])
def test_a_check_that_loses_a_record_never_gives_a_result(monkeypatch: pytest.MonkeyPatch, cut: slice) -> None:
    check = scanner.check

    def lossy(*given: Any) -> Positions | None:
        starts = check(*given)
        return starts if starts is None else starts[cut]

    monkeypatch.setattr(scanner, "check", lossy)
    # A fault in the program ends the run where the file is not refused before; nothing is published.
    with (
        Harness([CLEAN], chunk_bytes=700, max_record=MAX_RECORD, compiled=False) as harness,
        suppress(pl.exceptions.ShapeError),
    ):
        assert not harness.read().ledgers


def judge(lines: list[tuple[str, ...]], *rules: Rule) -> JudgedRecords:
    """Judge lines of log_id, user_id, ip_address, watch time; line ``n`` of the chunk has number ``10 + n``."""
    header = Header(",", ROW_OF_NAMES, dict(zip(ROLES, range(4), strict=True)), 0, 2, 10.0)
    texts = {
        role: pl.Series([line[index] for line in lines], dtype=pl.String) for role, index in header.columns.items()
    }
    data = "".join(",".join(line) + "\r\n" for line in lines).encode()
    starts = np.cumsum([0, *(len(",".join(line).encode()) + 2 for line in lines)])
    rejected = rejected_frame(b"torn", np.array([9]), np.array([0]), np.array([4]), pl.Series(["bad_quote"]))
    columns = TextColumns(texts, starts[:-1], starts[1:] - 2, np.arange(len(lines)) + 10, rejected)
    accepted = {"user_id": ("user",), "watch_time": ("minutes",)}
    return judge_values(columns, data, header, bind_rules(rules, accepted, accepted))


def test_valid_values_are_rows_and_the_others_have_a_reason_each() -> None:
    judged = judge(
        [("a", "u", "1.1.1.1", "1.5"), ("b", "", "x", "2"), (" ", "", "", "-1"), ("c", "v", "", "?"), ROW_OF_NAMES]
    )
    assert judged.rows.rows() == [("a", "u", "1.1.1.1", 1_500_000, 0)]
    assert judged.rows.schema == {
        **dict.fromkeys(ROLES[:3], pl.String),
        **dict.fromkeys(("micro_minutes", "offset"), pl.Int64),
    }
    assert judged.rejected.schema == REJECTED
    assert sorted(judged.rejected.rows()) == [
        (9, 0, "bad_quote", None, None, b"torn"),
        (11, 17, "blank_user_id", "user", "", b"b,,x,2"),
        (12, 25, "blank_log_id", "id", " ", b" ,,,-1"),
        (13, 33, "watch_time_not_a_number", "minutes", "?", b"c,v,,?"),
        (14, 41, "watch_time_not_a_number", "minutes", "minutes", b"id,user,ip,minutes"),
    ]
    assert judged.warned == Counter()


def test_rules_judge_what_the_contract_accepts() -> None:
    judged = judge(
        [("a", "u", "", "1"), ("b", "w", "", "1"), ("c", "w", "", "?"), ("d", "v", "", "3")],
        Rule("w", "warn", "user", allowed=("u",)),
        Rule("v", "reject", "user", pattern="[uw]"),
    )
    assert judged.rows["log_id"].to_list() == ["a", "b"]
    assert sorted(judged.rejected.rows())[1:] == [
        (12, 16, "watch_time_not_a_number", "minutes", "?", b"c,w,,?"),
        (13, 24, "rule:v", "user", "v", b"d,v,,3"),
    ]
    assert judged.warned == Counter({"rule:w": 1})


def test_a_reader_covers_the_records_that_begin_in_its_split() -> None:
    data = b'i,u,,1\na,"x\ny",,1\nb,u,,2\nc,u,,3'
    header = Header(",", ROLES, dict(zip(ROLES, range(4), strict=True)), 0, 1, 5.0)

    def covered(start: int, stop: int, *, exact: bool) -> tuple[int, int, int, int]:
        reader = SplitReader(Split(0, "", len(data), start, stop, exact, header), io.BytesIO(data), 4, 100)
        batches = list(reader)
        return reader.start, reader.stop, sum(b.records for b in batches), sum(b.lines for b in batches)

    second, third, fourth, end = data.index(b"a,"), data.index(b"b,"), data.index(b"c,"), len(data)
    assert covered(0, end, exact=True) == (0, end, 4, 5)
    assert covered(0, second + 1, exact=True) == (0, third, 2, 3), "the last record is read to its end"
    assert covered(2, third, exact=False) == (second, third, 1, 2), "a record that began before is not read"
    assert covered(third, end, exact=False) == (third, end, 2, 2), "a record that begins where the split does is read"
    assert covered(third + 1, end, exact=False) == (fourth, end, 1, 1)
    assert covered(fourth + 1, end, exact=False) == (end, end, 0, 0)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (OSError(5, "Input/output error"), "cannot be read near byte 0: Input/output error."),
        (None, "it became shorter while it was read. Run again when it is complete."),
    ],
    ids=["unreadable", "shorter"],
)
def test_a_file_that_cannot_be_read_whole_is_refused(fault: OSError | None, reason: str) -> None:
    class Stream(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if fault:
                raise fault
            return super().read(size)

    split = Split(0, "", 9, 0, 9, True, Header(",", ("a",), {}, 0, 1, 2.0))
    with pytest.raises(FileRefused) as raised:
        list(SplitReader(split, Stream(b"1\n2\n"), 100, 100))
    assert str(raised.value) == reason


def test_a_check_that_passes_nothing_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The careful path alone is right for every record."""
    monkeypatch.setattr(scanner, "check", lambda *_: None)
    for data in FILES.values():
        with Harness([data], chunk_bytes=700, max_record=MAX_RECORD, compiled=False) as harness:
            outcome = harness.read()
            (accepted,) = harness.accepted(outcome)
        assert [offset for offset, _ in accepted] == [offset for offset, _ in read_file(data, MAX_RECORD).events]


ROW_BY_ROW = {
    "a JSON column": b'i%d,u%d,2026-01-01T00:00:00Z,"{""title"":""abc"",""ep"":7}",tv,1.2.3.4,1.5\n',
    "a quoted line end": b'"i\n%d","u""%d",2026-01-01T00:00:00Z,"two\nlines",tv,1.2.3.4,1.5\r\n',
    "a quote in an unquoted field": b'i%d,u%d,2026-01-01T00:00:00Z,v,5" tv,1.2.3.4,1.5\n',
    "damage": b'i%d,u%d,"2026-01-01T00:00:00Z,v,tv,1.2.3.4,1.5\n"i",u,t,v,d,,1\n\n\xff,1\n',
}


@pytest.mark.parametrize("compiled", [True, False], ids=["rows", "texts"])
@pytest.mark.parametrize("record", ROW_BY_ROW.values(), ids=ROW_BY_ROW)
def test_with_the_library_no_record_is_read_one_by_one(
    monkeypatch: pytest.MonkeyPatch, record: bytes, compiled: bool
) -> None:
    """Neither with record rules, for which all values must be texts."""

    def never(*_: object, **__: object) -> None:
        pytest.fail("the careful path was taken")

    monkeypatch.setattr(csv_reader, "parse_carefully", never)
    data = HEADER + b"".join(record % (n, n) for n in range(200))
    for chunk_bytes in (200, 3000, 1 << 20):
        assert_reader_equals_reference(data, chunk_bytes, 1 << 20, timestamps=False, compiled=compiled, texts=True)


def test_texts_that_the_library_copied_wrongly_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = RecordFinder.texts

    def broken(self: RecordFinder, found: FoundRecords, records: np.ndarray) -> TextColumns:
        columns = texts(self, found, records)
        return replace(columns, texts={**columns.texts, "user_id": columns.texts["user_id"] + "x"})

    monkeypatch.setattr(RecordFinder, "texts", broken)
    data = HEADER + ROW_BY_ROW["a JSON column"] % (1, 1)
    assert_reader_equals_reference(data, 1000, 1000, timestamps=False, compiled=False, texts=True)
