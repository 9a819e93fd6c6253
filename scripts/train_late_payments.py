"""Train a small model on the features of job late-payments, and compare it with baselines on later invoices.

    ./logmill job late-payments --set validation_from=2025-06-01
    python -m scripts.train_late_payments pipeline_data/jobs/late_payments/output

The model learns on invoices of the split ``train`` alone: their outcomes were known on the first day of validation.
Needs requirements-model.txt.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from jobs.late_payments.gold import GAP, LABELS, TRAIN, VALIDATION
from pipeline.errors import ConfigError

NO_FEATURES = ("invoice_id", "account_id", "issued_month", "issued_year", "issued_on", "due_on", *LABELS)
"""Ids and days, by which a model would know invoices again instead of learning, and the labels."""
_DRAWS, _SEED = 200, 18


@dataclass(frozen=True)
class Scores:
    """How good probabilities of being late are: area under the ROC curve, mean squared error, mean log loss."""

    auc: float
    brier: float
    log_loss: float


@dataclass(frozen=True)
class Comparison:
    """Scores on validation by name, and the interval (95 %) of how much larger the model's AUC is than the best
    baseline's."""

    scores: Mapping[str, Scores]
    invoices: int
    late: int
    gain: tuple[float, float]

    @property
    def verdict(self) -> str:
        """What the interval says."""
        low, high = self.gain
        if low > 0:
            return "the model ranks late invoices better than the baseline"
        return "the model ranks worse than the baseline" if high < 0 else "no difference is shown: use the baseline"


def main(words: Sequence[str]) -> int:
    """Compare on what the job published in a folder, and print. Returns the exit code: 2 where nothing can be compared,
    with a message."""
    try:
        rows = read_features(words)
    except ConfigError as fault:
        print(fault, file=sys.stderr)
        return 2
    parts = dict(rows.group_by("split").len().iter_rows())
    print(f"{parts[TRAIN]:,} invoices to train on; left out: {parts.get(GAP, 0):,} whose outcome came too late")
    print(describe(compare(rows)))
    return 0


def read_features(words: Sequence[str]) -> pl.DataFrame:
    """The table ``late_payment_features`` in the folder that the words of the command line name.

    Raises ConfigError where there is none, or where it has not both late and other invoices in both splits.
    """
    if len(words) != 1:
        raise ConfigError("expected one folder, such as pipeline_data/jobs/late_payments/output")
    files = sorted(Path(words[0]).resolve().glob("late_payment_features/**/*.parquet"))
    if not files:
        raise ConfigError(f"{words[0]} has no table late_payment_features: expected the output of job late-payments")
    rows = pl.read_parquet(files, hive_partitioning=False, glob=False)
    labels = dict(rows.group_by("split").agg(pl.col("is_late").drop_nulls().n_unique()).iter_rows())
    if wanting := [part for part in (TRAIN, VALIDATION) if labels.get(part, 0) < 2]:
        raise ConfigError(
            f"{words[0]} has no late invoices and others in the split {wanting[0]}: run the job with "
            "--set validation_from=YYYY-MM-DD, a day with enough invoices before and after it"
        )
    return rows


def describe(found: Comparison) -> str:
    """The comparison as text."""
    lines = [f"{found.invoices:,} invoices to validate on, {found.late:,} of them late"]
    lines.append(f"{'':<28}{'AUC':>8}{'Brier':>8}{'log loss':>10}")
    lines += [f"{name:<28}{s.auc:>8.3f}{s.brier:>8.3f}{s.log_loss:>10.3f}" for name, s in found.scores.items()]
    low, high = found.gain
    return "\n".join([*lines, f"gain in AUC over the best baseline: {low:+.3f} to {high:+.3f} (95 %): {found.verdict}"])


def compare(rows: pl.DataFrame) -> Comparison:
    """Train on the split ``train``, and score the model and two baselines on ``validation``.

    ``rows``: columns of ``late_payment_features``; both splits have late invoices and others.
    """
    train, later = (rows.filter(pl.col("split") == part).sort("invoice_id") for part in (TRAIN, VALIDATION))
    late, share = later["is_late"].to_numpy(), float(train["is_late"].mean())  # type: ignore[arg-type]
    guesses = {
        "share of late in train": np.full(len(later), share),
        "late rate of the account": later["prior_late_rate"].fill_null(share).clip(0.01, 0.99).to_numpy(),
        "model": _predict(train, later),
    }
    scores = {name: _score(late, guess) for name, guess in guesses.items()}
    best = max(("share of late in train", "late rate of the account"), key=lambda name: scores[name].auc)
    gain = _gain(late, guesses["model"], guesses[best])
    return Comparison(scores, len(later), int(late.sum()), gain)


def _predict(train: pl.DataFrame, later: pl.DataFrame) -> np.ndarray:
    """Probabilities of being late from a small ensemble of trees, which takes missing values as they are."""
    model = HistGradientBoostingClassifier(max_iter=80, max_leaf_nodes=8, learning_rate=0.08, random_state=_SEED)
    model.fit(_features(train), train["is_late"].to_numpy())
    return np.asarray(model.predict_proba(_features(later))[:, 1])


def _features(rows: pl.DataFrame) -> np.ndarray:
    return rows.drop(NO_FEATURES).cast(pl.Float64).to_numpy()


def _score(late: np.ndarray, guess: np.ndarray) -> Scores:
    return Scores(roc_auc_score(late, guess), brier_score_loss(late, guess), log_loss(late, guess, labels=[0, 1]))


def _gain(late: np.ndarray, model: np.ndarray, baseline: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of the differences in AUC over samples drawn with replacement."""
    chance, found = np.random.default_rng(_SEED), []
    for _ in range(_DRAWS):
        at = chance.integers(0, len(late), len(late))
        if 0 < late[at].sum() < len(at):
            found.append(roc_auc_score(late[at], model[at]) - roc_auc_score(late[at], baseline[at]))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
