"""What two runs leave, packed for ``test_store_of_the_version_before``: ``python -m scripts.make_store_fixture``.

Each archive in tests/end_to_end/stores is a folder with logs, intermediate folder, output link and versions, without
reports, which nobody goes on from. Absolute paths in it begin with ``PLACEHOLDER``; ``unpack`` puts real ones there.

Make the archives anew only together with a change by which every log is read once more in any case: another format of
the fingerprint (``FORMAT``), of the manifest or of the store, or another geo table. Run it with the program that has
the change, and commit what it wrote. Where a test fails without such a change, the program is wrong, and not the
archives: whoever has a history would have to read it again, and could not where logs have left. What only comes to
``run.json`` besides is listed in the test as ``ADDED``.
"""

import gzip
import json
import os
import random
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
STORES = ROOT / "tests" / "end_to_end" / "stores"
PLACEHOLDER = "/where/it/was/made"
"""The placeholder for the folder in which the program ran."""

OPTIONS = ("--input", "logs", "--engine", "polars", "--workers", "2", "--memory-limit", "4GB")
"""Settings of every run, so that they do not depend on the machine."""
LASTING = {"QUARANTINE_RETENTION_DAYS": 36_500}
"""Settings that keep what an old archive holds."""
RULES = {
    "day": {"max_minutes": 1440, "action": "reject"},
    "device": {"column": "device_type", "allowed": ["tv", "phone"], "action": "warn"},
    "film": {"column": "video_id", "pattern": "film-[0-9]+|.*,.*", "action": "reject"},
}
SETTINGS: dict[str, dict[str, object]] = {
    "defaults": LASTING,
    "settings": LASTING
    | {
        "DEDUPE_KEEP": "last",
        "RECORD_RULES": json.dumps(RULES),
        "GEO_LEVEL": "country",
        "WATCH_TIME_COLUMN": "watch_time(min),minutes",
        "QUARANTINE_RAW": "no",
        "PSEUDONYMIZE_USERS": "yes",
        "PSEUDONYM_KEY": "no secret: it is in the tests",
        "SPLIT_BYTES": 6000,
    },
}
"""Settings by the name of the archive: everything in the fingerprint has its default value, or another one."""

SECOND_DAY = "2026-01-02.csv"
"""The log that only the second run finds."""

CONTESTED = "the-id"
"""The log_id of records in both days' logs with different contents, one of them too long."""

_HEADER = "log_id,user_id,timestamp,video_id,device_type,ip_address,watch_time(min)\n"
_ADDRESSES = ["8.8.8.8", "133.11.0.1", "2001:4860:4860::8888", "2a00:1450:4001::1", "10.0.0.1", "4000::1", "none"]
_WRITTEN_AT = 1_767_500_000
"""The time of modification that the logs get, in epoch seconds."""


def main() -> None:
    """Make both archives."""
    STORES.mkdir(exist_ok=True)
    for name, settings in SETTINGS.items():
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder).resolve()
            _run_twice(place, settings)
            _neutralize(place)
            _refuse_traces(place)
            pack(place, STORES / f"{name}.tar.xz")
        print(f"{name}.tar.xz: {(STORES / f'{name}.tar.xz').stat().st_size:,} bytes")


def make_logs() -> dict[str, bytes]:
    """Logs of two days by name: duplicates and conflicts within and across files and days, rejected records."""
    first = [
        *_records(random.Random(1), 260, 1),
        f"{CONTESTED},ann,2026-01-01T10:00:00Z,film-1,tv,8.8.8.8,10",
        f"{CONTESTED},ann,2026-01-01T10:00:00Z,film-1,tv,8.8.8.8,10",
        "long,ann,2026-01-01T10:00:00Z,film-1,tv,8.8.8.8,1441",
        "song,ann,2026-01-01T10:00:00Z,song-1,tv,8.8.8.8,4",
        'quoted,bob,2026-01-01T10:00:00Z,"film, the ""second""",phone,2001:4860:4860::8888,2.0000005',
        "no-user,,2026-01-01T10:00:00Z,film-1,tv,8.8.8.8,1",
        "no-number,ann,2026-01-01T10:00:00Z,film-1,tv,8.8.8.8,minus",
        "too-few,ann,2026-01-01T10:00:00Z",
        "",
    ]
    late = [
        *_records(random.Random(2), 90, 1),
        f"{CONTESTED},ann,2026-01-01T10:30:00Z,film-1,tv,8.8.8.8,40",
        f"{CONTESTED},eve,2026-01-01T09:00:00Z,film-1,tv,8.8.8.8,5",
        f"{CONTESTED},ann,2026-01-01T11:00:00Z,film-1,tv,8.8.8.8,50,1",
    ]
    other = [
        "user_id;log_id;watch_time(min);ip_address;device_type;video_id;timestamp;player",
        "bob;id-7;1.25;8.8.8.8;radio;film-9;2026-01-01T12:00:00+01:00;old",
        "bob;only-here;3,5;8.8.8.8;tv;film-9;2026-01-01T12:00:00Z;old",
        "bob;only-here;3.5;::ffff:10.0.0.1;tv;film-9;not a time;old",
    ]
    second = [
        *_records(random.Random(3), 70, 2),
        f"{CONTESTED},ann,2026-01-02T08:00:00Z,film-1,tv,8.8.8.8,30",
        f"{CONTESTED},ann,2026-01-01T10:30:00Z,film-1,tv,8.8.8.8,40",
        "second-day,ann,2026-01-02T08:00:00Z,film-1,tv,8.8.8.8,1e999",
    ]
    return {
        "2026-01-01.csv": _text(_HEADER, first),
        "2026-01-01-late.csv.gz": gzip.compress(_text(_HEADER, late), mtime=0),
        "2026-01-01-other.csv": _text("", other),
        SECOND_DAY: _text(_HEADER, second),
    }


