"""Names of what runs make, and folders that must lie apart."""

import calendar
import re
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.machine import cache_folder
from pipeline.versions.folders import (
    begin_of,
    check_folders,
    check_on_storage,
    intermediate_folder,
    intermediate_url,
    is_run_folder,
    make_own,
    new_run_id,
)

ID = "20261101T000000Z-00000a"


def test_a_run_id_is_its_beginning_in_utc_and_those_of_one_second_are_in_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    second = calendar.timegm((2026, 11, 1, 2, 3, 4)) * 10**9
    times = [second + 1000 * micros for micros in (0, 1, 2, 99, 500_000, 999_998, 999_999)]
    waiting = iter(times)
    monkeypatch.setattr("pipeline.versions.folders.time.time_ns", lambda: next(waiting))
    ids = [new_run_id() for _ in times]
    assert ids == sorted(ids)
    assert all(re.fullmatch("20261101T020304Z-[0-9a-f]{6}", name) for name in ids)
    assert {begin_of(name) for name in ids} == {datetime(2026, 11, 1, 2, 3, 4)}
    with pytest.raises(ValueError, match="does not match"):
        begin_of("by hand")
    (tmp_path / ids[0]).mkdir()
    assert is_run_folder(tmp_path / ids[0])


@pytest.mark.parametrize("name", ["mine", f"{ID}0", f"x{ID}", ID.upper().replace("A", "G"), "20261101-00000a", ""])
def test_other_names_are_no_run_folders(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir(exist_ok=True)
    assert not is_run_folder(tmp_path / name)


def test_a_run_folder_is_a_folder_of_its_own_with_the_prefix_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / f"run-{ID}").mkdir()
    assert is_run_folder(tmp_path / f"run-{ID}", "run-")
    assert not is_run_folder(tmp_path / f"run-{ID}")
    assert not is_run_folder(tmp_path / ID, "run-")
    (tmp_path / ID).symlink_to(f"run-{ID}")
    assert not is_run_folder(tmp_path / ID), "a link may lead anywhere"
    (tmp_path / f".new-{ID}").touch()
    assert not is_run_folder(tmp_path / f".new-{ID}", ".new-")


def test_a_folder_is_made_with_its_parents_and_never_through_a_link(tmp_path: Path) -> None:
    make_own(tmp_path / "a" / "b", "--output", 0o700)
    make_own(tmp_path / "a" / "b", "--output", 0o700)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(ConfigError, match=r"link' is a link.*--output"):
        make_own(tmp_path / "link", "--output")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("source", "intermediate", "output", "overlap"),
    [
        ("logs", "work", "out", None),
        ("logs/*.csv", "logs/work", "logs/out", None),
        ("logs", "logs/work", "out", ("INPUT_DIR", "INTERMEDIATE_DIR")),
        ("logs/**/*.csv", "logs/work", "out", ("INPUT_DIR", "INTERMEDIATE_DIR")),
        ("work/logs", "work", "out", ("INPUT_DIR", "INTERMEDIATE_DIR")),
        ("work/*.csv", "work", "out", ("INPUT_DIR", "INTERMEDIATE_DIR")),
        ("logs/a.csv", "work", "logs", ("INPUT_DIR", "OUTPUT_DIR")),
        ("out.versions/x", "work", "out", ("INPUT_DIR", "OUTPUT_DIR")),
        ("logs", "out/work", "out", ("INTERMEDIATE_DIR", "OUTPUT_DIR")),
        ("logs", "work", "work/out", ("INTERMEDIATE_DIR", "OUTPUT_DIR")),
        ("logs", "out.versions", "out", ("INTERMEDIATE_DIR", "OUTPUT_DIR")),
        ("logs", "link/work", "out", ("INPUT_DIR", "INTERMEDIATE_DIR")),
        ("link", "logs", "out", ("INPUT_DIR", "INTERMEDIATE_DIR")),
        ("logs", "work", "link", None),
    ],
)
def test_folders_lie_apart(
    source: str,
    intermediate: str,
    output: str,
    overlap: tuple[str, str] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "link").symlink_to("logs")
    monkeypatch.chdir(tmp_path)
    if overlap is None:
        check_folders(source, intermediate, output)
        return
    with pytest.raises(ValueError, match=r"{} \(.*\) and {} \(.*\) overlap".format(*overlap)):
        check_folders(source, intermediate, output)


