"""The answer on stdout: one JSON object, of which long lists are printed while they are made."""

import json
import tracemalloc

import pytest

from cli import console
from cli.console import Answer


@pytest.mark.parametrize(
    "content", [{}, {"a": 1}, {"files": [], "b": None}, {"files": [{"é": 1}, 2, "x"], "b": {"c": [1]}}]
)
def test_a_list_that_comes_item_by_item_is_printed_as_any_list(
    content: dict, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_ITEMS_TOGETHER", 2)
    Answer(as_json=True).give({name: iter(value) if name == "files" else value for name, value in content.items()})
    assert capsys.readouterr().out == json.dumps(content) + "\n"


def test_a_second_object_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Answer(as_json=True)
    answer.give({"a": 1})
    answer.give({"b": 2})
    assert json.loads(capsys.readouterr().out) == {"a": 1}


def test_very_many_items_are_never_in_memory_together(capfd: pytest.CaptureFixture[str]) -> None:
    """As one text they would take 30 MB, and twice as much as objects."""
    with capfd.disabled():
        tracemalloc.start()
        with open("/dev/null", "w") as nowhere, pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdout", nowhere)
            Answer(as_json=True).give({"files": ({"file": f"{n:0100}"} for n in range(300_000))})
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2_000_000
