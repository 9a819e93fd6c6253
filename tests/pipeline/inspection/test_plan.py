"""What a run would do with a few files, and the size of the work as far as it can be counted by hand."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from config import Config
from pipeline.engines import choose
from pipeline.engines.java import Java
from pipeline.errors import ConfigError, InputError
from pipeline.inspection import plan
from pipeline.inspection.plan import check_before_work, choose_for_input, list_file_states, make_run_plan
from pipeline.inspection.status import FileState
from pipeline.planning.run_options import NO_OPTIONS
from tests.harness import HEADER

LINE = b"id-%04d,user-%02d,2026-01-01T00:00:00Z,v,d,8.8.8.8,1.5\n"
ROWS = 400
LOG = HEADER + b"".join(LINE % (number, number % 20) for number in range(ROWS))
Settings = Callable[..., Config]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "in").mkdir()

    def settings(**changed: object) -> Config:
        names = {"INPUT_DIR": "in", "INTERMEDIATE_DIR": "between", "OUTPUT_DIR": "out"}
        folders = {name: str(tmp_path / folder) for name, folder in names.items()}
        return Config(**(folders | {"ENGINE": "polars"} | changed))

    return settings


def test_the_plan_of_a_first_run(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "in" / "a.csv").write_bytes(LOG)
    (tmp_path / "in" / "b.csv").write_bytes(b"1,2,3\n4,8.8.8.8,6\n")
    found = make_run_plan(settings(), NO_OPTIONS)
    assert (found.engine, found.sample.text_bytes) == ("polars", len(LOG))
    assert found.sample.rows == pytest.approx(ROWS, rel=0.05)
    assert 20 <= found.sample.result_rows <= ROWS
    assert [(Path(file.file).name, file.state, file.bytes) for file in found.files.states] == [
        ("a.csv", "read", len(LOG)),
        ("b.csv", "read", 18),
    ]
    assert [os.path.basename(path) for path in found.files.to_read] == ["a.csv", "b.csv"]
    assert found.files.known_rows == 0
    assert [os.path.basename(path) for path in found.refused] == ["b.csv"]
    assert found.prediction.seconds > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]  # nothing was made


def test_only_the_beginning_of_a_compressed_file_is_expanded(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = []
    expand = plan.expand_beginning
    monkeypatch.setattr(
        plan, "expand_beginning", lambda path, target, limit: limits.append(limit) or expand(path, target, limit)
    )
    (tmp_path / "in" / "a.csv.gz").write_bytes(gzip.compress(LOG))
    (tmp_path / "in" / "b.csv.gz").write_bytes(b"\x1f\x8b no archive")
    found = make_run_plan(settings(), NO_OPTIONS)
    assert limits == [512 * 2**10] * 2
    assert found.sample.rows == pytest.approx(ROWS, rel=0.05)
    assert [os.path.basename(path) for path in found.refused] == ["b.csv.gz"]


@pytest.mark.parametrize(
    ("pseudonymize", "hidden"), [(False, "8.8.8.8"), (True, "user-1")], ids=["addresses", "all fields"]
)
def test_reasons_do_not_show_what_the_settings_hide(
    pseudonymize: bool, hidden: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGMILL_PSEUDONYM_KEY", "k" * 32)
    (tmp_path / "in" / "a.csv").write_bytes(b"id-1,user-1,2026-01-01,v,d,8.8.8.8,1\n")
    ((_, reason),) = make_run_plan(settings(PSEUDONYMIZE_USERS=pseudonymize), NO_OPTIONS).refused.items()
    assert hidden not in reason
    assert "log_id" in reason


def test_states_are_those_of_the_plan(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "in" / "a.csv").write_bytes(LOG)
    (tmp_path / "outside.csv").write_bytes(LOG)
    (tmp_path / "in" / "b.csv").symlink_to(tmp_path / "outside.csv")
    states = list_file_states(settings(), NO_OPTIONS)
    assert states == [
        FileState(str(tmp_path / "in" / "a.csv"), "read", len(LOG)),
        FileState(str(tmp_path / "in" / "b.csv"), "refuse", len(LOG)),
    ]
    assert make_run_plan(settings(), NO_OPTIONS).files.states == states


def test_without_input_no_run_could_begin(settings: Settings, tmp_path: Path) -> None:
    for find in (make_run_plan, list_file_states):
        with pytest.raises(InputError):
            find(settings(INPUT_DIR=str(tmp_path / "none")), NO_OPTIONS)


def test_what_would_stop_any_run_is_found_before_work(settings: Settings, tmp_path: Path) -> None:
    check_before_work(settings(INPUT_DIR=str(tmp_path / "none")))  # the input is not looked at
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match="Logmill did not make"):
        check_before_work(settings())
    (tmp_path / "out").rmdir()
    database = tmp_path / "x.mmdb"
    database.write_bytes(b"no database")
    with pytest.raises(ConfigError, match=r"x\.mmdb"):
        check_before_work(settings(GEO_DATABASE=str(database)))


@pytest.mark.parametrize(("limit", "engine"), [(2 * len(LOG), "spark"), (2 * len(LOG) + 1, "polars")])
def test_the_engine_follows_from_the_size_of_the_input(
    limit: int, engine: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all files that a run would take, and of no other: hidden ones, other names, links that lead out."""
    monkeypatch.setattr(choose, "SPARK_PAYS_BYTES", limit)
    monkeypatch.setattr(choose, "find_java", lambda _: Java("java", "Java 17", None))
    for name in ("in/a.csv", "in/b.csv", "in/.c.csv", "in/d.txt", "e.csv"):
        (tmp_path / name).write_bytes(LOG)
    (tmp_path / "in" / "link.csv").symlink_to(tmp_path / "e.csv")
    found = make_run_plan(settings(ENGINE="auto"), NO_OPTIONS)
    assert found.engine == engine
    assert "--engine" in str(found.engine_note)
    assert choose_for_input(settings(ENGINE="auto")).name == engine
    assert make_run_plan(settings(), NO_OPTIONS).engine_note is None
