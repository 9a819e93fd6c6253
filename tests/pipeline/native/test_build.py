"""The compiled parser is made once, and where it cannot be made the run does without it, and says so."""

import ctypes
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.geo.table import load_geo_table
from pipeline.native import build
from pipeline.native.build import compile_library, compile_portable
from pipeline.planning.prepare import prepare
from tests.end_to_end.program import HEADER, ROOT, environment, published, run
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


@pytest.mark.parametrize(
    ("machine", "processor", "flag"),
    [
        ("x86_64", "flags : fpu avx avx2 bmi1 bmi2 f16c fma movbe abm sse4_2", "-mcpu=x86_64_v3"),
        ("aarch64", "Features : fp asimd", "-mcpu=generic"),
    ],
)
def test_an_image_has_a_library_for_other_machines(
    machine: str, processor: str, flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[str, ...]] = []
    monkeypatch.setattr(build, "_compile", lambda _, made, flags: tried.append(flags) or shutil.copy(library(), made))
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(build, "_processor", lambda: processor)
    made, why_not = compile_portable(tmp_path)
    assert (tried, why_not) == ([(flag,)], "")
    monkeypatch.setattr(build, "_processor", lambda: processor + " another")
    assert compile_library(tmp_path, lambda: pytest.fail("told to wait")) == (made, ""), "used on another machine"
    assert len(tried) == 1


def test_a_processor_that_lacks_instructions_uses_no_library_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[str, ...]] = []
    monkeypatch.setattr(build, "_compile", lambda _, made, flags: tried.append(flags) or shutil.copy(library(), made))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(build, "_processor", lambda: "flags : avx avx2 bmi1 bmi2 f16c fma movbe abm")
    made, _ = compile_portable(tmp_path)
    monkeypatch.setattr(build, "_processor", lambda: "flags : sse4_2 avx")
    other, _ = compile_library(tmp_path)
    assert other != made
    assert tried == [("-mcpu=x86_64_v3",), ()]
    assert compile_portable(tmp_path) == (other, "")


@pytest.mark.slow
def test_an_image_is_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run then finds: neither the library nor the geo table is made again."""
    assert prepare(tmp_path) == ""
    made = sorted(os.listdir(tmp_path))
    assert [name.partition("-")[0] for name in made] == ["geo", "library"]
    assert ctypes.CDLL(str(tmp_path / made[1])).find_records
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("compiled again"))
    assert compile_library(tmp_path, lambda: pytest.fail("told to wait"))[0] == tmp_path / made[1]
    load_geo_table(None, "region", None, tmp_path, lambda: pytest.fail("told to wait"))
    assert "python -m pipeline.planning.prepare" in (ROOT / "Dockerfile").read_text()


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

    def missing(name: str) -> str:
        raise build.PackageNotFoundError(name)

    monkeypatch.setattr(build, "version", missing)
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
