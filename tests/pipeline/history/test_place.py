"""Where a run works: it holds both folders while it runs, and earlier runs leave nothing but what is needed."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from config import Config, load_config
from pipeline.errors import ConfigError, EnvironmentFault, InputError
from pipeline.history.manifest import Manifest
from pipeline.history.place import compare_with_history, open_place
from pipeline.storage.objects import list_objects, write_object
from pipeline.versions.lock import LOCK_FILE, Lock

OLD, NEW, NEXT = "20261101T000000Z-00000a", "20261102T000000Z-00000b", "20261103T000000Z-00000c"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "logs").mkdir()
    folders = {"INPUT_DIR": "logs", "INTERMEDIATE_DIR": "work", "OUTPUT_DIR": "out"}
    return load_config({name: str(tmp_path / folder) for name, folder in folders.items()}, {}, None)


def publish(config: Config, tmp_path: Path, version: str) -> None:
    """A version without files, and the folder of its run."""
    with open_place(config, version) as place:
        for folder in ("totals", "conflicts"):
            (Path(place.workspace.root) / folder / "bucket-0000.parquet").touch()
        place.history.publish(place.output.begin(version), version, place.sources, [], {}, keep=5)
    assert (tmp_path / "out").is_symlink()


def runs(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "work").glob("run-*"))


def test_both_folders_are_held_while_the_block_runs(config: Config, tmp_path: Path) -> None:
    with open_place(config, NEW) as place:
        assert (place.folder, place.output.link) == (tmp_path / "work", tmp_path / "out")
        for folder in ("work", "out.versions"):
            with pytest.raises(EnvironmentFault, match="another run holds"), Lock(tmp_path / folder, NEXT):
                pass
    for folder in ("work", "out.versions"):
        assert not (tmp_path / folder / LOCK_FILE).exists()


def test_nothing_is_held_after_a_fault(config: Config, tmp_path: Path) -> None:
    def fail() -> None:
        with open_place(config, NEW, replay=(str(tmp_path / "none.csv"),)):
            pass

    with pytest.raises(InputError, match="there is no file"):
        fail()
    with Lock(tmp_path / "work", NEXT), Lock(tmp_path / "out.versions", NEXT), Manifest(tmp_path / "work"):
        pass


def test_the_workspace_is_there_for_the_owner_and_expanded_inputs_go(config: Config, tmp_path: Path) -> None:
    with open_place(config, NEW) as place:
        root = Path(place.workspace.root)
        assert root == tmp_path / "work" / f"run-{NEW}"
        assert Path(place.workspace.store) == tmp_path / "work" / "store"
        place.workspace.path("spool", "a").touch()
        place.workspace.path("totals", "b").touch()
        assert root.joinpath("totals").stat().st_mode & 0o777 == 0o700
    assert not (root / "spool").exists()
    assert (root / "totals" / "b").exists(), "the next run may need it"


def test_of_earlier_runs_only_the_folder_of_the_current_version_stays(config: Config, tmp_path: Path) -> None:
    publish(config, tmp_path, OLD)
    with open_place(config, NEW):
        pass
    (tmp_path / "work" / "run-by-hand").mkdir()
    (tmp_path / "out.versions" / f".new-{NEW}").mkdir()
    with open_place(config, NEXT) as place:
        assert runs(tmp_path) == [f"run-{OLD}", f"run-{NEXT}", "run-by-hand"]
        assert place.history.totals_folder == tmp_path / "work" / f"run-{OLD}"
        assert not (tmp_path / "out.versions" / f".new-{NEW}").exists()
        place.remove_runs(but=Path(place.workspace.root))
        assert runs(tmp_path) == [f"run-{NEXT}", "run-by-hand"]


def test_another_input_is_refused_or_added(config: Config, tmp_path: Path) -> None:
    publish(config, tmp_path, OLD)
    (tmp_path / "more").mkdir()
    other = load_config(
        {"INPUT_DIR": str(tmp_path / "more"), "INTERMEDIATE_DIR": config.INTERMEDIATE_DIR,
         "OUTPUT_DIR": config.OUTPUT_DIR}, {}, None,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="--add"), open_place(other, NEW):
        pass
    logs, more = (str(tmp_path.resolve() / name) for name in ("logs", "more"))
    with open_place(other, NEW, add=True) as place:
        assert place.sources == (logs, more)
    with open_place(other, NEXT, full_refresh=True) as place:
        assert place.sources == (more,), "what was published before counts no more"


def test_old_quarantines_go_when_a_run_begins(config: Config, tmp_path: Path) -> None:
    ancient = "20200101T000000Z-00000a"
    publish(config, tmp_path, ancient)
    quarantine = tmp_path / "out.versions" / ancient / "quarantine"
    quarantine.mkdir()
    with open_place(config, NEW) as place:
        assert place.expired == (ancient,)
    assert not quarantine.exists()


def test_replayed_files_count_besides_the_input(config: Config, tmp_path: Path) -> None:
    (tmp_path / "mended.csv").write_text("log_id,user_id\n")
    (tmp_path / "logs" / "a.csv").write_text("log_id,user_id\n")
    log = str(tmp_path / "logs" / "a.csv")
    with open_place(config, NEW, replay=(str(tmp_path / "mended.csv"),)) as place:
        (replayed,) = place.replays.paths
        intake = compare_with_history(place, [log], "settings", prune_missing=False)
        assert intake.inventory.fresh == (log, replayed)
        assert intake.still_counted == ()
    with open_place(config, NEXT) as place:
        assert place.replays.paths == [], "no version was published with it"


def test_a_lost_intermediate_folder_is_made_anew(config: Config, tmp_path: Path) -> None:
    publish(config, tmp_path, OLD)
    shutil.rmtree(tmp_path / "work")
    with open_place(config, NEW) as place:
        assert (place.history.current, place.history.unknown_version) == (None, OLD)
        assert place.history.known == []


@pytest.fixture
def stored(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Everything lies on a storage, and what the driver keeps in a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    places = {"INPUT_DIR": "in", "INTERMEDIATE_DIR": "between", "OUTPUT_DIR": "out"}
    return load_config({**{n: f"{bucket}/{url}" for n, url in places.items()}, "SPARK_MASTER": "yarn"}, {}, None)


def test_executors_exchange_the_files_of_a_run_and_those_of_splits_stay(stored: Config) -> None:
    def there() -> set[str]:
        return {url.partition("/of-")[2].partition("/")[2] for url in list_objects(f"{stored.INTERMEDIATE_DIR}/")}

    with open_place(stored, OLD) as place:
        exchange = place.exchange
        assert exchange
        urls = {kind: exchange.url_of(place.workspace.path(kind, "file")) for kind in ("rows", "totals")}
        for url in urls.values():
            assert url
            write_object(url, b"x")
        write_object(f"{exchange.url}/runs/{NEXT}/totals/lost", b"x")
        write_object(f"{exchange.url}/stores/another/rows/file", b"x")
    store = urls["rows"].removeprefix(f"{exchange.url}/")
    assert urls["totals"] == f"{exchange.url}/runs/{OLD}/totals/file"
    assert there() == {store, f"runs/{NEXT}/totals/lost", "stores/another/rows/file"}
    with open_place(stored, NEW) as place:
        assert place.exchange
        assert there() == {store, "stores/another/rows/file"}, "a killed run left it"
        assert place.exchange.url_of(place.workspace.path("rows", "file")) == urls["rows"]
        place.remove_runs(but=Path(place.workspace.root))
        assert there() == {store}, "whoever had the other one takes the history of this output"


def test_replayed_records_need_a_folder_that_executors_see(stored: Config, tmp_path: Path) -> None:
    mend = tmp_path / "mend.csv"
    mend.write_text("log_id,user_id,ip_address,watch_time(min)\n")

    def refuse(match: str, **options: Any) -> None:
        with pytest.raises(ConfigError, match=match), open_place(stored, NEW, **options):
            pass

    refuse("^--replay: executors do not see .* a folder that all machines share", replay=(str(mend),))
    with open_place(stored, NEW) as place:
        place.replays.add([str(mend)])
        place.replays.keep()
        folder = str(place.replays.folder)
    for full_refresh in (False, True):
        refuse(f"were replayed into .* remove {folder!r}", full_refresh=full_refresh)
    shutil.rmtree(folder)
    with open_place(stored, NEXT) as place:
        assert place.replays.paths == []
