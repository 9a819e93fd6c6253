"""The history of one output: recovered from killed runs, compared with an input, and pruned when a version comes."""

import json
import os
import sqlite3
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError, InputError
from pipeline.exchange.workspace import SPLIT_KINDS
from pipeline.history.inventory import Inventory
from pipeline.history.known_files import DAMAGED, Hint, take_hint
from pipeline.history.known_list import FilesByPath
from pipeline.history.manifest import MANIFEST_FILE, Manifest, NewFile, UnusableManifest
from pipeline.history.split_store import StorageStore, Store, begin_store, open_store
from pipeline.history.state import History, open_history
from pipeline.native.arrow import to_table
from pipeline.preprocess.reject_writer import SCHEMA
from pipeline.versions.output_link import Output
from tests.pipeline.history.samples import HEADER_JSON, counts, known_file, query

OLD, NEW, NEXT = "20261101T000000Z-00000a", "20261102T000000Z-00000b", "20261103T000000Z-00000c"


class Scene:
    """An intermediate folder with a manifest and a store, and an output."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "work"
        self.folder.mkdir()
        self.output = Output(str(root / "out"))
        self.output.versions.mkdir()
        self.manifest = Manifest(self.folder)
        self.store = Store(self.folder)
        self.store.open({})

    def read(self, path: str, read_at: float = 0.0, fingerprint: str = "settings") -> int:
        """A file of one split has been read; returns its id, which is also the split's number."""
        new = NewFile(path, path, Hint(100, 1, 1, 7, True), fingerprint, 100, HEADER_JSON, ((16, 100, True),))
        ((id_, (number,)),) = self.manifest.begin_files([new])
        assert id_ == number
        self.manifest.finish([(number, counts())], [])
        self.manifest.finish([], [(id_, f"hash of {path}")])
        self.manifest._db.execute("UPDATE files SET read_at = ? WHERE id = ?", (read_at, id_))
        for kind, suffix in SPLIT_KINDS.items():
            (self.store.root / kind / f"split-{number:06d}.{suffix}").touch()
        return id_

    def show(
        self, version: str, files: list[int], *, confirmed: bool = True, sources: tuple[str, ...] = ("/logs",)
    ) -> None:
        """A version is published, as far as the link says; ``confirmed``: as the manifest says, too."""
        (self.output.versions / version / "data").mkdir(parents=True)
        self.output.show(version)
        self.manifest.prepare_version(self.output.link, version, sources, files, '{"kept": 5}')
        if confirmed:
            self.manifest.confirm_version(self.output.link, version)

    def history(self) -> History:
        return History(self.manifest, self.store, self.output)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.manifest.close()


def split_files(scene: Scene) -> set[int]:
    """The splits of which the store has a file."""
    return {int(path.stem.removeprefix("split-")) for path in scene.store.root.glob("*/split-*")}


def test_the_current_version_is_that_of_the_link(scene: Scene) -> None:
    history = scene.history()
    assert (history.current, history.shown_version, history.counted, history.counts) == (None, None, [], {})
    assert history.quarantine is None
    one, two = scene.read("/a"), scene.read("/b")
    scene.show(OLD, [one])
    scene.show(NEW, [one, two])
    scene.output.show(OLD)
    history = scene.history()
    assert history.shown_version == OLD
    assert [file.id for file in history.counted] == [one]
    assert [file.id for file in history.known] == [one, two]
    assert history.counts == {"kept": 5}
    assert history.totals_folder == scene.folder / f"run-{OLD}"
    assert history.quarantine == scene.output.versions / OLD / "quarantine"


def test_a_version_of_another_intermediate_folder_is_unknown(scene: Scene) -> None:
    (scene.output.versions / OLD / "data").mkdir(parents=True)
    scene.output.show(OLD)
    history = scene.history()
    assert (history.current, history.unknown_version, history.shown_version) == (None, OLD, OLD)


