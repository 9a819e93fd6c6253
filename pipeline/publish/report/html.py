"""The pieces of HTML that the report is made of, and how it writes numbers.

Whatever comes in is text unless it is ``Html``. This module alone escapes it.
"""

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.versions.folders import begin_of
from utils.units import format_moment

_LINK = re.compile(r"https://[\w./-]*[\w/]")
CUT_LENGTH = 400
"""Characters of a name or message, which may be as long as a hostile log makes it."""


@dataclass(frozen=True)
class Html:
    """Markup: inserted as it is, without escaping."""

    text: str


Content = str | int | float | Html | None


def escape(content: Content) -> str:
    """Markup for ``content``: numbers with thousands separators, nothing for None, control characters as escapes."""
    if isinstance(content, Html):
        return content.text
    if content is None:
        return ""
    text = f"{content:,}" if isinstance(content, int | float) else content
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return html.escape(printable)


def element(name: str, content: Content, css: str = "", attributes: str = "") -> Html:
    """An element ``name`` of the class ``css`` around ``content``; ``attributes``: more of them, as markup."""
    words = " ".join(filter(None, [name, attributes, f'class="{html.escape(css)}"' if css else ""]))
    return Html(f"<{words}>{escape(content)}</{name}>")


def joined(parts: Iterable[Content], between: str = "") -> Html:
    """The parts in order, with the markup ``between`` them."""
    return Html(between.join(escape(part) for part in parts))


def table(
    heads: Sequence[str], rows: Iterable[Sequence[Content]], caption: str, texts: int = 1, bars: bool = False
) -> Html:
    """A table that scrolls sideways where it is too wide; the first cell of each row is its header.

    The first ``texts`` columns hold text, the other ones numbers; with ``bars`` the last one holds bars. ``caption``:
    for readers who cannot see where the table stands. Raises ValueError where a row has more or fewer cells than there
    are ``heads``.
    """
    classes = ["" if number < texts else "number" for number in range(len(heads))]
    if bars:
        classes[-1] = "bars"
    names = [element("th", name, css, 'scope="col"') for name, css in zip(heads, classes, strict=True)]
    body = joined(element("tr", joined(_cells(row, classes))) for row in rows)
    label = html.escape(caption)
    return Html(
        f'<div class="wide" role="region" aria-label="{label}" tabindex="0"><table><caption>{label}</caption>'
        f"<thead><tr>{joined(names).text}</tr></thead><tbody>{body.text}</tbody></table></div>"
    )


def _cells(row: Sequence[Content], classes: Sequence[str]) -> Iterator[Html]:
    for number, (cell, css) in enumerate(zip(row, classes, strict=True)):
        yield element("td", cell, css) if number else element("th", cell, css, 'scope="row"')


def term(name: str, meaning: str) -> Html:
    """A name, and below it what it means in plain words, where that is known."""
    return joined([name, element("small", meaning)]) if meaning else joined([name])


def bar(part: float, whole: float, css: str = "") -> Html:
    """A bar in a cell of a table; ``whole`` fills the cell. It says nothing that the row does not say in numbers."""
    width = 100 * part / whole if whole else 0.0
    return Html(f'<span class="bar {css}" style="width:{width:.2f}%"></span>')


def chart(name: str, height: int, description: str, how_to_read: str, legend: Sequence[tuple[str, int]] = ()) -> Html:
    """An element in which the script draws a chart, with a line on how to read it.

    ``description``: what the chart shows, with numbers, for readers who cannot see it; ``legend``: names, and the
    numbers of their colours.
    """
    attributes = f'data-chart="{name}" role="img" aria-label="{html.escape(description)}" style="height:{height}px"'
    keys = joined(
        element("li", joined([Html(f'<i style="background:var(--c{color % 8})"></i>'), name])) for name, color in legend
    )
    return Html(
        f"<figure>{element('figcaption', how_to_read, 'quiet').text}"
        + (element("ul", keys, "legend").text if legend else "")
        + f'<div class="chart" {attributes}></div></figure>'
    )


def section(title: str, *parts: Content) -> Html:
    """A section of the page with its title."""
    return Html(f"<section><h2>{escape(title)}</h2>{joined(parts).text}</section>")


def details(title: str, content: Content) -> Html:
    """Content that is hidden until the reader opens it."""
    return Html(f"<details><summary>{escape(title)}</summary>{escape(content)}</details>")


def linked(text: str) -> Html:
    """Text whose https addresses are links."""
    return Html(_LINK.sub(lambda found: f'<a href="{found[0]}" rel="noreferrer">{found[0]}</a>', escape(text)))


def script_json(value: object) -> str:
    """JSON for a script element: no text in ``value`` can end the element or begin a comment."""
    text = json.dumps(value, separators=(",", ":"))
    return text.translate({ord(char): f"\\u{ord(char):04x}" for char in "<>&"})


def more(number: int, limit: int) -> Html:
    """A line that says how many of ``number`` entries are not on the page; nothing where all of them are."""
    return element("p", f"and {number - limit:,} more, see run.json", "quiet") if number > limit else Html("")


def share(part: float, whole: float) -> str:
    """``part`` in percent of ``whole``; empty where the whole is 0."""
    if not whole:
        return ""
    return "< 0.01%" if 0 < part / whole < 0.0001 else f"{part / whole:.2%}"


def cut(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= CUT_LENGTH else f"{text[:CUT_LENGTH]}…"


def written(value: object) -> str:
    """The value of a setting as people write it."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def moment_of(run_id: str, write: Callable[[datetime], str] = format_moment) -> str:
    """When the run of this id began, as ``write`` writes it; the id itself where it is none that Logmill makes."""
    try:
        return write(begin_of(run_id))
    except ValueError:
        return cut(run_id)
