"""Finds every copy of one log_id: where it stands, whether it counts, and by which rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import polars as pl

from pipeline.dedupe import CONTENT, resolve
from pipeline.errors import InputError
from pipeline.exchange.id_index import FINE_MASK
from pipeline.exchange.row_files import PLACE_UNIT
from pipeline.history.known_files import KnownFile
from pipeline.history.known_list import FileIds, KnownFiles
from pipeline.inspection.explain.copies import id_halves, rows_of_ids
from pipeline.inspection.explain.published import Published
from pipeline.inspection.explain.rejected import RejectedCopy, find_rejected, rejected_offsets
from pipeline.inspection.explain.sources import Source, open_source, placed_splits
from pipeline.inspection.status import state_of
from pipeline.preprocess.ledger import PlacedSplit
from pipeline.privacy import find_key, mask_addresses, pseudonym_of
from pipeline.quality import MICRO
from pipeline.reading.log_ids import join_values, split_id

OUTCOMES = COUNTS, CONFLICT, DUPLICATE, NOT_COUNTED = "counts", "conflict", "duplicate", "not counted"

CAPTIONS = {
    "longest": "the longest watch time counts",
    "first": "the earliest timestamp counts",
    "last": "the latest timestamp counts",
}
"""Why a copy counts, by DEDUPE_KEEP."""

UNCOUNTED = {
    "superseded": "its file counts in another version only",
    "interrupted": "its file was not read to its end",
    "read": "its file was read, but counts in no version",
    "counted elsewhere": "its file counts in another output only",
}
"""Why the copies of a file do not count, by its state (``status.state_of``)."""


@dataclass(frozen=True)
class Copy:
    """One copy of a record.

    Attributes:
        file: the path of its file, as it is shown.
        line: the physical line (from 1) at which it begins; None where the file cannot be read again.
        byte_offset: the offset in the file at which it begins; None where its split is not known.
        user_id: its user.
        region: the region of its address; None where it is not known.
        minutes: its watch time.
        outcome: one of ``OUTCOMES``.
        reason: the rule that decided so.
        raw: its bytes as text, addresses cut; None where the file cannot be read again or users have pseudonyms.
    """

    file: str
    line: int | None
    byte_offset: int | None
    user_id: str
    region: str | None
    minutes: float
    outcome: str
    reason: str
    raw: str | None = None


@dataclass(frozen=True)
class Destination:
    """The published row to which the copy that counts contributes.

    Attributes:
        user_id: the user of the row.
        region: the region of the row.
        minutes: the minutes of the copy.
        partition: the folder in which the row is published.
        total_watch_time_min: all minutes of the row; None where it is not found.
        event_count: all events of the row; None where it is not found.
    """

    user_id: str
    region: str
    minutes: float
    partition: str
    total_watch_time_min: float | None
    event_count: int | None


@dataclass(frozen=True)
class RecordAnswer:
    """What is known of a log_id.

    Attributes:
        log_id: the log_id.
        version: the published version.
        keep: DEDUPE_KEEP.
        destination: the published row of the copy that counts; None where no copy counts.
        found: how many copies there are.
        copies: at most EXPLAIN_ROWS of them, the one that counts first.
        rejected_found: how many rejected records have this log_id.
        rejected: at most EXPLAIN_ROWS of them.
        notes: what could not be found out.
    """

    log_id: str
    version: str
    keep: str
    destination: Destination | None
    found: int
    copies: tuple[Copy, ...]
    rejected_found: int
    rejected: tuple[RejectedCopy, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Verdicts:
    """What became of the rows of the files that count: (outcome, reason) by place; ``winner``: the row that counts."""

    by_place: dict[int, tuple[str, str]]
    winner: dict[str, Any] | None


@dataclass(frozen=True)
class _FileCopies:
    """Copies of one file, how many it has, and what could not be found out (or an empty text)."""

    copies: list[Copy]
    found: int
    note: str


def explain_record(published: Published, log_id: str, limit: int, key_file: str = "") -> RecordAnswer:
    """Find and judge all copies of ``log_id``, and list at most ``limit`` of them.

    ``key_file``: PSEUDONYM_KEY_FILE, for ids of several columns of users who have pseudonyms.

    Raises:
        InputError: there is neither a copy nor a rejected record with this log_id, or it has not as many values as
            LOG_ID_COLUMNS has columns.
        ConfigError: there is no key, though one is needed.
    """
    files = _distinct_files(published)
    log_id, stored = _stored_id(published, log_id, key_file)
    rows = _rows_by_file(published, files, stored)
    searched = [find_rejected(published, file, log_id) for file in files]
    found_rejected = (record for records, _ in searched for record in records)
    rejected = tuple(sorted(found_rejected, key=lambda record: (record.file, record.byte_offset)))
    notes = [note for _, note in searched if note]
    if not rejected and not rows:
        unsearched = "".join(f" But {note}." for note in dict.fromkeys(notes))
        raise InputError(
            f"no record with this log_id was read for version {published.version.name}, nor is one in its "
            f"quarantine. Check the id: values are never trimmed, and capitals matter.{unsearched}"
        )
    counted = FileIds(published.counted.ids)
    verdicts = _judge(published, [frame for id_, frame in rows.items() if id_ in counted])
    copies: list[Copy] = []
    found = 0
    for file in files:
        if file.id in rows:
            judged = verdicts if file.id in counted else None
            of_file = _copies(published, file, rows[file.id], log_id, judged, limit - len(copies))
            copies += of_file.copies
            found += of_file.found
            notes += [of_file.note] if of_file.note else []
    copies.sort(key=lambda copy: (OUTCOMES.index(copy.outcome), copy.file, copy.byte_offset or 0))
    destination = _destination(published, verdicts.winner) if verdicts.winner else None
    return RecordAnswer(
        log_id,
        published.version.name,
        published.keep,
        destination,
        found,
        tuple(copies[:limit]),
        len(rejected),
        rejected[:limit],
        tuple(dict.fromkeys(notes)),
    )


def _stored_id(published: Published, log_id: str, key_file: str) -> tuple[str, str]:
    """(the id, the id whose hash the rows have)."""
    if published.id_parts == 1:
        return log_id, log_id
    values = split_id(log_id, published.id_parts)
    if values is None:
        raise InputError(
            f"an id has {published.id_parts} values in version {published.version.name} (LOG_ID_COLUMNS): expected "
            "them as explain --user shows the id, or as a JSON list of texts."
        )
    log_id = join_values(values)
    return log_id, pseudonym_of(log_id, find_key(key_file).load()) if published.hidden else log_id


def _rows_by_file(published: Published, files: Sequence[KnownFile], log_id: str) -> dict[int, pl.DataFrame]:
    """The rows with this log_id of each file that has any, by the file's id."""
    high, low = id_halves(log_id)
    prefix = np.array([high], np.int64).view(np.uint64) & ~FINE_MASK
    same_id = (pl.col("id_hi") == high) & (pl.col("id_lo") == low)
    rows = {file.id: rows_of_ids(published.store, file.splits, prefix).filter(same_id) for file in files}
    return {id_: frame for id_, frame in rows.items() if len(frame)}