def test_splits_count_only_where_all_are_of_these_settings(scene: Scene) -> None:
    assert scene.history().counted_splits("settings") is None
    one, two = scene.read("/a"), scene.read("/b", fingerprint="others")
    scene.read("/never counted")
    scene.show(OLD, [one])
    splits = scene.history().counted_splits("settings")
    assert splits is not None
    assert {number: result.handed_over for number, result in splits.items()} == {one: 2}
    assert scene.history().counted_splits("others") is None
    scene.show(NEW, [one, two])
    assert scene.history().counted_splits("settings") is None


def test_a_run_that_was_killed_before_its_rename_leaves_no_version(scene: Scene) -> None:
    one = scene.read("/a")
    scene.show(OLD, [one])
    (scene.output.versions / NEW / "data").mkdir(parents=True)
    scene.manifest.prepare_version(scene.output.link, NEW, ["/logs"], [one], "{}")
    scene.history().recover()
    assert set(scene.manifest.versions(scene.output.link)) == {OLD}
    assert not (scene.output.versions / NEW).exists()
    assert scene.output.current() == OLD


def test_a_run_that_was_killed_after_its_rename_has_published(scene: Scene) -> None:
    one = scene.read("/a")
    scene.show(OLD, [one])
    scene.show(NEW, [one], confirmed=False)
    scene.history().recover()
    versions = scene.manifest.versions(scene.output.link)
    assert {name: version.published for name, version in versions.items()} == {OLD: True, NEW: True}
    assert scene.output.current() == NEW


def test_recovering_removes_leftovers_and_marks_what_lacks_a_file(scene: Scene) -> None:
    one, two = scene.read("/a"), scene.read("/b")
    (scene.store.root / "rows" / "split-000099.parquet").touch()
    (scene.store.root / "index" / f"split-{two:06d}.npy").unlink()
    history = scene.history()
    assert history.lacking_files() == {two}
    history.recover()
    assert split_files(scene) == {one, two}
    assert {file.id: file.fingerprint for file in history.known} == {one: "settings", two: DAMAGED}
    assert query(scene.folder, "SELECT DISTINCT fingerprint FROM files") == [("settings",)], "only in this object"


def test_starting_over_forgets_what_counts_anywhere(scene: Scene) -> None:
    one, two, three = scene.read("/a"), scene.read("/b"), scene.read("/c")
    scene.show(OLD, [one])
    other = scene.output.link.with_name("other")
    scene.manifest.prepare_version(other, OLD, ["/logs"], [two], "{}")
    history = scene.history()
    history.start_over()
    assert (history.current, history.unknown_version) == (None, None)
    assert [file.id for file in history.known] == [three], "what a killed run read can be used"
    assert len(scene.manifest.files()) == 3


def test_the_next_version_has_the_inputs_of_the_current_one(scene: Scene, tmp_path: Path) -> None:
    logs, more = str(tmp_path.resolve() / "logs"), str(tmp_path.resolve() / "more")
    assert scene.history().check_source(logs, add=False) == (logs,)
    scene.show(OLD, [], sources=(logs,))
    history = scene.history()
    (tmp_path / "link").symlink_to(logs)
    assert history.check_source(str(tmp_path / "link"), add=False) == (logs,)
    assert history.check_source(logs, add=True) == (logs,)
    assert history.check_source(more, add=True) == (logs, more)
    with pytest.raises(ConfigError, match=f"--input is '{more}'.* made from '{logs}'.*--add.*--full-refresh"):
        history.check_source(more, add=False)


def test_files_are_compared_by_hints_taken_now(scene: Scene, tmp_path: Path) -> None:
    log = tmp_path / "a.csv"
    log.write_bytes(b"x" * 100)
    scene.read(str(log.resolve()))
    inventory = scene.history().take_inventory([str(log), str(tmp_path / "none.csv")], "settings")
    assert inventory.fresh == (str(log), str(tmp_path / "none.csv"))
    assert list(inventory.hints) == [str(log)]
    assert inventory.hints[str(log)].size == 100


REPLAYS = Path("/out.versions/replayed")


