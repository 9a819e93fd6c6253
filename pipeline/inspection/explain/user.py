"""A user's published total, added up again from the events that count."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from config import Config
from pipeline.dedupe import ID, resolve, rows_with_keys
from pipeline.errors import ConfigError, InputError
from pipeline.exchange.row_files import PLACE_UNIT
from pipeline.history.known_files import KnownFile, KnownSplit
from pipeline.inspection.explain.copies import (
    NO_ROWS,
    fine_bucket,
    most_rows_of_user,
    prefixes_of,
    rows_beside_user,
    rows_of_ids,
)
from pipeline.inspection.explain.published import Published
from pipeline.inspection.explain.sources import Source, open_source, placed_splits
from pipeline.privacy import find_key, pseudonym_of
from pipeline.quality import MICRO
from pipeline.reading.single_record import read_record

_ROWS_AT_ONCE = 2_000_000
_EVENT = ["place", "region", "micro_minutes"]


@dataclass(frozen=True)
class RegionSum:
    """A user's events in one region, added up, and what is published; ``agrees``: they are equal to the last bit."""

    region: str
    partition: str
    event_count: int
    total_watch_time_min: float
    published_event_count: int | None
    published_total_watch_time_min: float | None
    agrees: bool


@dataclass(frozen=True)
class Event:
    """An event that counts. ``log_id`` is None where its file is not at hand: only its hash is stored."""

    log_id: str | None
    file: str
    byte_offset: int
    region: str
    minutes: float


@dataclass(frozen=True)
class UserAnswer:
    """How the total of ``user_id`` (a pseudonym, where users have any) comes about.

    ``rows``: copies that Phase 1 handed over; of these ``duplicates`` repeat one, ``conflicts`` lost to another
    content, and the rest count. ``events``: some of these, the longest first.
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


def explain_user(published: Published, config: Config, user: str) -> UserAnswer:
    """Add up a user's events. Raises InputError where no record of the user was handed over and nothing is published,
    ConfigError where users have pseudonyms and there is no key."""
    user = _known_as(published, config, user)
    splits = [part for file in published.counted for part in file.splits]
    names = published.counted_names
    passes = 1 << max(0, (most_rows_of_user(splits, user) - 1) // _ROWS_AT_ONCE).bit_length()
    sums: dict[str, list[int]] = {}
    events: list[pl.DataFrame] = []
    count = duplicates = conflicts = 0
    for number in range(passes):
        beside = rows_beside_user(published.store, splits, user, passes, number)
        rows = beside.filter(pl.col("user_id") == user)
        if not len(rows):
            continue
        count += len(rows)
        winners, lost = _winners(published, splits, rows, beside, user)
        duplicates, conflicts = duplicates + len(rows) - len(winners) - lost, conflicts + lost
        for region, micro, found in winners.group_by("region").agg(pl.col("micro_minutes").sum(), pl.len()).rows():
            total = sums.setdefault(names[region], [0, 0])
            sums[names[region]] = [total[0] + micro, total[1] + found]
        events.append(_longest(winners, config.EXPLAIN_ROWS))
    totals = published.find_totals(user)
    if not count and not totals:
        raise InputError(
            f"no event of the user {user!r} was handed over for version {published.version.name}: none was read, or "
            "all were rejected, which `python main.py query 'FROM quarantine'` shows. Check the id: values are never "
            "trimmed, and capitals matter."
        )
    regions = tuple(
        _compare(published, region, *sums.get(region, (0, 0)), *totals.get(region, (None, None)))
        for region in sorted(sums.keys() | totals.keys())
    )
    shown = _longest(pl.concat(events), config.EXPLAIN_ROWS) if events else NO_ROWS.select(_EVENT)
    return UserAnswer(
        user,
        published.version.name,
        published.keep,
        all(region.agrees for region in regions),
        count,
        sum(region.event_count for region in regions),
        duplicates,
        conflicts,
        regions,
        _describe(published, shown, names),
        tuple(dict.fromkeys(published.notes)),
    )


def _known_as(published: Published, config: Config, user: str) -> str:
    """The user as the rows name them: a pseudonym is taken as it is, a plain id needs the key."""
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
    """(the user's rows that count, contents that lost) of the user's ``rows``.

    Copies of the same ids by other users may beat them: those in the same buckets are ``beside`` them, and the index
    finds the others.
    """
    prefixes = np.sort(prefixes_of(rows))
    prefixes = prefixes[np.append(True, prefixes[1:] != prefixes[:-1])]
    near = beside[rows_with_keys(prefixes_of(beside), prefixes)].filter(pl.col("user_id") != user)
    far = rows_of_ids(published.store, splits, prefixes, besides=fine_bucket(user))
    rivals = pl.concat([frame for frame in (near, far) if len(frame)] or [NO_ROWS])
    rivals = rivals.join(rows.select(ID), on=ID, how="semi")
    found = resolve(pl.concat([rows, rivals]) if len(rivals) else rows, published.keep, published.counted_names)
    mine = pl.col("user_id") == user
    return found.winners.filter(mine).select(_EVENT), len(found.losers.filter(mine))


def _compare(
    published: Published, region: str, micro: int, events: int, minutes: float | None, count: int | None
) -> RegionSum:
    total = micro / MICRO
    agrees = (total, events) == (minutes or 0.0, count or 0)
    return RegionSum(region, published.partition(region), events, total, count, minutes, agrees)


def _describe(published: Published, events: pl.DataFrame, names: Sequence[str]) -> tuple[Event, ...]:
    """Events with their log_ids, as far as the files are at hand; in the order given."""
    found: dict[int, Event] = {}
    by_split = {part.number: file for file in published.counted for part in file.splits}
    by_file: dict[int, tuple[KnownFile, list[tuple[int, int, int]]]] = {}
    for place, region, micro in events.rows():
        file = by_split[place // PLACE_UNIT]
        by_file.setdefault(file.id, (file, []))[1].append((place, region, micro))
    for file, some in by_file.values():
        placed = placed_splits(file)
        with open_source(file, published.max_record) as source:
            if isinstance(source, str):
                published.notes.append(f"{file.shown}: {source}: its log_ids cannot be shown")
            for place, region, micro in sorted(some):
                split, offset = placed[place // PLACE_UNIT], place % PLACE_UNIT
                log_id = None
                if isinstance(source, Source):
                    header = split.result.split.header
                    raw = source.record(split, offset) + b"\n"
                    values = read_record(raw, 0, header.delimiter.encode(), header.fields, published.max_record).values
                    log_id = values[header.columns["log_id"]].decode() if values else None
                where = file.shown, split.result.start + offset
                found[place] = Event(log_id, *where, names[region], micro / MICRO)
    return tuple(found[place] for place in events["place"])