def write_log(path: Path, content: bytes) -> None:
    """Write a log with an old time of modification, so that its hint counts as stable."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (_WRITTEN_AT, _WRITTEN_AT))


def make_day(seed: int, rows: int, day: int) -> bytes:
    """A log of a later day, with ids of the logs before."""
    return _text(_HEADER, _records(random.Random(seed), rows, day))


def pack(place: Path, archive: Path) -> None:
    """Pack all of a folder, in order of names and without owners."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    with tarfile.open(archive, "w:xz", preset=9) as stream:
        for path in sorted(place.iterdir()):
            stream.add(path, path.name, filter=plain)


def unpack(name: str, place: Path) -> None:
    """Unpack an archive into a folder as if the program had run there."""
    with tarfile.open(STORES / f"{name}.tar.xz") as stream:
        stream.extractall(place, filter="tar")
    move_manifest(place / "pipeline_data" / "intermediate" / "manifest.sqlite", PLACEHOLDER, os.path.realpath(place))


def move_manifest(manifest: Path, old: str, new: str) -> None:
    """Let the manifest's paths begin with ``new`` instead of ``old``; leaves one file."""
    before, after = os.fsencode(old), os.fsencode(new)
    database = sqlite3.connect(manifest, isolation_level=None)
    database.execute("BEGIN")
    for table, column in (("files", "path"), ("versions", "output"), ("counted", "output")):
        for (path,) in database.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall():
            assert path.startswith(before + b"/"), path
            database.execute(
                f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (path.replace(before, after, 1), path)
            )
    for (text,) in database.execute("SELECT DISTINCT sources FROM versions").fetchall():
        sources = [source.replace(old, new, 1) for source in json.loads(text)]
        database.execute("UPDATE versions SET sources = ? WHERE sources = ?", (json.dumps(sources), text))
    database.execute("COMMIT")
    database.execute("VACUUM")  # or pages that became free would hold the old paths
    database.close()
    assert not list(manifest.parent.glob("manifest.sqlite-*"))


def _records(dice: random.Random, rows: int, day: int) -> list[str]:
    """Records of few ids, so that many repeat: with equal content, longer and later, or of another user."""
    lines = []
    for _ in range(rows):
        id_, grown, other = dice.randrange(420), dice.random() < 0.15, dice.random() < 0.04
        user = (id_ + other) % 37
        time = f"2026-01-{day if grown else 1:02}T{id_ % 20 + 3 * grown:02}:{id_ % 60:02}:00Z"
        film = f'"film, {id_ % 9}"' if id_ % 50 == 0 else f"film-{id_ % 9}"
        device, address = ("tv", "phone", "tv", "web")[id_ % 4], _ADDRESSES[user % len(_ADDRESSES)]
        lines.append(f"id-{id_},user-{user},{time},{film},{device},{address},{id_ % 45 + 0.5 + 7.25 * day * grown}")
    return lines


def _text(header: str, lines: list[str]) -> bytes:
    return (header + "\n".join(lines) + "\n").encode()


def _run_twice(place: Path, settings: dict[str, object]) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LOGMILL_")}
    environ |= {f"LOGMILL_{name}": str(value) for name, value in settings.items()}
    command = [sys.executable, str(ROOT / "main.py"), "run", "--quiet", *OPTIONS]
    logs = make_logs()
    for names in (logs.keys() - {SECOND_DAY}, {SECOND_DAY}):
        for name in names:
            write_log(place / "logs" / name, logs[name])
        subprocess.run(command, cwd=place, env=environ, check=True)


def _neutralize(place: Path) -> None:
    """Remove everything that tells of this machine."""
    move_manifest(place / "pipeline_data" / "intermediate" / "manifest.sqlite", str(place), PLACEHOLDER)
    for note in (place / "pipeline_data" / "intermediate").glob("run-*/nothing-new.json"):
        note.unlink()  # it names folders of this machine; without it a run compares everything itself
    for version in (place / "pipeline_data" / "output.versions").glob("2*"):
        times = version.stat()
        (version / "report.html").unlink()
        path = version / "geo.json"
        geo = json.loads(path.read_text())
        for name in ("compiled", "prepared"):
            geo["source"][name] = f"{PLACEHOLDER}/{Path(geo['source'][name]).name}"
        path.write_text(json.dumps(geo, ensure_ascii=False) + "\n")
        os.utime(version, ns=(times.st_atime_ns, times.st_mtime_ns))  # which tell the order of versions


def _refuse_traces(place: Path) -> None:
    """Raise where a file names a folder of this machine, or the machine itself."""
    names = {str(place), str(ROOT), str(Path.home()), tempfile.gettempdir(), socket.gethostname()}
    for path in place.rglob("*"):
        for text in _texts(path) if path.is_file() else ():
            found = [name for name in names if len(name) > 2 and name.encode() in text]
            assert not found, f"{path} names {found}"


def _texts(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    if path.suffix == ".parquet":
        yield repr((pq.read_metadata(path).metadata, pq.read_table(path).to_pydict())).encode()


if __name__ == "__main__":
    main()
