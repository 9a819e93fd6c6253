"""The pieces of HTML that the report is made of, and how it writes numbers.

Whatever comes in is text unless it is ``Html``. This module alone escapes it.
"""

import html
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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


def element(name: str, content: Content, css: str = "") -> Html:
    """An element ``name`` of the class ``css`` around ``content``."""
    attribute = f' class="{html.escape(css)}"' if css else ""
    return Html(f"<{name}{attribute}>{escape(content)}</{name}>")


def joined(parts: Iterable[Content], between: str = "") -> Html:
    """The parts in order, with the markup ``between`` them."""
    return Html(between.join(escape(part) for part in parts))


def table(heads: Sequence[str], rows: Iterable[Sequence[Content]], texts: int = 1) -> Html:
    """A table that scrolls sideways where it is too wide.

    The first ``texts`` columns hold text, the other ones numbers. Raises ValueError where a row has more or fewer cells
    than there are ``heads``.
    """
    classes = ["" if number < texts else "number" for number in range(len(heads))]
    head = joined(element("th", name, css) for name, css in zip(heads, classes, strict=True))
    body = joined(
        element("tr", joined(element("td", cell, css) for cell, css in zip(row, classes, strict=True))) for row in rows
    )
    return Html(f'<div class="wide"><table><thead><tr>{head.text}</tr></thead><tbody>{body.text}</tbody></table></div>')


def chart(name: str, height: int, alternative: str) -> Html:
    """An empty element in which the script draws a chart; ``alternative``: text for readers who cannot see it."""
    attributes = f'data-chart="{name}" aria-label="{html.escape(alternative)}" style="height:{height}px"'
    return Html(f'<div class="chart" role="img" {attributes}></div>')


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


def count(number: int, noun: str) -> str:
    """A number of things: ``1 file``, ``2,000 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def cut(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= CUT_LENGTH else f"{text[:CUT_LENGTH]}…"