@pytest.mark.parametrize(("prune", "ids"), [(False, [1, 3]), (True, [3])])
def test_missing_files_count_until_they_are_pruned_and_deleted_replays_do_not(
    prune: bool, ids: list[int], scene: Scene
) -> None:
    missing, replayed = known_file(1, "/logs/a.csv"), known_file(2, REPLAYS / "x" / "b.csv")
    inventory = Inventory(missing=(missing, replayed), elsewhere=(known_file(3, "/other/c.csv"),))
    found = scene.history().still_counted(inventory, "settings", REPLAYS, prune)
    assert [file.id for file in found] == ids


def test_a_missing_file_of_other_settings_cannot_count(scene: Scene) -> None:
    files = tuple(known_file(n, f"/logs/{n}.csv", fingerprint="old") for n in range(7))
    with pytest.raises(InputError, match=r"7 files.*\(/logs/0.csv, .*/logs/4.csv\).*--prune-missing"):
        scene.history().still_counted(Inventory(missing=files), "settings", REPLAYS, prune=False)
    assert scene.history().still_counted(Inventory(missing=files), "settings", REPLAYS, prune=True) == []


def test_names_are_noted_where_they_are_new(scene: Scene) -> None:
    same, renamed, moved = (scene.read(f"/{name}") for name in "abc")
    files = {file.id: file for file in scene.history().known}
    hint = Hint(100, 9, 9, 9, True)
    inventory = Inventory(
        hints={"/a": hint, "/new": hint, "/c": hint},
        reused=FilesByPath.of({"/a": files[same], "/new": files[renamed], "/c": files[moved]}),
        moved={"/c": files[moved]},
    )
    scene.history().note_names(inventory)
    found = query(scene.folder, "SELECT path, shown, hint FROM files ORDER BY id")
    assert [(path, name, json.loads(text)[1]) for path, name, text in found] == [
        (b"/a", "/a", 1),
        (b"/new", "/new", 9),
        (b"/c", "/c", 9),
    ]


def test_texts_of_old_rejected_records_are_cleared(scene: Scene) -> None:
    old, young = scene.read("/a", read_at=99.0), scene.read("/b", read_at=100.0)
    paths = {id_: scene.store.root / "rejects" / f"split-{id_:06d}.parquet" for id_ in (old, young)}
    row = {name: [None] for name in SCHEMA.names} | {"line": [2], "reason": ["field_count"], "raw": [b"secret"]}
    for path in paths.values():
        pq.write_table(to_table(row, SCHEMA), path)
    history = scene.history()
    assert history.forget_texts(before=100.0) == 1
    assert history.forget_texts(before=100.0) == 0
    assert {id_: pq.read_table(path)["raw"].to_pylist() for id_, path in paths.items()} == {
        old: [None],
        young: [b"secret"],
    }


