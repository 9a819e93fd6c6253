"""The command line in this process, for tests of what a command does and answers.

``command`` is ``program.run`` without what a process costs: the same arguments, settings, streams and exit code, and
workers that are none. It takes a tenth of the processor's time. Tests of how processes start, work together, end and
die, and of what they share with a shell, start the program.
"""

import gc
import io
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import cli.run
from main import main
from pipeline.engines.local import LocalEngine
from pipeline.faults import VARIABLE
from pipeline.planning import pace
from tests.end_to_end.program import ROOT, Ended, environment
from tests.harness import working_here


def command(*arguments: object, cwd: Path, env: dict[str, str] | None = None) -> Ended:
    """Run one command line in a folder to its end. It learns no pace."""
    assert VARIABLE not in (env or {}), "faults are read when the program starts"
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", write_through=True) for _ in range(2))
    words = [str(argument) for argument in arguments]
    with _as_program(words, cwd, env or environment()), redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as ended:
            code = int(ended.code or 0)
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    assert "Traceback" not in texts[1], texts[1]
    return Ended(code, *texts)


def command_json(*arguments: object, cwd: Path, env: dict[str, str] | None = None, code: int = 0) -> dict:
    """Run with the embedded engine and ``--json``, and check the exit code."""
    ended = command("--engine", "polars", "--json", *arguments, cwd=cwd, env=env)
    assert ended.code == code, ended.err
    return ended.answer


@contextmanager
def _as_program(words: list[str], cwd: Path, env: dict[str, str]) -> Iterator[None]:
    """All that a command finds in its process; afterwards this process has its own again."""
    with (
        chdir(cwd),
        mock.patch.dict("os.environ", env, clear=True),
        mock.patch.dict(sys._xoptions),
        mock.patch.object(sys, "argv", [str(ROOT / "main.py"), *words]),
        mock.patch.object(sys, "stdin", io.StringIO()),
        mock.patch.object(cli.run, "Workers", return_value=nullcontext()),
        mock.patch.object(gc, "freeze"),  # what came of one command would stay for ever
        mock.patch.object(pace, "_FILE", "no-folder/pace.json"),  # neither found nor left
        working_here(LocalEngine, "close"),
    ):
        sys._xoptions.pop("logmill", None)
        yield
