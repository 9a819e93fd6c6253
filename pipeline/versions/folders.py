"""Names of run ids, folders and files that runs make, and a check that the folders of a run lie apart."""

import hashlib
import itertools
import os
import re
import time
from datetime import datetime
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.storage.urls import SCHEMES, has_magic, is_url, join_url, split_url

RUN_RECORD = "run.json"
"""The record of a run, in the folder of its version; see ``publish.run_record.write_run_record``."""

GEO_RECORD = "geo.json"
"""How addresses became regions, in the folder of a version; see ``publish.run_record.write_geo``."""

REPORT = "report.html"
"""The report page, in the folder of a version."""

_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")


def new_run_id() -> str:
    """Make the id of a run: its beginning in UTC and its microseconds, as five hexadecimal digits, so that runs of one
    second are in order; then a random digit."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    begin = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
    return f"{begin}-{nanoseconds // 1000:05x}{os.urandom(1).hex()[0]}"


def begin_of(run_id: str) -> datetime:
    """When the run of this id began: UTC, without a time zone. Raises ValueError where the text is no id of a run."""
    return datetime.strptime(run_id.partition("-")[0], "%Y%m%dT%H%M%SZ")


def is_run_id(name: str) -> bool:
    """Whether ``name`` is the id of a run, and so that of a version."""
    return bool(_RUN_ID.fullmatch(name))


def is_run_folder(path: Path, prefix: str = "") -> bool:
    """Whether ``path`` is a folder (no link) whose name is ``prefix`` and a run's id."""
    named = path.name.startswith(prefix) and _RUN_ID.fullmatch(path.name.removeprefix(prefix))
    return bool(named) and path.is_dir() and not path.is_symlink()


def intermediate_folder(intermediate: str, output: str) -> Path:
    """The folder for the files between the phases of runs that publish to ``output``: INTERMEDIATE_DIR.

    An output on object storage has a folder in it for itself: the history of a run on another machine may take its
    place. Where INTERMEDIATE_DIR is a URL, too, it is the driver's own part of them.
    """
    if not is_url(output):
        return Path(intermediate)
    return local_intermediate(intermediate) / _of_output(output)


def local_intermediate(intermediate: str) -> Path:
    """INTERMEDIATE_DIR, or where that is a URL, the folder of this machine that goes with it."""
    if not is_url(intermediate):
        return Path(intermediate)
    from pipeline.machine import cache_folder  # every command imports this module, and few need that one

    return cache_folder() / "intermediate" / hashlib.sha256(intermediate.rstrip("/").encode()).hexdigest()[:16]


def intermediate_url(intermediate: str, output: str) -> str:
    """Where executors exchange their files in runs that publish to ``output``; both are URLs."""
    return join_url(intermediate, _of_output(output))


def _of_output(output: str) -> str:
    return f"of-{hashlib.sha256(output.rstrip('/').encode()).hexdigest()[:16]}"


def place_of_version(output: str, version: str) -> str:
    """Where all that belongs to a version lies: a path as OUTPUT_DIR is one, or a URL."""
    return join_url(output, "runs", version) if is_url(output) else f"{output}.versions/{version}"


def make_own(folder: Path, option: str, mode: int = 0o777) -> None:
    """Make ``folder``, which lies below the one that the command-line ``option`` names, if it is not there.

    Raises ConfigError where it is a link, which may lead out of that folder.
    """
    if folder.is_symlink():
        raise ConfigError(
            f"{str(folder)!r} is a link, and Logmill writes only where it was told to. Remove the link, or name the "
            f"place that it leads to with {option}."
        )
    folder.mkdir(parents=True, exist_ok=True, mode=mode)


def check_folders(source: str, intermediate: str, output: str) -> None:
    """Check that INPUT_DIR (a folder, a file or a glob), INTERMEDIATE_DIR, and OUTPUT_DIR with versions and table lie
    apart.

    All may be URLs, INTERMEDIATE_DIR where the others are. Raises ValueError where one of them contains another, or
    where the system cannot follow a path.
    """
    for name, path in (("INPUT_DIR", source), ("INTERMEDIATE_DIR", intermediate), ("OUTPUT_DIR", output)):
        check_url(name, path)
    if is_url(source) and is_url(output) and _share_keys(source, output):
        raise _overlap("INPUT_DIR", source, "OUTPUT_DIR", output)
    if is_url(intermediate):
        _check_apart(source, intermediate, output)
        return
    try:
        between, published = _absolute(intermediate), _absolute(output)
        written = {
            "INTERMEDIATE_DIR": (intermediate, [between]),
            "OUTPUT_DIR": (output, [published, Path(f"{published}.versions"), Path(f"{published}.delta")]),
        }
        for name, (path, folders) in written.items():
            if not is_url(path) and not is_url(source) and any(_reads_from(source, folder) for folder in folders):
                raise _overlap("INPUT_DIR", source, name, path)
        folders = [] if is_url(output) else written["OUTPUT_DIR"][1]
        if any(_contains(between, folder) or _contains(folder, between) for folder in folders):
            raise _overlap("INTERMEDIATE_DIR", intermediate, "OUTPUT_DIR", output)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"INPUT_DIR, INTERMEDIATE_DIR or OUTPUT_DIR is no usable path: {error}.") from None