def test_a_path_that_the_system_cannot_follow_is_no_crash(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no usable path"):
        check_folders(str(tmp_path / ("x" * 5000)), str(tmp_path / "work"), str(tmp_path / "out"))


PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)


@given(PATHS, PATHS, PATHS)
def test_of_plain_folders_none_may_contain_another(source: str, intermediate: str, output: str) -> None:
    """The model: one path is a beginning of the other. (No path ends in ``.versions``.)"""
    paths = [("/nowhere/" + path + "/") for path in (source, intermediate, output)]
    apart = not any(a.startswith(b) for n, a in enumerate(paths) for m, b in enumerate(paths) if n != m)
    try:
        check_folders(*paths)
    except ValueError:
        assert not apart
    else:
        assert apart


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("s3://b/out/in", "s3://b/out"),
        ("s3://b/**/*.csv", "s3://b/out"),
        ("s3://b/out/runs/*.csv", "s3://b/out/"),
        ("s3://b/out", "s3://b/out"),
    ],
)
def test_an_input_of_what_the_output_writes_is_refused(source: str, output: str) -> None:
    with pytest.raises(ValueError, match="overlap"):
        check_folders(source, "between", output)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("s3://b/in", "s3://b/out"),
        ("s3://b/out-of-date/*.csv", "s3://b/out"),
        ("s3://b", "s3://b/out"),
        ("in", "gs://b"),
    ],
)
def test_urls_that_share_no_object_are_fine(source: str, output: str) -> None:
    check_folders(source, "between", output)


@pytest.mark.parametrize(
    ("folders", "told"),
    [
        (("s3://b/in", "s3://b/out/between", "s3://b/out"), "INTERMEDIATE_DIR .* and OUTPUT_DIR .* overlap"),
        (("s3://b/in/**/*.csv", "s3://b/in/between", "s3://b/out"), "INPUT_DIR .* and INTERMEDIATE_DIR .* overlap"),
        (("hdfs://b/in", "between", "out"), "INPUT_DIR is 'hdfs://b/in': expected a path, or a URL that begins with"),
        (("in", "between", "s3://"), "names no bucket"),
        (("in", "between", "s3://b//out"), "'s3://b//out' has an empty name"),
        (("s3://b//in/*.csv", "between", "out"), "'s3://b//in/.*' has an empty name"),
        (("s3://b/in", "s3://b/x//y", "s3://b/out"), "'s3://b/x//y' has an empty name"),
    ],
)
def test_urls_of_what_is_not_supported_are_refused(folders: tuple[str, str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_folders(*folders)


def test_folders_are_refused_where_files_between_the_phases_lie_on_a_storage() -> None:
    """The input where a run reads it: questions about a result need none."""
    with pytest.raises(ConfigError, match="and OUTPUT_DIR is 'out': machines that share no disk"):
        check_folders("s3://b/in", "s3://b/between", "out")
    check_folders("in", "s3://b/between", "s3://b/out")
    with pytest.raises(ConfigError, match="INTERMEDIATE_DIR is 's3://b/between', and INPUT_DIR is 'in'"):
        check_on_storage("INPUT_DIR", "in", "s3://b/between")


def test_executors_may_exchange_files_over_a_storage() -> None:
    check_folders("s3://b/in", "s3://b/between", "gs://c/out")
    assert intermediate_url("s3://b/between/", "s3://b/out") == intermediate_url("s3://b/between", "s3://b/out/")
    here = {intermediate_folder(between, out) for between in ("s3://b/1", "s3://b/2") for out in ("s3://b/3", "s3://c")}
    assert len(here) == 4
    assert all(cache_folder() in folder.parents for folder in here)
