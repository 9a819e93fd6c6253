"""Odd names of files and regions, links and many files; and nothing is written outside the configured folders."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from pipeline.geo.table import load_geo_table
from tests.end_to_end.command import command_json
from tests.end_to_end.program import HEADER, environment, published, read_result, run, run_json
from tests.harness import library

ROW = "{id},{user},2026-01-01T00:00:00Z,v,tv,{ip},1.5\n"
NAMES = [
    *(b" a.csv", b"b c.csv", b"d\ne.csv", b"[1].csv", b"*.csv", b"f..csv", b"-g.csv", b"--json.csv", b"h\xff\xfe.csv"),
    *(b"i%2F.csv", b"j'\"`$(x).csv", "ü😀.csv".encode(), b"k=v.csv", b"{l,m}.csv", b"n\\.csv", b"\x1b[31m.csv"),
]
REGIONS = {"US": "../../escape", "DE": "a/b", "JP": "%2F", "FR": "..x", "GB": "C:\\x=1", "AU": "'; drop"}
ADDRESSES = {"US": "8.8.8.8", "DE": "78.46.1.1", "JP": "133.11.0.1", "FR": "80.10.1.1", "GB": "81.2.69.142"}


def row(number: int, **changes: str) -> str:
    return ROW.format(**({"id": f"i{number}", "user": f"u{number}", "ip": "8.8.8.8"} | changes))


def cache_in(folder: Path) -> None:
    """The user's cache below ``folder``, with the compiled parser and the geo table in it: nothing more need be written
    there."""
    (folder / ".cache" / "logmill").mkdir(parents=True)
    shutil.copy(library(), folder / ".cache" / "logmill")
    load_geo_table(None, "region", None, folder / ".cache" / "logmill")


def picture(root: Path, *but: str) -> dict[str, object]:
    """By path below ``root``, without the folders ``but``: hash of a file, target of a link, None for a folder."""
    found: dict[str, object] = {}
    for place, folders, files in os.walk(root):
        inside = os.path.relpath(place, root)
        folders[:] = [name for name in folders if os.path.normpath(os.path.join(inside, name)) not in but]
        for name in [*folders, *files]:
            path = os.path.join(place, name)
            inner = os.path.relpath(path, root)
            if inner in but:
                continue
            found[inner] = (
                os.readlink(path)
                if os.path.islink(path)
                else hashlib.sha256(Path(path).read_bytes()).hexdigest()
                if os.path.isfile(path)
                else None
            )
    return found


@pytest.mark.parametrize("engine", ["polars", "spark"])
def test_case_22_and_23_names_of_files_and_regions_stay_inside(tmp_path: Path, engine: str) -> None:
    root = tmp_path / "parent"
    for folder in ("here/logs", "home", "temp", "secret"):
        (root / folder).mkdir(parents=True)
    logs = root / "here" / "logs"
    for number, name in enumerate(NAMES):
        Path(os.fsdecode(os.fsencode(logs) + b"/" + name)).write_text(HEADER + row(number))
    for number, address in enumerate(ADDRESSES.values(), start=100):
        (logs / f"{number}.csv").write_text(HEADER + row(number, ip=address, user="../../../u/%2F"))
    (root / "secret" / "c.csv").write_text(HEADER + row(200))
    (logs / "way out.csv").symlink_to(root / "secret" / "c.csv")
    (root / "regions.csv").write_text("country,region\n" + "".join(f'{c},"{r}"\n' for c, r in REGIONS.items()))
    env = environment(GEO_REGIONS=root / "regions.csv") | {
        "HOME": str(root / "home"), "TMPDIR": str(root / "temp"), "PYTHONDONTWRITEBYTECODE": "1"
    }  # fmt: skip
    env.pop("XDG_CACHE_HOME", None)
    cache_in(root / "home")
    own = {"here/o", "here/w", "home/.cache"}  # where Spark leaves its archive, once
    before = picture(root, *own)
    ended = run("--input", "logs", "--output", "o/out", "--intermediate", "w", "--engine", engine, "--json",
                cwd=root / "here", env=env)  # fmt: skip
    assert ended.code == 6, ended.err
    answer = ended.answer
    assert [Path(refused["file"]).name for refused in answer["refused_files"]] == ["way out.csv"]
    assert str(root / "secret" / "c.csv") in answer["refused_files"][0]["reason"]
    assert answer["files"] == answer["kept"] == len(NAMES) + len(ADDRESSES)
    assert picture(root, *own) == before
    output = root / "here" / "o" / "out"
    assert {path.parent for path in output.glob("*/*.parquet")} == {path for path in output.iterdir() if path.is_dir()}
    rows = read_result(output)
    regions = {region for region, user, _, _ in rows if user == "../../../u/%2F"}
    assert regions == {REGIONS[country] for country in ADDRESSES}
    assert {user for _, user, _, _ in rows} == {f"u{n}" for n in range(len(NAMES))} | {"../../../u/%2F"}


@pytest.mark.parametrize(
    ("what", "arguments", "settings", "code"),
    [
        ("nothing to read", ["--input", "none"], {}, 3),
        ("every file refused", ["--input", "refused"], {}, 3),
        ("configuration", ["--input", "logs", "--workers", "none"], {}, 2),
        ("a region that is no name", ["--input", "logs"], {"GEO_REGIONS": "long.csv"}, 2),
        ("an empty region", ["--input", "logs"], {"GEO_REGIONS": "empty.csv"}, 2),
        ("folders that overlap", ["--input", "logs", "--output", "logs/out"], {}, 2),
        ("a sum that no integer holds", ["--input", "huge"], {}, 1),
    ],
)
def test_case_23_failing_runs_write_nothing_elsewhere(
    tmp_path: Path, what: str, arguments, settings, code: int
) -> None:
    rows = {
        "logs": row(1),
        "refused": "",
        "huge": "".join(row(n, user="u").replace(",1.5", ",1e9") for n in range(9_300)),
    }
    for name, content in rows.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text((HEADER if content else "x\n") + content)
    (tmp_path / "long.csv").write_text(f"country,region\nUS,{'x' * 10_000}\n")
    (tmp_path / "empty.csv").write_text("country,region\nUS,\n")
    cache_in(tmp_path)
    before = picture(tmp_path)
    env = environment(**settings) | {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    env.pop("XDG_CACHE_HOME", None)
    run_json(*arguments, cwd=tmp_path, env=env, code=code)
    assert picture(tmp_path, "pipeline_data") == before, what
    assert not (tmp_path / "pipeline_data" / "output").exists()


@pytest.mark.parametrize(
    ("place", "option"), [("output.versions", "--output"), ("intermediate/store", "--intermediate"),
                          ("intermediate/store/rows", "--intermediate")],
)  # fmt: skip
def test_no_link_among_our_own_folders_is_written_through(tmp_path: Path, place: str, option: str) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.csv").write_text(HEADER + row(1))
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "pipeline_data" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere")
    answer = command_json("--input", "logs", cwd=tmp_path, code=2)
    assert place in answer["error"]
    assert option in answer["error"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_case_22_ten_thousand_files(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for number in range(10_000):
        (tmp_path / "logs" / f"{number}.csv").write_text(HEADER + row(number, user=f"u{number % 7}"))
    answer = command_json("--input", "logs", cwd=tmp_path)
    assert (answer["files"], answer["records_read"], answer["kept"]) == (10_000, 10_000, 10_000)
    assert published(tmp_path) == [("North America", f"u{n}", (1429 - (n > 3)) * 1.5, 1429 - (n > 3)) for n in range(7)]
