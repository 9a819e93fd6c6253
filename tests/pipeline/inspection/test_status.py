"""The states of files and versions, also while a run forgets and removes what a look has seen."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from config import Config, load_config
from pipeline.history.known_files import DAMAGED, Hint
from pipeline.history.manifest import Manifest, NewFile
from pipeline.history.split_store import Store
from pipeline.inspection.status import (
    FileState,
    VersionState,
    find_file_states,
    list_files,
    list_versions,
    look_at_history,
)
from pipeline.planning.run_options import NO_OPTIONS
from pipeline.versions import output_link as output_module
from pipeline.versions.output_link import Output
from tests.pipeline.history.samples import HEADER_JSON, counts

NAMES = ["20261101T000000Z-00000a", "20261102T000000Z-00000b"]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two files of one finished split each are known; the store lacks what the second one needs."""
    config = load_config({"INTERMEDIATE_DIR": str(tmp_path / "work"), "OUTPUT_DIR": str(tmp_path / "out")}, {}, None)
    (tmp_path / "work").mkdir()
    with Manifest(tmp_path / "work") as manifest:
        new = NewFile("/a", "a", Hint(1, 2, 3, 4, True), "mark", 100, HEADER_JSON, ((16, 100, True),))
        (_, (first,)), (_, (second,)) = manifest.begin_files([new, new])
        manifest.finish([(first, counts(handed_over=0, rejected=0)), (second, counts(rejected=0))], [])
    (tmp_path / "work" / "store" / "lines").mkdir(parents=True)
    (tmp_path / "work" / "store" / "lines" / f"split-{first:06d}.npy").touch()
    return config


def test_what_is_missing_is_damaged(config: Config) -> None:
    with look_at_history(config, Output(config.OUTPUT_DIR)) as history:
        assert history
        assert [file.fingerprint for file in history.known] == ["mark", DAMAGED]


