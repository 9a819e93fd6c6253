"""Where headers change, and what no header lets be read, stands in a note each."""

from dataclasses import replace

from pipeline.preprocess.ledger import FileLedger, Phase1Result
from pipeline.publish.header_notes import header_notes
from pipeline.reading.header import Header
from pipeline.reading.header_changes import HeaderChange
from tests.pipeline.publish.runs import make_ledger

USABLE = Header(",", ("a",), {"log_id": 0}, 9, 0, 1.0)
UNUSABLE = replace(USABLE, columns={})


def ledger(name: str, changes: list[tuple[int, Header]], rejected: dict[str, int]) -> FileLedger:
    """A file with headers on these lines of its only split, whose records begin on line 2."""
    found = make_ledger(name)
    (placed,) = found.splits
    headers = tuple(HeaderChange(0, line, header) for line, header in changes)
    result = replace(placed.result, changes=headers, rejected_by_reason=rejected)
    return replace(found, splits=(replace(placed, result=result, first_line=2),))


def test_a_plain_file_has_no_note() -> None:
    assert header_notes(Phase1Result((make_ledger("a.csv"),))) == []


def test_each_kind_has_its_note() -> None:
    one = ledger("a.csv", [(3, USABLE), (7, UNUSABLE), (9, USABLE)], {"unusable_header": 1200, "before_header": 3})
    two = ledger("b.csv", [(line, USABLE) for line in range(7)], {})
    assert header_notes(Phase1Result((one, two))) == [
        "records before the header of their file were rejected (before_header): a.csv (3)",
        "the header changes within a file, and what follows is read by it: a.csv (lines 5, 11), "
        "b.csv (lines 2, 3, 4, 5, 6 and 2 more)",
        "a header within a file lacks columns, and nothing behind it was read (unusable_header): "
        "a.csv (line 9: 1,200 records)",
    ]
