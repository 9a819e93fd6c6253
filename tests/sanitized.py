"""``python -m tests.sanitized``: the compiled code under AddressSanitizer and UndefinedBehaviorSanitizer.

It is compiled with checks of every access to memory and of every operation that C leaves undefined, and the tests that
call it run in a Python whose memory AddressSanitizer watches: an access beyond an array, or to one that is freed, ends
the run and names the line of C. Arguments go to pytest, instead of the tests of TESTS.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.native import build
from tests.harness import LIBRARY

ROOT = Path(__file__).parent.parent
TESTS = (
    "tests/pipeline/native/test_copies.py",
    "tests/pipeline/native/test_packets.py",
    "tests/pipeline/native/test_totals.py",
    "tests/pipeline/native/test_pages.py",
    "tests/pipeline/reading/test_compiled_parser.py",
    "tests/pipeline/reading/test_cut_records.py",
    "tests/pipeline/reading/test_record_finder.py",
    "tests/pipeline/publish/test_conflict_records.py",
    "tests/pipeline/exchange",
    "tests/pipeline/aggregate",
)
_SANITIZERS = ("-fsanitize=address", "-fsanitize=undefined")  # with a comma between them zig takes the second alone
FLAGS = ("-O1", "-g", "-fno-omit-frame-pointer", *_SANITIZERS, "-fno-sanitize-trap=undefined")


def find_runtime() -> str | None:
    """What is loaded before Python: the libraries of AddressSanitizer, which comes with GCC, and of C++, whose
    exceptions it must see; None where there are none."""
    paths = []
    for name in ("libasan.so", "libstdc++.so.6"):
        try:
            asked = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        path = Path(asked.stdout.strip())
        if not path.is_absolute() or not path.exists():
            return None
        paths.append(str(path.resolve()))
    return ":".join(paths)


def compile_sanitized(folder: Path) -> Path:
    """Compile the library with all checks into ``folder``, which must be empty."""
    library = folder / "sanitized.so"
    (folder / "work").mkdir()
    build._compile(folder / "work", library, FLAGS)
    return library


def environment(library: Path, runtime: str) -> dict[str, str]:
    """The environment of a Python that uses the library. What is found is written to ``report.*`` beside the library,
    because pytest holds back what tests print. Python and its packages never free some memory: no leaks."""
    options = f"detect_leaks=0:allocator_may_return_null=1:log_path={library.with_name('report')}"
    return os.environ | {LIBRARY: str(library), "LD_PRELOAD": runtime, "ASAN_OPTIONS": options}


def main(arguments: Sequence[str]) -> int:
    """Compile and run; returns pytest's exit code."""
    runtime = find_runtime()
    if not runtime:
        print("there is no libasan: apt install gcc", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        sanitized = environment(compile_sanitized(Path(folder)), runtime)
        pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(arguments or TESTS)]
        code = subprocess.run(pytest, env=sanitized, cwd=ROOT, check=False).returncode
        for report in Path(folder).glob("report.*"):
            print(report.read_text("utf-8", "replace"), file=sys.stderr)
        return 1 if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
