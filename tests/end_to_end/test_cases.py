"""What production throws at the program, case by case (docs/cases.md), as one input read by every engine.

The files and what must come of them are written out here and in ``test_record_cases``; nothing expected is computed
by the program.
"""

import shutil
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import psutil
import pytest

from config import Config
from pipeline import orchestrator
from tests.end_to_end.command import command_json
from tests.end_to_end.program import HEADER, environment, finish, published, read_result, run, start
from tests.end_to_end.test_memory import memory_of
from tests.end_to_end.test_record_cases import CASES, Silent, row
from tests.needs import needs_java

ENGINES = {
    "embedded": ("polars", {}),
    "spark kernel": ("spark", {"SPARK_PLAN": "kernel"}),
    "spark sql, cut to pieces": ("spark", {"SPARK_PLAN": "sql", "CHUNK_BYTES": 64, "SPLIT_BYTES": 1009}),
}
ONCE = [row(f"once{n}", f"{n}.25") for n in range(5)]
LONG, SHORT = row("tug", "9", user="u-tug1"), row("tug", "3", user="u-tug2")
MORE: dict[str, list[bytes]] = {
    "1 as delivered": ONCE,
    "1 delivered again": ONCE,
    "2 a": [row("same"), LONG, row("pull", "1", user="u-pull")],
    "2 b": [row("same"), SHORT, row("pull", "4", user="u-pull"), row("pull", "2", user="u-pull")],
}
ADDRESSES = {
    "8.8.8.8": "North America", "133.11.0.1": "Asia", "2001:4860:4860::8888": "North America",
    "::ffff:8.8.8.8": "North America", "10.1.2.3": "PRIVATE", "192.168.0.1": "PRIVATE", "127.0.0.1": "PRIVATE",
    "240.0.0.1": "PRIVATE", "224.0.0.1": "PRIVATE", "fe80::1": "PRIVATE", "::ffff:10.0.0.1": "PRIVATE",
    "4000::1": "UNKNOWN", "": "INVALID", "8.8.8": "INVALID", "256.1.1.1": "INVALID", "8.8.8.8 ": "INVALID",
    "8.8.8.8:80": "INVALID", "no address": "INVALID", "2001:::1": "INVALID",
}  # fmt: skip
MORE["8 addresses"] = [row(f"ip{n}", ip=address) for n, address in enumerate(ADDRESSES)]
PATHS = ["a/b", "../x", "%2F", "..", "x" * 10_000, "C:\\x"]
MORE["23 users"] = [row(f"path{n}", user=user) for n, user in enumerate(PATHS)]
FORMULAS = ["=1+1", "+1", "-1", "@sum(1)"]
MORE["25 formulas"] = [row(f"={n}", user=user) for n, user in enumerate(FORMULAS)]


@dataclass(frozen=True)
class World:
    """One run over every case: the folder of the files, the answer, the rows and the quarantine."""

    logs: Path
    answer: dict
    rows: list[tuple[str, str, float, int]]
    rejected: pl.DataFrame
    conflicts: pl.DataFrame

    def minutes(self, prefix: str) -> dict[str, float]:
        """Watch time of the users whose name begins so."""
        return {user: minutes for _, user, minutes, _ in self.rows if user.startswith(prefix)}

    def check(self, number: int) -> None:
        """Everything that ``test_record_cases`` expects of the files of a case."""
        cases = {name: case for name, case in CASES.items() if name.split()[0] == str(number)}
        assert cases
        refusals = {Path(file["file"]).stem: file["reason"] for file in self.answer["refused_files"]}
        everyone = {user: minutes for _, user, minutes, _ in self.rows}
        for name, case in cases.items():
            found = self.rejected.filter(pl.col("file") == str(self.logs / f"{name}.csv")).sort("line")
            assert found.select("line", "reason", "raw").rows() == case.rejected, name
            assert {user: everyone.get(user) for user in case.kept} == case.kept, name
            assert case.refused in refusals.get(name, ""), name
            assert (name in refusals) == bool(case.refused), name


