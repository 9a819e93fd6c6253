"""Folders: what is fine, what is not, and that the checks leave nothing behind."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.inspection.doctor import folders
from pipeline.inspection.doctor.folders import check_input_and_intermediate, check_output
from tests.pipeline.inspection.doctor.conftest import Settings


@pytest.fixture(autouse=True)
def _small_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "PROBE_BYTES", 2**20)


def test_room_follows_from_the_input(settings: Settings, tmp_path: Path) -> None:
    assert [check.status for check in check_input_and_intermediate(settings())][:2] == ["warn", "ok"]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "README.md").touch()
    log = tmp_path / "in" / "a.csv"
    log.touch()
    os.truncate(log, 4 * 10**12)  # a hole: it takes no room
    source, room, speed = check_input_and_intermediate(settings())
    assert (source.status, room.status, speed.status) == ("ok", "fail", "ok")
    assert source.found == f"1 file, 4.00 TB in {tmp_path / 'in'}, 1 other file skipped"
    assert "2.40 TB needed" in room.found
    assert "--intermediate" in room.fix


@pytest.mark.parametrize(("free", "status"), [(10**9, "ok"), (10**9 - 1, "warn"), (0, "warn")])
def test_little_room_is_a_warning(free: int, status: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    _, room, _ = check_output(settings())
    assert room.status == status
    assert ("--output" in room.fix) == (status == "warn")


def test_the_place_of_the_output(settings: Settings, tmp_path: Path) -> None:
    link, *_ = check_output(settings())
    assert (link.status, link.found) == ("ok", f"{tmp_path / 'out'} is free; links can be made and replaced")
    (tmp_path / "out.versions" / "20261101T000000Z-00000a" / "data").mkdir(parents=True)
    (tmp_path / "out").symlink_to("out.versions/20261101T000000Z-00000a/data")
    link, *_ = check_output(settings())
    assert (link.status, link.found) == ("ok", f"{tmp_path / 'out'} is published; links can be made and replaced")


def test_a_folder_at_the_place_of_the_output_is_a_failure(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    link, *_ = check_output(settings())
    assert link.status == "fail"
    assert "Logmill did not make" in link.found


def test_a_folder_that_cannot_be_written(settings: Settings) -> None:
    link, _, speed = check_output(settings(OUTPUT_DIR="/proc/logmill"))
    assert (link.status, speed.status) == ("fail", "fail")
    assert "cannot make a link in /proc" in link.found
    assert "cannot write in /proc" in speed.found


def test_links_that_are_not_replaced_are_a_failure(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders.os, "readlink", lambda _: "first")
    link, *_ = check_output(settings())
    assert link.status == "fail"
    assert "is not replaced by rename" in link.found


def test_a_slow_disk_is_a_warning(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "SLOW_BYTES_PER_SECOND", 1e15)
    assert [check.status for check in check_output(settings())] == ["ok", "ok", "warn"]


def test_checks_leave_nothing_behind(settings: Settings, tmp_path: Path) -> None:
    assert [check.status for check in check_output(settings())] == ["ok"] * 3
    list(check_input_and_intermediate(settings()))
    assert list(tmp_path.iterdir()) == []
