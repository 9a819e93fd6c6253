"""A look at history and versions while a run forgets and removes what it saw."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from config import Config, load_config
from pipeline.history.known_files import Hint
from pipeline.history.manifest import Manifest, NewFile
from pipeline.history.split_store import Store
from pipeline.history.state import DAMAGED
from pipeline.inspection.status import list_versions, look_at_history
from pipeline.versions import output_link as output_module
from pipeline.versions.output_link import Output

NAMES = ["20261101T000000Z-00000a", "20261102T000000Z-00000b"]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two files of one finished split each are known; the store lacks what the second one needs."""
    config = load_config({"INTERMEDIATE_DIR": str(tmp_path / "work"), "OUTPUT_DIR": str(tmp_path / "out")}, {}, None)
    (tmp_path / "work").mkdir()
    with Manifest(tmp_path / "work") as manifest:
        new = NewFile("/a", "a", Hint(1, 2, 3, 4, True), "mark", 1, "", ((0, 1, True),))
        (_, (first,)), (_, (second,)) = manifest.begin_files([new, new])
        manifest.finish_splits([(first, "{}"), (second, json.dumps({"handed_over": 1}))])
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