def test_what_a_run_forgets_before_it_removes_it_is_not_damaged(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Store.missing

    def forget_first(store: Store, needed: Mapping[int, frozenset[str]]) -> set[int]:
        with Manifest(Path(config.INTERMEDIATE_DIR)) as manifest:
            manifest.forget_files([2])
        return missing(store, needed)

    monkeypatch.setattr(Store, "missing", forget_first)
    with look_at_history(config, Output(config.OUTPUT_DIR)) as history:
        assert history
        assert [(file.id, file.fingerprint) for file in history.known] == [(1, "mark")]


@pytest.fixture
def output(config: Config) -> Output:
    output = Output(config.OUTPUT_DIR)
    for number, name in enumerate(NAMES):
        (output.versions / name / "data").mkdir(parents=True)
        os.utime(output.versions / name, (number, number))
    output.show(NAMES[1])
    return output


def test_a_version_that_goes_while_versions_are_listed_is_left_out(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_run_folder = output_module.is_run_folder

    def remove_after(path: Path) -> bool:
        found = is_run_folder(path)
        if path.name == NAMES[0]:
            shutil.rmtree(path)
        return found

    monkeypatch.setattr(output_module, "is_run_folder", remove_after)
    assert output.version_names() == [NAMES[1]]


def test_the_current_version_is_that_of_the_look(config: Config, output: Output) -> None:
    with look_at_history(config, output) as history:
        output.show(NAMES[0])
        assert [(state.version, state.current) for state in list_versions(output, history)] == [
            (NAMES[0], False),
            (NAMES[1], True),
        ]


def test_a_version_goes_at_one_instant(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = shutil.rmtree
    monkeypatch.setattr(output_module.shutil, "rmtree", lambda *_, **__: None)  # it dies before it has removed a file
    output.remove(NAMES[0])
    assert not (output.versions / NAMES[0]).exists()
    assert output.version_names() == [NAMES[1]]
    monkeypatch.setattr(output_module.shutil, "rmtree", remove)
    output.discard()
    assert [path.name for path in output.versions.iterdir()] == [NAMES[1]]
    output.remove(NAMES[0])


@pytest.fixture
def files(config: Config, output: Output, tmp_path: Path) -> dict[str, int]:
    """Ids of five finished files without rows and one that is not, by path: the first two count in the current
    version, the third in the one before, the fourth in another output."""
    paths = [str(tmp_path / f"{name}.csv") for name in ("here", "left", "before", "far", "never", "partial")]
    (tmp_path / "here.csv").touch()
    with Manifest(Path(config.INTERMEDIATE_DIR)) as manifest:
        manifest.forget_files([1, 2])
        new = [NewFile(path, path, Hint(7, 2, 3, 4, True), "mark", 1, "", ()) for path in paths]
        ids = [file for file, _ in manifest.begin_files(new)]
        manifest.finish([], [(file, "hash") for file in ids[:-1]])
        for name, counted in ((NAMES[0], ids[2:3]), (NAMES[1], ids[:2])):
            manifest.prepare_version(output.link, name, (), counted, "")
            manifest.confirm_version(output.link, name)
        manifest.prepare_version(str(tmp_path / "other"), NAMES[1], (), ids[3:4], "")
    return dict(zip(paths, ids, strict=True))


def test_every_known_file_has_its_state(config: Config, output: Output, files: dict[str, int]) -> None:
    with look_at_history(config, output) as history:
        states = list_files(history)
    assert [(Path(state.file).stem, state.state) for state in states] == [
        ("before", "superseded"),
        ("far", "counted elsewhere"),
        ("here", "counted"),
        ("left", "counted, has left"),
        ("never", "read"),
        ("partial", "interrupted"),
    ]
    here, partial = states[2], states[-1]
    assert here == FileState(here.file, "counted", 7, records=0, rejected=0, handed_over=0, splits=0)
    assert (partial.bytes, partial.records, partial.splits) == (7, None, None)
    assert sorted(files) == [state.file for state in states]


@pytest.mark.usefixtures("files")
def test_versions_tell_how_many_files_count_in_them(config: Config, output: Output) -> None:
    with look_at_history(config, output) as history:
        assert list_versions(output, history) == [VersionState(NAMES[0], False, 1), VersionState(NAMES[1], True, 2)]


def test_without_a_history_versions_are_listed_all_the_same(config: Config, output: Output, tmp_path: Path) -> None:
    elsewhere = replace(config, INTERMEDIATE_DIR=str(tmp_path / "elsewhere"))
    with look_at_history(elsewhere, output) as history:
        assert history is None
        assert list_files(history) == []
        assert list_versions(output, history) == [
            VersionState(NAMES[0], False, None),
            VersionState(NAMES[1], True, None),
        ]


def test_what_a_run_would_do_with_every_file(config: Config, output: Output, files: dict[str, int]) -> None:
    folder = Path(config.OUTPUT_DIR).parent
    (folder / "new.csv").write_bytes(b"x" * 5)
    (folder / "partial.csv").write_bytes(b"x" * 3)
    (folder / "work" / "outside.csv").touch()
    (folder / "link.csv").symlink_to("/etc/hostname")
    with Manifest(Path(config.INTERMEDIATE_DIR)) as manifest:
        manifest.drop_versions(output.link, [NAMES[1]])
        manifest.prepare_version(
            output.link, NAMES[1], (os.path.realpath(folder / "*.csv"),), list(files.values())[:2], ""
        )
    options = replace(NO_OPTIONS, prune_missing=True)
    found = find_file_states(replace(config, INPUT_DIR=str(folder / "*.csv")), options, "mark")
    assert [(Path(state.file).stem, state.state) for state in found.states] == [
        ("here", "read again"),
        ("left", "take out"),
        ("link", "refuse"),
        ("new", "read"),
        ("partial", "read"),
    ]


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ({"files": 4}, "all 4 files read"),
        ({"files": 1}, "the only file read"),
        ({"files": 5, "reused_files": 9, "appended_files": 1, "replaced_files": 2}, "2 new, 1 appended, 2 changed"),
        ({"files": 0, "reused_files": 3, "renamed_files": 1, "pruned_files": 2}, "1 renamed, 2 removed"),
        ({"reused_files": 3}, "no new files"),
    ],
)
def test_a_version_says_how_it_came_to_be(new: dict[str, int], said: str, output: Output) -> None:
    record = {"engine": "polars", "total_watch_time_min": 12.5, "new": new}
    (output.versions / NAMES[1] / "run.json").write_text(json.dumps(record))
    _, state = list_versions(output, None)
    assert (state.made_by, state.engine, state.minutes) == (said, "polars", 12.5)
    assert state.started == "2026-11-02T00:00:00+00:00"
