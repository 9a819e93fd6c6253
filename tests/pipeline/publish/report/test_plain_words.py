"""Every reason and stage of a run has its plain words."""

import re
from pathlib import Path

from pipeline import timing
from pipeline.publish.report import plain_words

ROOT = Path(__file__).parents[4]


def test_every_reason_of_the_record_contract_is_explained() -> None:
    table = (ROOT / "docs" / "records.md").read_text(encoding="utf-8").split("## Reasons")[1].split("\n## ")[0]
    documented = {
        name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall("`(.*?)`", row)
    }
    documented.remove("rule:NAME")
    assert {name for name in documented if not plain_words.meaning_of_reason(name)} == set()
    assert set(plain_words.REASONS) - documented <= {"watch_time_wrong_format"}
    assert "rule" in plain_words.meaning_of_reason("rule:day")
    assert plain_words.meaning_of_reason("of a later release") == ""


def test_every_stage_is_explained() -> None:
    assert set(plain_words.STAGES) == set(timing.STAGES)
