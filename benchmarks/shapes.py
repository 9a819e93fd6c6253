"""Logs of a given shape, and the truth about them by construction: row widths, user counts, file counts, and skew."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

HEADER = "log_id,user_id,timestamp,video_id,device_type,ip_address,watch_time(min)\n"
_BLOCK_ROWS = 500_000
_UNIT = 100_000
"""Watch times are whole tenths of a minute: so many micro-minutes."""
_BYTES_BESIDE = 73
"""Mean length of a row without its user_id and its padding."""
_COPIED, _SHARED = "copied-by-every-retry", "shared-by-many-users"


@dataclass(frozen=True)
class Shape:
    """What the logs are like.

    ``padding``: further bytes of every video_id; ``user_bytes``: length of a user_id. ``bot_share``: events of one
    user, from 0 to 1; ``copies``: records that are all the same; ``shared``: records of one log_id, each of another
    user with another watch time.
    """

    name: str
    size_bytes: int
    files: int = 4
    users: int = 100_000
    padding: int = 0
    user_bytes: int = 10
    bot_share: float = 0.0
    copies: int = 0
    shared: int = 0
    seed: int = 7

    @property
    def rows(self) -> int:
        """Records of all files together."""
        return max(self.files, int(self.size_bytes / (_BYTES_BESIDE + self.user_bytes + self.padding)))


@dataclass(frozen=True)
class Truth:
    """What a run must find. ``micro`` and ``events``: of each user by number, over all regions."""

    records: int
    duplicates: int
    conflicts: int
    micro: NDArray[np.int64]
    events: NDArray[np.int64]

    @property
    def kept(self) -> int:
        """Events that count."""
        return int(self.events.sum())


def make_logs(shape: Shape, folder: Path) -> Truth:
    """Write the files of ``shape`` into ``folder``, which must not exist."""
    folder.mkdir(parents=True)
    micro, events = np.zeros(shape.users, np.int64), np.zeros(shape.users, np.int64)
    bounds = [shape.rows * number // shape.files for number in range(shape.files + 1)]
    random = np.random.default_rng(shape.seed)
    copies = shared = 0
    for number in range(shape.files):
        with (folder / f"day-{number + 1:04d}.csv").open("wb") as stream:
            stream.write(HEADER.encode())
            for positions in _blocks(bounds[number], bounds[number + 1]):
                users, tenths = _draw(shape, random, len(positions))
                copied, claimed = (
                    _every(positions, shape.copies, shape.rows, 0),
                    _every(positions, shape.shared, shape.rows, 1),
                )
                users[copied], tenths[copied] = 0, 77
                rank = np.arange(shared, shared + claimed.sum())
                users[claimed], tenths[claimed] = rank % shape.users, rank + 1
                copies, shared = copies + int(copied.sum()), shared + len(rank)
                alone = ~(copied | claimed)
                micro += np.bincount(users[alone], tenths[alone], shape.users).astype(np.int64) * _UNIT
                events += np.bincount(users[alone], minlength=shape.users)
                _frame(shape, random, positions, users, tenths, copied, claimed).write_csv(stream, include_header=False)
    if copies:
        micro[0] += 77 * _UNIT
        events[0] += 1
    if shared:  # the longest watch time wins
        micro[(shared - 1) % shape.users] += shared * _UNIT
        events[(shared - 1) % shape.users] += 1
    return Truth(shape.rows, max(0, copies - 1), max(0, shared - 1), micro, events)


def differences(shape: Shape, truth: Truth, answer: dict[str, int], output: Path) -> list[str]:
    """What a run's answer (of ``--json``) and its published result have otherwise than ``truth``."""
    counts = {"records_read": truth.records, "kept": truth.kept, "rejected": 0}
    counts |= {"duplicates": truth.duplicates, "conflicts": truth.conflicts}
    wrong = [f"{name}: expected {n}, found {answer[name]}" for name, n in counts.items() if answer[name] != n]
    found = (
        pl.scan_parquet(output / "*" / "*.parquet")
        .group_by(pl.col("user_id").str.slice(1).cast(pl.Int64))
        .agg((pl.col("total_watch_time_min") * 10).round().cast(pl.Int64).sum(), pl.col("event_count").sum())
        .sort("user_id")
        .collect()
    )
    users = np.flatnonzero(truth.events)
    same = np.array_equal(found["user_id"], users) and np.array_equal(found["event_count"], truth.events[users])
    if not same or not np.array_equal(found["total_watch_time_min"], truth.micro[users] // _UNIT):
        wrong.append(f"totals per user of {shape.name} differ")
    return wrong


def _blocks(first: int, stop: int) -> Iterator[NDArray[np.int64]]:
    for begin in range(first, stop, _BLOCK_ROWS):
        yield np.arange(begin, min(stop, begin + _BLOCK_ROWS))


def _draw(shape: Shape, random: np.random.Generator, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    users = random.integers(0, shape.users, rows)
    if shape.bot_share:
        users[random.random(rows) < shape.bot_share] = shape.users // 2
    return users, random.integers(0, 1200, rows)


def _every(positions: NDArray[np.int64], wanted: int, rows: int, offset: int) -> NDArray[np.bool_]:
    """The rows that are special, spread evenly over all."""
    if not wanted:
        return np.zeros(len(positions), bool)
    step = rows // wanted
    return np.asarray((positions % step == offset % step) & (positions // step < wanted))


def _frame(
    shape: Shape,
    random: np.random.Generator,
    positions: NDArray[np.int64],
    users: NDArray[np.int64],
    tenths: NDArray[np.int64],
    copied: NDArray[np.bool_],
    claimed: NDArray[np.bool_],
) -> pl.DataFrame:
    addresses = random.integers(0, 2**16, len(positions))
    frame = pl.DataFrame(
        {
            "position": positions,
            "user": users,
            "tenths": tenths,
            "copied": copied,
            "claimed": claimed,
            "address": addresses,
        }
    )
    log_id = pl.format("{}-event", (pl.col("position") + 10**11).cast(pl.String))
    moment = pl.from_epoch(pl.col("position") // 50 + 1_780_000_000).dt.to_string("%Y-%m-%dT%H:%M:%SZ")
    fields = frame.select(
        log_id=pl.when("copied").then(pl.lit(_COPIED)).when("claimed").then(pl.lit(_SHARED)).otherwise(log_id),
        user_id="u" + pl.col("user").cast(pl.String).str.zfill(shape.user_bytes - 1),
        timestamp=moment,
        video_id="v" + (pl.col("position") % 50_000).cast(pl.String).str.zfill(6 + shape.padding),
        device_type=pl.lit("mobile"),
        ip_address=pl.format("{}.{}.{}.7", pl.col("address") % 200 + 11, pl.col("address") % 251, pl.lit(20)),
        watch=pl.format("{}.{}", pl.col("tenths") // 10, pl.col("tenths") % 10),
    )
    # Copies must have one content: the address decides the region.
    same = pl.lit(_COPIED)
    return fields.with_columns(
        ip_address=pl.when(pl.col("log_id") == same).then(pl.lit("11.11.20.7")).otherwise("ip_address")
    )
