"""The orders that the steps of a run rely on. Every test fails where two of them change places.

Runs are real and small; only workers and Spark are replaced, by engines that work in this process. What is called, and
in what order, is noted by spies on the objects at work, so that the steps may move between modules.
"""

import errno
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from config import Config
from pipeline.engines.local import LocalEngine
from pipeline.engines.spark import SparkEngine
from pipeline.errors import EnvironmentFault
from pipeline.exchange.workspace import Workspace
from pipeline.history import journal
from pipeline.history.journal import Journal
from pipeline.history.manifest import Manifest
from pipeline.history.place import Place
from pipeline.history.replays import Replays
from pipeline.history.split_store import Store
from pipeline.machine import cache_folder
from pipeline.orchestrator import run
from pipeline.planning import prediction, sample
from pipeline.planning.run_options import NO_OPTIONS, RunOptions
from pipeline.publish.result import RunResult
from pipeline.versions.lock import Lock
from pipeline.versions.output_link import Output
from tests.harness import HEADER, Silent, working_here

ONE_HOUR_AGO = time.time() - 3600
PATIENCE_SECONDS = 10
"""How long a step waits for another one that should come: only a program with a wrong order waits at all."""

WATCHED: dict[type, Sequence[str]] = {
    Workspace: ["create"],
    Lock: ["__exit__"],
    LocalEngine: ["__init__", "map", "close"],
    SparkEngine: ["__init__", "map", "__exit__"],
    Journal: ["begin", "finish_file", "wait"],
    Manifest: ["finish", "prepare_version", "confirm_version", "forget_files"],
    Output: ["show"],
    Place: ["remove_runs"],
    Replays: ["keep"],
}


@dataclass
class Calls:
    """What was called, in order: ``Output.show`` when it begins, ``Output.show ended`` when it ends."""

    names: list[str] = field(default_factory=list)

    def watch(self, patch: pytest.MonkeyPatch, owner: type, method: str) -> None:
        """Note every call of a method."""
        name, inner = f"{owner.__name__}.{method}", getattr(owner, method)

        def noted(*arguments: Any, **named: Any) -> Any:
            self.names.append(name)
            try:
                return inner(*arguments, **named)
            finally:
                self.names.append(f"{name} ended")

        patch.setattr(owner, method, noted)

    def assert_before(self, earlier: str, later: str) -> None:
        """All calls of ``earlier`` come before the first of ``later``; both were called."""
        assert earlier in self.names, f"{earlier} never came: {self.names}"
        assert later in self.names, f"{later} never came: {self.names}"
        last = len(self.names) - 1 - self.names[::-1].index(earlier)
        assert last < self.names.index(later), f"{later} came before {earlier}: {self.names}"


def wait_for_whoever_wants_the_journal(patch: pytest.MonkeyPatch, calls: Calls) -> None:
    """A slow disk: a file that was read is noted only when the main thread waits for it, or loses its patience."""
    asked = threading.Event()
    wait, finish = Journal.wait, Manifest.finish

    def ask(noted: Journal) -> None:
        if "Journal.finish_file" in calls.names:
            asked.set()
        wait(noted)

    def finish_slowly(manifest: Manifest, results: Any, hashes: Any) -> None:
        asked.wait(PATIENCE_SECONDS)
        finish(manifest, results, hashes)

    patch.setattr(Journal, "wait", ask)
    patch.setattr(Manifest, "finish", finish_slowly)


def meet_in_phase_1(patch: pytest.MonkeyPatch, calls: Calls) -> None:
    """The prediction and Phase 1 wait for each other: notes it where both are at work at one time."""
    meeting = threading.Barrier(2)
    take_sample, begin = sample.take_sample, Journal.begin

    def meet() -> None:
        try:
            meeting.wait(PATIENCE_SECONDS)
        except threading.BrokenBarrierError:
            return
        calls.names.append("prediction met Phase 1")

    def sample_beside(*arguments: Any) -> Any:
        meet()
        return take_sample(*arguments)

    def begin_beside(*arguments: Any) -> Any:
        meet()
        return begin(*arguments)

    patch.setattr(prediction, "take_sample", sample_beside)
    patch.setattr(Journal, "begin", begin_beside)


