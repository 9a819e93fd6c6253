"""Inputs are opened or refused one by one: a bad one leaves the others alone, and its reason tells no values."""

import gzip
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pipeline.engines import Advance
from pipeline.errors import FileRefused, WorkerDied
from pipeline.exchange.workspace import Workspace
from pipeline.reading.open_inputs import HeaderRules, OpenedInputs, open_inputs, read_headers

ROLES = {"log_id": ("log_id", "id"), "user_id": ("user_id",)}
HEADER = b"user_id,id,other\n"


class Inline:
    """Runs kernels in this process; ``failing`` are faults by the name of a file."""

    name = "polars"

    def __init__(self, failing: dict[str, Exception] | None = None) -> None:
        self.failing = failing or {}

    def map(
        self, kernel: Callable, context: object, tasks: Sequence, advance: Advance
    ) -> Iterator[tuple[object, object]]:
        for task in reversed(tasks):  # tasks end in any order
            try:
                if fault := self.failing.get(os.path.basename(task.path)):
                    raise fault
                result = kernel(context, task, advance)
            except Exception as fault:
                result = fault
            yield task, result


class Watched:
    """A progress that remembers its phases and the bytes of each."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, int]] = []
        self.advanced = 0

    def phase(self, name: str, total: int, unit: str = "bytes") -> None:
        assert unit == "bytes"
        self.phases.append((name, total))

    def advance(self, n: int) -> None:
        self.advanced += n

    def note(self, message: str) -> None:
        raise AssertionError(message)

    def event(self, name: str, level: str = "info", **facts: object) -> None:
        raise AssertionError(name, level, facts)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(str(tmp_path / "work"))
    made.create()
    return made


def write(folder: Path, files: dict[str, bytes]) -> list[str]:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in files]


def opened(
    paths: list[str], workspace: Workspace, failing: dict[str, Exception] | None = None, *, hide_lines: bool = False
) -> tuple[OpenedInputs, Watched]:
    progress = Watched()
    rules = HeaderRules(ROLES, {"extra": ("other",)}, 1024, hide_lines)
    return open_inputs(Inline(failing), paths, rules, 100, workspace, progress), progress


def test_plain_and_compressed_files_are_opened_in_order(tmp_path: Path, workspace: Workspace) -> None:
    text = HEADER + b"u,1,x\n" * 3
    archive = gzip.compress(text, mtime=0)
    paths = write(tmp_path, {"a.csv": text, "b.csv.gz": archive, "c.csv": text})
    found, progress = opened(paths, workspace)
    assert [file.path for file in found.files] == paths
    assert found.refused == {}
    for file in found.files:
        assert file.header is not None
        assert file.header.columns == {"user_id": 0, "log_id": 1, "extra": 2}
        assert (file.size, file.header.data_start) == (len(text), len(HEADER))
    assert [file.size_on_disk for file in found.files] == [len(text), len(archive), len(text)]
    assert found.files[0].expanded is None
    assert found.files[1].expanded is not None
    assert Path(found.files[1].expanded.spool).read_bytes() == text
    assert (progress.phases, progress.advanced) == ([("Expand compressed files", len(archive))], len(archive))


def test_without_archives_nothing_is_expanded(tmp_path: Path, workspace: Workspace) -> None:
    _, progress = opened(write(tmp_path, {"a.csv": HEADER}), workspace)
    assert (progress.phases, progress.advanced) == ([], 0)
    assert not list(workspace.path("spool", "x").parent.iterdir())


def test_every_bad_file_has_its_reason_and_the_others_are_opened(tmp_path: Path, workspace: Workspace) -> None:
    files = {
        "good.csv": HEADER,
        "headless.csv": b"1,u,x\n",
        "torn.csv.gz": gzip.compress(HEADER, mtime=0)[:-9],
        "killer.csv.gz": gzip.compress(HEADER, mtime=0),
        "headless.csv.gz": gzip.compress(b"1,u,x\n", mtime=0),
    }
    paths = [*write(tmp_path, files), str(tmp_path / "missing.csv")]
    found, _ = opened(paths, workspace, {"killer.csv.gz": WorkerDied("a worker died over it")})
    assert [os.path.basename(file.path) for file in found.files] == ["good.csv"]
    reasons = {os.path.basename(path): reason for path, reason in found.refused.items()}
    assert reasons.keys() == {os.path.basename(path) for path in paths[1:]}
    assert "no header in the first 20 lines" in reasons["headless.csv"]
    assert "no header in the first 20 lines" in reasons["headless.csv.gz"]
    assert "truncated" in reasons["torn.csv.gz"]
    assert reasons["killer.csv.gz"] == "a worker died over it"
    assert reasons["missing.csv"] == (
        "cannot be read: No such file or directory. Check that it exists and its permissions."
    )


@pytest.mark.parametrize("hide_lines", [True, False])
def test_a_reason_shows_the_fields_of_a_line_unless_they_are_hidden(
    tmp_path: Path, workspace: Workspace, hide_lines: bool
) -> None:
    found, _ = opened(write(tmp_path, {"a.csv": b"secret,LOGID\n"}), workspace, hide_lines=hide_lines)
    (reason,) = found.refused.values()
    assert ("secret" in reason) != hide_lines
    assert "missing 'log_id', 'user_id'" in reason


def test_a_fault_of_the_program_is_raised(tmp_path: Path, workspace: Workspace) -> None:
    paths = write(tmp_path, {"a.csv.gz": gzip.compress(HEADER, mtime=0)})
    with pytest.raises(ZeroDivisionError):
        opened(paths, workspace, {"a.csv.gz": ZeroDivisionError()})


def test_an_archive_may_expand_to_its_ratio_and_no_more(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.reading.archives.SMALL_BYTES", 1000)
    archive = gzip.compress(HEADER + b"u,1,x\n" * 100_000, mtime=0)
    assert len(HEADER) + 600_000 > 100 * len(archive) > 1000
    found, _ = opened(write(tmp_path, {"bomb.csv.gz": archive}), workspace)
    (reason,) = found.refused.values()
    assert "MAX_EXPANSION_RATIO" in reason


def test_headers_alone_need_no_optional_column(tmp_path: Path) -> None:
    paths = write(tmp_path, {"a.csv": b"id,user_id\n", "empty.csv": b""})
    files, refused = read_headers(paths, ROLES, 1024, {"extra": ("other",)})
    assert refused == {}
    assert files[0].header is not None
    assert files[0].header.columns == {"log_id": 0, "user_id": 1}
    assert files[1].header is None


def test_a_refusal_of_the_kernel_is_one_sentence(tmp_path: Path, workspace: Workspace) -> None:
    paths = write(tmp_path, {"a.csv.gz": b"", "b.csv.gz": b""})
    found, _ = opened(paths, workspace, {"a.csv.gz": FileRefused("it is odd."), "b.csv.gz": FileRefused("odd, too.")})
    assert found.refused == {paths[0]: "it is odd.", paths[1]: "odd, too."}
