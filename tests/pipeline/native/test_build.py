"""The compiled parser is made once, and where it cannot be made the run does without it, and says so."""

import ctypes
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.machine import SHIPPED
from pipeline.native import build
from pipeline.native.build import (
    PROCESSOR_FILE,
    compile_library,
    compile_portable,
    executor_library,
    system_and_processor,
)
from pipeline.planning.prepare import prepare
from tests.end_to_end.program import HEADER, environment, published, run
from tests.harness import library


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache folder that holds the library."""
    shutil.copy(library(), tmp_path)
    return tmp_path


def test_a_library_that_is_there_is_used_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("compiled again"))
    assert compile_library(cache, lambda: pytest.fail("told to wait")) == (cache / Path(library()).name, "")


@pytest.mark.slow
def test_a_damaged_library_is_made_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = cache / Path(library()).name
    damaged.write_bytes(b"no library")
    assert compile_library(cache) == (damaged, "")
    assert ctypes.CDLL(str(damaged)).find_records
    assert os.listdir(cache) == [damaged.name]

    damaged.unlink()  # this process has loaded it
    damaged.touch()
    monkeypatch.setattr(build, "_compile", lambda _, made, __: shutil.copy(library(), made))
    assert compile_library(cache) == (damaged, "")
    assert ctypes.CDLL(str(damaged)).find_records
    assert os.listdir(cache) == [damaged.name]


def with_extra_line(name: str, folder: Path) -> tuple[Path, ...]:
    """The sources; a copy with an extra empty line stands for the one called `name`."""
    changed = folder / name
    changed.write_text((build.SOURCES[0].parent / name).read_text() + "\n")
    return tuple(changed if source.name == name else source for source in build.SOURCES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_processor", lambda: "flags: mmx"),
        ("SOURCES", "rows.c"),
        ("SOURCES", "geo.h"),
        ("version", lambda _: "0.1"),
    ],
)
def test_another_machine_source_or_compiler_takes_no_library_of_this_one(
    name: str, value: object, cache: Path, tmp_path: Path, monkeypatch
) -> None:
    if isinstance(value, str):
        value = with_extra_line(value, tmp_path)
    monkeypatch.setattr(build, name, value)
    tried = []
    monkeypatch.setattr(build, "_compile", lambda _, made, __: tried.append(made) or shutil.copy(library(), made))
    told: list[bool] = []
    made, reason = compile_library(cache, lambda: told.append(not tried))
    assert (tried, reason, told) == ([made], "", [True]), "the user is told before it is compiled"
    assert made != cache / Path(library()).name


V3 = "flags : fpu avx avx2 bmi1 bmi2 f16c fma movbe abm sse4_2"


@pytest.fixture
def flags_tried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The flags of every compilation; a copy of the library of this machine stands for what it makes."""
    tried: list[tuple[str, ...]] = []
    monkeypatch.setattr(build, "_compile", lambda _, made, flags: tried.append(flags) or shutil.copy(library(), made))
    return tried


