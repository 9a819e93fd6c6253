"""Write docs/lines.md, lines of code of data sets: ``python -m scripts.document_lines``. A test compares them."""

import ast
import inspect
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

from pipeline.datasets.job import JOBS, load_job

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "lines.md"
PEERS = ROOT / "benchmarks" / "jobs" / "monthly_sales"
PURPOSES = ("columns", "declaration", "checks", "query")

HEAD = """\
# Lines of code

What it takes to write a table, counted by `python -m scripts.document_lines`, which writes this page: lines that are
neither blank nor comments. *Columns* are names, types, units and meanings; *declaration* says how a table is made and
divided; *checks* are conditions of its rows; *query* is the function, with its docstring.

## The tables of the jobs

Medians of each job's data sets, without those that a loop makes. Helpers that several data sets share, imports, sources
and the job itself are in *all lines* alone, which are those of the job's Python files without its demo.

"""
PEERS_HEAD = """
## One table, three ways

`monthly_sales` of the job `warehouse`: orders, customers and sums of each month. The files of the others are in
[`benchmarks/jobs/monthly_sales`](../benchmarks/jobs/monthly_sales): a test makes the same rows of all three.

"""
TAIL = """
Fewer lines do not make the same table:

- **Checks.** Here they run before anything is published: a run that they stop leaves all tables as they were. dbt runs
  tests after a table was replaced. Pipelines of Spark 4.3 have no checks.
- **Changes.** Here the months of changed lines alone are computed again, without a further line. The model of dbt and
  the materialized view are made again as a whole
  ([SPARK-56451](https://issues.apache.org/jira/browse/SPARK-56451)); an incremental model takes a filter and a strategy
  of its own.
- **History** of a source is `history(...)` here, a snapshot in a file of its own in dbt, and `create_auto_cdc_flow` of
  a stream of changes in Spark.

The files for dbt are as short as YAML allows. A test runs their SQL in DuckDB, without dbt, and the query of the
pipeline in a Spark session, without `spark-pipelines`.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")


def render() -> str:
    """The whole page."""
    jobs = [_job_row(path.parent) for path in sorted(JOBS.glob("*/__init__.py"))]
    ways = {
        "this program": _of_data_set(JOBS / "warehouse", "monthly_sales"),
        "dbt": _of_dbt(),
        "Spark": _of_pipeline(),
    }
    heads = _table(["job", "data sets", *PURPOSES, "a data set", "all lines"], jobs)
    rows = [[name, *map(str, _in_order(counts)), str(counts.total())] for name, counts in ways.items()]
    return HEAD + heads + PEERS_HEAD + _table(["", *PURPOSES, "together"], rows) + TAIL


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _in_order(counts: Counter[str]) -> list[int]:
    return [counts[purpose] for purpose in PURPOSES]


def _job_row(folder: Path) -> list[str]:
    job = load_job(str(folder))
    counts = [_of_data_set(folder, name) for name, one in job.datasets.items() if _is_written(one.function)]
    medians = [f"{median(one[purpose] for one in counts):g}" for purpose in PURPOSES]
    whole = sum(len(_code(path.read_text().splitlines())) for path in folder.glob("*.py") if path.name != "demo.py")
    return [job.name, str(len(counts)), *medians, f"{median(one.total() for one in counts):g}", f"{whole:,}"]


def _of_data_set(folder: Path, name: str) -> Counter[str]:
    """The lines of a data set: its contract, unless that is the contract of another table, and its function."""
    one = load_job(str(folder)).datasets[name]
    file = Path(inspect.getsourcefile(one.function) or "")
    counts = count_function(file, name)
    made = next((node for node in _nodes(file) if getattr(node, "name", "") == one.contract.__name__), None)
    counts["columns"] = len(_lines_of(file, made)) if made else 0
    return counts


def _is_written(function: Callable[..., object]) -> bool:
    """Whether a function is written under its own name, and not made by another one."""
    return function.__code__.co_name == function.__name__


def count_function(file: Path, name: str) -> Counter[str]:
    """The lines of a decorated function: those of ``schema=`` are columns, those of ``checks=`` checks."""
    node = next(node for node in _nodes(file) if isinstance(node, ast.FunctionDef) and node.name == name)
    counts = Counter(query=len(_lines_of(file, node)))
    for decorator in node.decorator_list:
        counts["declaration"] += len(_lines_of(file, decorator))
        for keyword in getattr(decorator, "keywords", []):
            purpose = {"checks": "checks", "schema": "columns"}.get(keyword.arg)
            if purpose:
                counts[purpose] += len(_lines_of(file, keyword))
                counts["declaration"] -= len(_lines_of(file, keyword))
    return counts


def _of_pipeline() -> Counter[str]:
    return count_function(PEERS / "spark_pipeline.py", "monthly_sales")


def _of_dbt() -> Counter[str]:
    """The config of the model and the head of its schema are the declaration."""
    model, schema = (_code((PEERS / name).read_text().splitlines()) for name in ("dbt_model.sql", "dbt_schema.yml"))
    config = [line for line in model if "config(" in line]
    columns = [line for line in schema if "data_type" in line]
    tests = [line for path in PEERS.glob("dbt_test_*.sql") for line in _code(path.read_text().splitlines())]
    return Counter(
        columns=len(columns),
        declaration=len(config) + len(schema) - len(columns),
        checks=len(tests),
        query=len(model) - len(config),
    )


def _nodes(file: Path) -> list[ast.stmt]:
    return [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.stmt)]


def _lines_of(file: Path, node: ast.stmt | ast.expr | ast.keyword) -> list[str]:
    return list(_code(file.read_text().splitlines()[node.lineno - 1 : node.end_lineno]))


def _code(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if line.strip() and not line.strip().startswith(("#", "--"))]


if __name__ == "__main__":
    main()
