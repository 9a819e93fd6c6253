"""The ledger in run.json: an entry for each file, the last key of the record. It is written and read entry by entry.

A run over very many files would otherwise have all entries in memory, several times over; and so would every command
that looks at a version.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO

from pipeline.errors import InputError

_BEGIN = '  "ledger": ['
_NO_ENTRY = _BEGIN + "]"
_ENTRY, _NEXT, _END = "    {", ("    }", "    },"), "  ]"


def write_entries(stream: TextIO, entries: Iterable[dict[str, object]]) -> None:
    """Write the ledger and the end of a record behind the record's other keys, as ``json.dump`` with ``indent=2``
    would."""
    stream.write(f",\n{_BEGIN}")
    first = True
    for entry in entries:
        lines = json.dumps(entry, indent=2, ensure_ascii=False).split("\n")
        stream.write(("\n" if first else ",\n") + "\n".join("    " + line for line in lines))
        first = False
    stream.write("]\n}\n" if first else f"\n{_END}\n}}\n")


def read_record(path: Path) -> Any:
    """Read a record; its ledger is ``StoredEntries`` where the file has the form that ``write_entries`` gives it.

    Raises OSError, and ValueError for a file that is no JSON.
    """
    head: list[str] = []
    with path.open(encoding="utf-8", newline="\n") as stream:
        while line := stream.readline():
            if line.rstrip("\n") == _BEGIN:
                record = json.loads("".join(head).rstrip().removesuffix(",") + "}")
                record["ledger"] = StoredEntries(path, stream.tell())
                return record
            head.append(line)
    return json.loads("".join(head))


class StoredEntries:
    """The entries of a record's ledger, which are read when they are asked for. They begin at ``position`` of the
    file. Iterating raises InputError where the file is damaged, or a run has removed it meanwhile."""

    def __init__(self, path: Path, position: int) -> None:
        self._path, self._position = path, position
        self._count: int | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for text in self._texts():
            try:
                yield json.loads(text)
            except ValueError as fault:
                raise self._unreadable(fault) from fault

    def __len__(self) -> int:
        if self._count is None:
            self._count = sum(1 for _ in self._texts())
        return self._count

    def __eq__(self, other: object) -> bool:
        if isinstance(other, StoredEntries):
            return all(mine == theirs for mine, theirs in zip_longest(self._texts(), other._texts()))
        return isinstance(other, list) and list(self) == other

    __hash__ = None  # type: ignore[assignment]

    def _texts(self) -> Iterator[str]:
        try:
            yield from self._read_texts()
        except FileNotFoundError:
            raise InputError(f"{str(self._path)!r} was removed while it was read. Ask again.") from None
        except (OSError, ValueError) as fault:
            raise self._unreadable(fault) from fault

    def _unreadable(self, fault: Exception) -> InputError:
        return InputError(
            f"cannot read {str(self._path)!r}: expected the JSON record of a run, found {fault}. Run again to publish "
            "a new version."
        )

    def _read_texts(self) -> Iterator[str]:
        with self._path.open(encoding="utf-8", newline="\n") as stream:
            stream.seek(self._position)
            lines: list[str] = []
            for line in stream:
                bare = line.rstrip("\n")
                if bare == _END:
                    return
                lines.append(line)
                if bare in _NEXT:
                    yield "".join(lines).rstrip().removesuffix(",")
                    lines = []
        raise ValueError("a ledger without an end")
