"""``geo-diff``: reads the files that count again with both geo tables, and compares the results."""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from config import Config
from pipeline import KERNEL_MODULES
from pipeline.aggregate.driver import aggregate_all, fewest_buckets
from pipeline.engines import no_advance, run_all
from pipeline.engines.local import LocalEngine
from pipeline.errors import ConfigError, EnvironmentFault
from pipeline.exchange.workspace import Workspace
from pipeline.geo.table import GeoSource, GeoTable, load_geo_table
from pipeline.inspection.explain.published import Published, open_published
from pipeline.inspection.explain.sources import find_growth
from pipeline.inspection.geo_diff.diff import GeoDiff, UnreadFile, add_up, check_before, make_diff
from pipeline.inspection.geo_diff.pairs import pair_tables
from pipeline.inspection.geo_diff.relocation import Relocation, RelocationTask, relocate
from pipeline.inspection.geo_diff.unread_files import copy_unread
from pipeline.machine import cache_folder, os_errors_explained
from pipeline.planning.planner import Sizes, check_disk, choose_sizes, choose_workers
from pipeline.planning.run_settings import Library, RunSettings, read_settings
from pipeline.preprocess.driver import read_files
from pipeline.preprocess.ledger import Phase1Result
from pipeline.publish.verify import check_balance
from pipeline.reading.open_inputs import open_inputs
from pipeline.timing import Progress
from pipeline.versions.catalog import Version, current_version
from pipeline.versions.folders import intermediate_folder, new_run_id
from pipeline.versions.lock import Lock
from utils.units import format_list

_LISTED = 3


@dataclass(frozen=True)
class _Comparison:
    """The settings and resources of a comparison; ``pairs``: the table that joins the ``old`` and the new one."""

    settings: RunSettings
    published: Published
    workspace: Workspace
    pool: LocalEngine
    old: GeoTable
    pairs: GeoTable
    library: Library
    progress: Progress


@dataclass(frozen=True)
class _FilesRead:
    """Phase 1 of a comparison; ``unread``: the reason for each file that could not be read again, by the file's id."""

    phase1: Phase1Result
    sizes: Sizes
    unread: dict[int, str]


def compare_databases(config: Config, progress: Progress) -> GeoDiff:
    """Compare the published result with what the geo database of ``config`` would make of the same records.

    Everything is written to a folder of its own below INTERMEDIATE_DIR, which is removed at the end.

    Raises:
        InputError: nothing is published.
        ConfigError: settings other than the geo database differ from those of the result.
        EnvironmentFault: a run is at work, or the old database is no longer there.
        BalanceError: by the old database the files make another result than the published one.
    """
    begin = time.monotonic()
    current_version(config.OUTPUT_DIR)  # raises before anything is locked
    with ExitStack() as stack:
        stack.enter_context(os_errors_explained())
        run_id = new_run_id()
        folder = intermediate_folder(config.INTERMEDIATE_DIR, config.OUTPUT_DIR)
        if folder.is_dir():
            stack.enter_context(Lock(folder, run_id))
        published = stack.enter_context(open_published(config))
        version = published.version
        _check_level(config, version)
        settings = read_settings(config)
        old, new = _old_table(version), settings.load_geo()
        _check_settings(published, settings.fingerprint(old))
        workspace = stack.enter_context(_workspace(config, run_id))
        pairs = pair_tables(old, new, Path(workspace.root) / "pairs.npz")
        pool = stack.enter_context(LocalEngine(choose_workers(config, spark=False), KERNEL_MODULES))
        library = settings.find_library()
        comparison = _Comparison(settings, published, workspace, pool, old, pairs, library, progress)
        files = _read_again(comparison)
        moved = _compare_buckets(comparison, files)
    check_before(version, moved)
    counted, unread = published.counted, files.unread
    unread_files = [UnreadFile(file.shown, unread[file.id]) for file in counted if file.id in unread]
    seconds = time.monotonic() - begin
    return make_diff(version, name_builds(old, new), moved, len(counted), unread_files, seconds)


