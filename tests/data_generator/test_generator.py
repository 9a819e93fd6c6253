"""The generator's promises: same bytes for the same seed, the size and shares asked for, and an exact truth."""

import csv
import re
from collections import Counter
from dataclasses import asdict, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pytest

from data_generator import generator
from data_generator.blocks import BLOCK_ROWS, make_block
from data_generator.generator import DataSetSettings, ForeignLogs, Truth, generate, load_truth
from data_generator.malformed import REASONS
from data_generator.rows import HEADER, RowLayout

COLUMNS = HEADER.decode().rstrip("\n").split(",")
SMALL = DataSetSettings(files=3, size_bytes=600_000, users=500)
DIRTY = replace(
    SMALL,
    size_bytes=3_000_000,
    users=40,
    duplicates=0.2,
    cross_file_duplicates=0.1,
    conflicts=0.05,
    malformed=0.02,
    quoted=0.05,
)
NO_OPTIONS = dict.fromkeys(("duplicates", "cross_file_duplicates", "conflicts", "malformed", "ipv6", "quoted"), 0.0)


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def reject_reason(line: bytes) -> str | None:
    """The record contract, written down a second time and line by line."""
    if b"\0" in line:
        return "nul_byte"
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return "invalid_utf8"
    try:
        (fields,) = csv.reader([text], strict=True)
    except csv.Error:
        return "bad_quote"
    if fields == COLUMNS:
        return "repeated_header"
    if len(fields) != len(COLUMNS):
        return "wrong_field_count"
    if not fields[0].strip():
        return "blank_log_id"
    if not fields[1].strip():
        return "blank_user_id"
    return watch_time_reason(fields[6])


def watch_time_reason(text: str) -> str | None:
    if not text.strip():
        return "watch_time_missing"
    try:
        value = Decimal(text)
    except InvalidOperation:
        return "watch_time_not_a_number"
    if not value.is_finite():
        return "watch_time_not_a_number"
    if value < 0:
        return "watch_time_negative"
    return "watch_time_too_large" if value > 10**9 else None


def good_and_rejected(folder: Path) -> tuple[list[list[str]], Counter[str]]:
    rows: list[list[str]] = []
    rejected: Counter[str] = Counter()
    for path in sorted(folder.glob("*.csv")):
        header, *lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
        assert header + b"\n" == HEADER
        for line in lines:
            reason = reject_reason(line)
            if reason is None:
                rows += csv.reader([line.decode()], strict=True)
            else:
                rejected[reason] += 1
    return rows, rejected


def counted(folder: Path) -> dict[str, object]:
    """The truth, counted from the files."""
    rows, rejected = good_and_rejected(folder)
    contents: dict[str, set[tuple[str, str, int]]] = {}
    for log_id, user, _, _, _, address, watch in rows:
        contents.setdefault(log_id, set()).add((user, address, int(Decimal(watch) * 1_000_000)))
    distinct = sum(map(len, contents.values()))
    return {
        "records": len(rows) + sum(rejected.values()),
        "distinct_ids": len(contents),
        "duplicates": len(rows) - distinct,
        "conflicts": distinct - len(contents),
        "rejected": sum(rejected.values()),
        "rejected_by_reason": dict(rejected),
        "total_micro_minutes": sum(max(micro for _, _, micro in group) for group in contents.values()),
        "bytes": sum(path.stat().st_size for path in folder.glob("*.csv")),
    }


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    folder = tmp_path_factory.mktemp("dirty")
    return folder, generate(DIRTY, folder)


def test_the_truth_equals_an_independent_count(dirty: tuple[Path, Truth]) -> None:
    folder, truth = dirty
    found = counted(folder)
    assert {name: getattr(truth, name) for name in found} == found
    assert truth.records == truth.distinct_ids + truth.duplicates + truth.conflicts + truth.rejected
    assert truth.total_watch_time_min == truth.total_micro_minutes / 1_000_000
    assert set(truth.rejected_by_reason) == set(REASONS)


