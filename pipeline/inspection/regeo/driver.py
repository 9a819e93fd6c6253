"""What another geo database would move: the files that count are read again with both tables, beside the result."""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from config import Config
from pipeline.aggregate.driver import aggregate_all, fewest_buckets
from pipeline.engines import run_all
from pipeline.engines.local import LocalEngine
from pipeline.errors import ConfigError, EnvironmentFault
from pipeline.exchange.workspace import Workspace
from pipeline.geo.table import GeoSource, GeoTable, load_geo_table
from pipeline.inspection.explain.published import Published, open_published
from pipeline.inspection.explain.sources import unchanged
from pipeline.inspection.regeo.geo_diff import GeoDiff, NotExamined, add_up, check_before, make_diff
from pipeline.inspection.regeo.pairs import pair_tables
from pipeline.inspection.regeo.relocation import RelocationTask, relocate
from pipeline.inspection.regeo.unexamined import take_unexamined
from pipeline.machine import cache_folder, told_plainly
from pipeline.native.build import compile_kernel
from pipeline.planning.disk import check_disk
from pipeline.planning.planner import plan
from pipeline.planning.run_settings import Setup
from pipeline.preprocess.context import fingerprint
from pipeline.preprocess.driver import read_files
from pipeline.publish.verify import check_balance
from pipeline.reading.open_inputs import open_files
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
    begun = time.monotonic()
    current_version(config.OUTPUT_DIR)  # where nothing is published, nothing is locked either
    with ExitStack() as held:
        held.enter_context(told_plainly())
        run_id = new_run_id()
        if Path(config.INTERMEDIATE_DIR).is_dir():
            held.enter_context(Lock(config.INTERMEDIATE_DIR, run_id))
        published = held.enter_context(open_published(config))
        version = published.version
        _check_level(config, version)
        setup = Setup.of(config)
        old, new = _old_table(version), setup.load_geo()
        workspace = held.enter_context(_workspace(config, run_id))
        sizes = plan(config, [], spark=False)
        job = setup.make_job(workspace, sizes, old, None)
        _check_settings(published, fingerprint(job, setup.columns))
        lost = {file.id: reason for file in published.counted if (reason := unchanged(file))}
        pairs = pair_tables(old, new, Path(workspace.root) / "pairs.npz")
        pool = held.enter_context(LocalEngine(sizes.workers))
        kernel = compile_kernel(cache_folder())[0] if config.COMPILED_PARSER else None
        pool.job = setup.make_job(workspace, sizes, pairs, kernel)
        paths = [file.path for file in published.counted if file.id not in lost]
        files, refused = open_files(pool, setup, paths, progress)
        check_disk(config.INTERMEDIATE_DIR, files)
        sizes = plan(config, files, spark=False)
        pool.job = job = setup.make_job(workspace, sizes, pairs, kernel)
        progress.phase("Phase 1: read again with both databases", sum(file.size for file in files))
        outcome = read_files(pool, files, sizes.split_bytes, progress.advance)
        refused |= outcome.refused
        lost |= {file.id: refused[file.path] for file in published.counted if file.path in refused}
        take_unexamined(published, job, old.names, outcome, lost)
        pool.job = job = replace(job, buckets=fewest_buckets(outcome, job.buckets))
        progress.phase("Phase 2: compare", outcome.handed_over, "rows")
        totals = aggregate_all(pool, job, outcome.splits, sizes.workers, progress.advance)
        check_balance(outcome, totals)
        numbers = tuple(split.result.split.number for split in outcome.splits if split.result.handed_over)
        tasks = [RelocationTask(bucket.bucket, numbers) for bucket in totals.buckets]
        found = add_up(run_all(pool, relocate, tasks, lambda _: None))
    check_before(version, found)
    builds = name_builds(old, new)
    files_lost = [NotExamined(file.shown, lost[file.id]) for file in published.counted if file.id in lost]
    return make_diff(version, builds, found, len(published.counted), files_lost, time.monotonic() - begun)


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
