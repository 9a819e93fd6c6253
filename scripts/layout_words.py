"""The words that the re-layout replaces, and how many identifiers still use them.

Only names that code binds are counted, once per scope: modules, classes, functions, parameters, variables and
attributes of ``self``. Prose, strings and uses of a name are not counted.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CODE = ("class", "function", "parameter", "variable")


@dataclass(frozen=True)
class Word:
    """An old word and its replacement.

    ``pattern``: searched in an identifier in lower case with spaces between its words (``_TakeOver`` is ``take over``).
    ``kinds``: the kinds of names that the word is replaced in.
    """

    old: str
    pattern: str
    new: str
    kinds: tuple[str, ...] = CODE

    def names(self, binding: "Binding") -> bool:
        """Whether the identifier uses the old word."""
        return binding.kind in self.kinds and bool(re.search(self.pattern, spaced(binding.name)))


@dataclass(frozen=True)
class Binding:
    """A name that a file binds. ``scope``: the classes and functions around it, joined by dots; ``line``: the first."""

    kind: str
    name: str
    scope: str
    file: str
    line: int

    @property
    def qualified(self) -> str:
        """The name within its file, such as ``KnownFile.shown``."""
        return f"{self.scope}.{self.name}".lstrip(".")


WORDS = (
    Word("Job, job", r"^(make |hand out )?job$", "ReadContext, AggregateContext, PublishContext; context"),
    Word("Setup, setup", r"^setup$", "RunSettings; settings"),
    Word("Request, request", r"^request$", "RunOptions; options"),
    Word("Plan, plan()", r"^plan$", "Sizes; choose_sizes", ("class", "function")),
    Word("plan_run", r"^plan run$", "file_states"),
    Word("outcome", r"^outcome$", "Phase1Result; Phase2Result"),
    Word("Totals", r"^totals$", "TotalsAdder; Phase2Result", ("class",)),
    Word("SettleTask, settle, settled", r"\bsettled?\b", "decide_...; Hint.stable"),
    Word("TakeOver, take_over, taken", r"^take over$|^taken$", "carry_over; carried_over"),
    Word("ours, retained", r"^ours$|^retained$", "known; counted"),
    Word("Share", r"^share$", "RunDelta", ("class",)),
    Word("Base, base", r"^base( of| folder)?$", "PreviousVersion; previous"),
    Word("touched", r"\btouch(ed)?\b", "affected"),
    Word("disputed", r"\bdisputed\b", "ambiguous"),
    Word("contested", r"\bcontested\b", "cross_bucket"),
    Word("aside, set_aside", r"\baside\b", "excluded; pending"),
    Word("departed", r"\bdeparted\b", "missing"),
    Word("gone, left", r"^gone$|^left$|^nothing left$", "missing; the noun"),
    Word("lost", r"^(files )?lost$", "unread; the noun"),
    Word("unexamined, not_examined", r"\bunexamined\b|\bnot examined\b", "unread"),
    Word("content_hash, hash_content", r"\bcontent hash$|^hash content$|^find same content$", "file_hash"),
    Word("mark, marks", r"^marks?$|^mark contents$|^mark task$", "fingerprint; chunk_starts; content_marks"),
    Word("compile_kernel, no_kernel", r"^(compile|no|without) kernel$", "library"),
    Word("report (a callback)", r"^report$", "advance", ("function", "parameter")),
    Word("tell, told", r"^tell$|^told$", "advance; the noun"),
    Word("told_plainly", r"^told plainly$", "os_errors_explained; sqlite_errors_explained"),
    *(
        Word(word, f"^{word}$", "the noun")
        for word in ("said", "shown", "here", "these", "some", "most", "mine", "held", "this")
    ),
    *(
        Word(f"{stem}.py", f"^{stem}$", new, ("module",))
        for stem, new in (
            ("content", "reading/input_files"),
            ("contents", "aggregate/incremental/compare_copies"),
            ("departed", "publish/conflicts"),
            ("job", "context"),
            ("outcome", "publish/result"),
            ("request", "planning/run_settings"),
            ("setup", "planning/run_settings"),
            ("takeover", "history/carry_over"),
            ("touched", "aggregate/incremental/affected_ids"),
            ("regeo", "inspection/geo_diff"),
            ("unexamined", "inspection/geo_diff"),
        )
    ),
)
"""The table of words: a name that one of them matches has another name after the move."""

BY_MEANING = (
    Word("place(s), position(s)", r"^(places?|positions?)$", "place: global position; positions: row numbers; folder"),
    Word("part(s)", r"^parts?$", "split; rows; answer"),
    Word("content(s)", r"^contents?$", "content: user, region and watch time of a record"),
    Word("kernel", r"^kernel$", "kernel: function on a worker; library: compiled code"),
    Word("plan", r"^plan$", "plan: the command; else sizes", ("parameter", "variable")),
    Word("fingerprint", r"\bfingerprints?\b", "fingerprint: of settings; key: of an id"),
    Word("known, counted, kept", r"^(known|counted|kept)$", "known: in the manifest; counted: in the version"),
    Word("totals", r"^totals$", "rows, Phase2Result or TotalsAdder", ("parameter", "variable")),
)
"""Words that stay for one meaning and go for others, which only a reader can tell apart: not in the sum."""

EXEMPT = {
    "KnownFile.shown": "a column of the manifest",
    "KnownVersion.base": "a column of the manifest",
    "NewFile.shown": "a column of the manifest",
    "QualityResult.outcome": "a key of run.json and --json",
    "Copy.outcome": "a key of explain --json",
    "GeoDiff.not_examined": "a key of geo-diff --json",
    "Work.judge.lost": "tasks whose worker died",
    "LocalEngine.map.lost": "tasks whose worker died",
    "CompiledParser.parse.base": "an offset in bytes",
    "CompiledParser._add_rows.base": "an offset in bytes",
    "CompiledParser._take_sample.base": "an offset in bytes",
    "SplitReader._make_batch.base": "an offset in bytes",
    "_MARKS": "colours of the report page",
    "_Compiler._left": "the left child of a node",
    "_decode_nodes.left": "the left child of a node",
    "_finished_share.job": "a job of Spark",
    "_head.mark": "an element of the report page",
    "_in_background.outcome": "a future",
    "_plan": "a section of the report page",
    "cache_folder.base": "the folder of all caches",
}
"""Names that stay, by class or function, with the reason: they are stored, or name another thing."""


def spaced(name: str) -> str:
    """An identifier as words: ``_TakeOver`` and ``take_over`` are ``take over``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).strip("_").lower().replace("_", " ")