def _distinct_files(published: Published) -> KnownFiles:
    """The files that count, and the other known files, without those that are a counted file read another time."""
    counted, known = published.counted, published.history.known
    ids = FileIds(counted.ids)
    others = known.where(lambda file: file.id not in ids)
    if not others:
        return counted
    versions = {(file.path, file.file_hash) for file in others}
    versions &= {(file.path, file.file_hash) for file in counted if (file.path, file.file_hash) in versions}
    return KnownFiles(chain(counted, (file for file in others if (file.path, file.file_hash) not in versions)))


def _judge(published: Published, frames: Sequence[pl.DataFrame]) -> _Verdicts:
    """Decide among the rows of the files that count by the rule of the run."""
    if not frames:
        return _Verdicts({}, None)
    rows = pl.concat(frames)
    names = published.counted_names
    found = resolve(rows, published.keep, names)
    winner = found.winners.to_dicts()[0]
    losers = found.losers.to_dicts()
    reasons = {tuple(loser[name] for name in CONTENT): _why(loser, winner, published) for loser in losers}
    firsts = {loser["place"] for loser in losers}
    verdicts = {}
    for row in rows.to_dicts():
        content = tuple(row[name] for name in CONTENT)
        if row["place"] == winner["place"]:
            verdict = COUNTS, CAPTIONS[published.keep] if reasons else _unrivalled(rows)
        elif row["place"] in firsts:
            verdict = CONFLICT, reasons[content]
        else:
            same = "the copy that counts" if content not in reasons else "a copy that lost"
            verdict = DUPLICATE, f"same content as {same} (dropped in phase 2)"
        verdicts[row["place"]] = verdict
    return _Verdicts(verdicts, winner)


def _unrivalled(rows: pl.DataFrame) -> str:
    return "the first of copies with equal content" if len(rows) > 1 else "nothing contradicts it"


