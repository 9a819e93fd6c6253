"""What another geo database would move: the files that count are read again with both tables, beside the result."""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from config import Config
from pipeline.aggregate.driver import aggregate_all, fewest_buckets
from pipeline.engines import no_advance, run_all
from pipeline.engines.local import LocalEngine
from pipeline.errors import ConfigError, EnvironmentFault
from pipeline.exchange.workspace import Workspace
from pipeline.geo.table import GeoSource, GeoTable, load_geo_table
from pipeline.inspection.explain.published import Published, open_published
from pipeline.inspection.explain.sources import find_difference
from pipeline.inspection.regeo.geo_diff import GeoDiff, UnreadFile, add_up, check_before, make_diff
from pipeline.inspection.regeo.pairs import pair_tables
from pipeline.inspection.regeo.relocation import RelocationTask, relocate
from pipeline.inspection.regeo.unread_files import take_unread
from pipeline.machine import cache_folder, os_errors_explained
from pipeline.planning.planner import check_disk, choose_sizes
from pipeline.planning.run_settings import read_settings
from pipeline.preprocess.driver import read_files
from pipeline.publish.verify import check_balance
from pipeline.reading.open_inputs import open_inputs
from pipeline.timing import Progress
from pipeline.versions.catalog import Version, current_version
from pipeline.versions.folders import new_run_id
from pipeline.versions.lock import Lock

_LISTED = 3


def compare_databases(config: Config, progress: Progress) -> GeoDiff:
    """Compare the published result with what the database of ``config`` would make of the same records.

    Everything is written to a folder of its own below INTERMEDIATE_DIR, which goes at the end. Raises InputError where
    nothing is published, ConfigError where other settings differ from those of the result, EnvironmentFault where a run
    is at work or the old database is gone, BalanceError where the result is not what its files say.
    """
    begin = time.monotonic()
    current_version(config.OUTPUT_DIR)  # where nothing is published, nothing is locked either
    with ExitStack() as held:
        held.enter_context(os_errors_explained())
        run_id = new_run_id()
        if Path(config.INTERMEDIATE_DIR).is_dir():
            held.enter_context(Lock(config.INTERMEDIATE_DIR, run_id))
        published = held.enter_context(open_published(config))
        version = published.version
        _check_level(config, version)
        settings = read_settings(config)
        old, new = _old_table(version), settings.load_geo()
        workspace = held.enter_context(_workspace(config, run_id))
        sizes = choose_sizes(config, (), spark=False)
        _check_settings(published, settings.fingerprint(old))
        unread = {file.id: reason for file in published.counted if (reason := find_difference(file))}
        pairs = pair_tables(old, new, Path(workspace.root) / "pairs.npz")
        pool = held.enter_context(LocalEngine(sizes.workers))
        library = settings.find_library()
        paths = [file.path for file in published.counted if file.id not in unread]
        logs = open_inputs(pool, paths, settings.headers, config.MAX_EXPANSION_RATIO, workspace, progress)
        check_disk(config.INTERMEDIATE_DIR, logs.files)
        sizes = choose_sizes(config, logs.files, spark=False)
        progress.phase("Phase 1: read again with both databases", sum(file.size for file in logs.files))
        read_context = settings.read_context(workspace, sizes, pairs, library)
        phase1 = read_files(pool, read_context, logs.files, sizes.split_bytes, progress.advance).refusing(logs.refused)
        unread |= {file.id: phase1.refused[file.path] for file in published.counted if file.path in phase1.refused}
        phase1 = phase1.counting(take_unread(published, workspace, old.names, pairs.names, phase1, unread))
        progress.phase("Phase 2: compare", phase1.handed_over, "rows")
        context = settings.aggregate_context(workspace, sizes, pairs, library)
        context = replace(context, buckets=fewest_buckets(phase1, context.buckets))
        phase2 = aggregate_all(pool, context, phase1.splits, sizes.workers, progress.advance)
        check_balance(phase1, phase2)
        numbers = tuple(split.result.split.number for split in phase1.splits if split.result.handed_over)
        tasks = [RelocationTask(bucket.bucket, numbers) for bucket in phase2.buckets]
        moved = add_up(run_all(pool, relocate, context, tasks, no_advance))
    check_before(version, moved)
    unread_files = [UnreadFile(file.shown, unread[file.id]) for file in published.counted if file.id in unread]
    seconds = time.monotonic() - begin
    return make_diff(version, name_builds(old, new), moved, len(published.counted), unread_files, seconds)


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


def name_builds(old: GeoTable, new: GeoTable) -> tuple[str, str]:
    """The builds of both; of the same database with other regions, the regions of the first countries that differ."""
    if old.build != new.build or old.digest == new.digest:
        return old.build, new.build
    before, after = dict(old.source.regions), dict(new.source.regions)
    changed = sorted(country for country in before | after if before.get(country) != after.get(country))

    def name(table: GeoTable, regions: dict[str, str]) -> str:
        shown = ", ".join(f"{country}: {regions.get(country, 'UNKNOWN')}" for country in changed[:_LISTED])
        more = f" and {len(changed) - _LISTED:,} more" if len(changed) > _LISTED else ""
        return f"{table.build} ({shown}{more})" if changed else f"{table.build} (table {table.digest[:8]})"

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
    """A folder for this comparison alone; one that a killed comparison leaves goes with the next run."""
    workspace = Workspace(str((Path(config.INTERMEDIATE_DIR) / f"run-{run_id}").absolute()))
    workspace.create()
    try:
        yield workspace
    finally:
        shutil.rmtree(workspace.root)
