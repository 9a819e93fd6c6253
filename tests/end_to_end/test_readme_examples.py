"""The Python examples of the README run as they are, in the folder of a run."""

import re
import subprocess
import sys
from pathlib import Path

import polars as pl

from tests.end_to_end.program import HEADER, ROOT, environment, run, run_json


def test_examples_run(tmp_path: Path) -> None:
    run_json(cwd=tmp_path, env=environment(GENERATOR_SIZE="1MB", GENERATOR_FILES=1, GENERATOR_MALFORMED=0.01))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert len(examples) == 2
    printed = [
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for code in examples
    ]
    assert "geo_region" in printed[0]
    assert "reason" in printed[1]
    mend = (tmp_path / "mend.csv").read_bytes()
    rejected = pl.read_parquet(tmp_path / "pipeline_data" / "output.versions" / "*" / "quarantine" / "rejected.parquet")
    for example in examples:
        assert "resolve(strict=True)" in example, "nothing is read through the link"
    assert mend.startswith(HEADER.encode())
    assert all(raw in mend for raw in rejected["raw"])
    ended = run("replay", "mend.csv", "--engine", "polars", "--json", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert ended.answer["rejected"] > rejected.height, "what was not mended is rejected again"