def make_world(root: Path, engine: str, names: Collection[str]) -> World:
    """One run over the files of these names."""
    logs = root / "logs"
    logs.mkdir()
    for name in names:
        records = MORE.get(name, ())
        data = CASES[name].data if name in CASES else HEADER.encode() + b"".join(record + b"\n" for record in records)
        (logs / f"{name}.csv").write_bytes(data)
    program, settings = ENGINES[engine]
    ended = run("--input", logs, "--engine", program, "--json", cwd=root, env=environment(**settings))
    refused = any(CASES[name].refused for name in names if name in CASES)
    assert ended.code == (6 if refused else 0), ended.err
    answer = ended.answer
    quarantine = root / "pipeline_data" / "output.versions" / answer["run_id"] / "quarantine"
    kept = [pl.read_parquet(quarantine / f"{name}.parquet") for name in ("rejected", "conflicts")]
    return World(logs, answer, published(root), *kept)


@pytest.fixture(scope="module")
def whole_world(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], World]:
    """A function: an engine -> its run over all files, made when it is asked for; it fails again as it failed first."""
    runs: dict[str, Future[World]] = {}

    def find(engine: str) -> World:
        if engine not in runs:
            runs[engine] = Future()
            try:
                runs[engine].set_result(make_world(tmp_path_factory.mktemp("world"), engine, [*CASES, *MORE]))
            except Exception as fault:
                runs[engine].set_exception(fault)
        return runs[engine].result()

    return find


@pytest.fixture(params=[pytest.param(e, marks=[needs_java] if "spark" in e else []) for e in ENGINES])
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def world(request: pytest.FixtureRequest, whole_world: Callable[[str], World], engine: str, tmp_path: Path) -> World:
    """The run over all files. Where that failed, one over the files of this case alone, which is judged for itself."""
    number = str(int(request.node.originalname.removeprefix("test_case_")[:2]))
    try:
        return whole_world(engine)
    except Exception:
        return make_world(tmp_path, engine, [name for name in [*CASES, *MORE] if name.split()[0] == number])


def test_all_cases_together_balance(whole_world: Callable[[str], World], engine: str) -> None:
    world = whole_world(engine)
    answer = world.answer
    kept = sum(len(case.kept) for case in CASES.values()) + 5 + 3 + len(ADDRESSES) + len(PATHS) + len(FORMULAS)
    assert answer["rejected"] == sum(len(case.rejected) for case in CASES.values())
    assert (answer["kept"], answer["duplicates"], answer["conflicts"]) == (kept, 5 + 1, 3)
    assert answer["records_read"] == kept + 5 + 1 + 3 + answer["rejected"]
    assert sum(events for *_, events in world.rows) == kept


def test_case_01_a_file_delivered_twice(world: World) -> None:
    assert world.minutes("u-once") == {f"u-once{n}": n + 0.25 for n in range(5)}


def test_case_01_the_run_started_twice(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(HEADER.encode() + b"\n".join(ONCE))
    first = command_json("--input", "a.csv", cwd=tmp_path)
    rows = published(tmp_path)
    second = command_json("--input", "a.csv", cwd=tmp_path)
    assert published(tmp_path) == rows
    assert [first[k] for k in ("records_read", "kept", "duplicates")] == [
        second[k] for k in ("records_read", "kept", "duplicates")
    ]


def test_case_02_an_id_in_several_files(world: World) -> None:
    assert world.minutes("u-same") == {"u-same": 1.0}
    assert world.minutes("u-tug") == {"u-tug1": 9.0}
    assert world.minutes("u-pull") == {"u-pull": 4.0}
    expected = {("2 b", SHORT), ("2 a", MORE["2 a"][2]), ("2 b", MORE["2 b"][3])}
    assert {(Path(file).stem, raw) for file, raw in world.conflicts.select("file", "raw").rows()} == expected


def test_case_02_the_order_of_files_never_matters(tmp_path: Path) -> None:
    for order in ("ab", "ba"):
        folder = tmp_path / order
        folder.mkdir()
        for name, records in zip(order, (MORE["2 a"], MORE["2 b"]), strict=True):
            (folder / f"{name}.csv").write_bytes(HEADER.encode() + b"\n".join(records))
        command_json("--input", folder, "--output", f"{order}-out", cwd=tmp_path)
    assert read_result(tmp_path / "ab-out") == read_result(tmp_path / "ba-out")


def test_case_03_line_ends(world: World) -> None:
    world.check(3)


def test_case_04_header_and_delimiter(world: World) -> None:
    world.check(4)


def test_case_05_wrong_number_of_fields(world: World) -> None:
    world.check(5)


def test_case_06_watch_times(world: World) -> None:
    world.check(6)


def test_case_07_blank_ids(world: World) -> None:
    world.check(7)


def test_case_08_addresses(world: World) -> None:
    regions = {user: region for region, user, _, _ in world.rows}
    assert {address: regions[f"u-ip{n}"] for n, address in enumerate(ADDRESSES)} == ADDRESSES


def test_case_09_quotes(world: World) -> None:
    world.check(9)


def test_case_10_an_unclosed_quote(world: World) -> None:
    world.check(10)


def test_case_11_bytes(world: World) -> None:
    world.check(11)


def test_case_12_empty_files_and_repeated_headers(world: World) -> None:
    world.check(12)


def test_case_13_boundaries(world: World) -> None:
    world.check(13)


def _rewrite(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"u-old", b"u-new"))