@dataclass
class Site:
    """Folders of a user: ``root``/in, work and out."""

    root: Path

    def write(self, name: str, first: int, rows: int) -> Path:
        """A log with the events ``first`` to ``first + rows``; returns its path."""
        path = self.root / "in" / name
        path.parent.mkdir(exist_ok=True)
        lines = [b"i%d,u%d,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1\n" % (n, n % 7) for n in range(first, first + rows)]
        path.write_bytes(HEADER + b"".join(lines))
        os.utime(path, (ONE_HOUR_AGO, ONE_HOUR_AGO))  # as logs are when a run meets them: size and times prove them
        return path

    def run(self, options: RunOptions = NO_OPTIONS, **settings: Any) -> RunResult:
        """A run over the folder ``in``."""
        folders = {"INPUT_DIR": "in", "INTERMEDIATE_DIR": "work", "OUTPUT_DIR": "out"}
        values: dict[str, Any] = {name: str(self.root / folder) for name, folder in folders.items()}
        values |= {"ENGINE": "polars", "PREPROCESSING_WORKERS": 1} | settings
        return run(Config(**values), Silent(), options)

    def run_folders(self) -> set[str]:
        """The runs whose folders are in the intermediate folder, by their ids."""
        return {path.name.removeprefix("run-") for path in (self.root / "work").glob("run-*")}

    def record(self, *parts: str) -> dict[str, Any]:
        """The run.json in a folder below ``root``."""
        found: dict[str, Any] = json.loads(self.root.joinpath(*parts, "run.json").read_text())
        return found

    def current(self) -> str:
        """The version that the output shows."""
        return os.readlink(self.root / "out").split("/")[1]


@pytest.fixture(scope="module")
def patch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """Runs of this module: no processes, no settings of whoever started the tests, and a pace of their own."""
    cache = tmp_path_factory.mktemp("cache") / "logmill"
    cache.mkdir()
    for path in cache_folder().glob("*-*"):  # tables and libraries, which would take seconds to make; not the pace
        (cache / path.name).symlink_to(path)
    with pytest.MonkeyPatch.context() as patch, working_here(LocalEngine, "close"):
        for name in [name for name in os.environ if name.startswith("LOGMILL_")]:
            patch.delenv(name)
        patch.setenv("XDG_CACHE_HOME", str(cache.parent))
        patch.delenv("LOCALAPPDATA", raising=False)
        yield patch


@pytest.fixture
def site(patch: pytest.MonkeyPatch, tmp_path: Path) -> Site:  # noqa: ARG001 - the site runs under the patch
    """Folders with one log of 400 events."""
    site = Site(tmp_path)
    site.write("a.csv", 0, 400)
    return site


def pace() -> bytes:
    """What this module's runs have learned so far."""
    path = cache_folder() / "pace.json"
    return path.read_bytes() if path.exists() else b""