def _read_again(comparison: _Comparison) -> _FilesRead:
    """Read the files that count with the table of pairs; of those that cannot be read, take the rows of the store."""
    published, settings, workspace = comparison.published, comparison.settings, comparison.workspace
    config, pool, progress = settings.config, comparison.pool, comparison.progress
    unread = {file.id: reason for file in published.counted if (reason := find_growth(file))}
    paths = [file.path for file in published.counted if file.id not in unread]
    logs = open_inputs(pool, paths, settings.headers, config.MAX_EXPANSION_RATIO, workspace, progress)
    check_disk(config.INTERMEDIATE_DIR, logs.files)
    sizes = choose_sizes(config, logs.files, spark=False)
    progress.phase("Phase 1: read again with both databases", sum(file.size for file in logs.files))
    context = settings.read_context(workspace, sizes, comparison.pairs, comparison.library)
    phase1 = read_files(pool, context, logs.files, sizes.split_bytes, progress.advance).refusing(logs.refused)
    unread |= {file.id: phase1.refused[file.path] for file in published.counted if file.path in phase1.refused}
    copied = copy_unread(published, workspace, comparison.old.names, comparison.pairs.names, phase1, unread)
    return _FilesRead(phase1.counting(copied), sizes, unread)


def _compare_buckets(comparison: _Comparison, files: _FilesRead) -> Relocation:
    """Decide which rows count, and add up what moves."""
    phase1, sizes, pool, progress = files.phase1, files.sizes, comparison.pool, comparison.progress
    progress.phase("Phase 2: compare", phase1.counts.handed_over, "rows")
    context = comparison.settings.aggregate_context(comparison.workspace, sizes, comparison.pairs, comparison.library)
    context = replace(context, buckets=fewest_buckets(phase1, context.buckets), keep_losers=True)
    phase2 = aggregate_all(pool, context, phase1.splits, sizes.workers, progress.advance)
    check_balance(phase1, phase2)
    numbers = tuple(split.result.split.number for split in phase1.splits if split.result.handed_over)
    tasks = [RelocationTask(bucket.bucket, numbers) for bucket in phase2.buckets]
    return add_up(run_all(pool, relocate, context, tasks, no_advance))


def _old_table(version: Version) -> GeoTable:
    """The table that the version was made with: the compiled one of the cache, or compiled again from its database if
    this has not changed."""
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


def name_builds(old: GeoTable, new: GeoTable) -> tuple[str, str]:
    """The names of both builds. Where the build is the same and the regions differ, the names list the regions of the
    first countries that differ."""
    if old.build != new.build or old.digest == new.digest:
        return old.build, new.build
    before, after = dict(old.source.regions), dict(new.source.regions)
    changed = sorted(country for country in before | after if before.get(country) != after.get(country))

    def name(table: GeoTable, regions: dict[str, str]) -> str:
        listed = format_list(changed, _LISTED, lambda country: f"{country}: {regions.get(country, 'UNKNOWN')}")
        return f"{table.build} ({listed})" if changed else f"{table.build} (table {table.digest[:8]})"

    return name(old, before), name(new, after)


def _check_level(config: Config, version: Version) -> None:
    level = version.geo["source"]["level"]
    if level != config.GEO_LEVEL:
        raise ConfigError(
            f"--geo-level is {config.GEO_LEVEL}, but version {version.name} has the level {level}: expected the same, "
            f"or everything would move. Give --geo-level {level}."
        )


def _check_settings(published: Published, fingerprint: str) -> None:
    if any(file.fingerprint != fingerprint for file in published.counted):
        raise ConfigError(
            f"version {published.version.name} was read with other settings than these (columns, DEDUPE_KEEP, rules, "
            "pseudonyms or MAX_RECORD_BYTES), so that more than the geo database would differ. Give the options and "
            "the --config of the run."
        )


@contextmanager
def _workspace(config: Config, run_id: str) -> Iterator[Workspace]:
    """A folder for this comparison alone. The next run removes one that a killed comparison has left."""
    workspace = Workspace(
        str((intermediate_folder(config.INTERMEDIATE_DIR, config.OUTPUT_DIR) / f"run-{run_id}").absolute())
    )
    workspace.create()
    try:
        yield workspace
    finally:
        shutil.rmtree(workspace.root)
