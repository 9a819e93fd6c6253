"""What another geo database would move: the files that count are read again with both tables, beside the result."""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from config import Config
from pipeline.cache import cache_folder
from pipeline.catalog import Version, current_version
from pipeline.compiled import compile_kernel
from pipeline.engines.local import LocalEngine
from pipeline.environment import check_disk, told_plainly
from pipeline.errors import BalanceError, ConfigError, EnvironmentFault
from pipeline.explain.published import Published, open_published
from pipeline.explain.sources import unchanged
from pipeline.fingerprint import fingerprint
from pipeline.geo import GeoSource, GeoTable, load_geo_table
from pipeline.geo.pairs import NOT_EXAMINED, pair_tables, split_pair
from pipeline.geo.ranges import U16
from pipeline.intermediate import Workspace, new_run_id, split_file
from pipeline.job import Job
from pipeline.journal import ledger_of
from pipeline.lock import Lock
from pipeline.orchestrator import open_files
from pipeline.phase1 import Phase1, PlacedSplit, read_files
from pipeline.phase2 import aggregate_all, fewest_buckets, run_all
from pipeline.planner import plan
from pipeline.publication import check_balance
from pipeline.relocation import Relocation, RelocationTask, Sums, relocate
from pipeline.results import MICRO, Progress, RegionTotal
from pipeline.setup import Setup

Key = TypeVar("Key")


@dataclass(frozen=True)
class Move:
    """What would move from one region to another; a user counts in each of its moves."""

    from_region: str
    to_region: str
    users: int
    events: int
    minutes: float


@dataclass(frozen=True)
class RegionChange:
    """A region before and after; users, events, minutes."""

    region: str
    before: RegionTotal
    after: RegionTotal


@dataclass(frozen=True)
class NotExamined:
    """A file whose addresses could not be read again."""

    file: str
    reason: str


@dataclass(frozen=True)
class GeoDiff:
    """The published ``version`` by its geo database and by another.

    ``moves``: the largest first. Events of files in ``not_examined`` are in ``before`` and in no ``after``:
    ``unknown_events`` with ``unknown_minutes``.
    """

    version: str
    old_build: str
    new_build: str
    moved_users: int
    moved_events: int
    moved_minutes: float
    moves: tuple[Move, ...]
    regions: tuple[RegionChange, ...]
    examined_files: int
    not_examined: tuple[NotExamined, ...]
    unknown_events: int
    unknown_minutes: float
    seconds: float


def compare_databases(config: Config, progress: Progress) -> GeoDiff:
    """Compare the published result with what the database of ``config`` would make of the same records.

    Everything is written to a folder of its own below INTERMEDIATE_DIR, which goes at the end. Raises InputError where
    nothing is published, ConfigError where other settings differ from those of the result, EnvironmentFault where a run
    is at work or the old database is gone, BalanceError where the result is not what its files say.
    """
    begun = time.monotonic()
    current_version(config.OUTPUT_DIR)  # where nothing is published, nothing is locked either
    with ExitStack() as held:
        held.enter_context(told_plainly())
        run_id = new_run_id()
        if Path(config.INTERMEDIATE_DIR).is_dir():
            held.enter_context(Lock(config.INTERMEDIATE_DIR, run_id))
        published = held.enter_context(open_published(config))
        version = published.version
        old, new = _old_table(version), _new_table(config, version)
        workspace = held.enter_context(_workspace(config, run_id))
        sizes = plan(config, [], spark=False)
        setup = Setup.of(config)
        job = setup.make_job(workspace, sizes, old, None)
        _check_settings(published, fingerprint(job, setup.columns))
        lost = {file.id: reason for file in published.counted if (reason := unchanged(file))}
        pairs = pair_tables(old, new, Path(workspace.root) / "pairs.npz")
        pool = held.enter_context(LocalEngine(sizes.workers))
        kernel = compile_kernel(cache_folder())[0] if config.COMPILED_PARSER else None
        pool.job = setup.make_job(workspace, sizes, pairs, kernel)
        paths = [file.path for file in published.counted if file.id not in lost]
        files, refused = open_files(pool, setup, paths, progress)
        check_disk(config.INTERMEDIATE_DIR, sum(file.size for file in files))
        sizes = plan(config, files, spark=False)
        pool.job = job = setup.make_job(workspace, sizes, pairs, kernel)
        progress.phase("Phase 1: read again with both databases", sum(file.size for file in files))
        outcome = read_files(pool, files, sizes.split_bytes, progress.advance)
        refused |= outcome.refused
        lost |= {file.id: refused[file.path] for file in published.counted if file.path in refused}
        _take_unexamined(published, job, old.names, outcome, lost)
        pool.job = job = replace(job, buckets=fewest_buckets(outcome, job.buckets))
        progress.phase("Phase 2: compare", outcome.handed_over)
        totals = aggregate_all(pool, job, outcome.splits, sizes.workers, progress.advance)
        check_balance(outcome, totals)
        numbers = tuple(split.result.split.number for split in outcome.splits if split.result.handed_over)
        tasks = [RelocationTask(bucket.bucket, numbers) for bucket in totals.buckets]
        found = _add_up(run_all(pool, relocate, tasks, lambda _: None))
    _check_before(version, found)
    builds = old.build, new.build
    files_lost = [NotExamined(file.shown, lost[file.id]) for file in published.counted if file.id in lost]
    return _diff(version, builds, found, len(published.counted), files_lost, time.monotonic() - begun)


