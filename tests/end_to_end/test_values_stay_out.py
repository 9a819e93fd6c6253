"""No message that a log can keep holds a value of a record: every kind of error is raised with marked values, and all
that the program writes is searched for them, except the result and the quarantine, whose purpose they are."""

import ast
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import main
from pipeline import errors
from pipeline.engines.local import LocalEngine
from tests.end_to_end.command import command
from tests.end_to_end.program import HEADER, environment
from tests.harness import run_here

MARK = "MARKEDvalue"
"""Part of every value of every record here."""


def record(number: int, minutes: str = "5", user: str = "u") -> str:
    return f"{MARK}{number},{MARK}{user},{MARK}t,{MARK}v,{MARK}d,{MARK}ip,{minutes}\n"


BAD = (
    f"{MARK}1,{MARK}u\n"
    f"{MARK}2,{MARK}u,t,v,d,8.8.8.8,{MARK}\n"
    f'{MARK}3,"{MARK}u,t,v,d,8.8.8.8,5\n'
    f"{MARK}4,,t,{MARK}v,{MARK}d,{MARK},5\n"
    f"{MARK}5,{MARK}\0u,t,v,d,8.8.8.8,5\n"
    f"{MARK}6,{MARK}u,t,v,d,8.8.8.8,-5\n"
)
CASES: dict[str, tuple[dict[str, str], dict[str, object], int]] = {
    "rejected records": ({"a.csv": HEADER + record(0) + BAD}, {}, 0),
    "conflicts": ({"a.csv": HEADER + record(1, "5") + record(1, "6") + record(1, "7", "other")}, {}, 0),
    "no header": ({"a.csv": record(1) + record(2), "b.csv": HEADER + record(3)}, {}, 6),
    "no header at all": ({"a.csv": record(1) + record(2)}, {}, 3),
    "half a header": ({"a.csv": HEADER.replace("log_id", "id") + record(1), "b.csv": HEADER + record(3)}, {}, 6),
    "lines that end in CR": ({"a.csv": (HEADER + record(1)).replace("\n", "\r"), "b.csv": HEADER + record(3)}, {}, 6),
    "a sum beyond 64 bits": ({"a.csv": HEADER + "".join(record(n, "1000000000") for n in range(9300))}, {}, 1),
    "a gate": ({"a.csv": HEADER + record(0) + BAD}, {"QUALITY_GATES": '{"rejected": {"fail": 0.01}}'}, 4),
    "a rule": (
        {"a.csv": HEADER + record(1)},
        {"RECORD_RULES": '{"r": {"column": "device_type", "allowed": ["tv"], "action": "reject"}}'},
        0,
    ),
    "a warning rule": (
        {"a.csv": HEADER + record(1)},
        {"RECORD_RULES": '{"r": {"column": "device_type", "allowed": ["tv"], "action": "warn"}}'},
        0,
    ),
    "an unreadable timestamp": ({"a.csv": HEADER + record(1) + record(1, "6")}, {"DEDUPE_KEEP": "last"}, 0),
}  # fmt: skip


_RECORDS = {".parquet", ".npy", ".sqlite"}
"""Endings of files that hold the records themselves between the phases."""