def check_url(name: str, path: str) -> None:
    """Raise ValueError where a path is the URL of something that is not supported."""
    scheme, divider, _ = path.partition("://")
    if is_url(path):
        split_url(path)
    elif divider and scheme.isalnum():
        known = ", ".join(f"{known}://" for known in SCHEMES)
        raise ValueError(f"{name} is {path!r}: expected a path, or a URL that begins with {known}. Name one of them.")


def check_exchange(intermediate: str, *, on_cluster: bool, sql: bool) -> None:
    """Check that executors can exchange their files where INTERMEDIATE_DIR is a URL. Raises ValueError.

    ``on_cluster``: whether both phases run on a cluster. ``sql``: whether Spark's own plan was chosen.
    """
    if not is_url(intermediate):
        return
    if not on_cluster:
        raise ValueError(
            f"INTERMEDIATE_DIR is {intermediate!r}: only executors of a cluster (SPARK_MASTER) exchange files over "
            "object storage. Name a folder of this machine with --intermediate."
        )
    if sql:
        raise ValueError(
            f"SPARK_PLAN is sql, and INTERMEDIATE_DIR is {intermediate!r}: Spark's own plan exchanges its files in a "
            "folder that all machines share. Name one with --intermediate (input and output may stay URLs), or choose "
            "SPARK_PLAN = kernel."
        )


def _check_apart(source: str, intermediate: str, output: str) -> None:
    """Check that OUTPUT_DIR lies on a storage as INTERMEDIATE_DIR does, and INPUT_DIR and OUTPUT_DIR apart from it."""
    check_on_storage("OUTPUT_DIR", output, intermediate)
    if _share_keys(source, intermediate):
        raise _overlap("INPUT_DIR", source, "INTERMEDIATE_DIR", intermediate)
    first, second = (f"{url.rstrip('/')}/" for url in (intermediate, output))
    if first.startswith(second) or second.startswith(first):
        raise _overlap("INTERMEDIATE_DIR", intermediate, "OUTPUT_DIR", output)


def check_on_storage(name: str, path: str, intermediate: str) -> None:
    """Check that the setting ``name`` lies on a storage where INTERMEDIATE_DIR does: OUTPUT_DIR always, and INPUT_DIR
    where a run reads it. Raises ConfigError."""
    if is_url(intermediate) and not is_url(path):
        raise ConfigError(
            f"INTERMEDIATE_DIR is {intermediate!r}, and {name} is {path!r}: machines that share no disk for the "
            f"files between the phases share none for {name}. Name URLs for both, or folders."
        )


def _share_keys(source: str, output: str) -> bool:
    """Whether the input, which may be a glob, and the output have objects in common, or may have."""
    read, written = source.rstrip("/") + "/", output.rstrip("/") + "/"
    if not has_magic(source):
        return read.startswith(written)  # of a folder only its own objects are read, never those of its runs
    fixed = read[: next(i for i, character in enumerate(read) if character in "*?[")]
    return fixed.startswith(written) or ("**" in read and written.startswith(fixed))


def _overlap(first: str, first_path: str, second: str, second_path: str) -> ValueError:
    return ValueError(
        f"{first} ({first_path!r}) and {second} ({second_path!r}) overlap: expected folders of which none contains "
        "another. Choose another folder for one of them."
    )


def _absolute(path: str) -> Path:
    """An absolute path with the links of its parents followed, but not its last part: OUTPUT_DIR itself is a link."""
    whole = Path(path).absolute()
    return whole.resolve() if whole.name == ".." else whole.parent.resolve() / whole.name


def _reads_from(source: str, folder: Path) -> bool:
    """Whether the input lies in ``folder``, which the program writes, or contains it.

    The fixed part of a glob may contain ``folder`` unless the glob is recursive: ``*.csv`` does not look into folders.
    """
    whole = Path(source)
    if whole.exists() or not _has_pattern(source):
        read = whole.resolve()
        return _contains(folder, read) or _contains(read, folder)
    fixed = list(itertools.takewhile(lambda name: not _has_pattern(name), whole.parts))
    read = Path(*fixed).resolve()
    return _contains(folder, read) or ("**" in whole.parts and _contains(read, folder))


def _has_pattern(path: str) -> bool:
    return any(character in path for character in "*?[")


def _contains(folder: Path, other: Path) -> bool:
    return other.is_relative_to(folder)
