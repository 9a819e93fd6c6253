"""Write docs/configuration.md from config.py: ``python -m scripts.document_settings``. A test compares the two."""

import textwrap
from pathlib import Path
from typing import Any

from config import Config
from utils.settings import declared, describe_group, groups
from utils.units import format_size

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

HEAD = """\
# Configuration

Every tunable is in `config.py`, in a group for each owner; this page is written from it by
`python -m scripts.document_settings`. The first of these that names a setting wins:

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
TABLE = """\
| setting | meaning | change it when | default | allowed | unit |
|---|---|---|---|---|---|
"""


def main() -> None:
    """Write the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(), encoding="utf-8")


def render() -> str:
    """The whole page: a section for each group, with a table of its settings."""
    config = Config()
    parts = [HEAD]
    for group in groups(config):
        title, advice = describe_group(group)
        rows = [_row(name, getattr(config, name), field.metadata) for name, field in declared(group).items()]
        parts.append(f"## {title}\n\n{textwrap.fill(advice, 120)}\n\n{TABLE}{''.join(rows)}")
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
