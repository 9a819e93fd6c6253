"""The memory limit holds over the whole process tree, sampled from outside."""

import contextlib
import time
from pathlib import Path

import psutil

from tests.end_to_end.program import environment, finish, run, start

LIMIT = 10**9


def memory_of(tree: psutil.Process) -> int:
    """Proportional set sizes where the system tells them: shared pages count once."""
    total = 0
    for process in [tree, *tree.children(recursive=True)]:
        try:
            memory = process.memory_full_info()
        except psutil.Error:
            continue
        total += getattr(memory, "pss", memory.uss)
    return total


def test_a_small_limit_holds(tmp_path: Path) -> None:
    made = run("generate", "--size", "100MB", "--files", 1, "--output", "logs", cwd=tmp_path)
    assert made.code == 0, made.err
    options = ("--input", "logs", "--engine", "polars", "--memory-limit", LIMIT, "--json")
    program = start(*options, cwd=tmp_path, env=environment(PREPROCESSING_WORKERS=2))
    tree = psutil.Process(program.pid)
    peak = 0
    while program.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            peak = max(peak, memory_of(tree))
        time.sleep(0.1)
    ended = finish(program)
    assert ended.code == 0, ended.err
    answer = ended.answer
    assert 100e6 < answer["peak_memory_bytes"] < LIMIT
    assert 100e6 < peak < LIMIT
    assert answer["records_read"] == sum(answer[name] for name in ("kept", "duplicates", "conflicts", "rejected"))
