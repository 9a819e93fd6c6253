"""Standard streams that are closed, full, gone or of a narrow encoding: what is said, and what stays untouched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PREPARED = "import os, sys\nfrom cli.streams import AnswerLost, prepare_streams\nprepare_streams()\n"


def shell(program: str, redirection: str, **variables: str) -> subprocess.CompletedProcess:
    """Run a program of Python, after ``prepare_streams``, under a redirection of the shell."""
    command = ["sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, PREPARED + program]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_file_never_gets_the_number_of_a_closed_stream(closed: str, tmp_path: Path) -> None:
    """What a library or a child process prints would go into the file."""
    program = (
        f"file = open({str(tmp_path / 'manifest')!r}, 'w')\n"
        "assert file.fileno() > 2\n"
        "import subprocess\n"
        "subprocess.run([sys.executable, '-c', 'import os; os.write(2, b\"noise\")'])\n"
        "print('a message', file=sys.stderr, flush=True)\n"
        "sys.stdin.read()\n"
    )
    done = shell(program, f"{'' if '<' in closed else '</dev/null'} {closed}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "manifest").read_text() == ""
    assert done.stdout == ""
    assert done.stderr == ("" if "2>" in closed else "noisea message\n")


WRITE = """
try:
    print("x" * 10, flush=True)
except AnswerLost as lost:
    print("lost:", lost, file=sys.stderr)
print("more", flush=True)
"""


@pytest.mark.parametrize(
    ("redirection", "reason"),
    [(">/dev/full", "No space left on device"), (">&-", "it is closed"), ("1</dev/null", "it is closed")],
)
def test_an_answer_that_is_lost_says_so_once(redirection: str, reason: str) -> None:
    done = shell(WRITE, redirection)
    expected = f"lost: the answer cannot be written to stdout: {reason}. Send it to another place.\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "", expected)


def test_a_reader_that_went_away_loses_nothing() -> None:
    program = "for _ in range(100_000): print('x' * 100)\n"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", '"$0" -c "$1" | head -1', sys.executable, PREPARED + program],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "x" * 100 + "\n", "")


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2</dev/null"])
def test_a_message_that_is_lost_is_no_fault(redirection: str) -> None:
    done = shell("print('a message', file=sys.stderr, flush=True)\nprint('the answer')\n", redirection)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the answer\n", "")


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "région — \u65e5█"),
        ("latin-1", "région \\u2014 \\u65e5\\u2588"),
        ("ascii", "r\\xe9gion \\u2014 \\u65e5\\u2588"),
        ("ascii:strict", "r\\xe9gion \\u2014 \\u65e5\\u2588"),
        ("cp1252", "région — \\u65e5\\u2588"),
    ],
)
def test_characters_that_an_encoding_lacks_are_escaped(encoding: str, shown: str) -> None:
    program = "for stream in sys.stdout, sys.stderr: print('région — \\u65e5█', file=stream)\n"
    command = [sys.executable, "-c", PREPARED + program]
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, env=env)
    for written in done.stdout, done.stderr:
        assert written.decode(encoding.partition(":")[0]) == shown + "\n"


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", "2>&-", "2>/dev/full", "<&-"])
def test_python_ends_without_a_complaint(redirection: str) -> None:
    program = "try:\n    print('left in the buffer')\n    sys.stdout.flush()\nexcept AnswerLost:\n    pass\n"
    done = shell(program, redirection)
    assert (done.returncode, done.stderr) == (0, "")
