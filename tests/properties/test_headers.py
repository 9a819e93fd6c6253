"""Headers: for any mixture of logs in one file, however it is cut, exactly what the reference finds."""

from hypothesis import given
from hypothesis import strategies as st

from tests.examples import tries
from tests.harness import Harness, enriched
from tests.properties.headers import files_of_logs, headless_files
from tests.properties.nasty import COLUMNS, MAX_RECORD, keeps, sizes
from tests.properties.readers import plain
from tests.reference import read_file

HEADLESS = tuple(name.decode() for name in COLUMNS)


def assert_reads_like_the_reference(
    data: bytes,
    chunk_bytes: int,
    split_bytes: int,
    keep: str,
    columns: tuple[str, ...] = (),
    *,
    compiled: bool,
) -> None:
    """Phase 1 finds the events, rejects and counts of the reference, or refuses the file where the reference does."""
    truth = read_file(data, MAX_RECORD, timestamps=keep != "longest", columns=columns)
    with Harness(
        [data], chunk_bytes=chunk_bytes, split_bytes=split_bytes, max_record=MAX_RECORD, keep=keep, compiled=compiled
    ) as run:
        phase1 = run.read(columns)
        if truth is None:
            assert phase1.refused
            return
        assert phase1.refused == {}
        (ledger,) = phase1.ledgers
        (accepted,) = run.accepted(phase1)
        (rejects,) = run.rejects(phase1)
    width = 4 if keep == "longest" else 5
    assert accepted == [
        (offset, enriched(*(e.log_id, e.user_id, e.ip_address, e.micro, e.timestamp)[:width]))
        for offset, e in truth.events
    ]
    assert [(line, offset, plain(reason, raw), raw) for line, offset, reason, raw in rejects] == truth.rejects
    found = ledger.records, ledger.blank_lines, ledger.preamble_lines
    assert found == (truth.records, truth.blank_lines, truth.preamble_lines)
    assert ledger.records == len(rejects) + ledger.duplicates + ledger.handed_over


@tries(400)
@given(files_of_logs(), sizes, sizes, keeps, st.booleans())
def test_logs_one_behind_the_other(data: bytes, chunk_bytes: int, split_bytes: int, keep: str, compiled: bool) -> None:
    assert_reads_like_the_reference(data, chunk_bytes, split_bytes, keep, compiled=compiled)


@tries(100)
@given(headless_files(COLUMNS), sizes, sizes, st.booleans())
def test_files_without_a_header(data: bytes, chunk_bytes: int, split_bytes: int, compiled: bool) -> None:
    assert_reads_like_the_reference(data, chunk_bytes, split_bytes, "longest", HEADLESS, compiled=compiled)
