"""Replayed files: corrected records, which count in every run over their input. They lie beside the versions.

A file is ``OUTPUT_DIR.versions/replayed/<hash of the input's path>/<hash of the bytes>.csv``. So the same bytes count
once however often they are replayed, and records corrected for one input never count in a run over another.
"""

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pipeline.errors import InputError
from pipeline.machine import display_name, sync, writing
from pipeline.reading.file_access import real_path
from pipeline.reading.no_header import without_fields

FOLDER = "replayed"
_PIECE = 1 << 20
_PARQUET = b"PAR1"
_PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""The first bytes of gzip and zstd."""


class Replays:
    """The replayed files of one input (``source``) and output, whose versions lie in the folder ``versions``.

    Leaving the ``with`` block removes the files that were added and not kept. Where a run is killed between ``add`` and
    ``keep``, its files stay, and count in the next run, which says so. ``notes``: lines for the summary.
    """

    def __init__(self, versions: Path, source: str) -> None:
        self._all = versions / FOLDER
        self._source = real_path(source)
        self._folder = self._all / hashlib.sha256(os.fsencode(self._source)).hexdigest()[:16]
        self._added: list[Path] = []
        self.notes: list[str] = []

    def __enter__(self) -> "Replays":
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._added:
            path.unlink()
        self._added = []

    @property
    def folder(self) -> Path:
        """The folder with the replayed files of all inputs of this output."""
        return self._all

    @property
    def paths(self) -> list[str]:
        """The replayed files of this input, in the order of their names."""
        return [str(path) for path in sorted(self._folder.glob("*.csv"))]

    @property
    def added(self) -> frozenset[str]:
        """The paths of the files that this run added."""
        return frozenset(map(str, self._added))

    def add(self, names: Iterable[str]) -> None:
        """Copy files of corrected records. Raises InputError where one cannot be read, or is Parquet or compressed."""
        for name in names:
            if not os.path.isfile(name):
                raise InputError(
                    f"replay: there is no file {display_name(name)!r}. Name a CSV of corrected records with its header."
                )
            try:
                added = self._take(name)
            except OSError as fault:
                if fault.filename is None or os.fspath(fault.filename) != name:
                    raise
                raise InputError(f"replay: cannot read {display_name(name)!r}: {fault.strerror}.") from fault
            if not added:
                self.notes.append(f"{display_name(name)} was replayed before: nothing is counted twice")

    def refuse_faulty(self, refused: Mapping[str, str]) -> None:
        """Raise InputError where a file that this run added is among the ``refused`` ones (reasons by path)."""
        for path in self._added:
            if str(path) in refused:
                reason = without_fields(refused[str(path)])  # the line that it shows may be a record
                raise InputError(
                    f"replay: the file is refused: {reason} Nothing was published; the previous output still stands."
                )

    def keep(self) -> None:
        """Let the added files stay, because a version with them is published."""
        self._added = []

    def describe(self, counted: Collection[str]) -> tuple[str, ...]:
        """Lines for the summary: which replayed files count besides the input, and which do not.

        ``counted``: the listed names of the files that count in the new version.
        """
        return (*self.notes, *self.describe_kept(counted))

    def describe_kept(self, counted: Collection[str]) -> tuple[str, ...]:
        """These lines without those about files that this run added."""
        lines = []
        if paths := self.paths:
            count = "1 replayed file counts" if len(paths) == 1 else f"{len(paths):,} replayed files count"
            lines.append(f"{count} besides the input, in {display_name(str(self._folder))}")
        others = [path for path in self._all.glob("*/*.csv") if path.parent != self._folder]
        others = [path for path in others if display_name(str(path)) not in counted]  # with --add they may
        if others:
            sources = sorted({_read_source(path.parent) for path in others})
            lines.append(
                f"replayed files of other inputs do not count here: {len(others):,} ({', '.join(sources[:3])})"
            )
        return tuple(lines)

    def _take(self, name: str) -> bool:
        """Copy one file under its final name. Returns whether there was none of that name yet."""
        self._all.mkdir(mode=0o700, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with writing(self._folder / "input.txt"):
            (self._folder / "input.txt").write_bytes(os.fsencode(self._source))
        partial = self._folder / ".partial"
        try:
            final = self._folder / f"{_copy(name, partial)[:32]}.csv"
            if final.exists():
                return False
            sync(partial)
            partial.replace(final)
            self._added.append(final)
        finally:
            partial.unlink(missing_ok=True)
        for folder in (self._folder, self._all, self._all.parent):
            sync(folder)
        return True


def _copy(name: str, target: Path) -> str:
    """Copy a file so that only its owner may read it. Returns the SHA-256 of its bytes."""
    digest = hashlib.sha256()
    target.unlink(missing_ok=True)
    with open(name, "rb") as source, open(target, "xb", opener=lambda path, how: os.open(path, how, 0o600)) as copy:
        while piece := source.read(_PIECE):
            if not copy.tell() and piece.startswith(_PARQUET):
                raise InputError(
                    f"replay: {display_name(name)!r} is Parquet, as the quarantine keeps it. Write its column raw to a "
                    "CSV under the header (docs/guide.md shows how), correct that, and replay it."
                )
            if not copy.tell() and piece.startswith(_PACKED):
                raise InputError(f"replay: {display_name(name)!r} is compressed. Expand it, and replay that.")
            digest.update(piece)
            copy.write(piece)
    return digest.hexdigest()


def _read_source(folder: Path) -> str:
    path = folder / "input.txt"
    return display_name(os.fsdecode(path.read_bytes())) if path.exists() else "unknown"