@pytest.mark.parametrize("changes", [{"users": 1}, {"files": 1}, {"conflicts": 0.05, "duplicates": 0.8}])
def test_the_truth_holds_for_unusual_settings(tmp_path: Path, changes: dict[str, float]) -> None:
    settings = replace(DIRTY, **{"size_bytes": 400_000, "cross_file_duplicates": 0.0, **changes})
    truth = generate(settings, tmp_path)
    found = counted(tmp_path)
    assert {name: getattr(truth, name) for name in found} == found


def test_the_same_settings_give_the_same_bytes_with_any_number_of_workers(tmp_path: Path) -> None:
    written: list[int] = []
    generate(SMALL, tmp_path / "one")
    generate(SMALL, tmp_path / "again")
    truth = generate(SMALL, tmp_path / "two", progress=written.append, workers=2)
    assert all_bytes(tmp_path / "one") == all_bytes(tmp_path / "again") == all_bytes(tmp_path / "two")
    assert sum(written) == truth.bytes


def test_another_seed_gives_other_records(tmp_path: Path) -> None:
    generate(SMALL, tmp_path / "one")
    generate(replace(SMALL, seed=43), tmp_path / "two")
    ids = [{row[0] for row in good_and_rejected(tmp_path / name)[0]} for name in ("one", "two")]
    assert not ids[0] & ids[1]


def test_block_size_never_changes_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(SMALL, tmp_path / "large")
    monkeypatch.setattr(generator, "BLOCK_ROWS", 77)
    generate(SMALL, tmp_path / "small")
    assert all_bytes(tmp_path / "large") == all_bytes(tmp_path / "small")


def test_memory_is_bounded_because_no_block_is_larger_than_its_share() -> None:
    data_set = generator.size_data_set(DataSetSettings(size_bytes=50_000_000_000))
    assert data_set.rows_per_file > 1000 * BLOCK_ROWS
    content, tally = make_block(
        data_set, RowLayout(data_set), 7, data_set.rows_per_file - BLOCK_ROWS, data_set.rows_per_file
    )
    assert tally.records == BLOCK_ROWS
    assert len(content) == tally.bytes < 8_000_000


@pytest.mark.parametrize(
    "settings",
    [
        DataSetSettings(files=2, size_bytes=4_000_000),
        DataSetSettings(files=40, size_bytes=1_000_000),
        DataSetSettings(files=1, size_bytes=1_000_000, malformed=0.05, quoted=1.0, ipv6=1.0),
        DataSetSettings(files=4, size_bytes=2_000_000, **NO_OPTIONS),
    ],
)
def test_the_size_is_met_within_two_percent(tmp_path: Path, settings: DataSetSettings) -> None:
    truth = generate(settings, tmp_path)
    assert len(list(tmp_path.glob("*.csv"))) == truth.files == settings.files
    assert truth.bytes == pytest.approx(settings.size_bytes, rel=0.02)


def test_shares_are_as_asked(dirty: tuple[Path, Truth]) -> None:
    folder, truth = dirty
    rows, _ = good_and_rejected(folder)
    assert truth.duplicates / truth.records == pytest.approx(0.3, rel=0.06)
    assert truth.conflicts / truth.records == pytest.approx(0.05, rel=0.15)
    assert truth.rejected / truth.records == pytest.approx(0.02, rel=0.2)
    assert len({row[1] for row in rows}) == DIRTY.users


def test_copies_across_files_are_as_many_as_asked(tmp_path: Path) -> None:
    settings = replace(SMALL, **{**NO_OPTIONS, "size_bytes": 2_000_000, "cross_file_duplicates": 0.1})
    truth = generate(settings, tmp_path)
    ids = [[row.split(",")[0] for row in path.read_text().splitlines()[1:]] for path in sorted(tmp_path.glob("*.csv"))]
    copies = sum(map(len, ids)) - len({log_id for file in ids for log_id in file})
    assert copies == truth.duplicates == pytest.approx(0.1 * truth.records, rel=0.1)
    within = sum(len(file) - len(set(file)) for file in ids)
    assert within < copies / 10


