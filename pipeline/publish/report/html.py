"""The few pieces of HTML that the report is made of. Whatever comes in is text: it is escaped here and nowhere else."""

import html
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_LINK = re.compile(r"https://[\w./-]*[\w/]")


@dataclass(frozen=True)
class Html:
    """Markup that is safe as it stands."""

    text: str


Content = str | int | float | Html | None


def escape(content: Content) -> str:
    """Markup for ``content``: numbers with thousands separated, None as nothing, control characters as escapes."""
    if isinstance(content, Html):
        return content.text
    if content is None:
        return ""
    text = f"{content:,}" if isinstance(content, int | float) else content
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return html.escape(shown)


def element(name: str, content: Content, css: str = "") -> Html:
    """``<name class=css>content</name>``."""
    attribute = f' class="{html.escape(css)}"' if css else ""
    return Html(f"<{name}{attribute}>{escape(content)}</{name}>")


def joined(parts: Iterable[Content], between: str = "") -> Html:
    """Parts one after another."""
    return Html(between.join(escape(part) for part in parts))


def table(heads: Sequence[str], rows: Iterable[Sequence[Content]], texts: int = 1) -> Html:
    """A table that scrolls sideways where it must; the first ``texts`` columns hold text, the others numbers."""
    kinds = ["" if place < texts else "number" for place in range(len(heads))]
    head = joined(element("th", name, kind) for name, kind in zip(heads, kinds, strict=True))
    body = joined(
        element("tr", joined(element("td", cell, kind) for cell, kind in zip(row, kinds, strict=True))) for row in rows
    )
    return Html(f'<div class="wide"><table><thead><tr>{head.text}</tr></thead><tbody>{body.text}</tbody></table></div>')


def chart(name: str, height: int, described: str) -> Html:
    """The place of a chart; ``described`` is for those who cannot see it."""
    facts = f'data-chart="{name}" aria-label="{html.escape(described)}" style="height:{height}px"'
    return Html(f'<div class="chart" role="img" {facts}></div>')


def section(title: str, *parts: Content) -> Html:
    """A titled part of the page."""
    return Html(f"<section><h2>{escape(title)}</h2>{joined(parts).text}</section>")


def details(title: str, content: Content) -> Html:
    """A part that is folded until it is asked for."""
    return Html(f"<details><summary>{escape(title)}</summary>{escape(content)}</details>")


def linked(text: str) -> Html:
    """Text whose https addresses are links."""
    return Html(_LINK.sub(lambda found: f'<a href="{found[0]}" rel="noreferrer">{found[0]}</a>', escape(text)))


def script_json(value: object) -> str:
    """JSON that may stand within a script element: nothing in it can end that element or begin a comment."""
    text = json.dumps(value, separators=(",", ":"))
    return text.translate({ord(char): f"\\u{ord(char):04x}" for char in "<>&"})
