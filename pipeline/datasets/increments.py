"""Merges what a run read of a table since the last one into what bronze has: rows by their keys, the newest counts.

Files of bronze never change. A file that has a row which is replaced or gone is written again without it, into the
extract of the run, and the version is no longer made of the old one. So whoever reads a source reads files, as always.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from pipeline.datasets.rewrite import clear_rows
from pipeline.datasets.state import FileState, SourceState
from pipeline.datasets.units import scan_file
from pipeline.sources.databases.extract_table import key_text, row_hash
from pipeline.sources.extracted import CLEAR, ExtractWriter, Stamp
from pipeline.sources.source import Source
from pipeline.sources.typed_rows import REJECTS

MOST_ROWS, MOST_SHARE = 500_000, 0.3
"""Where more rows, and a larger share of the table, may be new, all is read again: changes are compared in memory."""
_ROWS_OF_A_PASS = 2_000_000
_MANY_FILES, _SMALL_ROWS = 64, 20_000
"""Of more parts than that, those with fewer rows are joined."""
_KEY, _LOW, _HIGH = "_key", "_low", "_high"
_SAME_REJECT = (_KEY, "check", "column", "value")


@dataclass(frozen=True)
class Merge:
    """What is merged: the extracts until now and the one of the changes, in bronze; the columns of a row; its source;
    and what the run adds to rows. ``keys``: the file with all keys that the table has; empty: nobody looked which rows
    are gone. ``marks``: whether bronze alone says of rows that they are deleted, and the table never."""

    bronze: Path
    old: SourceState
    new: FileState
    columns: Sequence[str]
    source: Source
    stamp: Stamp
    keys: str = ""
    marks: bool = False

    @property
    def key(self) -> Sequence[str]:
        """The columns of the key of a row."""
        return self.source.key


def fits(old: SourceState, new: FileState) -> bool:
    """Whether changes are few enough to be merged."""
    return new.rows + sum(new.rejected.values()) <= max(MOST_ROWS, MOST_SHARE * old.rows)


def is_unique(file: FileState, bronze: Path, key: Sequence[str]) -> bool:
    """Whether no two rows of an extract have one key."""
    paths = file.paths(bronze)
    return all(
        scan_file(*paths).select(_hash(key)).filter(_in_pass(number, passes)).select(
            (pl.struct(_LOW, _HIGH).n_unique() == pl.len()).alias("unique")
        ).collect().item()
        for passes in [_passes(file.rows)] for number in range(passes)
    ) if paths else True  # fmt: skip


def merge(task: Merge, writer: ExtractWriter, folder: str, name: str) -> tuple[FileState, ...] | None:
    """The extracts that count now. What is written goes through ``writer`` into ``folder``; ``name``: of the table.

    None: the table has keys that no run has read, so that it must be read again as a whole.
    """
    changed, rejected = _changed_keys(task), _changed_rejects(task)
    gone = pl.DataFrame(schema={_KEY: pl.String()})
    if task.keys:
        missed, gone = _compare_keys(task)
        if missed:
            return None
    added = list(_ends(task, gone)) if task.source.snapshots else []
    if task.keys and task.marks:
        added += _returns(task, gone)
    dropped = pl.concat([changed, rejected.select(_KEY), *([] if task.source.snapshots else [gone])]).unique()
    files = task.old.files
    if not len(dropped) and not len(rejected) and not added:
        return files
    gathered = _Gathered(writer)
    if not task.source.snapshots:
        files = tuple(_without(file, dropped, task, gathered, writer) for file in files)
    for part in task.new.parts:
        gathered.add(*_chosen(task, task.new, part, changed, keep=True))
    for rows, hidden in added:
        gathered.add(rows, hidden)
    gathered.flush()
    for part in task.new.rejects:
        _keep_rejects(task, task.new, part, rejected, writer)
    found = writer.finish()
    made = FileState(name, 0, 0, "", folder, found.files, found.rows, found.rejected, found.rejects)
    return tuple(file for file in (*files, made) if file.parts or file.rejects)


class _Gathered:
    """Rows of several small parts, which are written together."""

    def __init__(self, writer: ExtractWriter) -> None:
        self._writer = writer
        self._frames: dict[bool, list[pl.DataFrame]] = {False: [], True: []}

    def add(self, rows: pl.DataFrame, hidden: bool) -> None:
        frames = self._frames[hidden]
        frames.append(rows)
        if sum(map(len, frames)) > _SMALL_ROWS:
            self.flush()

    def flush(self) -> None:
        for hidden, frames in self._frames.items():
            if frames:
                self._writer.add(pl.concat(frames), hidden=hidden)
                frames.clear()


def _without(
    file: FileState, dropped: pl.DataFrame, task: Merge, gathered: _Gathered, writer: ExtractWriter
) -> FileState:
    """An extract without some rows: its parts that have none of them."""
    place = task.bronze / file.folder
    many = sum(len(one.parts) for one in task.old.files) > _MANY_FILES
    kept, rows = [], 0
    for part in file.parts:
        keys = _keys(place / part, task.key)
        if not len(keys.join(dropped, on=_KEY, how="semi")) and not (many and len(keys) < _SMALL_ROWS):
            kept.append(part)
            rows += len(keys)
        else:
            gathered.add(*_chosen(task, file, part, dropped, keep=False))
    rejects, counts = [], Counter[str]()
    for part in file.rejects:
        found = pl.read_parquet(place / part)
        if len(found.join(dropped, left_on="key", right_on=_KEY, how="semi")):
            stay = found.join(dropped, left_on="key", right_on=_KEY, how="anti").rename({"key": _KEY})
            _keep_rejects(task, file, part, stay, writer)
        else:
            rejects.append(part)
            counts.update(dict(found.group_by("check").len().iter_rows()))
    if (tuple(kept), tuple(rejects)) == (file.parts, file.rejects):
        return file
    found_counts: Mapping[str, int] = dict(sorted(counts.items()))
    return replace(file, hash="", parts=tuple(kept), rows=rows, rejects=tuple(rejects), rejected=found_counts)


def _chosen(task: Merge, file: FileState, part: str, keys: pl.DataFrame, *, keep: bool) -> tuple[pl.DataFrame, bool]:
    """Rows of a part whose keys are in ``keys``, or are not; and whether they are hidden already."""
    place = task.bronze / file.folder
    clear = clear_rows(place, part, task.old, must=False)
    rows = pl.read_parquet(place / part)
    mask = rows.select(key_text(task.key).is_in(keys[_KEY].implode())).to_series()
    return (rows if clear is None else clear).filter(mask if keep else ~mask), clear is None


def _ends(task: Merge, gone: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, bool]]:
    """The last rows of keys that are gone, as rows that say so at the moment of the run; those that say so already are
    left out. Also whether personal values are hidden already."""
    for rows, hidden in _last_rows(task, gone, task.old.files):
        ended = rows.filter(~pl.col(task.source.deleted).fill_null(False))
        if len(ended):
            yield _at_moment(task, ended, deleted=True), hidden


def _returns(task: Merge, gone: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, bool]]:
    """The last rows of keys that bronze says are deleted, and that are in the table again with a time before that: as
    rows of the moment of the run."""
    files = [*task.old.files, task.new]
    paths = [path for file in files for path in file.paths(task.bronze)]
    if not paths:
        return
    deleted = pl.col(task.source.deleted).fill_null(False).alias("_deleted")
    rows = scan_file(*paths).select(key_text(task.key).alias(_KEY), pl.col(task.source.updated).alias("_at"), deleted)
    marked = rows.join(rows.filter("_deleted").select(_KEY).unique(), on=_KEY, how="semi").sort("_at", "_deleted")
    last = marked.group_by(_KEY).agg(pl.col("_deleted").last()).filter("_deleted").select(_KEY).collect()
    rejected = _rejects(files, task.bronze)  # which are in the table, and no good rows
    returned = last.join(gone, on=_KEY, how="anti").join(rejected, on=_KEY, how="anti")
    for found, hidden in _last_rows(task, returned, files):
        yield _at_moment(task, found, deleted=False), hidden


def _last_rows(task: Merge, keys: pl.DataFrame, files: Sequence[FileState]) -> Iterator[tuple[pl.DataFrame, bool]]:
    """Of some keys the rows that were extracted last, and whether personal values are hidden already."""
    for file in reversed(files):
        for part in reversed(file.parts):
            here = _keys(task.bronze / file.folder / part, task.key).join(keys, on=_KEY, how="semi")
            if len(here):
                keys = keys.join(here, on=_KEY, how="anti")
                yield _chosen(task, file, part, here, keep=True)


def _at_moment(task: Merge, rows: pl.DataFrame, *, deleted: bool) -> pl.DataFrame:
    """Rows as the run adds them: what they say since its moment."""
    updated = task.source.updated
    moment = pl.lit(task.stamp.extracted_at).cast(rows.schema[updated])
    said = pl.lit(deleted or None, pl.Boolean).alias(task.source.deleted)
    return task.stamp.add_to(rows.with_columns(pl.max_horizontal(updated, moment), said))


def _keep_rejects(task: Merge, file: FileState, part: str, wanted: pl.DataFrame, writer: ExtractWriter) -> None:
    """Write those rejected rows of a part whose keys, which may be null, are in ``wanted``."""
    place = task.bronze / file.folder
    clear = place / (part if not task.old.protection else f"{CLEAR}{part}")
    rows = pl.read_parquet(clear if clear.exists() else place / part)
    stay = rows.filter(rows["key"].is_in(wanted[_KEY].implode(), nulls_equal=True))
    writer.add_rejected(stay.select(list(REJECTS)), hidden=not clear.exists())


def _changed_keys(task: Merge) -> pl.DataFrame:
    """Keys of rows that are new, or other than in bronze."""
    paths = task.new.paths(task.bronze)
    if not paths:
        return pl.DataFrame(schema={_KEY: pl.String()})
    now = _hashed(paths, task).collect()
    before = [_hashed([path], task).join(now.lazy().select(_KEY), on=_KEY, how="semi").collect()
              for path in task.old.paths(task.bronze)]  # fmt: skip
    if not before:
        return now.select(_KEY)
    latest = pl.concat(before).unique(_KEY, keep="last", maintain_order=True)  # of several snapshots the last one
    return now.join(latest, on=[_KEY, _LOW, _HIGH], how="anti").select(_KEY)


def _changed_rejects(task: Merge) -> pl.DataFrame:
    """Rejected rows that are new, or other than in bronze."""
    now, before = (_rejects(files, task.bronze) for files in ([task.new], task.old.files))
    return now.join(before, on=_SAME_REJECT, how="anti", nulls_equal=True)


def has_rejects_without_key(state: SourceState, bronze: Path) -> bool:
    """Whether a rejected row does not tell its key: nobody would see that it was corrected."""
    return bool(_rejects(state.files, bronze)[_KEY].has_nulls())


def _rejects(files: Sequence[FileState], bronze: Path) -> pl.DataFrame:
    paths = [bronze / file.folder / part for file in files for part in file.rejects]
    frames = [pl.read_parquet(path).rename({"key": _KEY}).select(_SAME_REJECT) for path in paths]
    empty = pl.DataFrame(schema=dict.fromkeys(_SAME_REJECT, pl.String()))
    return pl.concat([empty, *frames])


def _compare_keys(task: Merge) -> tuple[bool, pl.DataFrame]:
    """Whether the table has keys that bronze has not, and the keys of bronze that the table has no longer."""
    paths = [*task.old.paths(task.bronze), *task.new.paths(task.bronze)]
    known = [scan_file(*paths).select(key_text(task.key).alias(_KEY))] if paths else []
    known.append(
        pl.concat([_rejects(task.old.files, task.bronze), _rejects([task.new], task.bronze)]).lazy().select(_KEY)
    )
    passes = _passes(task.old.rows + task.new.rows)
    gone, missed = [], False
    for number in range(passes):
        ours, theirs = (
            rows.with_columns(pl.col(_KEY).hash(1).alias(_LOW))
            .filter(_in_pass(number, passes))
            .select(_KEY)
            .unique()
            .collect()
            for rows in (pl.concat(known).drop_nulls(), pl.scan_parquet(task.keys))
        )
        gone.append(ours.join(theirs, on=_KEY, how="anti"))
        missed |= bool(len(theirs.join(ours, on=_KEY, how="anti")))
    return missed, pl.concat(gone)


def _keys(path: Path, key: Sequence[str]) -> pl.DataFrame:
    return pl.scan_parquet(path, glob=False).select(key_text(key).alias(_KEY)).collect()


def _hashed(paths: Sequence[str], task: Merge) -> pl.LazyFrame:
    """Keys and two hashes of the rows, which are compared within one process alone."""
    low, high = (row_hash(task.columns, seed) for seed in (1, 2))
    return scan_file(*paths).select(key_text(task.key).alias(_KEY), low.alias(_LOW), high.alias(_HIGH))


def _hash(key: Sequence[str]) -> tuple[pl.Expr, pl.Expr]:
    return key_text(key).hash(1).alias(_LOW), key_text(key).hash(2).alias(_HIGH)


def _passes(rows: int) -> int:
    return 1 + rows // _ROWS_OF_A_PASS


def _in_pass(number: int, passes: int) -> pl.Expr:
    return pl.col(_LOW) % passes == number
