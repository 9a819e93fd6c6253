"""The example of a model: it finds what is there, and does not praise itself where nothing is."""

import random
from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("sklearn", reason="needs requirements-model.txt")

from jobs.late_payments.gold import LatePaymentFeatures
from scripts.train_late_payments import NO_FEATURES, Comparison, compare, describe, main


def rows(signal: bool) -> pl.DataFrame:
    """Features of which all are noise, or one tells in nine of ten cases whether the invoice is late."""
    chance = random.Random(5)
    kinds = LatePaymentFeatures.schema()
    frame = []
    for number in range(800):
        late = chance.randrange(2)
        hint = late if signal and chance.random() < 0.9 else chance.randrange(2)
        row = {name: chance.randrange(50) for name, kind in kinds.items() if kind.is_numeric()}
        row |= {"is_late": late, "open_invoices": hint, "prior_late_rate": chance.random()}
        frame.append({**row, "invoice_id": str(number), "split": "train" if number < 500 else "validation"})
    return pl.DataFrame(frame, schema_overrides=kinds).select(
        pl.col(name) if name in frame[0] else pl.lit(None, kind).alias(name) for name, kind in kinds.items()
    ).with_columns(is_month_end=pl.lit(False))  # fmt: skip


def test_a_signal_is_found_and_compared_with_baselines() -> None:
    found = compare(rows(signal=True))
    assert (found.invoices, found.scores["share of late in train"].auc) == (300, 0.5)
    assert found.scores["model"].auc > 0.85
    assert found.verdict == "the model ranks late invoices better than the baseline"
    assert "300 invoices to validate on" in describe(found)


def test_noise_is_no_success() -> None:
    assert compare(rows(signal=False)).verdict != "the model ranks late invoices better than the baseline"


def test_verdicts_follow_the_interval() -> None:
    verdicts = [Comparison({}, 1, 1, gain).verdict for gain in ((0.1, 0.2), (-0.1, 0.1), (-0.2, -0.1))]
    assert [text.split(" ")[-2:] for text in verdicts] == [["the", "baseline"]] * 3
    assert len(set(verdicts)) == 3


def test_no_label_id_or_day_is_a_feature() -> None:
    kinds = LatePaymentFeatures.schema()
    features = [name for name in kinds if name not in NO_FEATURES]
    assert all(kinds[name].is_numeric() or kinds[name] == pl.Boolean for name in features)
    labels = {name for name, column in LatePaymentFeatures.columns.items() if column.description.startswith("label")}
    assert not labels & set(features)


def published(folder: Path, table: pl.DataFrame) -> Path:
    """A folder in which the table lies as the job publishes it."""
    place = folder / "output" / "late_payment_features" / "issued_month=2024-01"
    place.mkdir(parents=True)
    table.write_parquet(place / "part-0.parquet")
    return folder / "output"


def test_what_the_job_published_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(published(tmp_path, rows(signal=True)))]) == 0
    assert "500 invoices to train on; left out: 0 whose outcome came too late" in capsys.readouterr().out


def test_a_folder_without_what_is_needed_is_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = rows(signal=True)
    unsplit = published(tmp_path / "unsplit", whole.with_columns(split=pl.lit(None, pl.String)))
    early = published(tmp_path / "early", whole.filter((pl.col("split") == "train") | (pl.col("is_late") == 1)))
    for words, told in {
        (): "expected one folder",
        (str(tmp_path / "nothing"),): "nothing has no table late_payment_features: expected the output of job",
        (str(tmp_path),): "has no table late_payment_features",
        (str(unsplit),): "in the split train: run the job with --set validation_from=YYYY-MM-DD",
        (str(early),): "in the split validation: run the job",
    }.items():
        assert main(words) == 2
        out, error = capsys.readouterr()
        assert (out, error.count("\n")) == ("", 1)
        assert told in error
