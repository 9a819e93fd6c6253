"""Install a list of requirements and say how far it is: ``python -m scripts.install requirements.txt``, as make does.

Compiles the program's own modules, too.

Works before any package is there. Prints a line for each step to stderr, on a terminal and in a log alike; stdout
belongs to the program that make starts next. Shows pip's warnings and errors, and keeps all that pip says in
``pip.log`` in the virtual environment.
"""

import compileall
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LOG = Path(sys.prefix) / "pip.log"
PIP = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off", f"--log={LOG}")
INTERRUPTED = 130
PROJECT = Path(__file__).resolve().parent.parent
PROGRAM = ("main.py", "config.py", "api.py", "cli", "data_generator", "jobs", "pipeline", "utils")
"""The files and folders of the program that users run."""

_PIN = re.compile(r"^([\w.-]+)(?:\[\w+\])?==([\w.]+)", flags=re.MULTILINE)
_LIST = re.compile(r"^-r (\S+)", flags=re.MULTILINE)
_DOWNLOAD = re.compile(
    r" *Downloading (?:\S*/)?([^\s/]+?)-(\d[^\s-]*?)(?:-\S+)?\.(?:whl|tar\.gz|zip) \(([\d.]+ [MG]B)\)"
)
_BUILD = re.compile(r" *Building wheel for (\S+) \(\S+\): started")
_UNPACK = re.compile(r"Installing collected packages: (.+)")


def main(argv: Sequence[str]) -> int:
    """Install the list that is named and return pip's exit code."""
    path = Path(argv[0])
    try:
        code = install(path, [*PIP, "-r", str(path)])
        compile_program(PROJECT)
        return code
    except KeyboardInterrupt:
        _say("interrupted: run make again to go on")
        return INTERRUPTED


def install(path: Path, command: Sequence[str]) -> int:
    """Run ``command``, which installs the list in ``path``, and return its exit code."""
    count = len(missing(path))
    packages = f"{count} package{'' if count == 1 else 's'} from {path}, with what they bring"
    _say(f"Installing {packages} (once; a minute or two) ..." if count else f"Checking the packages of {path} ...")
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace") as pip:
        assert pip.stdout, "it is a pipe"
        for line in pip.stdout:
            if step := describe(line):
                _say(f"  {step}")
    if pip.returncode:
        _say(f"error: pip could not install {path}, see above and {LOG}. Once that is fixed, run make again.")
    else:
        _say(f"  done after {time.monotonic() - began:.0f} s")
    return pip.returncode


def compile_program(project: Path) -> None:
    """Compile the modules of the program in the folder ``project``, so that not even the first run has to.

    Every run would compile them where PYTHONDONTWRITEBYTECODE is set, as it is in many containers; it forbids to keep
    what an import compiles, and not to use what is there. A folder that cannot be written stays as it is.
    """
    for name in PROGRAM:
        if (project / name).is_dir():
            compileall.compile_dir(project / name, quiet=2)
        else:
            compileall.compile_file(project / name, quiet=2)


def missing(path: Path) -> list[str]:
    """The packages that a list, or a list that it includes, names in a version that is not installed."""
    return sorted({name for name, wanted in _pins(path) if _installed(name) != wanted})


def describe(line: str) -> str | None:
    """The progress in a line of pip's output; None for lines without any, such as small downloads."""
    if found := _DOWNLOAD.match(line):
        return f"downloading {found[1].replace('_', '-')} {found[2]}, {found[3]}"
    if found := _BUILD.match(line):
        return f"building {found[1]}"
    if found := _UNPACK.match(line):
        return f"unpacking {len(found[1].split(', '))} packages"
    return None


def _pins(path: Path) -> Iterator[tuple[str, str]]:
    text = path.read_text(encoding="utf-8")
    yield from _PIN.findall(text)
    for other in _LIST.findall(text):
        yield from _pins(path.parent / other)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
