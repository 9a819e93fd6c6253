"""What runs on an executor, without a Spark: attempts, and the check of the executor itself."""

import pickle
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipeline.engines import Advance
from pipeline.engines.executor import Mailbox, Order, attempts_folder, check_executor, run_attempt
from pipeline.exchange.workspace import save_array
from pipeline.native import library
from pipeline.native.library import UsesLibrary
from pipeline.staging import accept
from pipeline.storage.faults import StorageFault
from tests.exchanges import FolderExchange


@dataclass(frozen=True)
class Context(UsesLibrary):
    folder: str
    library_path: str | None = None


def write_double(context: Context, task: int, advance: Advance) -> int:
    save_array(Path(context.folder) / "double.npy", np.array([2 * task]))
    advance(3)
    advance(4)
    if task < 0:
        raise ValueError("negative")
    return 2 * task


def test_two_attempts_at_a_task_do_not_meet(tmp_path: Path) -> None:
    answers = [run_attempt(write_double, Context(str(tmp_path)), 5, task, tmp_path / str(task)) for task in (1, 2)]
    assert not (tmp_path / "double.npy").exists()
    assert [(answer.number, answer.result, answer.advanced) for answer in answers] == [(5, 2, 7), (5, 4, 7)]
    accept(answers[0].moves)
    assert np.load(tmp_path / "double.npy").tolist() == [2]
    assert pickle.loads(pickle.dumps(answers[1])) == answers[1]


def test_a_kernel_that_raises_hands_no_file_over(tmp_path: Path) -> None:
    answer = run_attempt(write_double, Context(str(tmp_path)), 0, -1, tmp_path / "1")
    assert isinstance(answer.result, ValueError)
    assert answer.moves == ()


@pytest.mark.parametrize(
    ("wanted", "there", "slow"), [(None, False, False), ("x.so", True, False), ("x.so", False, True)]
)
def test_a_task_without_its_library_is_noted(wanted, there: bool, slow: bool, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(library, "find_library", lambda path: Path(path) if path and there else None)
    answer = run_attempt(write_double, Context(str(tmp_path), wanted), 0, 1, tmp_path / "1")
    assert answer.span.slow == slow


def test_answers_leave_the_mailbox_on_the_drivers_side() -> None:
    box, mailbox = deque([1]), Mailbox()
    assert mailbox.addInPlace(box, mailbox.addInPlace(mailbox.zero(box), [2, 3])) is box
    assert list(box) == [1, 2, 3]
    assert list(mailbox.zero(box)) == []


def test_an_executor_that_does_not_see_a_folder_says_so(tmp_path: Path) -> None:
    assert check_executor(["json"], [str(tmp_path)]) == []
    (problem,) = check_executor([], [str(tmp_path), str(tmp_path / "none")])
    assert problem.startswith("the executor on ")
    assert str(tmp_path / "none") in problem
    with pytest.raises(ModuleNotFoundError):
        check_executor(["no_such_module"], [])


class BrokenExchange(FolderExchange):
    """Takes no files."""

    def hand_over(self, *_):
        raise StorageFault("s3://b/x cannot be written: the storage forbids it.")

    def check(self) -> None:
        raise StorageFault("s3://b/x cannot be written: the storage forbids it.")


def test_an_attempt_leaves_nothing_on_its_disk_where_files_are_exchanged(tmp_path: Path) -> None:
    exchange = FolderExchange(tmp_path / "driver", tmp_path)
    answer = run_attempt(write_double, Context(str(tmp_path / "driver")), 5, 1, tmp_path / "1", exchange)
    assert not (tmp_path / "1").exists()
    exchange.accept([answer.moves])
    assert np.load(tmp_path / "double.npy").tolist() == [2]


def test_of_an_attempt_whose_kernel_raises_no_file_is_brought_anywhere(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    exchange = FolderExchange(tmp_path / "driver", tmp_path / "there")
    answer = run_attempt(write_double, Context(str(tmp_path / "driver")), 5, -1, tmp_path / "1", exchange)
    assert (str(answer.result), answer.moves) == ("negative", ())
    assert list((tmp_path / "there").iterdir()) == []
    broken = BrokenExchange(tmp_path / "driver", tmp_path)
    answer = run_attempt(write_double, Context(str(tmp_path / "driver")), 5, -1, tmp_path / "1", broken)
    assert str(answer.result) == "negative", "the first fault is told"


def test_an_attempt_whose_files_nobody_gets_says_why(tmp_path: Path) -> None:
    exchange = BrokenExchange(tmp_path / "driver", tmp_path)
    answer = run_attempt(write_double, Context(str(tmp_path / "driver")), 5, 1, tmp_path / "1", exchange)
    assert isinstance(answer.result, StorageFault)
    assert (answer.moves, (tmp_path / "1").exists()) == ((), False)
    assert pickle.loads(pickle.dumps(answer.result)).args == answer.result.args


def test_an_executor_that_exchanges_no_files_says_so(tmp_path: Path) -> None:
    assert check_executor([], ["/driver"], FolderExchange(tmp_path, tmp_path)) == []
    (problem,) = check_executor([], ["/driver"], BrokenExchange(tmp_path, tmp_path))
    assert problem.endswith("exchanges no files: s3://b/x cannot be written: the storage forbids it")


def test_files_wait_where_the_driver_says_or_on_the_own_disk(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert attempts_folder(Order(write_double, None, "/run/attempts")) == Path("/run/attempts")
    exchange = FolderExchange(tmp_path, tmp_path)
    assert attempts_folder(Order(write_double, None, "/run/attempts", exchange)) == tmp_path / "logmill" / "attempts"