@pytest.mark.parametrize(
    ("machine", "processor", "flags"),
    [
        ("x86_64", V3, [("-mcpu=x86_64_v3",), ("-mcpu=baseline",)]),
        ("aarch64", "Features : fp asimd", [("-mcpu=baseline",)]),
    ],
)
def test_an_image_has_libraries_for_other_machines(
    machine: str,
    processor: str,
    flags: list[tuple[str, ...]],
    flags_tried: list[tuple[str, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(build, "_processor", lambda: processor)
    made, why_not = compile_portable(tmp_path)
    assert (flags_tried, why_not) == (flags, "")
    monkeypatch.setattr(build, "_processor", lambda: processor + " another")
    assert compile_library(tmp_path, lambda: pytest.fail("told to wait")) == (made, ""), "used on another machine"
    assert flags_tried == flags


def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an image: ziglang is not installed."""
    installed = build.version

    def version(name: str) -> str:
        if name == "ziglang":
            raise build.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(build, "version", version)


@pytest.mark.usefixtures("flags_tried")
def test_an_image_without_the_compiler_uses_the_library_that_fits_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(build, "_processor", lambda: V3)
    fast, _ = compile_portable(tmp_path)
    (for_all,) = set(tmp_path.iterdir()) - {fast}
    without_compiler(monkeypatch)
    assert compile_library(tmp_path) == (fast, "")
    monkeypatch.setattr(build, "_processor", lambda: "flags : sse4_2 avx")
    assert compile_library(tmp_path) == (for_all, "")
    for_all.unlink()
    assert compile_library(tmp_path) == (None, "the package ziglang is not installed")
    assert compile_portable(tmp_path) == (None, "the package ziglang is not installed")


@pytest.mark.slow
def test_an_image_is_prepared(tmp_path: Path) -> None:
    """What a run then finds: neither the library nor the geo table is made again. The library that only old processors
    would use is used here by a whole run, too, and finds the same."""
    cache = tmp_path / "logmill"
    assert prepare(cache) == ""
    made = sorted(os.listdir(cache))
    libraries = [name for name in made if name.startswith("library-")]
    assert len(libraries) == (2 if platform.machine() == "x86_64" else 1)
    assert [name.partition("-")[0] for name in made] == ["geo", *["library" for _ in libraries]]
    rows = "".join(f"i{n},u{n % 7},2026-01-01T00:00:00Z,v,tv,8.8.{n % 8}.{n % 256},{n / 8}\n" for n in range(5000))
    results = []
    for _ in libraries:
        library, _ = compile_library(cache, lambda: pytest.fail("told to wait"))
        assert library is not None
        folder = tmp_path / str(len(results))
        folder.mkdir()
        (folder / "log.csv").write_text(HEADER + rows)
        env = environment() | {"XDG_CACHE_HOME": str(tmp_path)}
        ended = run("-i", "log.csv", "--engine", "polars", cwd=folder, env=env)
        assert ended.code == 0, ended.err
        assert "preparing" not in ended.err + ended.out
        assert set(os.listdir(cache)) - {"pace.json"} == set(made)
        results.append(published(folder))
        made.remove(library.name)
        library.unlink()
    assert len(results[0]) == 7
    assert results == results[:1] * len(results)


def test_every_reason_why_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    assert compile_library(tmp_path / "file" / "cache") == (
        None,
        f"{tmp_path / 'file' / 'cache'} cannot be written (Not a directory)",
    )
    with monkeypatch.context() as patch:
        patch.setattr(build, "SOURCES", (tmp_path / "broken.c",))
        (tmp_path / "broken.c").write_text("this is no C\n")
        library, reason = compile_library(tmp_path / "cache")
        assert library is None
        assert reason.startswith("the compiler failed: ")
    with monkeypatch.context() as patch:
        patch.setattr(build, "_SECONDS", 0.001)
        assert compile_library(tmp_path / "cache") == (None, "the compiler took more than 0.001 seconds")

    without_compiler(monkeypatch)
    assert compile_library(tmp_path / "cache") == (None, "the package ziglang is not installed")
    assert not os.listdir(tmp_path / "cache")


@pytest.mark.slow
def test_a_run_without_it_says_so_and_finds_the_same(tmp_path: Path) -> None:
    rows = "".join(f"i{n},u{n % 7},2026-01-01T00:00:00Z,v,tv,8.8.8.{n % 256},{n / 8}\n" for n in range(5000))
    (tmp_path / "log.csv").write_text(HEADER + rows)
    (tmp_path / "no folder").write_text("")
    settings = {"without": {"XDG_CACHE_HOME": str(tmp_path / "no folder")}, "off": {}, "with": {}}
    results = {}
    for name, variables in settings.items():
        env = environment(**({"COMPILED_PARSER": "no"} if name == "off" else {})) | variables
        ended = run("--input", "log.csv", "--engine", "polars", cwd=tmp_path, env=env)
        assert ended.code == 0, ended.err
        assert ("no compiled parser, because" in " ".join((ended.out + ended.err).split())) == (name == "without")
        record = json.loads(((tmp_path / "pipeline_data" / "output").resolve().parent / "run.json").read_text())
        results[name] = (published(tmp_path), record["records_read"], record["kept"])
    assert results["without"] == results["off"] == results["with"]
    assert results["with"][1:] == (5000, 5000)


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what was shipped to an executor: the library, made for this processor. Nothing compiles there."""
    shipped = tmp_path / SHIPPED
    shipped.mkdir()
    shutil.copy(library(), shipped)
    (shipped / PROCESSOR_FILE).write_text(system_and_processor())
    monkeypatch.setattr(build, "PROJECT", tmp_path)
    monkeypatch.setattr(build, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(build, "_compiler", lambda: None)
    executor_library.cache_clear()
    return shipped


def test_an_executor_with_the_drivers_processor_uses_its_library(executor: Path) -> None:
    name = Path(library()).name
    assert executor_library(name) == executor / name


def test_an_executor_with_another_processor_uses_a_portable_library_or_none(executor: Path) -> None:
    (executor / PROCESSOR_FILE).write_text("of another machine")
    name = Path(library()).name
    assert executor_library(name) is None, "its instructions may be missing here"
    portable = build._portable_library(executor, "baseline")
    shutil.copy(library(), portable)
    executor_library.cache_clear()
    assert executor_library(name) == portable


def test_a_library_that_cannot_be_loaded_is_left(executor: Path) -> None:
    name = Path(library()).name
    (executor / name).write_bytes(b"no library")
    assert executor_library(name) is None