def _why(loser: dict[str, Any], winner: dict[str, Any], published: Published) -> str:
    """The part of the rule by which the content of ``loser`` lost."""
    if published.keep != "longest" and loser["timestamp"] != winner["timestamp"]:
        if loser["timestamp"] is None:
            return "it has no timestamp"
        return "its timestamp is later" if published.keep == "first" else "its timestamp is earlier"
    tie = "" if published.keep == "longest" else "same timestamp, "
    if loser["micro_minutes"] != winner["micro_minutes"]:
        return f"{tie}{loser['micro_minutes'] / MICRO} min is shorter than {winner['micro_minutes'] / MICRO} min"
    tie = f"{tie}same watch time, "
    if loser["user_id"] != winner["user_id"]:
        return f"{tie}its user_id comes later as text"
    return f"{tie}same user, its region comes later as text"


def _copies(
    published: Published, file: KnownFile, rows: pl.DataFrame, log_id: str, verdicts: _Verdicts | None, room: int
) -> _FileCopies:
    """Find the copies of one file: the rows that Phase 1 handed over and, if the file can be read again, the copies
    that Phase 1 dropped.

    At most ``room`` copies are returned, besides the one that counts. ``verdicts``: None where the file does not count.
    """
    state = state_of(file, published.history)
    names = published.names.get(file.fingerprint)
    placed = placed_splits(file)
    copies: list[Copy] = []
    count = len(rows)
    note = ""
    with open_source(file, published.max_record) as source:
        if isinstance(source, str):
            dropped_copies = "; copies that phase 1 dropped in it cannot be shown" if placed else ""
            note = f"{file.shown}: {source}: no lines and no raw records{dropped_copies}"
        for (number,), rows_of_split in rows.group_by(pl.col("place") // PLACE_UNIT, maintain_order=True):
            split = placed.get(int(str(number)))
            handed_over = {}
            for row in rows_of_split.to_dicts():
                verdict = verdicts.by_place[row["place"]] if verdicts else (NOT_COUNTED, UNCOUNTED[state])
                region = names[row["region"]] if names else None
                copy = Copy(file.shown, None, None, row["user_id"], region, row["micro_minutes"] / MICRO, *verdict)
                handed_over[row["offset"]] = copy
                if copy.outcome == COUNTS or len(copies) < room:
                    copies.append(_located(published, source, split, row["offset"], copy))
            if split and isinstance(source, Source) and split.result.duplicates:
                found, dropped = _dropped(published, source, split, log_id, handed_over, room - len(copies))
                copies += found
                count += dropped
    return _FileCopies(copies, count, note)


def _dropped(
    published: Published,
    source: Source,
    placed: PlacedSplit,
    log_id: str,
    handed_over: Mapping[int, Copy],
    room: int,
) -> tuple[list[Copy], int]:
    """(at most ``room`` of the copies of a split that Phase 1 dropped, how many there are).

    Each has the content of a copy that Phase 1 handed over (``handed_over``, by offset), which tells its region.
    """
    records = source.find(published.store, placed, log_id, published.formats)
    compared = records.filter(pl.col("offset").is_in(list(handed_over)))
    without = [*handed_over, *rejected_offsets(published, placed)]
    dropped = records.filter(~pl.col("offset").is_in(without)).sort("offset")
    like: dict[tuple[object, ...], list[Copy]] = {}
    for row in compared.to_dicts():
        for key in _likeness(row):
            like.setdefault(key, []).append(handed_over[row["offset"]])
    copies = []
    for row in dropped.head(max(0, room)).to_dicts():
        narrow, wide = _likeness(row)
        same = like.get(narrow) or like[wide]
        region = same[0].region if len({copy.region for copy in same}) == 1 else None
        verdict = DUPLICATE, "same content as another copy of its file (dropped in phase 1)"
        if same[0].outcome == NOT_COUNTED:
            verdict = NOT_COUNTED, same[0].reason
        copy = replace(same[0], region=region, outcome=verdict[0], reason=verdict[1])
        copies.append(_located(published, source, placed, row["offset"], copy))
    return copies, len(dropped)


def _likeness(row: dict[str, Any]) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """Two keys of a record's content that need no geo table: with its address, which decides the region, and
    without."""
    wide = row["user_id"], row["micro_minutes"]
    return (*wide, row["ip_address"]), wide


def _located(published: Published, source: Source | str, placed: PlacedSplit | None, offset: int, copy: Copy) -> Copy:
    """``copy`` with its line and offset, and with its bytes unless users have pseudonyms."""
    if placed is None:
        return copy
    copy = replace(copy, byte_offset=placed.result.start + offset)
    if isinstance(source, str):
        return copy
    raw = None
    if not published.hidden:
        raw = mask_addresses(source.record(placed, offset).decode())
    return replace(copy, line=source.line(published.store, placed, offset), raw=raw)


def _destination(published: Published, winner: dict[str, Any]) -> Destination:
    region = published.counted_names[winner["region"]]
    total = published.find_totals(winner["user_id"]).get(region, (None, None))
    return Destination(winner["user_id"], region, winner["micro_minutes"] / MICRO, published.partition(region), *total)
