"""The cross check: a single wrong value of a sampled row is found, and refuses the file of its split alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.engines import no_advance
from pipeline.errors import FileRefused
from pipeline.exchange.split_rows import SplitRows
from pipeline.preprocess import preprocessor
from pipeline.preprocess.cross_check import DISAGREEMENT, CrossCheck
from pipeline.preprocess.preprocessor import read_parts
from pipeline.preprocess.tasks import ReadTask
from pipeline.reading.compiled_parser import CompiledParser
from pipeline.reading.header import Header
from pipeline.reading.open_inputs import read_headers
from pipeline.reading.splits import Split, cut
from tests.harness import HEADER, Harness
from tests.reference import ROLES

WANTED = {role: (name,) for role, name in ROLES.items() if role != "timestamp"}
OTHER_ORDER = b"user_id,log_id,timestamp,ip_address,watch_time(min)\n"


class Sampled:
    """A parser that sampled these lines: texts in the order of the header's columns."""

    def __init__(self, header: Header, lines: list[list[str]], offsets: list[int], positions: list[int]) -> None:
        self.header = header
        self._found = lines, np.array(offsets, np.int64), np.array(positions, np.int64)

    def sample(self) -> Any:
        return self._found


def log(count: int) -> bytes:
    return HEADER + b"".join(b"id-%d,u%d,x,v,tv,%d.2.3.4,%d.5\n" % (n, n % 7, n % 4, n) for n in range(count))


def splits_of(run: Harness) -> list[Split]:
    files, _ = read_headers(run.paths, WANTED, 256)
    return cut(files, 1 << 30)


def read_by_library(run: Harness, split: Split) -> tuple[CompiledParser, SplitRows]:
    """The parser of a whole split after its work, and the rows that it made."""
    rows = SplitRows(timestamps=False)
    parser = CompiledParser(Path(str(run.read_context.library_path)), split.header, run.read_context.geo(), rows, 256)
    data = Path(split.path).read_bytes()[split.start :]
    assert parser.parse(data, len(data), len(data), 0, whole=True)
    return parser, rows


CHANGES: dict[str, Callable[[SplitRows], None]] = {
    "id_hi": lambda rows: rows["id_hi"].__setitem__(0, 5),
    "id_lo": lambda rows: rows["id_lo"].__setitem__(0, 5),
    "user_hash": lambda rows: rows["user_hash"].__setitem__(0, 5),
    "region": lambda rows: rows["region"].__setitem__(0, 250),
    "micro_minutes": lambda rows: rows["micro_minutes"].__iadd__(1),
    "offset": lambda rows: rows["offset"].__setitem__(0, 7),
    "user_id": lambda rows: rows.users.__setitem__(0, ord("w")),
}


@pytest.mark.parametrize("wrong", CHANGES)
def test_one_wrong_value_is_found_with_its_split(wrong: str) -> None:
    with Harness([log(20), log(30), OTHER_ORDER + b"u,id-1,,1.2.3.4,5\n"]) as run:
        check = CrossCheck(run.read_context)
        splits = splits_of(run)
        for split in splits:
            parser, rows = read_by_library(run, split)
            if split.number == 1:
                CHANGES[wrong](rows)
            check.add(split, parser, rows)
        assert [split.number for split in splits] == [0, 1, 2]
        assert check.find_wrong() == {1}


def test_what_the_library_made_is_right() -> None:
    with Harness([log(20), OTHER_ORDER + b"u,id-1,,1.2.3.4,5\n"]) as run:
        check = CrossCheck(run.read_context)
        assert check.find_wrong() == set()
        for split in splits_of(run):
            check.add(split, *read_by_library(run, split))
        assert check.find_wrong() == set()


def test_rows_are_compared_with_hand_made_lines() -> None:
    with Harness([log(1)], compiled=False) as run:
        (split,) = splits_of(run)
        rows = SplitRows(timestamps=False)
        texts = {"user_id": ["other", "u"]}
        numbers = {"id_hi": [1, 2], "id_lo": [2, 3], "user_hash": [4, 5], "micro_minutes": [6, 1_500_000]}
        small = {"region": pl.Series([0, 0], dtype=pl.UInt16), "offset": pl.Series([0, 40], dtype=pl.UInt32)}
        kinds = dict.fromkeys(("id_hi", "id_lo", "user_hash"), pl.UInt64)
        frame = pl.DataFrame({**texts, **numbers, **small}, schema_overrides=kinds)
        rows.append(frame)
        check = CrossCheck(run.read_context)
        parser: Any = Sampled(split.header, [["id", "u", "8.8.8.8", "1.5"]], [40], [1])
        check.add(split, parser, rows)
        assert check.find_wrong() == {split.number}, "the hashes are none of these texts"
        nothing: Any = Sampled(split.header, [], [], [])
        empty = CrossCheck(run.read_context)
        empty.add(split, nothing, rows)
        assert empty.find_wrong() == set()


def test_the_file_of_a_wrong_split_is_refused_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with Harness([log(20), log(30)]) as run:
        splits = splits_of(run)
        monkeypatch.setattr(preprocessor.CrossCheck, "find_wrong", lambda _: {1})
        tasks = [ReadTask(split.path, split, None) for split in splits]
        right, wrong = read_parts(run.read_context, tasks, no_advance)
        assert isinstance(right, tuple)
        assert right[0]
        assert right[0].records == 20
        assert isinstance(wrong, FileRefused)
        assert str(wrong) == DISAGREEMENT