def has_disk_fault(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@dataclass
class Watched:
    """A run that was watched: over a site that has a version already, with a new log and a replayed file."""

    calls: Calls
    before: str
    folders_when_shown: set[str]
    site: Site
    result: RunResult


@pytest.fixture(scope="module", params=["polars", "spark"])
def watched(
    request: pytest.FixtureRequest, patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Watched:
    """A run by each engine."""
    site, calls = Site(tmp_path_factory.mktemp("site")), Calls()
    site.write("a.csv", 0, 400)
    before = site.run().run_id
    site.write("b.csv", 390, 20)
    mended = site.write("mended.csv", 1000, 3).rename(site.root / "mended.csv")
    folders: set[str] = set()
    java = site.root / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
    java.chmod(0o755)
    begin = SparkEngine.__init__
    with working_here(SparkEngine, "__exit__"), patch.context() as inner:  # spies go before what they spy on
        inner.setenv("JAVA_HOME", str(java.parents[1]))
        wait_for_whoever_wants_the_journal(inner, calls)
        meet_in_phase_1(inner, calls)
        show = Output.show

        def look_and_show(output: Output, version: str) -> None:
            show(output, version)
            folders.update(site.run_folders())

        inner.setattr(Output, "show", look_and_show)
        for owner, methods in WATCHED.items():
            for method in methods:
                calls.watch(inner, owner, method)
        result = site.run(RunOptions(replay=(str(mended),)), ENGINE=request.param)
    assert SparkEngine.__init__ is begin, "tests after these have the real engine"
    return Watched(calls, before, folders, site, result)


def test_the_watched_run_publishes_what_it_should(watched: Watched) -> None:
    """What the orders below are worth: the run went on from the version before and counted the replayed file."""
    assert (watched.result.status, watched.result.kept, watched.result.duplicates) == ("ok", 413, 10)
    assert (watched.result.new.files, watched.result.new.reused_files) == (2, 1)
    assert watched.site.current() == watched.result.run_id


def test_the_workspace_outlives_the_workers(watched: Watched) -> None:
    """Workers write into the workspace: it is there before them, and locks are given back when they have ended."""
    watched.calls.assert_before("Workspace.create ended", "LocalEngine.__init__")
    watched.calls.assert_before("LocalEngine.close ended", "Lock.__exit__")


def test_the_prediction_is_made_beside_phase_1(watched: Watched) -> None:
    """Neither waits for the other to end."""
    assert watched.calls.names.count("prediction met Phase 1") == 2


def test_the_journal_is_written_before_a_version_is_published(watched: Watched) -> None:
    """The manifest knows every file that counts before a version says so."""
    watched.calls.assert_before("Manifest.finish ended", "Manifest.prepare_version")


def test_the_manifest_prepares_a_version_the_link_shows_it_the_manifest_confirms_it(watched: Watched) -> None:
    """A run that is killed in between leaves what ``History.recover`` needs to finish or to undo the publication."""
    watched.calls.assert_before("Manifest.prepare_version ended", "Output.show")
    watched.calls.assert_before("Output.show ended", "Manifest.confirm_version")


def test_what_earlier_runs_left_is_removed_only_after_the_publication(watched: Watched) -> None:
    assert watched.before in watched.folders_when_shown, "the totals that the version before goes on from"
    assert watched.site.run_folders() == {watched.result.run_id}
    watched.calls.assert_before("Manifest.confirm_version ended", "Manifest.forget_files")
    watched.calls.assert_before("Manifest.confirm_version ended", "Place.remove_runs")


def test_a_replayed_file_is_kept_only_after_the_publication(watched: Watched) -> None:
    watched.calls.assert_before("Manifest.confirm_version ended", "Replays.keep")


def test_spark_starts_beside_phase_1_and_takes_the_memory_of_the_workers(watched: Watched) -> None:
    if watched.result.engine != "spark":
        assert "SparkEngine.__init__" not in watched.calls.names
        return
    watched.calls.assert_before("Workspace.create ended", "SparkEngine.__init__")  # its files lie there
    watched.calls.assert_before("SparkEngine.__init__ ended", "Journal.begin")
    first_of_spark = watched.calls.names.index("SparkEngine.map")
    assert "LocalEngine.close ended" in watched.calls.names[:first_of_spark], watched.calls.names
    watched.calls.assert_before("LocalEngine.map ended", "SparkEngine.map")
    watched.calls.assert_before("SparkEngine.__exit__ ended", "Lock.__exit__")


def test_a_publication_that_fails_takes_back_the_replayed_file_and_removes_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = site.run()
    mended = site.write("mended.csv", 1000, 3).rename(site.root / "mended.csv")
    site.write("b.csv", 390, 20)
    calls = Calls()
    for owner in (LocalEngine, Lock, Manifest):
        for method in WATCHED[owner]:
            calls.watch(monkeypatch, owner, method)
    with monkeypatch.context() as inner:
        inner.setattr(Output, "show", has_disk_fault)
        with pytest.raises(EnvironmentFault, match="Nothing was published"):
            site.run(RunOptions(replay=(str(mended),)))
    assert site.current() == before.run_id
    assert before.run_id in site.run_folders()
    assert not list((site.root / "out.versions" / "replayed").glob("*/*.csv"))
    assert "Manifest.confirm_version" not in calls.names
    calls.assert_before("LocalEngine.close ended", "Lock.__exit__")
    assert site.run().kept == 410


def test_a_run_that_changes_nothing_leaves_the_totals_and_the_replayed_file_of_the_version(site: Site) -> None:
    mended = site.write("mended.csv", 1000, 3).rename(site.root / "mended.csv")
    before = site.run(RunOptions(replay=(str(mended),)))
    after = site.run(RunOptions(replay=(str(mended),)))
    assert after.version == before.run_id != after.run_id
    assert site.run_folders() == {before.run_id}
    assert len(list((site.root / "out.versions" / "replayed").glob("*/*.csv"))) == 1


def test_the_pace_is_learned_from_a_run_that_reads_and_adds_up_everything(site: Site) -> None:
    before = pace()
    site.run()
    assert pace() != before


def test_the_pace_is_not_learned_from_changes_alone(site: Site) -> None:
    site.run()
    before = pace()
    site.write("b.csv", 390, 20)
    assert site.run().new.reused_files == 1
    assert pace() == before


def test_the_pace_is_not_learned_from_a_run_that_was_resumed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as inner:
        inner.setattr(Journal, "finish_file", has_disk_fault)
        with pytest.raises(EnvironmentFault):
            site.run()
    before = pace()
    resumed = site.run()
    assert "an interrupted run had finished 1 split, not read again" in resumed.notes
    assert (resumed.new.resumed_splits, resumed.unchanged, resumed.publication) == (1, False, "yes")
    assert resumed.kept == 400
    assert pace() == before


def test_after_a_full_disk_no_file_is_noted_as_read_whose_splits_are_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Splits and the end of their file are noted in turn: the first fails, the second must not succeed."""
    with monkeypatch.context() as inner:
        inner.setattr(journal, "FLUSH_SECONDS", -1)
        inner.setattr(Store, "sync", has_disk_fault)
        with pytest.raises(EnvironmentFault, match="Nothing was published"):
            site.run()
    assert site.run().kept == 400


def test_a_run_that_a_gate_stops_leaves_its_record_and_the_version_before(site: Site) -> None:
    before = site.run()
    with (site.root / "in" / "a.csv").open("ab") as stream:
        stream.write(b"no record\n")
    stopped = site.run(QUALITY_GATES={"rejected": {"fail": 0}})
    record = site.record("work", f"run-{stopped.run_id}", "stopped")
    assert (record["run_id"], record["status"], record["rejected"]) == (stopped.run_id, "failed", 1)
    assert "rejected" in record["error"]
    assert site.current() == before.run_id
    assert before.run_id in site.run_folders()


def test_a_run_without_a_file_that_counts_leaves_its_record_and_the_version_before(site: Site) -> None:
    before = site.run()
    (site.root / "in" / "a.csv").write_bytes(b"no header\n")
    failed = site.run(RunOptions(full_refresh=True))
    record = site.record("work", f"run-{failed.run_id}")
    assert (record["run_id"], record["status"], record["kept"]) == (failed.run_id, "failed", 0)
    assert [Path(file["file"]).name for file in record["refused_files"]] == ["a.csv"]
    assert site.current() == before.run_id
