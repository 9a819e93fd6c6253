"""What make says while it installs: pip is played by a program that prints what pip prints."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import install

WORDS = """\
Looking in indexes: https://pypi.org/simple
Collecting polars==2.1.0 (from -r requirements.txt (line 4))
  Downloading polars-2.1.0-py3-none-any.whl.metadata (10 kB)
  Downloading https://files.example/a/polars_runtime_32-2.1.0-cp311-abi3-manylinux_2_17_x86_64.whl (53.9 MB)
     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 53.9/53.9 MB 268.4 MB/s eta 0:00:00
  Downloading polars-2.1.0-py3-none-any.whl (911 kB)
Downloading some-sdist-4.3.0.post1.tar.gz (1.2 GB)
  Using cached numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.whl (16.9 MB)
Building wheels for collected packages: some-sdist
  Building wheel for some-sdist (setup.py): started
  Building wheel for some-sdist (setup.py): finished with status 'done'
Installing collected packages: polars-runtime-32, polars, some-sdist, numpy
Successfully installed numpy-2.4.6
"""
STEPS = [
    "  downloading polars-runtime-32 2.1.0, 53.9 MB",
    "  downloading some-sdist 4.3.0.post1, 1.2 GB",
    "  building some-sdist",
    "  unpacking 4 packages",
]


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    (tmp_path / "base.txt").write_text("# made up\npolars==0.0.0  # another version\nno-such-package==1\n")
    path = tmp_path / "requirements.txt"
    path.write_text(f"-r base.txt\nno.such.thing==1 ; python_version < '3.14'\npytest=={pytest.__version__}\n")
    return path


def pip(words: str, code: int) -> list[str]:
    """A command that prints ``words``, and an error, and ends with ``code``."""
    program = (
        f"import sys; sys.stdout.buffer.write({words.encode()!r}); print('ERROR: x', file=sys.stderr); sys.exit({code})"
    )
    return [sys.executable, "-c", program]


def test_packages_are_missing_that_are_not_there_in_that_version(requirements: Path) -> None:
    assert install.missing(requirements) == ["no-such-package", "no.such.thing", "polars"]


def test_every_step_is_a_line_on_stderr(requirements: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert install.install(requirements, pip(WORDS, 0)) == 0
    out, err = capfd.readouterr()
    first, *steps, last = [line for line in err.splitlines() if line != "ERROR: x"]
    assert out == ""
    assert first == f"Installing 3 packages from {requirements}, with what they bring (once; a minute or two) ..."
    assert steps == STEPS
    assert re.fullmatch(r"  done after \d+ s", last)


def test_a_list_that_is_installed_is_only_checked(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(f"pytest=={pytest.__version__}\n")
    assert install.install(path, pip("Requirement already satisfied: pytest\n", 0)) == 0
    assert capfd.readouterr().err.startswith(f"Checking the packages of {path} ...\n")


def test_a_failure_of_pip_is_that_of_make_and_says_what_to_do(
    requirements: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert install.install(requirements, pip("", 2)) == 2
    *_, error, advice = capfd.readouterr().err.splitlines()
    assert error == "ERROR: x"
    assert advice.startswith(f"error: pip could not install {requirements}, see above and {install.LOG}.")


def test_the_program_is_compiled_where_imports_keep_nothing(tmp_path: Path) -> None:
    for name in install.PROGRAM:
        path = tmp_path / name
        if path.suffix:
            path.write_text("import cli.run\n" if name == "main.py" else "")
        else:
            path.mkdir()
            (path / "run.py").write_text("")
    install.compile_program(tmp_path)
    command = [sys.executable, "-B", "-v", "-c", "import main"]
    imported = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stderr
    for name in ("main", "cli/run"):
        folder, _, stem = f"{tmp_path}/{name}".rpartition("/")
        assert re.search(rf"code object from '{folder}/__pycache__/{stem}\.\S+\.pyc'", imported)


def test_every_part_of_the_program_is_there() -> None:
    assert [name for name in install.PROGRAM if not (install.PROJECT / name).exists()] == []


def test_make_installs_with_it() -> None:
    lines = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8").splitlines()
    assert "INSTALL := $(BIN)/python -m scripts.install" in lines
    assert sum("@$(INSTALL) requirements" in line for line in lines) == 3
    assert not any("pip install" in line for line in lines)
