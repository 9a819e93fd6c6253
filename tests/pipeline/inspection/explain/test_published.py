"""What a question about records opens, and when it is asked again."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config import Config, load_config
from pipeline.errors import InputError
from pipeline.history.known_files import Hint
from pipeline.history.manifest import Manifest, NewFile
from pipeline.inspection.explain import published as module
from pipeline.inspection.explain.published import Published, Removed, answer, open_published
from pipeline.versions.output_link import Output
from tests.pipeline.history.samples import HEADER_JSON, counts
from tests.pipeline.inspection.explain.conftest import write_totals

OLD, NEW = "20261101T000000Z-00000a", "20261102T000000Z-00000b"
SETTINGS = {"DEDUPE_KEEP": "first", "MAX_RECORD_BYTES": 512, "PSEUDONYMIZE_USERS": True}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two versions of one file each, read with other settings; the second is current."""
    config = load_config({"INTERMEDIATE_DIR": str(tmp_path / "work"), "OUTPUT_DIR": str(tmp_path / "out")}, {}, None)
    (tmp_path / "work").mkdir()
    output = Output(config.OUTPUT_DIR)
    with Manifest(tmp_path / "work") as manifest:
        for number, name in enumerate((OLD, NEW), start=1):
            new = NewFile(f"/{number}", f"{number}", Hint(1, 2, 3, 4, True), f"settings {number}", 1, "", ())
            ((file, _),) = manifest.begin_files([new])
            manifest.finish([], [(file, "hash")])
            folder = output.versions / name
            (folder / "data").mkdir(parents=True)
            (folder / "run.json").write_text(json.dumps({"settings": SETTINGS}))
            (folder / "geo.json").write_text(json.dumps({"names": ["UNKNOWN", f"region {number}"], "source": {}}))
            manifest.prepare_version(output.link, name, (), [file], "")
            manifest.confirm_version(output.link, name)
    output.show(NEW)
    return config


def test_the_settings_and_files_are_those_of_the_current_version(config: Config) -> None:
    with open_published(config) as published:
        assert published.version.name == NEW
        assert (published.keep, published.max_record, published.hidden) == ("first", 512, True)
        assert [file.path for file in published.counted] == ["/2"]
        assert published.counted_names == ("UNKNOWN", "region 2")
        assert published.names == {
            "settings 1": ("UNKNOWN", "region 1"),
            "settings 2": ("UNKNOWN", "region 2"),
        }
        assert (
            published.partition("a/b") == f"{config.OUTPUT_DIR}.versions/{published.version.name}/data/geo_region=a%2Fb"
        )
        assert published.store.path("rows", "x") == Path(config.INTERMEDIATE_DIR).absolute() / "store/rows/x"


def test_the_published_totals_of_a_user(config: Config) -> None:
    totals = {"region 2": [("u1", 2.5, 3), ("u2", 1.0, 1)], "region 1": [("u1", 9.0, 9)]}
    write_totals(Output(config.OUTPUT_DIR).versions / NEW, totals)
    with open_published(config) as published:
        assert published.find_totals("u1") == {"region 2": (2.5, 3)}  # region 1 is no region of this version
        assert published.find_totals("u2") == {"region 2": (1.0, 1)}
        assert published.find_totals("u3") == {}


def test_an_old_version_without_regions_is_left_out_and_the_current_one_must_have_them(config: Config) -> None:
    versions = Output(config.OUTPUT_DIR).versions
    (versions / OLD / "geo.json").unlink()
    with open_published(config) as published:
        assert set(published.names) == {"settings 2"}
    (versions / NEW / "geo.json").unlink()
    with pytest.raises(InputError, match="does not say how addresses became regions"), open_published(config):
        pass


def test_a_counted_file_that_is_damaged_is_named(config: Config) -> None:
    with Manifest(Path(config.INTERMEDIATE_DIR)) as manifest:
        new = NewFile("/3", "name of 3", Hint(1, 2, 3, 4, True), "settings 2", 100, HEADER_JSON, ((16, 100, True),))
        ((file, (split,)),) = manifest.begin_files([new])
        manifest.finish([(split, counts())], [])
        manifest.finish([], [(file, "hash")])
        link = Output(config.OUTPUT_DIR).link
        manifest.drop_versions(link, [NEW])
        manifest.prepare_version(link, NEW, (), [file], "")
    with (
        open_published(config) as published,
        pytest.raises(InputError, match=r"notes of 'name of 3' are missing"),
    ):
        _ = published.counted


def test_another_intermediate_folder(config: Config, tmp_path: Path) -> None:
    other = Config(OUTPUT_DIR=config.OUTPUT_DIR, INTERMEDIATE_DIR=str(tmp_path / "other"))
    message = rf"version {NEW} at .*was not made with .*--intermediate"
    with pytest.raises(InputError, match=message), open_published(other):
        pass


def test_what_a_run_removes_meanwhile(config: Config) -> None:
    with pytest.raises(Removed, match="'/a/file' was removed while it was read"), open_published(config):
        raise FileNotFoundError(2, "none", "/a/file")
    with pytest.raises(InputError, match="a question's own") as caught, open_published(config):
        raise InputError("a question's own")
    assert not isinstance(caught.value, Removed)


def test_a_version_that_is_removed_meanwhile(config: Config) -> None:
    folder = Output(config.OUTPUT_DIR).versions / NEW

    def remove_and_fail() -> None:
        with open_published(config):
            folder.rename(folder.with_name("gone"))
            raise InputError("because it is gone")

    with pytest.raises(Removed, match=f"version {NEW} was removed while it was read"):
        remove_and_fail()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[tuple[str, int]]], None]:
    """Lets ``open_published`` open (name of the version, known files) in turn."""

    def prepare(states: Sequence[tuple[str, int]]) -> None:
        waiting = list(states)

        @contextmanager
        def open_next(_: Config) -> Iterator[Any]:
            name, known = waiting.pop(0)
            yield SimpleNamespace(version=SimpleNamespace(name=name), history=SimpleNamespace(known=[known]))

        monkeypatch.setattr(module, "open_published", open_next)

    return prepare


def failing(times: int) -> Callable[[Published], str]:
    """A question that finds its files removed so many times, and then answers."""
    asked: list[str] = []

    def question(published: Published) -> str:
        asked.append(published.version.name)
        if len(asked) <= times:
            raise Removed("removed")
        return f"{published.version.name} at {len(asked)}"

    return question


@pytest.mark.parametrize(
    ("states", "failures", "found"),
    [
        ([("a", 1)], 0, "a at 1"),
        ([("a", 1), ("b", 1)], 1, "b at 2"),
        ([("a", 1), ("a", 2), ("b", 2)], 2, "b at 3"),
    ],
    ids=["at once", "another version", "other files, then another version"],
)
def test_a_question_is_asked_again_while_runs_publish(
    states: list[tuple[str, int]], failures: int, found: str, opened: Callable[..., None]
) -> None:
    opened(states)
    assert answer(Config(), failing(failures)) == found


def test_a_file_that_is_missing_though_no_run_published_is_a_failure(opened: Callable[..., None]) -> None:
    opened([("a", 1), ("a", 1), ("a", 1)])
    with pytest.raises(Removed):
        answer(Config(), failing(3))


def test_records_are_looked_up_in_folders_alone() -> None:
    stored = {"INPUT_DIR": "s3://b/in", "INTERMEDIATE_DIR": "s3://b/between", "OUTPUT_DIR": "s3://b/out"}
    opened = open_published(Config(**stored, SPARK_MASTER="yarn"))
    with pytest.raises(InputError, match="looked up in an intermediate folder of this machine alone"), opened:
        pass