def bindings(path: Path, file: str) -> list[Binding]:
    """Names that a file binds, each once per scope. ``file``: the name to show."""
    found = {("module", "", path.stem): Binding("module", path.stem, "", file, 1)}
    for kind, scope, name, line in _bound(ast.parse(path.read_text(encoding="utf-8")), (), None):
        found.setdefault((kind, scope, name), Binding(kind, name, scope, file, line))
    return list(found.values())


def count_words(
    names: Sequence[Binding], words: Sequence[Word] = WORDS, exempt: dict[str, str] = EXEMPT
) -> dict[str, list[Binding]]:
    """The identifiers that use each old word, in the order of the table; exempt names are left out."""
    judged = [binding for binding in names if binding.qualified not in exempt]
    return {word.old: [binding for binding in judged if word.names(binding)] for word in words}


def unused_exemptions(names: Sequence[Binding], exempt: dict[str, str] = EXEMPT) -> list[str]:
    """Exemptions for names that no file binds any more."""
    return sorted(set(exempt) - {binding.qualified for binding in names})


def _bound(node: ast.AST, scope: tuple[str, ...], owner: tuple[str, ...] | None) -> Iterator[tuple[str, str, str, int]]:
    """Kind, scope, name and line of everything bound below ``node``; ``owner``: the scope that ``self`` belongs to."""
    for child in ast.iter_child_nodes(node):
        inner, belongs = scope, owner
        where = ".".join(scope)
        if isinstance(child, ast.ClassDef):
            yield "class", where, child.name, child.lineno
            inner = belongs = (*scope, child.name)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield "function", where, child.name, child.lineno
            inner = (*scope, child.name)
        elif isinstance(child, ast.arg):
            yield "parameter", where, child.arg, child.lineno
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield "variable", where, child.id, child.lineno
        elif isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Store) and _of_self(child) and owner:
            yield "variable", ".".join(owner), child.attr, child.lineno
        elif isinstance(child, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and child.name:
            yield "variable", where, child.name, child.lineno
        elif isinstance(child, ast.alias) and child.asname:
            yield "variable", where, child.asname, getattr(child, "lineno", 0)
        yield from _bound(child, inner, belongs)


def _of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"
