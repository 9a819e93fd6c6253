"""A run that finds nothing new answers what a whole run answers; where anything differs, all steps are done."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from config import Config, load_config
from pipeline.planning.run_options import NO_OPTIONS, RunOptions
from pipeline.publish import nothing_new
from pipeline.publish.nothing_new import NOTE, NothingNew, find_nothing_new
from pipeline.publish.result import RunResult
from pipeline.versions.lock import Lock
from tests.harness import HEADER, run_here

MAIN = Path(__file__).parents[3] / "main.py"
RECORDS = b"1,ann,t,v,tv,1.0.0.1,2\n1,ann,t,v,tv,1.0.0.1,3\nbad\n2,bob,t,v,tv,9.9.9.9,1.5\n2,bob,t,v,tv,9.9.9.9,1.5\n"
OF_THE_RUN = ("run_id", "plan", "seconds", "peak_memory_bytes", "throughput_bytes_per_second")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A published version of two logs that were written long ago."""
    (tmp_path / "logs").mkdir()
    for name, data in (("a.csv", HEADER + RECORDS), ("b.csv", HEADER + RECORDS.replace(b"ann", b"eve"))):
        (tmp_path / "logs" / name).write_bytes(data)
        os.utime(tmp_path / "logs" / name, (1_700_000_000, 1_700_000_000))
    run_here(tmp_path)
    return tmp_path


def ask(folder: Path, options: RunOptions = NO_OPTIONS, **settings: object) -> NothingNew | None:
    with chdir(folder):
        return find_nothing_new(settings_of(**settings), options)


def settings_of(**settings: object) -> Config:
    environment = {f"LOGMILL_{name}": str(value) for name, value in settings.items()}
    return load_config({"INPUT_DIR": "logs", "ENGINE": "polars"}, environment, None)


def versions(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "pipeline_data" / "output.versions").glob("2*"))


def version_of(folder: Path) -> Path:
    return (folder / "pipeline_data" / "output").resolve().parent


def answer_of(result: RunResult) -> dict[str, object]:
    return {name: value for name, value in result.to_json().items() if name not in OF_THE_RUN}


def test_it_answers_what_all_steps_answer_and_changes_nothing(folder: Path) -> None:
    found = ask(folder)
    assert found
    whole = run_here(folder)
    assert answer_of(found.result) == answer_of(whole)
    assert found.result.notes == whole.notes
    assert (found.result.version, found.result.report, found.result.quarantine) == (
        whole.version, whole.report, whole.quarantine,
    )  # fmt: skip
    assert found.result.total_micro_minutes == whole.total_micro_minutes == 4_500_000
    assert found.result.top_regions == whole.top_regions
    assert len(versions(folder)) == 1
    assert [entry["records"] for entry in found.ledger] == [5, 5]
    events: list[str] = []
    found.log(SimpleNamespace(event=lambda name, *_, **__: events.append(name)))  # type: ignore[arg-type]
    assert events == ["run_started", "file_read", "file_read"]
    again = ask(folder)
    assert again, "the whole run left a note, too"


