"""Writes the star schema as a dbt project for dbt-duckdb: facts are incremental models, all others tables."""

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.jobs.star import AFFECTED, DUCKDB, LOADED, NEW_FACTS, TABLES, text_rows
from benchmarks.peers import THREADS

_PROJECT = """\
name: shop
version: "1.0"
profile: shop
model-paths: [models]
on-run-start:
{macros}
"""
_PROFILE = """\
shop:
  target: here
  outputs:
    here: {{type: duckdb, path: {database}, threads: {threads}, settings: {{preserve_insertion_order: false,
      threads: {threads}}}}}
"""


def write_project(folder: Path, database: Path) -> None:
    """Write the project, its profile and a model for each table into ``folder``; tables lie in ``database``."""
    (folder / "models").mkdir(parents=True)
    macros = "\n".join(f"  - {json.dumps(text)}" for text in DUCKDB.functions)
    (folder / "dbt_project.yml").write_text(_PROJECT.format(macros=macros))
    (folder / "profiles.yml").write_text(_PROFILE.format(database=database, threads=THREADS))
    source = "{{ var('source') }}"
    later = "{% if is_incremental() %}_2{% endif %}"
    files = {name: text_rows(f"{source}/{name}.csv") for name in ("customers", "products")}
    files |= {name: text_rows(f"{source}/{name}{later}.csv") for name in ("orders", "payments")}
    inputs = {**{name: f"{{{{ ref('{name}') }}}}" for name in TABLES}, **files, "days": DUCKDB.days}
    inputs["affected"] = AFFECTED.format(**inputs)
    for name, select in TABLES.items():
        (folder / "models" / f"{name}.sql").write_text(_model(name, select, inputs))


def _model(name: str, select: str, inputs: Mapping[str, str]) -> str:
    rows = select.format(**inputs)
    if name not in LOADED:
        return "{{ config(materialized='table') }}\n" + rows
    later = NEW_FACTS.get(name, "").format(**inputs)
    told = f"{{{{ config(materialized='incremental', unique_key={list(LOADED[name])}, "
    told += "incremental_strategy='delete+insert') }}\n"
    return f"{told}{rows}\n{{% if is_incremental() %}}{later}{{% endif %}}\n"