def _old_table(version: Version) -> GeoTable:
    """The table that the version was made with: as it was compiled then, or from its database if that is the same."""
    values = version.geo["source"]
    source = GeoSource(**(values | {"regions": tuple((country, region) for country, region in values["regions"])}))
    try:
        return source.load()
    except EnvironmentFault:
        settings = version.record["settings"]
        database, regions = (
            Path(settings[name]) if settings[name] else None for name in ("GEO_DATABASE", "GEO_REGIONS")
        )
        try:
            table = load_geo_table(database, source.level, regions, cache_folder())
        except ConfigError:
            table = None
        if table is None or table.digest != source.digest:
            raise EnvironmentFault(
                f"the geo database of version {version.name} ({version.record['geo_build']}) is gone from the cache "
                f"folder, and {str(database or 'the table that is shipped')!r} is another. Restore it, or run without "
                "comparing."
            ) from None
        return table


def _new_table(config: Config, version: Version) -> GeoTable:
    level = version.geo["source"]["level"]
    if level != config.GEO_LEVEL:
        raise ConfigError(
            f"--geo-level is {config.GEO_LEVEL}, but version {version.name} has the level {level}: expected the same, "
            f"or everything would move. Give --geo-level {level}."
        )
    database, regions = (Path(name) if name else None for name in (config.GEO_DATABASE, config.GEO_REGIONS))
    return load_geo_table(database, level, regions, cache_folder())


def _check_settings(published: Published, mark: str) -> None:
    if any(file.fingerprint != mark for file in published.counted):
        raise ConfigError(
            f"version {published.version.name} was read with other settings than these (columns, DEDUPE_KEEP, rules, "
            "pseudonyms or MAX_RECORD_BYTES), so that more than the geo database would differ. Give the options and "
            "the --config of the run."
        )


@contextmanager
def _workspace(config: Config, run_id: str) -> Iterator[Workspace]:
    """A folder for this comparison alone; one that a killed comparison leaves goes with the next run."""
    workspace = Workspace(str((Path(config.INTERMEDIATE_DIR) / f"run-{run_id}").absolute()))
    workspace.create()
    try:
        yield workspace
    finally:
        shutil.rmtree(workspace.root)


