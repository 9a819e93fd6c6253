"""A data set's picture: medians with their spread and peak memory at the size next to 2 GB, and curves over sizes.

One SVG file without scripts, fonts or links, light or dark as its reader's system is.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from math import log
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.rounds import Round

LOGMILL_COLOUR, PEER_COLOUR = "#2f7fd6", "#8b97a6"
WIDTH, BAR, NAMES = 300, 24, 190
"""In pixels; fonts differ, so that names get room whatever they are measured to be."""
_USUAL_BYTES = 2e9
DARK = """<style>
  @media (prefers-color-scheme: dark) {
    svg > rect { fill: #0d1117 }
    text { fill: #d8dee6 }
    .role-axis-grid line, .role-axis-domain line, .role-axis-tick line { stroke: #3a434e }
    .mark-rule.role-mark line { stroke: #d8dee6 }
    .background { stroke: none }
  }
</style>"""


def absence() -> str | None:
    """Why no chart can be drawn, or None."""
    missing = [name for name in ("altair", "vl_convert") if importlib.util.find_spec(name) is None]
    return f"no chart: {missing[0]} is not installed: pip install -r requirements-dev.txt" if missing else None


def write_chart(rounds: Sequence[Round], path: Path) -> None:
    """Draw the rounds of one data set to ``path``."""
    # Not by import statements: these packages are optional, also for the type checker.
    alt, convert = importlib.import_module("altair"), importlib.import_module("vl_convert")
    parts = [_bars(alt, min(rounds, key=lambda each: abs(log(each.bytes_read / _USUAL_BYTES))))]
    if len(rounds) > 1:
        parts.append(_curves(alt, rounds))
    chart = alt.vconcat(*parts, spacing=36).configure_view(stroke=None).configure(font="sans-serif", padding=14)
    svg: str = convert.vegalite_to_svg(chart.to_json())
    head, _, rest = svg.partition(">")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{head}>{DARK}{rest}\n", encoding="utf-8")


def _rows(each: Round) -> list[dict[str, Any]]:
    """One row for each contender: label, size, least, median and greatest seconds, peak in GB."""
    rows = []
    for contender, runs in each.runs.items():
        seconds = [run.seconds for run in runs]
        rows.append(
            {
                "who": contender.label,
                "logmill": contender.engine is not None,
                "size": each.bytes_read / 1e9,
                "least": min(seconds),
                "median": median(seconds),
                "longest": max(seconds),
                "peak": max(run.peak_bytes for run in runs) / 1e9,
            }
        )
    return sorted(rows, key=lambda row: row["median"])


def _bars(alt: Any, each: Round) -> Any:
    """Two panels of bars in the order of the medians: time, with its spread, and memory."""
    rows = _rows(each)
    axis = alt.Axis(labelLimit=NAMES, minExtent=NAMES, ticks=False, domain=False)
    time = _panel(alt, rows, ("least", "median", "longest"), "s", axis)
    time = time.properties(title=f"{each.bytes_read / 1e9:.3g} GB: seconds, median and spread (lower is better)")
    memory = _panel(alt, rows, ("peak", "peak", "peak"), "GB", None)
    return alt.hconcat(time, memory.properties(title="peak memory of all processes, GB (lower is better)"), spacing=70)


def _panel(alt: Any, rows: list[dict[str, Any]], fields: tuple[str, str, str], unit: str, axis: Any) -> Any:
    """Bars of the middle one of ``fields``, the spread from the first to the last, and the figure in words.

    A bar that is far longer than all others is cut off, with an arrow: they could not be compared otherwise.
    """
    tops = sorted(row[fields[2]] for row in rows)
    end = min(tops[-1], 2 * tops[-2]) if len(tops) > 1 else tops[0]
    drawn = []
    for row in rows:
        least, middle, longest = (min(row[field], end) for field in fields)
        words = f"{row[fields[1]]:.2f} {unit}{' →' if row[fields[2]] > end else ''}"
        drawn.append(
            {"who": row["who"], "logmill": row["logmill"], "a": least, "b": middle, "c": longest, "words": words}
        )
    chart = alt.Chart(alt.Data(values=drawn))
    scale = alt.Scale(domain=[0, end], nice=True)
    y = alt.Y("who:N", sort=[row["who"] for row in rows], title=None, axis=axis)
    colour = alt.condition("datum.logmill", alt.value(LOGMILL_COLOUR), alt.value(PEER_COLOUR))
    layers = [
        chart.mark_bar(height=15).encode(x=alt.X("b:Q", title=None, scale=scale), y=y, color=colour),
        chart.mark_rule(strokeWidth=1.5).encode(x="a:Q", x2="c:Q", y=y),
        chart.mark_text(align="left", dx=6).encode(x="c:Q", y=y, text="words:N"),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=alt.Step(BAR))


def _curves(alt: Any, rounds: Sequence[Round]) -> Any:
    """Time and memory over the size of the input, a line for each contender; in logarithms."""
    rows = [row for each in rounds for row in _rows(each)]
    who = list(dict.fromkeys(row["who"] for row in sorted(rows, key=lambda row: not row["logmill"])))
    chart = alt.Chart(alt.Data(values=rows)).mark_line(point=True).properties(width=WIDTH, height=240)
    scale = alt.Scale(type="log", nice=False)
    x = alt.X("size:Q", title="input, GB", scale=scale)
    width = alt.condition("datum.logmill", alt.value(3), alt.value(1.5))
    legend = alt.Legend(orient="bottom", columns=3, columnPadding=60, labelLimit=NAMES)
    colour = alt.Color("who:N", sort=who, title=None, legend=legend)
    return alt.hconcat(
        chart.encode(x=x, y=alt.Y("median:Q", title="seconds (median)", scale=scale), color=colour, strokeWidth=width),
        chart.encode(x=x, y=alt.Y("peak:Q", title="peak memory, GB", scale=scale), color=colour, strokeWidth=width),
        spacing=40,
    )
