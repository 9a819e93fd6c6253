"""The ledger in run.json: an entry for each file, the last key of the record. It is written and read entry by entry.

A run over very many files would otherwise have all entries in memory, several times over; and so would every command
that looks at a version.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO, TypeVar

from pipeline.errors import InputError

Entry = TypeVar("Entry")

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


def unreadable_record(path: Path, fault: Exception) -> InputError:
    """The error of a record that cannot be read, or is no JSON."""
    return InputError(
        f"cannot read {str(path)!r}: expected the JSON record of a run, found {fault}. Run again to publish a new "
        f"version, and remove {str(path.parent)!r} if it is damaged."
    )


class StoredEntries:
    """The entries of a record's ledger, which are read when they are asked for. They begin at ``position`` of the
    file. Iterating raises InputError where the file is damaged, or a run has removed it meanwhile."""

    def __init__(self, path: Path, position: int) -> None:
        self._path, self._position = path, position
        self._count: int | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._read(json.loads)

    def __len__(self) -> int:
        if self._count is None:
            self._count = sum(1 for _ in self._read(str))
        return self._count

    def __eq__(self, other: object) -> bool:
        if isinstance(other, StoredEntries):
            return all(mine == theirs for mine, theirs in zip_longest(self._read(str), other._read(str)))
        return isinstance(other, list) and list(self) == other

    __hash__ = None  # type: ignore[assignment]

    def _read(self, parse: Callable[[str], Entry]) -> Iterator[Entry]:
        """What ``parse`` makes of the text of each entry. Raises InputError where it or the file is no JSON."""
        try:
            yield from map(parse, self._texts())
        except FileNotFoundError:
            raise InputError(f"{str(self._path)!r} was removed while it was read. Ask again.") from None
        except (OSError, ValueError) as fault:
            raise unreadable_record(self._path, fault) from fault

    def _texts(self) -> Iterator[str]:
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