def searched(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, text) of all files of a run but the records themselves: input, result, quarantine, rows and indexes."""
    for path in sorted((folder / "pipeline_data").rglob("*")):
        inside = path.relative_to(folder).parts
        if path.is_file() and not {"quarantine", "data"} & set(inside) and path.suffix not in _RECORDS:
            yield "/".join(inside), path.read_bytes().decode("utf-8", "replace")


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("case", CASES)
def test_no_output_of_a_run_holds_a_value(case: str, log_format: str, tmp_path: Path) -> None:
    files, settings, code = CASES[case]
    (tmp_path / "logs").mkdir()
    for name, text in files.items():
        (tmp_path / "logs" / name).write_text(text)
    words = ["--json"] if log_format == "json" else ["--profile"]
    env = environment(LOG_FORMAT=log_format, **settings)
    ended = command("--input", "logs", "--engine", "polars", *words, cwd=tmp_path, env=env)
    if code == 0 and ended.code == 4:
        code = 4  # a run that keeps no record is stopped by a gate
    assert ended.code == code, ended.err
    written = [("stdout", ended.out), ("stderr", ended.err), *searched(tmp_path)]
    assert [name for name, text in written if MARK in text] == []
    if code == 0:
        assert {"run.json", "report.html"} <= {name.rpartition("/")[2] for name, _ in written}
    status = command("status", "--json", cwd=tmp_path, env=env)
    assert MARK not in status.out + status.err


ASKED = ["explain {}9", "explain --user {}9", "query 'SELECT user_id::int FROM watch_time'",
         "query 'SELECT (user_id || 1)::date FROM watch_time'", "query 'SELECT error(user_id) FROM watch_time'",
         "query 'SELECT 1 // length(user_id)::utinyint - 200::utinyint FROM watch_time'"]  # fmt: skip


@pytest.mark.parametrize("words", ASKED)
def test_no_message_of_a_question_holds_a_value(words: str, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.csv").write_text(HEADER + record(1))
    run_here(tmp_path)
    ended = command(*shlex.split(words.format(MARK)), cwd=tmp_path, env=environment(LOG_FORMAT="json"))
    assert ended.code in (2, 3), ended.err
    assert MARK not in ended.out + ended.err


class Foreign(Exception):
    """An exception of another library, with a value in its text."""


def _error_classes() -> list[type[BaseException]]:
    own = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BaseException)]
    foreign = [Foreign, ValueError, KeyError, AssertionError, UnicodeDecodeError, OSError, MemoryError, RuntimeError]
    return [kind for kind in own if kind.__module__ == errors.__name__] + foreign


@dataclass
class Raising:
    """An engine whose kernels all fail with a marked value, as a worker's exception comes back."""

    fault: BaseException

    def __call__(self, *_: object, **__: object) -> Iterator[object]:
        raise self.fault
        yield


def _fault(kind: type[BaseException]) -> BaseException:
    if kind is UnicodeDecodeError:
        return UnicodeDecodeError("utf-8", MARK.encode(), 0, 1, MARK)
    if kind is OSError:
        return OSError(f"{MARK} (os error 999)")
    return kind(f"could not parse {MARK!r}")


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
@pytest.mark.parametrize("kind", [kind for kind in _error_classes() if not issubclass(kind, errors.LogmillError)])
def test_no_text_of_a_foreign_exception_is_shown(
    kind: type[BaseException],
    debug: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Raised in a kernel, with the value in its message, its notes and its cause."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in environment() if name.startswith("LOGMILL_")]:
        monkeypatch.delenv(name)
    Path("a.csv").write_text(HEADER + record(1))
    fault = _fault(kind)
    fault.__cause__ = ValueError(MARK)
    fault.add_note(MARK)
    monkeypatch.setattr(LocalEngine, "map", Raising(fault))
    words = [
        "--input",
        "a.csv",
        "--engine",
        "polars",
        "--json",
        "--log-format",
        "json",
        *(["--debug"] if debug else []),
    ]
    code = main.main(words)
    out, err = capsys.readouterr()
    assert code in (1, 5)
    assert MARK not in out + err
    assert json.loads(out)["error"]
    if kind is Foreign:
        assert "a fault in the program: Foreign in " in json.loads(out)["error"]
    assert main.main(words[:4]) == code
    out, err = capsys.readouterr()
    assert MARK not in out + err


VALUES = {"user", "user_id", "log_id", "value", "text", "raw", "line", "fields", "row", "texts", "ip", "address"}
"""Names that hold values of records in the packages of the data path."""


def test_no_message_of_the_data_path_is_made_of_a_value() -> None:
    """No argument of an exception of these packages formats a variable of such a name."""
    root = Path(main.__file__).parent / "pipeline"
    found = []
    for package in ("reading", "preprocess", "exchange", "aggregate", "publish", "native"):
        for path in (root / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                    found += [
                        f"{path.name}:{part.lineno} {ast.unparse(part.value)}"
                        for part in ast.walk(node.exc)
                        if isinstance(part, ast.FormattedValue) and VALUES & _names(part.value)
                    ]
    assert found == []


def _names(expression: ast.expr) -> set[str]:
    return {part.id for part in ast.walk(expression) if isinstance(part, ast.Name)}
