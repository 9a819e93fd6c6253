"""config.py as its user edits it: each kind of slip is told in a sentence, and a good edit takes effect."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SLIPS = {
    "a size without quotes": ("MEMORY_LIMIT = None", "MEMORY_LIMIT = 8GB", "line 9 of config.py is not understood"),
    "a word without quotes": ('ENGINE = "auto"', "ENGINE = polars", "line 10 of config.py is wrong: name 'polars'"),
    "a unit that is no name": ("MEMORY_LIMIT = None", "MEMORY_LIMIT = 8 * GB", "line 9 of config.py is wrong"),
    "a quote that does not close": ('ENGINE = "auto"', 'ENGINE = "auto', "line 10 of config.py is not understood"),
    "a value that is not allowed": ("WORKERS = None", "WORKERS = 0", "PREPROCESSING_WORKERS is 0 (in config.py, WORK"),
    "a word that is not allowed": ('ENGINE = "auto"', 'ENGINE = "sparc"', "ENGINE is 'sparc' (in config.py): expected"),
    "a number for a folder": ('OUTPUT_DIR = "pipeline_data/output"', "OUTPUT_DIR = 5", "OUTPUT_DIR is 5 (in config.py"),
    "a line that is moved in": ("WORKERS = None", "  WORKERS = 2", "line 8 of config.py is not understood"),
    "a line that is gone": ('ENGINE = "auto"', "#", "of config.py is wrong: name 'ENGINE' is not defined"),
    "a comma that is gone": ("choice(*get_args(Codec)),", "choice(*get_args(Codec))", "of config.py is not understood"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """This program by links, with a config.py of its own."""
    for name in ("cli", "data_generator", "main.py", "pipeline", "pyproject.toml", "utils"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "config.py", tmp_path)
    return tmp_path


def edit(root: Path, before: str, after: str) -> None:
    path = root / "config.py"
    text = path.read_text()
    assert text.count(before) >= 1
    path.write_text(text.replace(before, after, 1))


def run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {"HOME": str(root), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "main.py", *words], cwd=root, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_a_sentence(slip: str, root: Path) -> None:
    before, after, message = SLIPS[slip]
    edit(root, before, after)
    done = run(root, "status")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "xpected" in done.stderr


def test_a_fault_elsewhere_is_not_laid_to_its_charge(root: Path) -> None:
    (root / "utils").unlink()
    shutil.copytree(ROOT / "utils", root / "utils")
    (root / "utils" / "metrics.py").write_text("1 / 0\n")
    done = run(root, "status")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_good_edits_take_effect_and_are_told_apart(root: Path) -> None:
    edit(root, "WORKERS = None", "WORKERS = 3")
    edit(root, "MEMORY_LIMIT = None", 'MEMORY_LIMIT = "2GB"')
    edit(root, 'INPUT_DIR = "pipeline_data/input_logs"', 'INPUT_DIR = "mine"')
    done = run(root, "config", "--json")
    found = json.loads(done.stdout)["settings"]
    assert [(found[name]["value"], found[name]["from"]) for name in ("PREPROCESSING_WORKERS", "MEMORY_LIMIT")] == [
        (3, "config.py"),
        (2_000_000_000, "config.py"),
    ]
    assert found["INPUT_DIR"] == {"value": "mine", "from": "config.py", "group": "Machine and engines"}
    assert found["OUTPUT_DIR"]["from"] == "default"


def test_an_input_that_was_set_by_hand_gets_no_test_data(root: Path) -> None:
    edit(root, 'INPUT_DIR = "pipeline_data/input_logs"', 'INPUT_DIR = "mine"')
    assert run(root, "run").returncode == 3
    done = run(root, "generate")
    assert done.returncode == 2
    assert "INPUT_DIR is 'mine' (config.py)" in done.stderr
    assert not (root / "mine").exists()
