"""A user's published total, added up again from the events that count."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from config import Config
from pipeline.dedupe import ID, resolve, rows_with_keys
from pipeline.errors import ConfigError, InputError, program_name
from pipeline.exchange.row_files import PLACE_UNIT
from pipeline.history.known_files import KnownFile, KnownSplit
from pipeline.inspection.explain.copies import (
    NO_ROWS,
    count_rows_beside_user,
    fine_bucket,
    prefixes_of,
    rows_beside_user,
    rows_of_ids,
)
from pipeline.inspection.explain.published import Published
from pipeline.inspection.explain.sources import Source, open_source, placed_splits
from pipeline.preprocess.ledger import PlacedSplit
from pipeline.privacy import find_key, pseudonym_of
from pipeline.quality import MICRO
from pipeline.reading.column_names import alike
from pipeline.reading.log_ids import id_roles, join_values
from pipeline.reading.single_record import read_record

_ROWS_AT_ONCE = 2_000_000
"""Rows that one pass over a user's buckets takes into memory, about."""

_EVENT = ["place", "region", "micro_minutes"]


@dataclass(frozen=True)
class RegionSum:
    """A user's events in one region, added up, beside what is published.

    Attributes:
        region: the region.
        partition: the folder in which its rows are published.
        event_count: events that count.
        total_watch_time_min: their minutes.
        published_event_count: events in the published row; None where there is no row.
        published_total_watch_time_min: minutes in the published row; None where there is no row.
        agrees: whether the sums and the published row are equal to the last bit.
    """

    region: str
    partition: str
    event_count: int
    total_watch_time_min: float
    published_event_count: int | None
    published_total_watch_time_min: float | None
    agrees: bool


@dataclass(frozen=True)
class Event:
    """An event that counts.

    Attributes:
        log_id: None where the file has changed or is missing: the store has only the hash of a log_id.
        file: the path of its file, as it is shown.
        byte_offset: the offset in the file at which the record begins.
        region: the region of its address.
        minutes: its watch time.
        line: the physical line (from 1) at which it begins; None as log_id.
        time: its timestamp, as it stands there; None as log_id, or where the file has no such column.
    """

    log_id: str | None
    file: str
    byte_offset: int
    region: str
    minutes: float
    line: int | None = None
    time: str | None = None


