"""The compiled code under sanitizers: they find what is wrong, and nothing in the sorting of keys."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import sanitized

RUNTIME = sanitized.find_runtime()
SORT = """
import sys
from pathlib import Path
import numpy as np
from pipeline.native.library import load
keys = np.arange(1000, 0, -1).astype(np.uint64)
room = np.empty(1000 - int(sys.argv[2]), np.uint64)
load(Path(sys.argv[1])).sort_keys(keys.ctypes.data, 1000, room.ctypes.data)
assert keys.tolist() == list(range(1, 1001))
"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(RUNTIME is None, reason="AddressSanitizer comes with GCC")]


def test_an_access_beyond_an_array_is_found_and_named(tmp_path: Path) -> None:
    assert RUNTIME
    library = sanitized.compile_sanitized(tmp_path)
    for missing in (0, 1):
        command = [sys.executable, "-c", SORT, str(library), str(missing)]
        environment = sanitized.environment(library, RUNTIME)
        ended = subprocess.run(command, env=environment, cwd=sanitized.ROOT, capture_output=True, check=False)
        found = "".join(report.read_text() for report in tmp_path.glob("report.*"))
        assert (ended.returncode == 0, "heap-buffer-overflow" in found, "sort.c" in found) == (
            (True, False, False) if missing == 0 else (False, True, True)
        ), ended.stderr