def _replace(path: Path) -> None:
    shutil.copy2(path, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "rewritten": (_rewrite, "changed while it was read"),
    "replaced": (_replace, "changed while it was read"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:100]), "shorter while it was read"),
    "vanished": (Path.unlink, "cannot be read"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_case_15_a_file_that_changes_while_it_is_read(tmp_path: Path, change: str) -> None:
    """It changes after it was found and before a worker opens it; the other file counts."""
    logs, (happen, message) = tmp_path / "in", CHANGES[change]
    logs.mkdir()
    for name in ("old", "steady"):
        (logs / f"{name}.csv").write_bytes(HEADER.encode() + b"".join(row(f"{name}{n}") + b"\n" for n in range(50)))

    class Meanwhile(Silent):
        def phase(self, name: str, *_: object) -> None:
            if name.startswith("Phase 1"):
                happen(logs / "old.csv")

    config = Config(INPUT_DIR=str(logs), INTERMEDIATE_DIR=str(tmp_path / "work"), OUTPUT_DIR=str(tmp_path / "out"),
                    ENGINE="polars", PREPROCESSING_WORKERS=1)  # fmt: skip
    result = orchestrator.run(config, Meanwhile())
    assert result.status == "partial"
    ((refused),) = result.refused_files
    assert Path(refused.file).name == "old.csv"
    assert message in refused.reason
    assert {user for _, user, _, _ in read_result(tmp_path / "out")} == {f"u-steady{n}" for n in range(50)}
    assert result.records_read == result.kept == 50


@pytest.mark.parametrize(
    ("engine", "limit"), [("polars", 1_000_000_000), pytest.param("spark", 3_000_000_000, marks=needs_java)]
)
def test_case_21_skew(tmp_path: Path, engine: str, limit: int) -> None:
    """A user with 30 % of all events, and an id as often as all others together, with three contents."""
    others, of_bot = 175_000, 75_000
    with (tmp_path / "skew.csv").open("w") as stream:
        stream.write(HEADER)
        for n in range(others + of_bot):
            stream.write(f"i{n},{'bot' if n % 10 < 3 else f'u{n % 1000}'},2026-01-01T00:00:00Z,v,tv,8.8.8.8,1\n")
            stream.write(f"again,u{n % 3},2026-01-01T00:00:00Z,v,tv,8.8.8.8,{n % 3 + 1}\n")
    program = start("--input", "skew.csv", "--engine", engine, "--memory-limit", limit, "--json", cwd=tmp_path,
                    env=environment(PREPROCESSING_WORKERS=2))  # fmt: skip
    tree, peak = psutil.Process(program.pid), 0
    while program.poll() is None:
        with suppress(psutil.NoSuchProcess):
            peak = max(peak, memory_of(tree))
        time.sleep(0.1)
    ended = finish(program)
    assert ended.code == 0, ended.err
    assert 100e6 < peak < limit
    counts = [ended.answer[name] for name in ("records_read", "kept", "duplicates", "conflicts", "rejected")]
    assert counts == [500_000, 250_001, 250_000 - 3, 2, 0]
    totals = {user: minutes for _, user, minutes, _ in published(tmp_path)}
    assert totals["bot"] == of_bot
    assert sum(totals.values()) == others + of_bot + 3
    assert totals["u2"] == 3, "the longest of the id that came again and again, and no event of its own"


def test_case_23_odd_users_read_back_equal(world: World) -> None:
    users = {user for _, user, _, _ in world.rows}
    assert set(PATHS) <= users


def test_case_25_formulas_are_stored_raw(world: World) -> None:
    assert set(FORMULAS) <= {user for _, user, _, _ in world.rows}
