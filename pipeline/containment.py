"""No link is followed out of the input folder."""

import glob
import itertools
import os
from pathlib import Path

from pipeline.splits import display_name


def refuse_outside(pattern: str, paths: list[str]) -> tuple[list[str], dict[str, str]]:
    """(paths that lie in the input folder, reasons of the others by path), after all links are followed.

    ``pattern`` is what the user named: a folder, a glob (its folder is the part before the first wildcard), or a file,
    which is taken as it is named. Links that lead elsewhere within the folder are followed.
    """
    if os.path.isfile(pattern):
        return paths, {}
    folder = _folder(pattern)
    inside: list[str] = []
    refused: dict[str, str] = {}
    for path in paths:
        target = Path(os.path.realpath(path))
        if target.is_relative_to(folder):
            inside.append(path)
        else:
            refused[path] = (
                f"a link leads out of the input folder, to {display_name(str(target))}; it is not followed. Put the "
                "file itself there, or name it with --input."
            )
    return inside, refused


def _folder(pattern: str) -> Path:
    if os.path.isdir(pattern):
        return Path(os.path.realpath(pattern))
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)
    return Path(os.path.realpath(Path(*fixed)))