def test_a_touched_file_is_hashed_once_and_known_by_its_times_then(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(folder / "logs" / "a.csv", (1_700_000_500, 1_700_000_500))
    assert ask(folder)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.history.state.take_inventory", _never_hashing)
        assert ask(folder)


def _never_hashing(*arguments: object) -> object:
    from pipeline.history.inventory import take_inventory

    def refuse(path: str) -> str:
        raise AssertionError(f"{path} is hashed")

    return take_inventory(*arguments, hash_of=refuse)  # type: ignore[arg-type]


def swap_bytes(folder: Path) -> None:
    path = folder / "logs" / "a.csv"
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b"ann", b"eva"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_by_rename(folder: Path) -> None:
    (folder / "new").write_bytes((folder / "logs" / "a.csv").read_bytes().replace(b",3\n", b",4\n"))
    os.utime(folder / "new", (1_700_000_000, 1_700_000_000))
    (folder / "new").rename(folder / "logs" / "a.csv")


def point_link_elsewhere(folder: Path) -> None:
    (folder / "logs" / "c.csv").write_bytes(HEADER + b"9,ann,t,v,tv,1.0.0.1,2\n")
    run_here(folder)
    (folder / "logs" / "c.csv").unlink()
    link = folder / "pipeline_data" / "output"
    link.unlink()
    link.symlink_to(Path("output.versions") / versions(folder)[0] / "data")


def replay_by_hand(folder: Path) -> None:
    (folder / "more.csv").write_bytes(HEADER + b"9,ann,t,v,tv,1.0.0.1,2\n")
    run_here(folder, options=RunOptions(replay=("more.csv",)))
    for path in (folder / "pipeline_data" / "output.versions" / "replayed").glob("*/*.csv"):
        path.unlink()


def lose_a_split(folder: Path) -> None:
    next((folder / "pipeline_data" / "intermediate" / "store" / "rows").iterdir()).unlink()


def age_the_note(folder: Path) -> None:
    """As if the version were of another release."""
    (path,) = (folder / "pipeline_data" / "intermediate").glob(f"run-*/{NOTE}")
    note = json.loads(path.read_text())
    note["circumstances"]["program"] = "an earlier one"
    path.write_text(json.dumps(note))


CHANGES: dict[str, Callable[[Path], object]] = {
    "bytes changed, size and time kept": swap_bytes,
    "file replaced, size and time kept": replace_by_rename,
    "file appended": lambda folder: (folder / "logs" / "a.csv").write_bytes(HEADER + RECORDS + RECORDS),
    "file added": lambda folder: (folder / "logs" / "c.csv").write_bytes(HEADER),
    "file missing": lambda folder: (folder / "logs" / "a.csv").unlink(),
    "file renamed": lambda folder: (folder / "logs" / "a.csv").rename(folder / "logs" / "z.csv"),
    "entry that is no log": lambda folder: (folder / "logs" / "notes.md").write_text("x"),
    "link out of the input": lambda folder: (folder / "logs" / "out.csv").symlink_to(MAIN),
    "output file damaged": lambda folder: next(version_of(folder).glob("data/*/*.parquet")).write_bytes(b"PAR1"),
    "output file gone": lambda folder: next(version_of(folder).glob("data/*/*.parquet")).unlink(),
    "quarantine gone": lambda folder: shutil.rmtree(version_of(folder) / "quarantine"),
    "record gone": lambda folder: (version_of(folder) / "run.json").unlink(),
    "version gone": lambda folder: shutil.rmtree(version_of(folder)),
    "link gone": lambda folder: (folder / "pipeline_data" / "output").unlink(),
    "link elsewhere": point_link_elsewhere,
    "replayed file gone": replay_by_hand,
    "split lost": lose_a_split,
    "another program": age_the_note,
    "no note": lambda folder: next((folder / "pipeline_data" / "intermediate").glob(f"run-*/{NOTE}")).unlink(),
    "note cut": lambda folder: next((folder / "pipeline_data" / "intermediate").glob(f"run-*/{NOTE}")).write_text("{"),
    "no intermediate files": lambda folder: shutil.rmtree(folder / "pipeline_data" / "intermediate"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_where_anything_differs_all_steps_are_done(change: Callable[[Path], object], folder: Path) -> None:
    change(folder)
    assert ask(folder) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"KEEP_VERSIONS": 5},
        {"COMPRESSION": "snappy"},
        {"DEDUPE_KEEP": "first"},
        {"GEO_LEVEL": "country"},
        {"QUALITY_GATES": '{"rejected": {"fail": 0.01}}'},
        {"QUARANTINE_RAW": "false"},
        {"MEMORY_LIMIT": "3GB"},
        {"PREPROCESSING_WORKERS": 1},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_with_any_other_setting_all_steps_are_done(settings: dict[str, object], folder: Path) -> None:
    assert ask(folder, **settings) is None


def test_options_that_ask_for_more_are_followed(folder: Path) -> None:
    for asked in ({"full_refresh": True}, {"add": True}, {"replay": ("more.csv",)}):
        assert ask(folder, replace(NO_OPTIONS, **asked)) is None
    assert ask(folder, replace(NO_OPTIONS, prune_missing=True)), "nothing is missing"


def test_regions_and_key_are_compared_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.csv").write_bytes(HEADER + RECORDS)
    regions, key = tmp_path / "regions.csv", tmp_path / "key"
    regions.write_text("country,region\nAU,Here\n")
    key.write_text("k" * 40)
    for path in (regions, tmp_path / "logs" / "a.csv"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    settings = {"GEO_REGIONS": "regions.csv", "PSEUDONYMIZE_USERS": "true", "PSEUDONYM_KEY_FILE": "key"}
    run_here(tmp_path, **settings)
    assert ask(tmp_path, **settings)
    key.write_text("K" * 40)
    assert ask(tmp_path, **settings) is None
    key.write_text("k" * 40)
    assert ask(tmp_path, **settings)
    regions.write_text("country,region\nAU,HERE\n")
    assert ask(tmp_path, **settings) is None


def test_what_is_too_old_is_removed_by_all_steps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() + 40 * 24 * 60 * 60
    monkeypatch.setattr(nothing_new.time, "time", lambda: later)
    assert ask(folder) is None, "the version's quarantine"
    shutil.rmtree(version_of(folder) / "quarantine")
    run_here(folder)
    assert ask(folder) is None, "texts of rejected records in the store"


def test_a_run_with_peculiarities_leaves_no_note(folder: Path) -> None:
    (folder / "logs" / "a.csv").unlink()
    run_here(folder)
    assert ask(folder) is None
    (folder / "logs" / "none.csv").write_text("a,b\n1,2\n")
    assert run_here(folder).status == "partial"
    assert ask(folder) is None


def test_another_run_is_respected(folder: Path) -> None:
    with Lock(folder / "pipeline_data" / "intermediate", "other"), pytest.raises(Exception, match="another run"):
        ask(folder)


def test_no_worker_no_java_and_no_heavy_library_is_loaded(folder: Path) -> None:
    code = (
        "import sys, os; sys.argv = ['main.py', '--input', 'logs', '--engine', 'polars', '--json']\n"
        f"sys.path.insert(0, {str(MAIN.parent)!r})\n"
        "import main\n"
        "assert main.main(sys.argv[1:]) == 0\n"
        "heavy = {'polars', 'numpy', 'pyarrow', 'rich', 'multiprocessing.forkserver'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert ended.stderr.strip().splitlines()[-1] == "[]"
    assert json.loads(ended.stdout)["new"]["reused_files"] == 2
