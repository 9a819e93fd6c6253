"""Reading: for any bytes whatever and however they are cut, exactly what the reference finds."""

from hypothesis import given
from hypothesis import strategies as st

from tests.examples import tries
from tests.harness import Harness, enriched
from tests.properties.archives import archives, assert_archive_is_whole_or_refused
from tests.properties.nasty import MAX_RECORD, hostile_files, keeps, sizes
from tests.properties.readers import assert_reader_equals_reference, fuzzed_files, narrow_limits, parsers, plain
from tests.reference import read_file


def assert_reads_like_the_reference(
    data: bytes, chunk_bytes: int, split_bytes: int, keep: str, *, compiled: bool
) -> None:
    """Phase 1 finds the events, rejects and counts of the reference."""
    truth = read_file(data, MAX_RECORD, timestamps=keep != "longest")
    assert truth
    with Harness(
        [data], chunk_bytes=chunk_bytes, split_bytes=split_bytes, max_record=MAX_RECORD, keep=keep, compiled=compiled
    ) as run:
        phase1 = run.read()
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
    assert ledger.records == truth.records
    assert ledger.blank_lines == truth.blank_lines
    assert ledger.preamble_lines == truth.preamble_lines
    assert ledger.records == len(rejects) + ledger.duplicates + ledger.handed_over
    assert ledger.rejected_by_reason.total() == len(rejects)


@tries(200)
@given(hostile_files(), sizes, sizes, keeps, st.booleans())
def test_reader_equals_reference(data: bytes, chunk_bytes: int, split_bytes: int, keep: str, compiled: bool) -> None:
    assert_reads_like_the_reference(data, chunk_bytes, split_bytes, keep, compiled=compiled)


@tries(500)
@given(fuzzed_files(), sizes, sizes, st.booleans(), parsers, st.booleans())
def test_any_bytes_are_read_like_the_reference(
    data: bytes, chunk_bytes: int, split_bytes: int, timestamps: bool, parser: dict[str, bool], narrow: bool
) -> None:
    """``make fuzz`` goes on where this ends."""
    with narrow_limits(narrow):
        assert_reader_equals_reference(data, chunk_bytes, split_bytes, timestamps=timestamps, **parser)


@tries(200)
@given(archives())
def test_an_archive_is_read_whole_or_refused(archive: tuple[str, bytes, bytes, str]) -> None:
    assert_archive_is_whole_or_refused(*archive)
