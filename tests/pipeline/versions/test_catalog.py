"""Published versions: found while others are published, read with clear faults, and compared by what they say."""

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from pipeline.versions.catalog import (
    Version,
    current_version,
    data_folder,
    find_version,
    kept_versions,
    read_version,
    repeats,
)
from pipeline.versions.output_link import Output

OLD, NEW = "20261101T020304Z-00000a", "20261102T000000Z-00000b"
RECORD: dict[str, Any] = {"run_id": OLD, "status": "ok", "kept": 5, "seconds": {"total": 1.5}, "settings": {"KEEP": 1}}
GEO: dict[str, Any] = {
    "names": ["Asia"],
    "source": {"digest": "abc", "level": "region", "compiled": "/a", "prepared": "/b"},
}


def make_version(folder: Path, rows: int = 3, record: dict[str, Any] = RECORD, geo: dict[str, Any] = GEO) -> Path:
    """A version with one region of so many rows, and a quarantine."""
    (folder / "data" / "geo_region=Asia").mkdir(parents=True)
    (folder / "quarantine").mkdir()
    pq.write_table(pa.table({"user_id": ["u"] * rows}), folder / "data" / "geo_region=Asia" / "part-0.parquet")
    pq.write_table(pa.table({"raw": [b"x"]}), folder / "quarantine" / "rejected.parquet")
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "geo.json").write_text(json.dumps(geo))
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Output:
    """Two versions, of which the newer is shown."""
    output = Output(str(tmp_path / "out"))
    for name in (NEW, OLD):
        make_version(output.versions / name)
    output.show(NEW)
    return output


def test_the_current_version_is_the_one_that_the_link_shows(output: Output) -> None:
    version = current_version(str(output.link))
    assert (version.name, version.folder) == (NEW, output.versions / NEW)
    assert (version.record, version.geo) == (RECORD, GEO)
    assert version.has_geo
    assert [path.name for path in version.data_files] == ["part-0.parquet"]
    assert [path.name for path in version.quarantine_files] == ["rejected.parquet"]
    assert version.may_read_quarantine
    output.show(OLD)
    assert current_version(str(output.link)).started == datetime(2026, 11, 1, 2, 3, 4)


def test_the_data_of_a_version_is_a_folder_without_links(output: Output, tmp_path: Path) -> None:
    (tmp_path / "by").symlink_to(tmp_path)
    through_a_link = str(tmp_path / "by" / "out")
    assert data_folder(through_a_link) == tmp_path.resolve() / "out.versions" / NEW / "data"
    assert data_folder(through_a_link, OLD) == tmp_path.resolve() / "out.versions" / OLD / "data"
    output.show(OLD)
    assert data_folder(str(output.link)).parent.name == OLD
    assert find_version(str(output.link), NEW).record == RECORD


@pytest.mark.parametrize("name", ["none", "..", f"{OLD}/../{OLD}", ""])
def test_only_a_kept_version_has_data(name: str, output: Output) -> None:
    for look in data_folder, find_version:
        with pytest.raises(InputError, match=rf"there is no version .*Kept: .*{OLD}.*KEEP_VERSIONS"):
            look(str(output.link), name)


def test_nothing_that_is_published_has_no_data(tmp_path: Path) -> None:
    for target in "nowhere", ".", "out":  # a broken link, a folder of somebody else, and a loop
        (tmp_path / "out").symlink_to(tmp_path / target)
        with pytest.raises(InputError, match=r"nothing is published.*OUTPUT_DIR"):
            data_folder(str(tmp_path / "out"))
        (tmp_path / "out").unlink()


def test_a_version_without_a_quarantine_may_be_asked_for_it(output: Output) -> None:
    shutil.rmtree(output.versions / NEW / "quarantine")
    version = current_version(str(output.link))
    assert version.quarantine_files == []
    assert version.may_read_quarantine