def test_zero_shares_give_plain_records_only(tmp_path: Path) -> None:
    truth = generate(replace(SMALL, **NO_OPTIONS), tmp_path)
    rows, rejected = good_and_rejected(tmp_path)
    assert not rejected
    assert truth.records == truth.distinct_ids == len({row[0] for row in rows})
    assert truth.duplicates == truth.conflicts == truth.rejected == 0
    assert not any(":" in row[5] for row in rows)
    assert all(b'"' not in path.read_bytes() for path in tmp_path.glob("*.csv"))


def test_records_look_like_an_activity_log(tmp_path: Path) -> None:
    generate(replace(SMALL, **{**NO_OPTIONS, "ipv6": 0.3, "quoted": 0.1, "users": 20_000}), tmp_path)
    rows, _ = good_and_rejected(tmp_path)
    patterns = (
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        r"user_000\d{5}",
        r"2026-01-0[123]T[012]\d:[0-5]\d:[0-5]\dZ",
        r"vid_\d{5}",
        r'[\w ;,"()]+',
        r"[\w.:]*",
        r"\d{1,3}\.(\d{1,3}|\d{6})",
    )
    for row in rows:
        assert all(re.fullmatch(pattern, value) for pattern, value in zip(patterns, row, strict=True)), row
    assert all(Decimal(row[6]) <= 240 for row in rows)
    six = sum(":" in row[5] for row in rows) / len(rows)
    assert six == pytest.approx(0.3, abs=0.05)
    assert sum('"' in row[4] or "," in row[4] for row in rows) > 0


def test_users_are_unequal_and_mostly_at_home(tmp_path: Path) -> None:
    generate(replace(SMALL, **{**NO_OPTIONS, "size_bytes": 2_000_000}), tmp_path)
    rows, _ = good_and_rejected(tmp_path)
    events = Counter(row[1] for row in rows)
    (busiest, most), *_ = events.most_common(1)
    assert most > 5 * len(rows) / SMALL.users
    addresses = Counter(row[5] for row in rows if row[1] == busiest)
    assert 0.8 < addresses.most_common(1)[0][1] / most < 0.97


def test_the_truth_is_read_back_equal_and_knows_its_files(dirty: tuple[Path, Truth]) -> None:
    folder, truth = dirty
    assert load_truth(folder) == truth
    paths = sorted(folder.glob("*.csv"))
    assert truth.describes(paths)
    assert not truth.describes(paths[1:])


def test_no_truth_is_none_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    assert load_truth(tmp_path) is None
    for content in ("{", "{}", "[]"):
        (tmp_path / "truth.json").write_text(content)
        with pytest.raises(ValueError, match=r"truth\.json"):
            load_truth(tmp_path)


def test_generating_again_replaces_only_files_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "activity_report.csv").write_text("mine")
    generate(SMALL, tmp_path, force=True)
    truth = generate(replace(SMALL, files=1, size_bytes=100_000), tmp_path, force=True)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"activity_report.csv", "truth.json", *truth.file_names}
    assert (tmp_path / "activity_report.csv").read_text() == "mine"


