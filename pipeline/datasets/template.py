"""Makes a new job: a copy of the example, which runs at once."""

import re
import shutil
from pathlib import Path

from pipeline.datasets.job import JOBS
from pipeline.errors import ConfigError

_TEMPLATE = "example"
_NAME = re.compile(r"[a-z][a-z0-9_-]*")


def make_job(name: str) -> tuple[Path, list[str]]:
    """Copy the template to ``jobs/NAME``, or to a path of the user's own. Returns the folder and its files.

    Raises ConfigError where something is there already, or the name is none for a package.
    """
    folder = Path(name).absolute() if "/" in name else JOBS / name
    if not _NAME.fullmatch(folder.name):
        raise ConfigError(f"{folder.name!r} is no name for a job: expected small letters, digits, - and _.")
    if folder.exists():
        raise ConfigError(f"{str(folder)!r} is there already. Choose another name, or remove it.")
    template = JOBS / _TEMPLATE
    files = sorted(path.name for path in template.iterdir() if path.is_file())
    folder.mkdir(parents=True)
    for file in files:
        shutil.copyfile(template / file, folder / file)
    for file in ("README.md", "__init__.py"):
        path = folder / file
        text = path.read_text(encoding="utf-8")
        said = name if "/" in name else folder.name
        text = text.replace("job example", f"job {said}").replace("# example", f"# {folder.name}")
        path.write_text(text.replace(": the template of `job new`", ""), encoding="utf-8")
    return folder, files
