"""The folders of a run lie apart, so that no run reads or removes what it should not."""

import itertools
from pathlib import Path


def check_folders(source: str, intermediate: str, output: str) -> None:
    """Compares INPUT_DIR (a folder, a file or a glob), INTERMEDIATE_DIR, and OUTPUT_DIR with its folder of versions.

    Raises ValueError where one of them holds another, or where the system cannot follow a path.
    """
    try:
        between, published = _absolute(intermediate), _absolute(output)
        written = {
            "INTERMEDIATE_DIR": (intermediate, [between]),
            "OUTPUT_DIR": (output, [published, Path(f"{published}.versions")]),
        }
        for name, (path, folders) in written.items():
            if any(_reads_from(source, folder) for folder in folders):
                raise _overlap("INPUT_DIR", source, name, path)
        if any(_contains(between, folder) or _contains(folder, between) for folder in written["OUTPUT_DIR"][1]):
            raise _overlap("INTERMEDIATE_DIR", intermediate, "OUTPUT_DIR", output)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"INPUT_DIR, INTERMEDIATE_DIR or OUTPUT_DIR is no usable path: {error}.") from None


def _overlap(first: str, first_path: str, second: str, second_path: str) -> ValueError:
    return ValueError(
        f"{first} ({first_path!r}) and {second} ({second_path!r}) overlap: expected folders of which none contains "
        "another. Choose another folder for one of them."
    )


def _absolute(path: str) -> Path:
    """Links in the parents are followed; the last part is not, because OUTPUT_DIR itself is a link."""
    whole = Path(path).absolute()
    return whole.resolve() if whole.name == ".." else whole.parent.resolve() / whole.name


def _reads_from(source: str, folder: Path) -> bool:
    """Whether an input lies in a folder that the program writes, or holds it.

    A glob may hold it unless it is recursive: ``*.csv`` does not look into folders.
    """
    whole = Path(source)
    if whole.exists() or not _has_pattern(source):
        place = whole.resolve()
        return _contains(folder, place) or _contains(place, folder)
    fixed = list(itertools.takewhile(lambda part: not _has_pattern(part), whole.parts))
    place = Path(*fixed).resolve()
    return _contains(folder, place) or ("**" in whole.parts and _contains(place, folder))


def _has_pattern(path: str) -> bool:
    return any(character in path for character in "*?[")


def _contains(folder: Path, other: Path) -> bool:
    return other.is_relative_to(folder)
