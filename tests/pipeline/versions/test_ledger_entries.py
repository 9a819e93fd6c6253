"""The ledger of a record: the text that json.dumps would write, and read entry by entry."""

import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.versions.ledger_entries import StoredEntries, read_record, write_entries

VALUES = st.one_of(st.integers(), st.text(max_size=8), st.lists(st.text(max_size=3), max_size=3), st.none(),
                   st.dictionaries(st.text(max_size=3), st.integers(), max_size=2))  # fmt: skip
ENTRIES = st.lists(
    st.dictionaries(st.text(max_size=5), VALUES, max_size=4).map(lambda entry: {"file": "a"} | entry), max_size=6
)


@given(head=st.dictionaries(st.text(max_size=4), VALUES, min_size=1, max_size=3), entries=ENTRIES)
def test_a_record_is_read_as_it_was_written(head: dict, entries: list[dict]) -> None:
    head.pop("ledger", None)
    head["run_id"] = "x"
    stream = io.StringIO()
    stream.write(json.dumps(head, indent=2, ensure_ascii=False).removesuffix("\n}"))
    write_entries(stream, entries)
    assert stream.getvalue() == json.dumps(head | {"ledger": entries}, indent=2, ensure_ascii=False) + "\n"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        path.write_text(stream.getvalue(), encoding="utf-8", newline="")
        found = read_record(path)
        assert {name: value for name, value in found.items() if name != "ledger"} == head
        assert list(found["ledger"]) == entries
        assert len(found["ledger"]) == len(entries)
        assert found["ledger"] == entries
        assert found == read_record(path)


def test_ledgers_that_differ_are_not_equal(tmp_path: Path) -> None:
    for name, entries in (("a", [{"file": "1"}]), ("b", [{"file": "2"}]), ("c", [{"file": "1"}, {"file": "2"}])):
        with (tmp_path / name).open("w", encoding="utf-8") as stream:
            stream.write('{\n  "run_id": "x"')
            write_entries(stream, entries)
    a, b, c = (read_record(tmp_path / name)["ledger"] for name in "abc")
    assert isinstance(a, StoredEntries)
    assert a != b
    assert a != c


def test_other_forms_of_json_are_read_whole(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"ledger": [{"file": "a"}], "run_id": "x"}', encoding="utf-8")
    assert read_record(tmp_path / "run.json") == {"ledger": [{"file": "a"}], "run_id": "x"}


def test_a_ledger_that_was_cut_off_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{\n  "run_id": "x",\n  "ledger": [\n    {\n      "file": "a"\n    },\n    {', encoding="utf-8")
    with pytest.raises(InputError, match="a ledger without an end"):
        list(read_record(path)["ledger"])
    path.write_text('{\n  "run_id": "x",\n  "ledger": [\n    {\n      "file": a\n    }\n  ]\n}\n', encoding="utf-8")
    with pytest.raises(InputError, match="expected the JSON record of a run"):
        list(read_record(path)["ledger"])


def test_a_ledger_that_a_run_removes_meanwhile_is_no_fault_of_the_program(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with path.open("w", encoding="utf-8") as stream:
        stream.write('{\n  "run_id": "x"')
        write_entries(stream, [{"file": "a"}])
    ledger = read_record(path)["ledger"]
    path.unlink()
    with pytest.raises(InputError, match="was removed while it was read"):
        list(ledger)