def test_of_a_store_on_a_storage_no_split_is_asked_for_its_texts_twice(
    scene: Scene, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_store(scene.folder, f"{bucket}/between")
    scene.store = open_store(scene.folder)
    asked: list[int] = []
    monkeypatch.setattr(StorageStore, "forget_texts", lambda _, number: asked.append(number) is None)

    def ask(before: float) -> list[int]:
        asked.clear()
        assert scene.history().forget_texts(before) == len(asked)
        return list(asked)

    one, two = scene.read("/a", read_at=99.0), scene.read("/b", read_at=100.0)
    assert [ask(99.0), ask(100.0), ask(100.0), ask(99.5)] == [[], [one], [], []]
    assert [ask(101.0), ask(101.0)] == [[two], []]
    new = NewFile("/c", "/c", Hint(100, 1, 1, 7, True), "settings", 100, HEADER_JSON, ((16, 50, True), (50, 100, True)))
    ((unfinished, (first, _)),) = scene.manifest.begin_files([new])
    scene.manifest.finish([(first, counts())], [])
    scene.manifest._db.execute("UPDATE files SET read_at = 100 WHERE id = ?", (unfinished,))
    assert [ask(101.0), ask(101.0)] == [[first], [first]], "the time is when it was begun: it may get more splits"


def test_publishing_forgets_what_no_version_needs(scene: Scene) -> None:
    one, two, three, unread = (scene.read(f"/{name}") for name in "abcd")
    scene.show(OLD, [one])
    scene.show(NEW, [one, two])
    for folder in ("totals", "conflicts"):
        (scene.folder / f"run-{NEXT}" / folder).mkdir(parents=True)
    scene.history().publish(scene.output.begin(NEXT), NEXT, ["/logs"], [two, three], {"kept": 9}, keep=2)
    assert scene.output.current() == NEXT
    assert sorted(path.name for path in scene.output.versions.iterdir()) == [NEW, NEXT]
    versions = scene.manifest.versions(scene.output.link)
    assert {name: (set(version.files), version.published) for name, version in versions.items()} == {
        NEW: ({one, two}, True),
        NEXT: ({two, three}, True),
    }
    assert json.loads(versions[NEXT].base) == {"kept": 9}
    assert [file.id for file in scene.manifest.files()] == [one, two, three]
    assert split_files(scene) == {one, two, three}, f"not {unread}, which counts nowhere"


def test_another_machine_gets_the_files_of_splits_or_the_url_of_their_store(scene: Scene, tmp_path: Path) -> None:
    scene.read("/a")
    for name, stores in (("here", {"index", "lines", "rejects", "rows"}), ("there", set())):
        if name == "there":
            begin_store(scene.folder, "s3://b/between")
        scene.store = open_store(scene.folder)
        (tmp_path / name).mkdir()
        shared = scene.history()._shared_files(scene.folder / f"run-{NEW}", tmp_path / name)
        assert {path.split("/")[1] for path in shared if path.startswith("store/")} == stores
        assert ("store-before.url" in shared) == (name == "there")
        assert MANIFEST_FILE in shared


def test_a_manifest_that_cannot_be_read_goes_only_with_full_refresh(tmp_path: Path) -> None:
    output = Output(str(tmp_path / "out"))
    output.versions.mkdir()
    with sqlite3.connect(tmp_path / MANIFEST_FILE) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(UnusableManifest), open_history(tmp_path, output, full_refresh=False):
        pass
    assert query(tmp_path, "PRAGMA user_version") == [(99,)]
    with open_history(tmp_path, output, full_refresh=True) as history:
        assert history.known == []
        assert (tmp_path / "store" / "rows").is_dir()
    assert query(tmp_path, "PRAGMA user_version") == [(2,)]


def test_of_very_many_known_files_little_is_in_memory(scene: Scene, tmp_path: Path) -> None:
    """Each has a header, counts and a hash of its own. As objects they take 3,200 bytes each."""
    count = 4_000
    paths = [str(tmp_path / "logs" / f"{n:07}.csv") for n in range(count)]
    Path(paths[0]).parent.mkdir()
    for path in paths:
        Path(path).touch()
        os.utime(path, (1, 1))
    begun = scene.manifest.begin_files(
        NewFile(
            path, path, take_hint(path, 10**18), "settings", 100 + n, HEADER_JSON.replace("10.0", repr(50 + n / 7)),
            ((16, 100 + n, True),),
        )
        for n, path in enumerate(paths)
    )  # fmt: skip
    scene.manifest.finish(
        [(number, counts().replace('"stop": 100', f'"stop": {100 + n}')) for n, (_, (number,)) in enumerate(begun)],
        [(id_, f"{id_:032x}") for id_, _ in begun],
    )
    scene.show(OLD, [id_ for id_, _ in begun])
    tracemalloc.start()
    history = scene.history()
    inventory = history.take_inventory(paths, "settings")
    splits = history.counted_splits("settings")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert list(inventory.reused) == paths
    assert not history.contradicted
    assert splits
    assert {number: result.stop for number, result in splits.items()} == {
        number: 100 + n for n, (_, (number,)) in enumerate(begun)
    }
    assert peak < 1_100 * count
