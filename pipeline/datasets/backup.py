"""Copies a version of a job to a folder or a storage with the hash of each file, and brings it back.

A backup has all of which the version is made: tables, quarantine, record, report, and the extracts with hidden values,
from which the next run goes on. It has neither the clear values of hidden columns nor the key.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.datasets.bronze import FORGETTING, bronze_folder, check_all_forgotten, mark_published
from pipeline.datasets.publication import catch_up, extracts_of
from pipeline.datasets.state import JobState, published_state, read_state, state_in
from pipeline.errors import ConfigError, InputError
from pipeline.sources.extracted import CLEAR
from pipeline.sources.forgotten import read_forgotten
from pipeline.storage.objects import list_objects, read_object, write_object
from pipeline.storage.transfer import download_files, upload_files
from pipeline.storage.urls import is_url, join_url
from pipeline.versions.folders import is_run_id, new_run_id
from pipeline.versions.lock import Lock
from pipeline.versions.output_link import Output
from pipeline.versions.outputs import locked

MANIFEST = "backup.json"
"""Names every file of a backup with its bytes and SHA-256; written last, so that a backup without it is none."""
_SHOWN = 5
_ALL = 10**9
"""Versions that stay."""


@dataclass(frozen=True)
class Backup:
    """A version that was copied: its name, where it lies, how many files of how many bytes, and what is left to do."""

    version: str
    place: str
    files: int
    bytes: int
    note: str = ""


def back_up(output: Output, version: str | None, to: str) -> Backup:
    """Copy a version (None: the one that is shown) to the folder of its name below ``to``, a folder or a URL.

    Raises InputError where there is no such version or the backup is there already; StorageFault.
    """
    with Lock(output.versions, f"backup-{new_run_id()}"):
        check_all_forgotten(bronze_folder(output.link))
        state = _state(output, version)
        place = _join(to, state.run_id)
        if _read_manifest(place) is not None:
            raise InputError(f"there is a backup of {state.run_id} at {place!r} already. Remove it first, or leave it.")
        files = _files(output, state)
        listed = {name: {"bytes": path.stat().st_size, "sha256": hash_of(path)} for name, path in files.items()}
        _put(place, files)
        _put_text(place, MANIFEST, json.dumps({"version": state.run_id, "files": listed}, indent=1))
        return Backup(state.run_id, place, len(files), sum(path.stat().st_size for path in files.values()))


def restore(output: Output, version: str | None, origin: str) -> Backup:
    """Bring a version (None: the latest) back from below ``origin``, and show it.

    Nothing of it is seen unless every file is as it was. Raises InputError where there is no backup, a file of it is
    missing or damaged, or the version is there still.
    """
    found = _find(origin, version)
    place = _join(origin, found)
    manifest = _read_manifest(place)
    if manifest is None:
        raise InputError(f"there is no backup at {place!r}: expected {MANIFEST} there.")
    output.check()
    name = f"restore-{new_run_id()}"
    bronze = bronze_folder(output.link)
    with locked(output, name), _hidden(output, found) as fresh:
        bronze.mkdir(mode=0o700, exist_ok=True)
        catch_up(output, bronze)
        check_all_forgotten(bronze)
        if found in output.version_names():
            raise InputError(f"the version {found} is there still. The action rollback shows it.")
        _get(place, fresh, list(manifest))
        _check(fresh, manifest, place)
        _bring(fresh, output, found, bronze)
        note = _check_forgotten(bronze)
    return Backup(found, place, len(manifest), sum(int(str(facts["bytes"])) for facts in manifest.values()), note)


def _check_forgotten(bronze: Path) -> str:
    """What is left to do where people were forgotten, whom the backup may bring back."""
    if not read_forgotten(bronze).hashes:
        return ""
    (bronze / FORGETTING).touch(mode=0o600)
    return "people were forgotten here, whom the backup may have: run the action forget, without ids"


def hash_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _state(output: Output, version: str | None) -> JobState:
    if version is None:
        return published_state(output)
    state = read_state(output, version, records_only=False) if is_run_id(version) else None
    if state is None:
        raise InputError(f"there is no version {version!r}. Kept: {', '.join(output.version_names()) or 'none'}.")
    return state


def _files(output: Output, state: JobState) -> dict[str, Path]:
    """Name in the backup → file."""
    version = {f"version/{path.relative_to(state.folder).as_posix()}": path for path in state.folder.rglob("*")}
    bronze = bronze_folder(output.link)
    extracts = {
        f"bronze/{file.folder}/{part}": bronze / file.folder / part
        for source in state.sources.values()
        for file in source.files
        for part in (*file.parts, *file.rejects)
        if not part.startswith(CLEAR)
    }
    return {name: path for name, path in (version | extracts).items() if path.is_file()}


@contextmanager
def _hidden(output: Output, version: str) -> Iterator[Path]:
    """A folder for what is brought back, on the file system of the versions, open to its owner alone."""
    with TemporaryDirectory(prefix=f".restore-{version}-", dir=output.versions) as folder:
        yield Path(folder)


def _check(folder: Path, manifest: Mapping[str, Mapping[str, object]], place: str) -> None:
    """Raise InputError where files are not what the manifest says, by name."""
    wrong = [name for name, facts in manifest.items() if hash_of(folder / name) != facts["sha256"]]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise InputError(
            f"the backup at {place!r} is damaged, and nothing was restored: other bytes than were written are in "
            f"{', '.join(wrong[:_SHOWN])}{more}. Restore another version."
        )


def _bring(fresh: Path, output: Output, version: str, bronze: Path) -> None:
    """Put the extracts into bronze, and publish the version."""
    for file in sorted((fresh / "bronze").rglob("*.parquet")):
        target = bronze / file.relative_to(fresh / "bronze")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.chmod(0o600)
        if not target.exists() or hash_of(target) != hash_of(file):
            file.replace(target)
    for folder in (fresh / "version").glob("quarantine/**"):
        if folder.is_dir():
            folder.chmod(0o700)
    state = state_in(fresh / "version", version)
    assert state, "its record was just restored"
    output.publish(fresh / "version", version, _ALL, lambda _: extracts_of(state, bronze))
    mark_published(bronze, state.sources)


def _find(origin: str, version: str | None) -> str:
    """The version to restore. Raises InputError where there is no backup."""
    if version:
        return version
    if is_url(origin):
        names = {url[len(origin.rstrip("/")) + 1 :].partition("/")[0] for url in list_objects(origin.rstrip("/") + "/")}
    else:
        names = {path.name for path in Path(origin).iterdir()} if Path(origin).is_dir() else set()
    if not (found := sorted(filter(is_run_id, names))):
        raise InputError(f"there is no backup at {origin!r}: expected folders that are called as versions.")
    return found[-1]


def _join(place: str, name: str) -> str:
    return join_url(place, name) if is_url(place) else str(Path(place).absolute() / name)


def _read_manifest(place: str) -> dict[str, dict[str, object]] | None:
    """The files of a backup, or None where it has no manifest. Raises InputError where that is damaged."""
    try:
        text = read_object(join_url(place, MANIFEST)) if is_url(place) else (Path(place) / MANIFEST).read_bytes()
    except FileNotFoundError:
        return None
    try:
        files: dict[str, dict[str, object]] = json.loads(text)["files"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{_join(place, MANIFEST)!r} is damaged. Restore another version.") from None
    if wrong := [name for name in files if not _is_inside(name)]:
        raise ConfigError(f"{_join(place, MANIFEST)!r} names a file outside the backup: {wrong[0]!r}.")
    return files


def _is_inside(name: str) -> bool:
    return name.startswith(("version/", "bronze/")) and ".." not in Path(name).parts


def _put(place: str, files: Mapping[str, Path]) -> None:
    if is_url(place):
        upload_files({join_url(place, name): path for name, path in files.items()})
        return
    for name, path in files.items():
        target = Path(place) / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(path, target)
    Path(place).chmod(0o700)


def _put_text(place: str, name: str, text: str) -> None:
    if is_url(place):
        write_object(join_url(place, name), text.encode())
    else:
        (Path(place) / name).write_text(text, encoding="utf-8")


def _get(place: str, folder: Path, names: list[str]) -> None:
    """Bring the files of a backup into a folder. Raises InputError where one is missing."""
    try:
        if is_url(place):
            download_files({join_url(place, name): folder / name for name in names})
            return
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(place) / name, folder / name)
    except FileNotFoundError as fault:
        raise InputError(
            f"the backup at {place!r} is damaged, and nothing was restored: {fault.filename or fault} is missing. "
            "Restore another version."
        ) from None
