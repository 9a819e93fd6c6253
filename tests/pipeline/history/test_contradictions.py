"""A manifest that contradicts itself: which files are read again, of which some splits can still be used."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.history.known_files import DAMAGED, Hint, KnownFile, KnownSplit, hint_from_json, hint_to_json
from pipeline.history.known_list import KnownFiles, find_contradictions
from tests.pipeline.history.samples import HEADER_JSON, counts, known_file


def result(start: int, stop: int, **more: object) -> str:
    return json.dumps(json.loads(counts()) | {"start": start, "stop": stop} | more)


def file(*results: str | None, **more: object) -> KnownFile:
    """A finished file of 100 bytes in two splits, with these results."""
    bounds = [(16, 50), (50, 100)]
    splits = tuple(KnownSplit(number, *bounds[number], number == 0, text) for number, text in enumerate(results))
    return replace(known_file(1, "/a.csv", splits=splits), **more)


FIRST, SECOND = result(16, 53), result(53, 100)
SOUND = {
    "whole": file(FIRST, SECOND),
    "begun": file(None, SECOND, file_hash=""),
    "nothing read yet": file(None, None, file_hash="", header="no header"),
    "without records": file(text_size=16, header=HEADER_JSON),
    "empty": file(text_size=0, header=""),
}
UNSOUND = {
    "no JSON": file(FIRST, "{"),
    "no counts": file(FIRST, "{}"),
    "a list": file("[]", SECOND),
    "a number": file("7", SECOND),
    "a field too many": file(FIRST, result(53, 100, more=1)),
    "a count that is text": file(FIRST, result(53, 100, lines="3")),
    "a count below zero": file(FIRST, result(53, 100, blank_lines=-1)),
    "buckets that are no list": file(FIRST, result(53, 100, bucket_rows=2)),
    "buckets with other rows": file(FIRST, result(53, 100, bucket_rows=[1, 0])),
    "a record too many": file(FIRST, result(53, 100, records=4)),
    "it ends before it begins": file(FIRST, result(100, 53)),
    "a gap": file(result(16, 50), SECOND),
    "records read twice": file(result(16, 60), SECOND),
    "the beginning is missing": file(result(20, 53), SECOND),
    "the end is missing": file(FIRST, result(53, 90)),
    "the last split is missing": file(FIRST),
    "no header": file(FIRST, SECOND, header=""),
    "a header that is no JSON": file(FIRST, SECOND, header="log_id,user_id"),
    "a header without names": file(FIRST, SECOND, header='{"delimiter": ","}'),
    "a column that is not there": file(FIRST, SECOND, header=HEADER_JSON.replace('"user_id": 1', '"user_id": 2')),
    "begun, and what was read is no JSON": file(None, "{", file_hash=""),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_can_be_true_stays(name: str) -> None:
    assert find_contradictions(KnownFiles([SOUND[name]])) == ([SOUND[name]], [])


@pytest.mark.parametrize("name", UNSOUND)
def test_what_cannot_be_true_is_read_again_from_the_beginning(name: str) -> None:
    before = UNSOUND[name]
    good = file(FIRST, SECOND, id=2)
    (kept, other), contradicted = find_contradictions(KnownFiles([before, good]))
    assert (other, contradicted) == (good, [before])
    assert (kept.id, kept.path, kept.fingerprint, kept.finished) == (1, "/a.csv", DAMAGED, False)
    assert [(split.number, split.result) for split in kept.splits] == [(s.number, None) for s in before.splits]
    assert kept.handed_over == 0


def test_splits_of_a_file_that_lacks_others_can_be_used_again() -> None:
    lacking = file(FIRST, None)
    assert find_contradictions(KnownFiles([lacking])) == ([lacking], [lacking])
    assert not lacking.finished
    assert not lacking.usable("settings")


def test_a_file_is_usable_with_its_own_settings_once_it_is_read() -> None:
    assert file(FIRST, SECOND).usable("settings")
    assert not file(FIRST, SECOND).usable("others")
    assert not file(FIRST, SECOND, file_hash="").usable("settings")


@pytest.mark.parametrize("text", ["", "{", "[1, 2, 3]", '["1", 2, 3, 4, true]', "[1, 2, 3, 4, 5]", "7", "null"])
def test_a_hint_that_cannot_be_read_proves_nothing(text: str) -> None:
    hint = hint_from_json(text)
    proves: Callable[[Hint], bool] = hint.proves_same
    assert not proves(hint)
    assert not proves(Hint(1, 2, 3, 4, True))


def test_a_hint_comes_back() -> None:
    hint = Hint(1, 2**62, 3, 2**40, True)
    assert hint_from_json(hint_to_json(hint)) == hint