FOREIGN = {
    "a log of another name": ("mine.csv", "which its truth.json does not list"),
    "a compressed one": ("mine.csv.gz", "which its truth.json does not list"),
    "a rotated one": ("events.CSV.1", "which its truth.json does not list"),
    "one with a name of the generator's": ("activity_0009_2026-01-09.csv", "which its truth.json does not list"),
    "one in the place of a generated one": ("activity_0001_2026-01-01.csv", "are not as they were made"),
    "a truth that is none": ("truth.json", "nobody knows whose"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_folder_with_a_log_of_somebody_is_refused(kind: str, tmp_path: Path) -> None:
    generate(SMALL, tmp_path)
    name, message = FOREIGN[kind]
    (tmp_path / name).write_text("precious\n")
    before = all_bytes(tmp_path)
    with pytest.raises(ForeignLogs, match=re.escape(message)) as refused:
        generate(SMALL, tmp_path)
    assert name in str(refused.value) or "are not as" in message
    assert all_bytes(tmp_path) == before
    truth = generate(SMALL, tmp_path, force=True)
    after = all_bytes(tmp_path)
    own = {"truth.json", *truth.file_names}
    # What stands in the place of a generated file is replaced on request; another log stays, with its bytes.
    assert set(after) - own == {name} - own - {"activity_0009_2026-01-09.csv"}
    assert all(after[other] == before[other] for other in set(after) - own)


@pytest.mark.parametrize("content", ["not json", '{"a": 1}'], ids=["no JSON", "other JSON"])
def test_a_truth_of_somebody_is_not_replaced(content: str, tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text(content)
    with pytest.raises(ForeignLogs, match="nobody knows whose"):
        generate(SMALL, tmp_path)
    assert (tmp_path / "truth.json").read_text() == content


def test_a_log_without_any_truth_is_somebodys(tmp_path: Path) -> None:
    generate(SMALL, tmp_path)
    (tmp_path / "truth.json").unlink()
    with pytest.raises(ForeignLogs, match=r"activity_0001_2026-01-01\.csv"):
        generate(SMALL, tmp_path)


def test_data_of_other_parameters_is_replaced_only_on_request(tmp_path: Path) -> None:
    generate(SMALL, tmp_path)
    before = all_bytes(tmp_path)
    other = replace(SMALL, seed=7, users=50)
    with pytest.raises(ForeignLogs, match=r"users 500 \(asked for: 50\), seed 42 \(asked for: 7\)"):
        generate(other, tmp_path)
    assert all_bytes(tmp_path) == before
    assert generate(SMALL, tmp_path).settings == SMALL, "the same again changes nothing"
    assert all_bytes(tmp_path) == before
    (tmp_path / "activity_0002_2026-01-02.csv").unlink()
    generate(SMALL, tmp_path)
    assert all_bytes(tmp_path) == before, "nobody loses anything by what was deleted"
    for path in tmp_path.glob("*.csv"):
        path.unlink()
    assert generate(other, tmp_path).settings == other, "a truth without logs holds nobody back"


def test_other_files_are_no_logs(tmp_path: Path) -> None:
    for name in ("README.md", ".hidden.csv", "notes.txt", "xcsv"):
        (tmp_path / name).touch()
    generate(SMALL, tmp_path)


def test_an_interrupted_run_leaves_neither_files_nor_truth(tmp_path: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    generate(SMALL, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        generate(SMALL, tmp_path, progress=interrupt)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"files": 0}, "files is 0"),
        ({"files": 2.0}, "files is 2.0; expected a whole number"),
        ({"files": True}, "files is True"),
        ({"users": 0}, "users is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"size_bytes": 100}, "size_bytes is 100"),
        ({"size_bytes": 10**14}, "Ask for more files"),
        ({"duplicates": -0.1}, "duplicates is -0.1"),
        ({"duplicates": 0.95}, "at most 0.9"),
        ({"ipv6": 1.5}, "ipv6 is 1.5"),
        ({"conflicts": 0.2}, "conflicts is 0.2"),
        ({"malformed": float("nan")}, "malformed is nan"),
        ({"quoted": "1"}, "quoted is '1'; expected a number"),
    ],
)
def test_a_setting_out_of_range_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        DataSetSettings(**{**asdict(SMALL), **changes})


def test_fewer_workers_than_one_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers is 0"):
        generate(SMALL, tmp_path, workers=0)
