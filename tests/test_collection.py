"""Tests have the same names whenever and wherever they are collected: the workers of one run compare their lists."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import pytest_make_parametrize_id

ROOT = Path(__file__).parents[1]
CLOCK = """
import os, time
shift = int(os.environ["CLOCK_SHIFT"])
seconds, nanoseconds = time.time, time.time_ns
time.time = lambda: seconds() + shift
time.time_ns = lambda: nanoseconds() + shift * 10**9
"""


@pytest.mark.slow
def test_the_suite_is_the_same_under_another_clock_and_another_hash_seed(tmp_path: Path) -> None:
    (tmp_path / "other_clock.py").write_text(CLOCK)
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "other_clock"]
    programs = []
    for shift in 0, 10_000_000:
        env = os.environ | {"PYTHONPATH": str(tmp_path), "CLOCK_SHIFT": str(shift), "PYTHONHASHSEED": str(shift)}
        env.pop("PYTEST_ADDOPTS", None)
        programs.append(subprocess.Popen(collect, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True))
    first, second = ([line for line in p.communicate()[0].splitlines() if "::" in line] for p in programs)
    assert [program.returncode for program in programs] == [0, 0]
    assert len(first) > 1000
    assert first == second


def test_long_bytes_are_named_by_their_length() -> None:
    assert pytest_make_parametrize_id(b"\x1f\x8b" * 10, "data") == "data of 20 bytes"
    assert pytest_make_parametrize_id(b"\r\n", "end") is None
    assert pytest_make_parametrize_id("text" * 10, "data") is None


def test_whole_programs_are_slow(request: pytest.FixtureRequest) -> None:
    assert not request.node.get_closest_marker("slow")
    for item in request.session.items:
        if item.nodeid.startswith(("tests/end_to_end/", "tests/pollution/", "tests/properties/")):
            assert item.get_closest_marker("slow"), item.nodeid