def test_a_quarantine_that_is_not_for_this_user_has_no_files(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.versions.catalog.os.access", lambda *_: False)
    version = current_version(str(output.link))
    assert not version.may_read_quarantine
    assert version.quarantine_files == []


@pytest.mark.parametrize("target", [None, "elsewhere", f"out.versions/{NEW}x/data"])
def test_where_nothing_is_published_the_place_is_named(target: str | None, output: Output) -> None:
    output.link.unlink()
    if target:
        output.link.symlink_to(target)
    with pytest.raises(InputError, match=rf"nothing is published at '{output.link}'.*OUTPUT_DIR"):
        current_version(str(output.link))


def test_a_run_may_publish_and_remove_what_was_shown(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Callable[[], object]] = [
        lambda: (output.show(OLD), shutil.rmtree(output.versions / NEW)),
    ]
    read = read_version

    def publish_first(folder: Path) -> Version | None:
        if steps:
            steps.pop()()
        return read(folder)

    monkeypatch.setattr("pipeline.versions.catalog.read_version", publish_first)
    assert current_version(str(output.link)).name == OLD


def test_kept_versions_are_in_order_and_one_that_goes_is_left_out(output: Output) -> None:
    (output.versions / "by hand").mkdir()
    assert [version.name for version in kept_versions(str(output.link))] == [OLD, NEW]
    (output.versions / OLD / "run.json").unlink()
    assert [version.name for version in kept_versions(str(output.link))] == [NEW]


@pytest.mark.parametrize("text", ["{", "[1]", "null"])
def test_a_record_that_cannot_be_read_is_named(text: str, output: Output) -> None:
    (output.versions / NEW / "run.json").write_text(text)
    with pytest.raises(InputError, match=rf"{NEW}/run\.json.*expected .*JSON"):
        current_version(str(output.link))
    with pytest.raises(InputError, match=r"run\.json"):
        kept_versions(str(output.link))


def test_a_version_that_does_not_say_how_addresses_became_regions_is_named(output: Output) -> None:
    (output.versions / NEW / "geo.json").unlink()
    version = current_version(str(output.link))
    assert not version.has_geo
    with pytest.raises(InputError, match=rf"version {NEW} does not say how addresses became regions.*Run again"):
        _ = version.geo


OTHERS: list[tuple[str, dict[str, Any], bool]] = [
    ("run id", {"record": RECORD | {"run_id": NEW}}, True),
    ("time", {"record": RECORD | {"seconds": {"total": 9.9}, "peak_memory_bytes": 7, "notes": ["a"]}}, True),
    ("what a first run prepares", {"record": RECORD | {"prepare_seconds": 20.0}}, True),
    ("paths of the table", {"geo": GEO | {"source": GEO["source"] | {"compiled": "/x", "prepared": "/y"}}}, True),
    ("count", {"record": RECORD | {"kept": 6}}, False),
    ("setting", {"record": RECORD | {"settings": {"KEEP": 2}}}, False),
    ("key", {"record": RECORD | {"another": 1}}, False),
    ("table", {"geo": GEO | {"source": GEO["source"] | {"digest": "xyz"}}}, False),
    ("names of regions", {"geo": GEO | {"names": ["Europe"]}}, False),
    ("rows", {"rows": 4}, False),
]


@pytest.mark.parametrize(("different", "same"), [case[1:] for case in OTHERS], ids=[case[0] for case in OTHERS])
def test_a_version_repeats_another_whatever_the_run_was_like(
    different: dict[str, Any], same: bool, tmp_path: Path
) -> None:
    old, new = make_version(tmp_path / OLD), make_version(tmp_path / NEW, **different)
    assert repeats(new, old) == same


def remove_rows(folder: Path) -> None:
    next(folder.glob("data/*/*.parquet")).unlink()


def tear_rows(folder: Path) -> None:
    next(folder.glob("data/*/*.parquet")).write_bytes(b"PAR1 torn")


def remove_quarantine(folder: Path) -> None:
    shutil.rmtree(folder / "quarantine")


def tear_record(folder: Path) -> None:
    (folder / "run.json").write_text("{")


def remove_geo(folder: Path) -> None:
    (folder / "geo.json").unlink()


def remove_all(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize("harm", [remove_rows, tear_rows, remove_quarantine, tear_record, remove_geo, remove_all])
def test_a_damaged_version_is_not_repeated_but_replaced(harm: Callable[[Path], None], tmp_path: Path) -> None:
    old, new = make_version(tmp_path / OLD), make_version(tmp_path / NEW)
    assert repeats(new, old)
    harm(old)
    assert not repeats(new, old)


def test_where_nothing_can_be_looked_at_nothing_is_published(tmp_path: Path) -> None:
    """A name that is too long raises from ``is_symlink`` as a folder does that may not be entered."""
    with pytest.raises(InputError, match="nothing is published at"):
        current_version(str(tmp_path / ("a" * 300)))
