"""Notes that name a setting, where the values of the logs look as if it were wrong."""

from collections.abc import Iterator, Sequence

from config import Config
from pipeline.machine import display_name
from pipeline.preprocess.ledger import FileLedger, Phase1Result
from utils.units import format_list

_FILES = 5
_MANY = 0.1
"""A share of a file's records from which on they look like a form of their own rather than like damage."""


def find_hints(config: Config, phase1: Phase1Result) -> list[str]:
    """A note for each setting that may be wrong. The notes hold names of files and settings, and no value."""
    return [*_formats(phase1), *_units(config, phase1), *_timestamps(config, phase1)]


def _formats(phase1: Phase1Result) -> Iterator[str]:
    """Formats that many watch times and addresses of a file, which cannot be read, look like."""
    settings = sorted(phase1.counts.likely)
    for setting in settings:
        many = [ledger for ledger in phase1.ledgers if ledger.likely[setting] > _MANY * ledger.records]
        if many:
            count = sum(ledger.likely[setting] for ledger in many)
            of = "about {:,} addresses without a region" if setting.startswith("IP_") else "{:,} rejected watch times"
            yield f"{of.format(count)} look as if {setting} were right, in {_named(many)}"


def _units(config: Config, phase1: Phase1Result) -> Iterator[str]:
    """Files in which more than half of the records are longer than a day, so that the median is."""
    if not phase1.counts.over_a_day:
        return
    long = [ledger for ledger in phase1.ledgers if 2 * ledger.over_a_day > _good(ledger)]
    if long:
        yield (
            f"the median watch time is more than a day, which is much for one event: is WATCH_TIME_UNIT = "
            f"{config.WATCH_TIME_UNIT} right? In {_named(long)}"
        )


def _timestamps(config: Config, phase1: Phase1Result) -> Iterator[str]:
    counts = phase1.counts
    if not counts.undated:
        return
    good = counts.records - counts.rejected.total()
    note = (
        f"{counts.undated:,} of {good:,} records have no timestamp that can be read; they lose where DEDUPE_KEEP = "
        f"{config.DEDUPE_KEEP} compares timestamps"
    )
    many = [ledger for ledger in phase1.ledgers if ledger.undated > _MANY * _good(ledger)]
    if many:
        which = "A further pattern in TIMESTAMP_FORMAT" if config.TIMESTAMP_FORMAT else "TIMESTAMP_FORMAT"
        note += f". {which} says how they are written; most of them are in {_named(many)}"
    yield note


def _good(ledger: FileLedger) -> int:
    """Records that are not rejected."""
    return ledger.records - ledger.rejected_by_reason.total()


def _named(ledgers: Sequence[FileLedger]) -> str:
    return format_list(ledgers, _FILES, lambda ledger: display_name(ledger.file.path))
