"""People of the warehouse: hidden, asked about without a trace of their values, forgotten, and brought back whole."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from main import main
from pipeline.privacy import KEY_VARIABLE

PERSON = ("C0007", "Person 7,", "'Person 7'", "person7@example.org", "+1 555 0007", "'7 Mill Lane")
"""What the demo has of one customer."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the demo, published there with a backup."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv(KEY_VARIABLE, raising=False)
        assert main(["job", "warehouse", "--quiet", "--engine", "polars", "--json"]) == 0
        yield folder


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["job", "warehouse", *words, "--engine", "polars", "--json", "--quiet"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def told(folder: Path) -> str:
    """All that files below a folder say, but for the clear values of bronze; of Parquet their texts."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("clear-")]
    parquet = {path for path in paths if path.suffix == ".parquet"}
    rows = (pl.read_parquet(path, hive_partitioning=False).select(pl.col(pl.String)).rows() for path in parquet)
    return str([*rows, *(path.read_text(errors="replace") for path in paths if path not in parquet)])


def copied(shop: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what was published, in which a test may do what it likes."""
    import shutil

    shutil.copytree(shop / "pipeline_data", folder / "pipeline_data", symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    return folder / "pipeline_data/jobs/warehouse"


def test_a_customer_is_forgotten_everywhere(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = copied(shop, tmp_path, monkeypatch)
    everything = place / "demo"
    everything.rename(tmp_path / "demo")  # the shop's own files are not Logmill's to change
    assert not any(value in told(place) for value in PERSON[1:])
    assert PERSON[0] in told(place)
    sales = pl.read_parquet(place / "output/fact_sales/**/*.parquet", hive_partitioning=False)
    customers = pl.read_parquet(place / "output/dim_customer/*.parquet")
    found = answer(capsys, "forget", PERSON[0])
    assert found["removed"] == {"customers": 1}
    assert not any(value in told(place) for value in PERSON)
    assert not any(value in str(pl.read_parquet(path).rows()) for path in place.rglob("clear-*") for value in PERSON)
    gone = customers.filter(pl.col("customer_id") == PERSON[0])["customer_key"]
    assert len(gone) == 1
    after = pl.read_parquet(place / "output/dim_customer/*.parquet")
    assert after.equals(customers.filter(pl.col("customer_id").ne_missing(PERSON[0])))
    theirs = pl.when(pl.col("customer_key").is_in(gone.implode())).then(-1).otherwise(pl.col("customer_key"))
    left = pl.read_parquet(place / "output/fact_sales/**/*.parquet", hive_partitioning=False)
    keys = [name for name in sales.columns if name not in ("customer_key", "customer_durable_key")]
    assert left.select(*keys, "customer_key").equals(sales.select(*keys, theirs.alias("customer_key")))


def test_the_audit_tells_who_did_what_without_values(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = copied(shop, tmp_path, monkeypatch)
    sql = f"select count(*) as n from customers where email = '{PERSON[3]}' or age > 40"
    assert answer(capsys, "query", sql)["rows"]
    answer(capsys, "query", "select secret_person from nowhere", code=2)
    entries = answer(capsys, "audit")["entries"]
    assert [one["what"] for one in entries] == ["run", "query", "query"]
    assert entries[1]["facts"]["query"] == "select count ( * ) as n from customers where email = ? or age > ?"
    assert entries[2]["facts"] == {"status": "failed", "error": "ConfigError"}
    assert answer(capsys, "audit", "verify")["last"] == entries[-1]["hash"]
    audit = place / "output.audit.jsonl"
    audit.write_text("".join(f"{line}\n" for line in audit.read_text().splitlines()[:-1]))
    assert answer(capsys, "audit", "verify", code=4)["wrong"]


def test_a_backup_is_restored_elsewhere_and_a_damaged_file_is_named(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = copied(shop, tmp_path, monkeypatch)
    made = answer(capsys, "backup", "backups")
    assert main(["job", "warehouse", "backup", "again"]) == 0
    assert capsys.readouterr().out.endswith(f"again/{made['version']}\n")
    assert not list(Path("backups").rglob("clear-*"))
    brought = answer(capsys, "restore", "backups", "--output", "new/output")
    assert brought["version"] == made["version"]
    before, after = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in ((place / "output").resolve(), Path("new/output").resolve())
    )
    assert before == after
    Path("new/output.bronze.key").write_bytes((place / "output.bronze.key").read_bytes())
    again = answer(capsys, "run", "--source", str(place / "demo"), "--output", "new/output")
    assert again["status"] == "nothing new"
    damaged = next(Path("backups").rglob("fact_payments/**/*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    error = answer(capsys, "restore", "backups", "--output", "third/output", code=3)["error"]
    assert damaged.relative_to(Path("backups") / made["version"]).as_posix() in error
    assert not Path("third/output").exists()
