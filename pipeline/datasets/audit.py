"""The audit of a job: who ran, asked or changed what, in lines that are only ever added.

Each line has the hash of the line before, so that a line that is changed, removed or put between others breaks the
chain. A file beside it, the head, has number and hash of the last line, so that lines are missed at the end, too. Who
may write both can make them anew: only a hash that was noted elsewhere tells of that.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.machine import sync

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NOTHING = "0" * 64
"""The hash before the first line."""
_TAIL_BYTES = 2**20
"""The last line is within so many bytes of the end."""
_QUERY_CHARACTERS = 10_000
Entry = dict[str, Any]


def audit_file(output: Path) -> Path:
    """The file of lines beside an output."""
    return output.with_name(f"{output.name}.audit.jsonl")


def add_entry(path: Path, what: str, facts: Mapping[str, Any], at: datetime | None = None) -> None:
    """Add a line: ``what`` was done, by whom, when (``at``: naive UTC; None: now), and ``facts`` without any value of a
    record. Raises OSError where this is not possible."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path) as handle:
        last = _last(path)
        moment = (at or datetime.now(UTC).replace(tzinfo=None)).isoformat(timespec="seconds") + "Z"
        entry = {
            "number": last["number"] + 1, "at": moment, "who": _user(), "what": what, "facts": dict(facts),
            "before": last["hash"],
        }  # fmt: skip
        entry["hash"] = _hash(entry)
        os.write(handle, json.dumps(entry).encode() + b"\n")
        os.fsync(handle)
        _write_head(path, entry)


def read_entries(path: Path) -> list[Entry]:
    """All lines, oldest first. Raises InputError where a line is none."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        return [dict(json.loads(line)) for line in lines]
    except (ValueError, TypeError):
        raise InputError(f"{str(path)!r} has a line that is no JSON object. See: the action audit verify.") from None


def verify(path: Path, noted: str | None = None) -> list[str]:
    """What is wrong with the lines, for people; nothing: all is as it was written.

    ``noted``: the hash of a line that somebody noted elsewhere, which must still be there.
    """
    if not path.exists():
        return [f"there is no {path.name}"]
    wrong: list[str] = []
    before, number, hashes = _NOTHING, 0, []
    for at, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        entry = _parsed(line)
        if entry is None:
            wrong.append(f"line {at} is no line of an audit")
            continue
        if entry.get("hash") != _hash(entry):
            wrong.append(f"line {at} was changed")
        if (entry.get("before"), entry.get("number")) != (before, number + 1):
            wrong.append(f"line {at} does not follow the line before: lines were removed, inserted or changed there")
        before, number = str(entry.get("hash")), int(entry.get("number", 0))
        hashes.append(before)
    head = _parsed(_head(path).read_text(encoding="utf-8")) if _head(path).exists() else None
    if head != {"number": number, "hash": before}:
        wrong.append(
            f"the last line is number {number}, and the head tells of another one: lines were removed or added"
        )
    if noted and noted not in hashes:
        wrong.append("no line has the hash that was noted")
    return wrong


def without_literals(sql: str) -> str:
    """A query without the texts, numbers and comments in it, each of which becomes ``?``."""
    import duckdb

    tokens = duckdb.tokenize(sql)
    ends = [*(begin for begin, _ in tokens[1:]), len(sql.encode())]
    text, parts = sql.encode(), []
    for (begin, kind), end in zip(tokens, ends, strict=True):
        hidden = kind in (duckdb.token_type.string_const, duckdb.token_type.numeric_const, duckdb.token_type.comment)
        parts.append("?" if hidden else text[begin:end].decode("utf-8", "replace").strip())
    return " ".join(parts)[:_QUERY_CHARACTERS]


def _user() -> str:
    """The name of the user by the system; an environment variable can say anything."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "unknown")


def _hash(entry: Entry) -> str:
    told = {name: value for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, open to add to it, while nobody else adds."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _last(path: Path) -> Entry:
    """The last line. One that was cut off is ended first, so that it stays visible as no line."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        data = stream.read()
    if data and not data.endswith(b"\n"):
        with path.open("ab") as stream:
            stream.write(b"\n")
    entries = [entry for line in data.decode("utf-8", "replace").splitlines() if (entry := _parsed(line))]
    return entries[-1] if entries else {"number": 0, "hash": _NOTHING}


def _parsed(line: str) -> Entry | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "hash" in entry and "number" in entry else None


def _head(path: Path) -> Path:
    return path.with_name(f"{path.name}.head")


def _write_head(path: Path, entry: Entry) -> None:
    fresh = path.with_name(f".{path.name}.head")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps({"number": entry["number"], "hash": entry["hash"]}), encoding="utf-8")
    sync(fresh)
    fresh.replace(_head(path))