def _take_unexamined(
    published: Published, job: Job, old_names: Sequence[str], outcome: Phase1, lost: dict[int, str]
) -> None:
    """Add what earlier runs made of the files that cannot be read again, each region as a pair of which half is known:
    their records still decide which of the others count."""
    codes = {split_pair(name): code for code, name in enumerate(job.geo().names)}
    pair_of = np.array([codes[name, NOT_EXAMINED] for name in old_names], np.uint16)
    number = max((split.result.split.number for split in outcome.splits), default=0)
    for file in published.counted:
        if file.id not in lost:
            continue
        ledger = ledger_of(file, file.path, at_hand=False)
        placed = []
        for split in ledger.splits:
            number += 1
            moved = replace(split.result, split=replace(split.result.split, number=number))
            placed.append(PlacedSplit(moved, split.first_line))
            if moved.handed_over:
                _copy_rows(published.store, split.result.split.number, job.workspace, number, pair_of)
        outcome.ledgers.append(replace(ledger, splits=tuple(placed)))


def _copy_rows(
    store: Workspace,
    number: int,
    target: Workspace,
    new_number: int,
    pair_of: U16,
) -> None:
    """A split's rows with other region codes, row group by row group, and its index as it is."""
    shutil.copyfile(store.path("index", split_file(number, "npy")), target.path("index", split_file(new_number, "npy")))
    source = pq.ParquetFile(store.path("rows", split_file(number)))
    with pq.ParquetWriter(
        target.path("rows", split_file(new_number)), source.schema_arrow, compression="lz4", write_statistics=False
    ) as writer:
        place = source.schema_arrow.get_field_index("region")
        for group in range(source.num_row_groups):
            rows = source.read_row_group(group)
            codes = pa.array(pair_of[rows["region"].to_numpy()])
            rows = rows.set_column(place, source.schema_arrow.field(place), codes)
            writer.write_table(rows, row_group_size=max(1, len(rows)))


def _add_up(parts: Sequence[Relocation]) -> Relocation:
    """The sums over buckets; each user is in one."""
    found = Relocation({}, {}, {}, sum(part.moved_users for part in parts))
    for part in parts:
        _merge(found.pairs, part.pairs)
        _merge(found.before, part.before)
        _merge(found.after, part.after)
    return found


def _merge(into: dict[Key, Sums], more: dict[Key, Sums]) -> None:
    for key, (users, events, micro) in more.items():
        before = into.get(key, (0, 0, 0))
        into[key] = before[0] + users, before[1] + events, before[2] + micro


def _check_before(version: Version, found: Relocation) -> None:
    """By the old table the comparison must find what is published."""
    published = {
        region["region"]: (region["users"], region["events"], region["minutes"]) for region in version.record["regions"]
    }
    before = {region: (users, events, micro / MICRO) for region, (users, events, micro) in found.before.items()}
    if before != published:
        raise BalanceError(
            f"by the old database the files that count make another result than version {version.name}: "
            f"{json.dumps(before)}, published {json.dumps(published)}. A fault in the program; please report it."
        )


def _diff(
    version: Version,
    builds: tuple[str, str],
    found: Relocation,
    files: int,
    not_examined: Sequence[NotExamined],
    seconds: float,
) -> GeoDiff:
    moves = [
        Move(old, new, users, events, micro / MICRO)
        for (old, new), (users, events, micro) in found.pairs.items()
        if new not in (old, NOT_EXAMINED)
    ]
    moves.sort(key=lambda move: (-move.minutes, move.from_region, move.to_region))
    _, unknown_events, unknown_micro = found.after.get(NOT_EXAMINED, (0, 0, 0))
    changes = [
        RegionChange(region, _total(region, found.before), _total(region, found.after))
        for region in sorted((found.before.keys() | found.after.keys()) - {NOT_EXAMINED})
    ]
    moved = [sums for (old, new), sums in found.pairs.items() if new not in (old, NOT_EXAMINED)]
    return GeoDiff(
        version.name,
        *builds,
        found.moved_users,
        sum(events for _, events, _ in moved),
        sum(micro for _, _, micro in moved) / MICRO,
        tuple(moves),
        tuple(changes),
        files - len(not_examined),
        tuple(not_examined),
        unknown_events,
        unknown_micro / MICRO,
        seconds,
    )


def _total(region: str, sums: dict[str, Sums]) -> RegionTotal:
    users, events, micro = sums.get(region, (0, 0, 0))
    return RegionTotal(region, users, events, micro / MICRO)
