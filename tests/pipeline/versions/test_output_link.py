"""Versions beside the link: a reader sees one or the other, the oldest go, and one can be gone back to."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.errors import ConfigError, EnvironmentFault, InputError
from pipeline.versions import output_link
from pipeline.versions.lock import Lock
from pipeline.versions.output_link import Output
from pipeline.versions.outputs import roll_back

NAMES = [f"2026110{day}T000000Z-00000{day}" for day in range(1, 6)]


@pytest.fixture
def output(tmp_path: Path) -> Output:
    output = Output(str(tmp_path / "out"))
    output.versions.mkdir()
    return output


def publish(output: Output, version: str, keep: int = 5) -> None:
    folder = output.begin(version)
    (folder / "data" / "file").write_text(version)
    output.publish(folder, version, keep)


def read(output: Output) -> str:
    return (output.link / "file").read_text()


def test_the_link_shows_the_version_that_was_published_last(output: Output) -> None:
    assert (output.current(), output.version_names()) == (None, [])
    for name in NAMES[:3]:
        publish(output, name)
        assert (output.current(), read(output)) == (name, name)
        assert (output.link / "_SUCCESS").exists()
    assert output.version_names() == NAMES[:3]
    assert os.readlink(output.link) == f"out.versions/{NAMES[2]}/data", "relative, so that both can be moved"


def test_a_reader_sees_one_version_or_the_other_at_every_step(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []
    publish(output, NAMES[0])
    monkeypatch.setattr(output_link, "point", lambda name: seen.append((name, read(output))))
    publish(output, NAMES[1], keep=1)
    assert dict.fromkeys(seen) == dict.fromkeys(
        [
            ("publish.sync", NAMES[0]),
            ("publish.rename", NAMES[0]),
            ("publish.link", NAMES[0]),
            ("publish.link.done", NAMES[1]),
            ("publish.remove", NAMES[1]),
        ]
    )


def test_all_is_on_the_disk_before_the_link_shows_it(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(output_link, "sync", lambda path: done.append(str(Path(path).relative_to(output.link.parent))))
    monkeypatch.setattr(output_link, "point", done.append)
    publish(output, NAMES[0])
    before = done[: done.index("publish.rename")]
    hidden = f"out.versions/.new-{NAMES[0]}"
    assert {name for name in before if name != "publish.sync"} == {
        hidden, f"{hidden}/data", f"{hidden}/data/file", f"{hidden}/data/_SUCCESS"
    }  # fmt: skip
    assert done[len(before) :] == ["publish.rename", "out.versions", "publish.link", "publish.link.done", "."]


def test_very_many_files_are_brought_to_the_disk_by_one_call(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    whole = output_link.sync_file_system
    monkeypatch.setattr(output_link, "sync", lambda path: done.append(path.name))
    monkeypatch.setattr(output_link, "sync_file_system", lambda path: done.append(path.name) or whole(path))
    folder = output.begin(NAMES[0])
    for number in range(256):
        (folder / "data" / str(number)).touch()
    output.publish(folder, NAMES[0], keep=5)
    assert done == [f".new-{NAMES[0]}", "out.versions", output.link.parent.name]


@pytest.mark.parametrize(("answer", "each"), [(None, True), (0, False)])
def test_where_there_is_no_such_call_each_file_is_brought_to_the_disk(
    answer: int | None, each: bool, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = SimpleNamespace() if answer is None else SimpleNamespace(syncfs=lambda _: answer)
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: calls)
    monkeypatch.setattr(output_link, "_MANY_FILES", 1)
    done: list[str] = []
    monkeypatch.setattr(output_link, "sync", lambda path: done.append(path.name))
    publish(output, NAMES[0])
    assert ("file" in done) is each


def test_what_does_not_reach_the_disk_stops_publication(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(output, NAMES[0])
    monkeypatch.setattr(output_link, "_MANY_FILES", 1)
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: SimpleNamespace(syncfs=lambda _: -1))
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        publish(output, NAMES[1])
    assert output.current() == NAMES[0]


def test_the_oldest_versions_go(output: Output) -> None:
    for name in NAMES:
        publish(output, name, keep=2)
    assert output.version_names() == NAMES[3:]


@pytest.mark.parametrize("keep", range(1, 8))
def test_as_many_versions_stay_as_are_to_be_kept(keep: int, output: Output) -> None:
    for number, name in enumerate(NAMES, start=1):
        publish(output, name, keep=keep)
        assert output.version_names() == NAMES[max(0, number - keep) : number]


def test_the_version_that_was_shown_until_now_goes_last(output: Output) -> None:
    for name in NAMES[:3]:
        publish(output, name)
    output.show(NAMES[0])
    publish(output, NAMES[3], keep=2)
    assert output.version_names() == [NAMES[0], NAMES[3]], (
        "after a rollback it is the oldest, and the one to go back to"
    )


def test_versions_are_in_the_order_of_publication_under_any_clock(output: Output) -> None:
    publish(output, NAMES[3])
    os.utime(output.versions / NAMES[3], ns=(10**19 // 2, 10**19 // 2))
    publish(output, NAMES[1])
    assert output.version_names() == [NAMES[3], NAMES[1]]


def test_what_was_begun_and_not_published_is_discarded(output: Output) -> None:
    publish(output, NAMES[0])
    output.begin(NAMES[1])
    for name in (".new-by-hand", "replayed"):
        (output.versions / name).mkdir()
    output.discard()
    assert {path.name for path in output.versions.iterdir()} == {NAMES[0], ".new-by-hand", "replayed"}


def make_file(link: Path) -> None:
    link.touch()


def make_folder(link: Path) -> None:
    link.mkdir()


def make_foreign_link(link: Path) -> None:
    link.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (make_file, "a file or folder that Logmill did not make"),
        (make_folder, "a file or folder that Logmill did not make"),
        (make_foreign_link, "is a link to '.*elsewhere', which Logmill did not make"),
    ],
)
def test_what_others_made_is_not_replaced(make: Callable[[Path], None], found: str, output: Output) -> None:
    make(output.link)
    before = os.lstat(output.link)
    with pytest.raises(ConfigError, match=rf"OUTPUT_DIR .*{found}.*--output"):
        output.check()
    assert os.lstat(output.link).st_ino == before.st_ino
    assert output.current() is None


def test_a_link_to_a_version_that_is_gone_may_be_replaced(output: Output) -> None:
    output.link.symlink_to(f"{output.versions.name}/{NAMES[0]}/data")
    output.check()
    assert output.current() is None


def test_a_file_system_without_links_is_named_early(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(EnvironmentFault, match=r"cannot write symbolic links in .*out.versions.*not supported"):
        output.check()


def test_checking_leaves_nothing(tmp_path: Path) -> None:
    Output(str(tmp_path / "out")).check()
    assert [path.name for path in tmp_path.rglob("*")] == ["out.versions"]


def test_rolling_back_shows_the_version_before(output: Output) -> None:
    for name in NAMES[:3]:
        publish(output, name)
    assert roll_back(str(output.link), None) == (NAMES[2], NAMES[1])
    assert roll_back(str(output.link), None) == (NAMES[1], NAMES[0])
    assert roll_back(str(output.link), NAMES[2]) == (NAMES[0], NAMES[2])
    assert read(output) == NAMES[2]
    assert output.version_names() == NAMES[:3], "none is removed"


@pytest.mark.parametrize(
    ("shown", "wanted", "message"),
    [
        (None, None, "nothing is published at"),
        (0, None, rf"no version before {NAMES[0]}\. Kept besides it: {NAMES[1]} \(KEEP_VERSIONS\)"),
        (1, "another", rf"no version 'another'\. Kept besides {NAMES[1]}, which is shown: {NAMES[0]}\."),
    ],
)
def test_a_version_that_is_not_there_is_named(
    shown: int | None, wanted: str | None, message: str, output: Output
) -> None:
    if shown is not None:
        for name in NAMES[:2]:
            publish(output, name)
        output.show(NAMES[shown])
    with pytest.raises(InputError, match=message):
        roll_back(str(output.link), wanted)
    assert output.current() == (None if shown is None else NAMES[shown])


def test_nobody_goes_back_beside_a_run(output: Output) -> None:
    for name in NAMES[:2]:
        publish(output, name)
    with Lock(output.versions, "a run"), pytest.raises(EnvironmentFault, match="another run holds"):
        roll_back(str(output.link), None)
    assert output.current() == NAMES[1]
