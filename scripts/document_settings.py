"""Write docs/configuration.md from config.py: ``python -m scripts.document_settings``. A test compares the two."""

import textwrap
from pathlib import Path
from typing import Any

from config import (
    ColumnSettings,
    Config,
    GeneratorSettings,
    GeographySettings,
    MachineSettings,
    MeasurementSettings,
    PrivacySettings,
    QualitySettings,
    QuestionSettings,
    ResultSettings,
    SparkSettings,
    ValueSettings,
)
from utils.settings import Group, declared, describe_group, groups
from utils.units import format_size

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

HEAD = """\
# Configuration

Every tunable is in `config.py`, in a group for each owner. Each group begins with an example of what may stand in
`logmill.toml`. `python -m scripts.document_settings` writes this page. The first of these that names a setting wins:

1. the command line, where the setting has an option;
2. the environment: `LOGMILL_` and the name, as in `LOGMILL_ENGINE=polars`;
3. a TOML file: `ENGINE = "polars"` or `engine = "polars"`, at the top level. It is the file that `--config` names, else
   that of the variable `LOGMILL_CONFIG`, else `logmill.toml` in the working folder; a message names the file that was
   read without `--config`. With `--no-config` none is read;
4. the default, which for workers and memory comes from this machine's real cores and memory, limits of containers
   included.

`./logmill config` shows the settings in effect and where each comes from, as lines of a TOML file.

An unknown name or a value that is not allowed is an error (exit code 2) that names the setting and where it came from.
Sizes are written `8GB` (10^9 bytes each), `512MiB` (2^20 each) or as a number of bytes.
"""
EXAMPLES: dict[type[Group], str] = {
    MachineSettings: """\
# A machine that others use, too; the logs of November, and files between the phases on a fast disk.
PREPROCESSING_WORKERS = 4
MEMORY_LIMIT = "8GB"
INPUT_DIR = "/data/logs/2026-11-*.csv"
INTERMEDIATE_DIR = "/nvme/logmill"
OUTPUT_DIR = "/data/watch_time"
""",
    ResultSettings: """\
# The last correction of an event counts; a week of daily results can be gone back to.
DEDUPE_KEEP = "last"
KEEP_VERSIONS = 7
""",
    ColumnSettings: """\
# Two spellings of a column, and logs without an id: one user at one time is one event.
USER_ID_COLUMN = ["user_id", "uid"]
WATCH_TIME_COLUMN = ["watch_time(min)", "minutes"]
LOG_ID_COLUMNS = ["user_id", "timestamp"]
""",
    ValueSettings: """\
# Seconds; days as in 30.11.2026 18:00:00; addresses as in X-Forwarded-For, behind one proxy of yours.
WATCH_TIME_UNIT = "seconds"
TIMESTAMP_FORMAT = ["%d.%m.%Y %H:%M:%S"]
IP_ADDRESS_FORMAT = "forwarded"
TRUSTED_PROXIES = 1
""",
    GeographySettings: """\
# Totals by country; a database of your own stands here as GEO_DATABASE = "/data/geo/GeoLite2-Country.mmdb".
GEO_LEVEL = "country"
""",
    PrivacySettings: """\
# Nobody may learn who watched, and what was rejected is forgotten after a week.
PSEUDONYMIZE_USERS = true
PSEUDONYM_KEY_FILE = "/run/secrets/logmill.key"
QUARANTINE_RETENTION_DAYS = 7
""",
    QualitySettings: """\
# From one bad record in 1,000 on the summary warns, from one in 100 on nothing is published. No event takes over a day.
QUALITY_GATES = { rejected = { warn = 0.001, fail = 0.01 } }
RECORD_RULES = { day = { max_minutes = 1440, action = "reject" } }
""",
    SparkSettings: """\
# A cluster whose executors may take 4 GB each, and Spark's own plan with its spill.
SPARK_MASTER = "spark://master.example.org:7077"
SPARK_EXECUTOR_MEMORY = "4GB"
SPARK_PLAN = "sql"
""",
    QuestionSettings: """\
# Longer answers, and messages for a log collector.
QUERY_ROWS = 100000
QUERY_SECONDS = 60
LOG_FORMAT = "json"
""",
    GeneratorSettings: """\
# 2 GB of logs in which one record in five repeats another one.
GENERATOR_SIZE = "2GB"
GENERATOR_FILES = 16
GENERATOR_DUPLICATES = 0.2
""",
    MeasurementSettings: """\
# Everything by Polars, for a comparison.
COMPILED_PARSER = false
""",
}
"""An example of logmill.toml for each group."""

TABLE = """\
| setting | meaning | change it when | default | allowed | unit |
|---|---|---|---|---|---|
"""


def main() -> None:
    """Write the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(), encoding="utf-8")


def render() -> str:
    """The whole page: a section for each group, with an example and a table of its settings."""
    config = Config()
    parts = [HEAD]
    for group in groups(config):
        title, advice = describe_group(group)
        rows = [_row(name, getattr(config, name), field.metadata) for name, field in declared(group).items()]
        parts.append(
            f"## {title}\n\n{textwrap.fill(advice, 120)}\n\n```toml\n{EXAMPLES[group]}```\n\n{TABLE}{''.join(rows)}"
        )
    return "\n".join(parts)


def _row(name: str, default: object, about: Any) -> str:
    named = f"`{name}`" + (f"<br>`{about['option']}`" if about["option"] else "")
    cells = [named, about["meaning"], about["change"], about["shown"] or _default(default, about)]
    cells += [about["kind"].expected, about["unit"]]
    return f"| {' | '.join(cells)} |\n"


def _default(value: object, about: Any) -> str:
    if value == "":
        return "empty"
    if value == ():
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{part}`" for part in value)
    if isinstance(value, int) and about["unit"] == "bytes" and value:
        return f"`{value}` ({format_size(value)})"
    return f"`{value}`"


if __name__ == "__main__":
    main()