@dataclass(frozen=True)
class UserAnswer:
    """The published total of a user, and the events that make it up.

    Attributes:
        user_id: the user; the pseudonym where users have pseudonyms.
        version: the published version.
        keep: DEDUPE_KEEP.
        agrees: whether the sums of all regions agree with what is published.
        rows: rows of the user that Phase 1 handed over: ``event_count + duplicates + conflicts``.
        event_count: rows that count.
        duplicates: rows with the content of another row of their log_id.
        conflicts: rows whose content lost to another content of their log_id.
        regions: the sums by region.
        events: the longest events that count, at most EXPLAIN_ROWS of them.
        notes: what could not be found out.
    """

    user_id: str
    version: str
    keep: str
    agrees: bool
    rows: int
    event_count: int
    duplicates: int
    conflicts: int
    regions: tuple[RegionSum, ...]
    events: tuple[Event, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _UserEvents:
    """The rows of a user: how many there are of each kind, (micro-minutes, events) by region, the longest events."""

    rows: int
    duplicates: int
    conflicts: int
    sums: dict[str, tuple[int, int]]
    longest: pl.DataFrame


def explain_user(published: Published, config: Config, user: str) -> UserAnswer:
    """Add up a user's events and compare the sums with what is published.

    Raises:
        InputError: no record of the user was handed over, and nothing of the user is published.
        ConfigError: users have pseudonyms, ``user`` is none, and there is no key.
    """
    user = _stored_name(published, config, user)
    found = _find_events(published, user, config.EXPLAIN_ROWS)
    totals = published.find_totals(user)
    if not found.rows and not totals:
        raise InputError(
            f"no event of this user was handed over for version {published.version.name}: none was read, or "
            f"all were rejected, which `{program_name()} query 'FROM quarantine'` shows. Check the id: values are "
            "never trimmed, and capitals matter."
        )
    regions = tuple(
        _compare(published, region, *found.sums.get(region, (0, 0)), *totals.get(region, (None, None)))
        for region in sorted(found.sums.keys() | totals.keys())
    )
    events, notes = _describe(published, found.longest, config.TIMESTAMP_COLUMN)
    return UserAnswer(
        user,
        published.version.name,
        published.keep,
        all(region.agrees for region in regions),
        found.rows,
        sum(region.event_count for region in regions),
        found.duplicates,
        found.conflicts,
        regions,
        events,
        notes,
    )


def _find_events(published: Published, user: str, limit: int) -> _UserEvents:
    """Decide which rows of a user count, in as many passes as memory needs; ``limit``: how many events to list."""
    splits = [split for file in published.counted for split in file.splits]
    names = published.counted_names
    passes = 1 << max(0, (count_rows_beside_user(splits, user) - 1) // _ROWS_AT_ONCE).bit_length()
    sums: dict[str, tuple[int, int]] = {}
    events = [NO_ROWS.select(_EVENT)]
    count = duplicates = conflicts = 0
    for number in range(passes):
        beside = rows_beside_user(published.store, splits, user, passes, number)
        rows = beside.filter(pl.col("user_id") == user)
        if not len(rows):
            continue
        winners, losers = _winners(published, splits, rows, beside, user)
        count += len(rows)
        duplicates += len(rows) - len(winners) - losers
        conflicts += losers
        for region, micro, wins in winners.group_by("region").agg(pl.col("micro_minutes").sum(), pl.len()).rows():
            before = sums.get(names[region], (0, 0))
            sums[names[region]] = before[0] + micro, before[1] + wins
        events.append(_longest(winners, limit))
    return _UserEvents(count, duplicates, conflicts, sums, _longest(pl.concat(events), limit))


def _stored_name(published: Published, config: Config, user: str) -> str:
    """The user_id in the rows: where users have pseudonyms, one is taken as it is, and a plain id needs the key."""
    if not published.hidden:
        return user
    if len(user) == 64 and not set(user) - set("0123456789abcdef"):
        return user
    try:
        return pseudonym_of(user, find_key(config.PSEUDONYM_KEY_FILE).load())
    except ConfigError as fault:
        raise ConfigError(
            f"users have pseudonyms here: name one (64 hexadecimal digits), or the key. {fault}"
        ) from None


def _longest(events: pl.DataFrame, count: int) -> pl.DataFrame:
    by = ["micro_minutes", "place"]
    return events.top_k(count, by=by, reverse=[False, True]).sort(by, descending=[True, False])


def _winners(
    published: Published, splits: Sequence[KnownSplit], rows: pl.DataFrame, beside: pl.DataFrame, user: str
) -> tuple[pl.DataFrame, int]:
    """(the rows of the user that count, how many contents of the user lost).

    A copy of the same id by another user may win. Such copies lie in the same buckets, so that they are in ``beside``,
    or in others, where the index finds them.
    """
    prefixes = np.sort(prefixes_of(rows))
    prefixes = prefixes[np.append(True, prefixes[1:] != prefixes[:-1])]
    near = beside[rows_with_keys(prefixes_of(beside), prefixes)].filter(pl.col("user_id") != user)
    far = rows_of_ids(published.store, splits, prefixes, besides=fine_bucket(user))
    rivals = pl.concat([frame for frame in (near, far) if len(frame)] or [NO_ROWS])
    rivals = rivals.join(rows.select(ID), on=ID, how="semi")
    found = resolve(pl.concat([rows, rivals]) if len(rivals) else rows, published.keep, published.counted_names)
    of_user = pl.col("user_id") == user
    return found.winners.filter(of_user).select(_EVENT), len(found.losers.filter(of_user))


def _compare(
    published: Published, region: str, micro: int, events: int, minutes: float | None, count: int | None
) -> RegionSum:
    total = micro / MICRO
    agrees = (total, events) == (minutes or 0.0, count or 0)
    return RegionSum(region, published.partition(region), events, total, count, minutes, agrees)


def _describe(
    published: Published, events: pl.DataFrame, timestamp: Sequence[str]
) -> tuple[tuple[Event, ...], tuple[str, ...]]:
    """(the events in their order, notes about files that cannot be read again).

    ``events``: place, region, micro_minutes. An event has its log_id where its file can be read again. ``timestamp``:
    names of that column.
    """
    names = published.counted_names
    found: dict[int, Event] = {}
    notes = []
    wanted = set((events["place"] // PLACE_UNIT).to_list())
    by_split = {split.number: file for file in published.counted for split in file.splits if split.number in wanted}
    by_file: dict[int, tuple[KnownFile, list[tuple[int, int, int]]]] = {}
    for place, region, micro in events.rows():
        file = by_split[place // PLACE_UNIT]
        by_file.setdefault(file.id, (file, []))[1].append((place, region, micro))
    for file, events_of_file in by_file.values():
        splits = placed_splits(file)
        with open_source(file, published.max_record) as source:
            if isinstance(source, str):
                notes.append(f"{file.shown}: {source}: its log_ids cannot be shown")
            for place, region, micro in sorted(events_of_file):
                split, offset = splits[place // PLACE_UNIT], place % PLACE_UNIT
                log_id = time = line = None
                if isinstance(source, Source):
                    log_id, time = _read_event(source, split, offset, timestamp)
                    line = source.line(published.store, split, offset)
                    if published.hidden and published.id_parts > 1:
                        log_id = None
                start = split.result.start + offset
                found[place] = Event(log_id, file.shown, start, names[region], micro / MICRO, line, time)
    return tuple(found[place] for place in events["place"]), tuple(dict.fromkeys(notes))


def _read_event(
    source: Source, split: PlacedSplit, offset: int, timestamp: Sequence[str]
) -> tuple[str | None, str | None]:
    """(log_id, timestamp) of the record at an offset of a split, as they stand there; None where there is none."""
    header = split.result.header_at(offset)
    raw = source.record(split, offset) + b"\n"
    values = read_record(raw, 0, header.delimiter.encode(), header.fields, source.max_record).values
    if not values:
        return None, None
    log_id = join_values([values[header.columns[role]].decode() for role in id_roles(header.columns)])
    accepted = set(map(alike, timestamp))
    at = next((column for column, name in enumerate(header.names) if alike(name) in accepted), None)
    return log_id, None if at is None else values[at].decode() or None
