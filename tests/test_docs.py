"""The documents say what the program does: commands, options, settings, exit codes, files and packages exist."""

import ast
import configparser
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from cli.arguments import make_parser, parse_arguments
from cli.commands import COMMANDS
from cli.help import EXIT_CODES
from cli.job import AUDITED
from cli.version import program_version
from config import Config, load_config
from pipeline.inspection.views import VIEWS
from scripts import document_commands
from scripts.document_settings import EXAMPLES, PAGE, render
from tests.harness import Harness
from utils.settings import declared, groups

ROOT = Path(__file__).parents[1]
README, GUIDE, RESULT, OPERATIONS, GEOGRAPHY = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", *(f"docs/{name}.md" for name in ("guide", "result", "operations", "geography")))
)
CHANGELOG = ROOT / "CHANGELOG.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FOLDERS = "pipeline|cli|jobs|data_generator|utils|tests|scripts|benchmarks|docs|.ci"
FOREIGN = {"ExitStack"}
"""Classes that pages name and other projects have."""


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def spans(text: str) -> list[str]:
    """The inline code of a page."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def code_files() -> Iterator[Path]:
    yield ROOT / "api.py"
    for folder in ("pipeline", "cli", "jobs", "data_generator", "utils", "tests", "scripts", "benchmarks"):
        yield from sorted((ROOT / folder).rglob("*.py"))


@cache
def names_in(path: Path) -> frozenset[str]:
    """What a module binds at its top, and the members of its classes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bound: set[str] = set()
    members = [member for node in tree.body if isinstance(node, ast.ClassDef) for member in node.body]
    for node in [*tree.body, *members]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            bound |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(bound)


@cache
def class_names() -> frozenset[str]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in code_files())
    return frozenset(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def module_file(dotted: str) -> tuple[Path | None, list[str]]:
    """(the file of the longest part of a dotted name that is a module, the names behind it)."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:length])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file, parts[length:]
        if path.is_dir() and length == len(parts):
            return path, []
    return None, parts


def stale_names(text: str) -> list[str]:
    """Paths, modules, tests and classes that a page names in inline code and that do not exist.

    A test file without a folder lies in tests/end_to_end; any other source file without one at the root.
    """
    stale = []
    for span in spans(text):
        for path, test in re.findall(rf"(?<![\w/.])((?:{FOLDERS})/[\w./-]*)(?:::(\w+))?", span):
            file = ROOT / path
            if not file.exists() or (test and test not in names_in(file)):
                stale.append(path)
        for name, test in re.findall(r"(?<![\w/.*<-])(\w+\.(?:py|c|h))\b(?:::(\w+))?", span):
            file = ROOT / name if (ROOT / name).exists() else ROOT / "tests" / "end_to_end" / name
            room = name in {"__init__.py", "context.py", "tasks.py", "driver.py"}
            if not room and (not file.exists() or (test and test not in names_in(file))):
                stale.append(name)
        for dotted in re.findall(r"(?<![\w/.])(?:pipeline|cli|data_generator|utils|tests|scripts)(?:\.\w+)+", span):
            found, rest = module_file(dotted)
            if found is None or (rest and rest[0] not in names_in(found)):
                stale.append(dotted)
        if re.fullmatch(r"[A-Z]\w*[a-z]\w*[A-Z]\w*", span) and span not in class_names() | FOREIGN:
            stale.append(span)
    return stale


def shell_lines(start: str) -> list[str]:
    shown = [block for page in PAGES for block in blocks("sh", page.read_text(encoding="utf-8"))]
    shown += [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    lines = dict.fromkeys(line for block in shown for line in block.splitlines())
    return [line for line in lines if re.match(rf"(LOGMILL_\w+=\S+ )*{re.escape(start)}", line)]


@pytest.mark.parametrize("line", [*shell_lines("python main.py"), *shell_lines("./logmill")])
def test_commands_of_the_pages_are_understood(line: str) -> None:
    words = shlex.split(line.replace("python main.py", "./logmill"), comments=True)
    begin = words.index("./logmill") + 1
    environ = dict(word.split("=", 1) for word in words[: begin - 1])
    environ.pop("LOGMILL_GEO_REGIONS", None)
    arguments = parse_arguments(words[begin:])
    assert load_config(arguments.settings, environ, None)


def test_make_targets_of_the_pages_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {line.split()[1] for line in shell_lines("make")}
    for page in set(PAGES) - {CHANGELOG}:
        named |= set(re.findall(r"`make ([\w-]+)", page.read_text(encoding="utf-8")))
    assert {"run", "test", "test-fast", "check", "bench"} <= named <= targets
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").count("make test") == 1


def test_the_page_of_personal_data_names_what_the_audit_tells_of() -> None:
    page = (ROOT / "docs" / "personal-data.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"gets a line for each (.*?) of a job", page, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", told)) == set(AUDITED)


def test_commands_are_documented_as_they_are() -> None:
    assert document_commands.PAGE.read_text(encoding="utf-8") == document_commands.render(), (
        "run: python -m scripts.document_commands"
    )
    for command in COMMANDS:
        assert command == "run" or re.search(rf"\./logmill {command}\b", README + GUIDE + RESULT + GEOGRAPHY)
        assert (ROOT / "cli" / f"{command.replace('-', '_')}.py").exists()


def test_the_views_are_in_help_and_page() -> None:
    help_text = make_parser("query").format_help()
    assert all(f"  {view} " in help_text and f"`{view}`" in RESULT for view in VIEWS)


@pytest.mark.parametrize("command", ["run", "generate", "replay"])
def test_every_option_is_in_the_guide(command: str) -> None:
    options = {
        name for action in make_parser(command)._actions for name in action.option_strings if name.startswith("--")
    }
    missing = {name for name in options - {"--help"} if not re.search(rf"{name}\b", GUIDE)}
    assert not missing


def test_every_exit_code_is_in_operations() -> None:
    promised = {int(code) for code in re.findall(r"^(\d+) +\w", EXIT_CODES, flags=re.MULTILINE)}
    assert promised == {0, 1, 2, 3, 4, 5, 6, 130}
    assert promised == {int(code) for code in re.findall(r"^\| (\d+) \|", OPERATIONS.partition("## Cron")[0], re.M)}


def test_settings_are_documented_as_they_are() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: python -m scripts.document_settings"


def test_every_group_of_settings_has_an_example_of_its_own() -> None:
    assert set(EXAMPLES) == set(groups(Config))
    for group, example in EXAMPLES.items():
        found = tomllib.loads(example)
        assert found.keys() <= declared(group).keys()
        assert all(value != getattr(Config(), name) for name, value in found.items()), "an example changes something"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_settings_that_pages_name_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"LOGMILL_([A-Z][A-Z_]+)", text)) | set(re.findall(r"`([A-Z]+_[A-Z_]+)[`=]", text))
    of_compose = set(re.findall(r"\$\{(\w+):", (ROOT / "compose.yaml").read_text(encoding="utf-8")))
    others = "LOGMILLTEST_", "AWS_", "AZURE_", "GOOGLE_", "MYSQL_", "OPENLINEAGE_"
    named = {name for name in named - of_compose if not name.startswith(others)}
    assert {name.removeprefix("LOGMILL_") for name in named} - {
        "ALERT_KEY",
        "CONFIG",
        "DELTA_BINARY_PACKED",
        "NO_COLOR",
        "PSEUDONYM_KEY",
        "SPARK_CONF_DIR",  # of Spark itself
    } <= set(declared(Config))


def test_the_example_files_of_settings_are_valid(tmp_path: Path) -> None:
    examples = [block for page in PAGES for block in blocks("toml", page.read_text(encoding="utf-8"))]
    assert len(examples) >= 4
    for number, block in enumerate(examples):
        path = tmp_path / f"{number}.toml"
        path.write_text(block)
        assert tomllib.loads(block)
        assert load_config({}, {}, path)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("https://", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", [page for page in PAGES if page != CHANGELOG], ids=page_name)
def test_what_pages_name_in_code_exists(page: Path) -> None:
    assert stale_names(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "stale"),
    [
        ("`pipeline/kernel.c` and `pipeline/native/rows.c`", ["pipeline/kernel.c"]),
        ("`kernel.c`, `test_cases.py::test_case_01_a_file_delivered_twice`", ["kernel.c"]),
        ("`test_cases.py::test_case_99`", ["test_cases.py"]),
        ("`tests/pipeline/versions/test_lock.py::test_nothing`", ["tests/pipeline/versions/test_lock.py"]),
        ("`pipeline.query.ask` and `pipeline.inspection.query.ask`", ["pipeline.query.ask"]),
        ("`pipeline.inspection.query.guess`", ["pipeline.inspection.query.guess"]),
        ("`python -m scripts.no_such`, `python -m scripts.describe_layout`", ["scripts.no_such"]),
        ("`TakeOver` and `RunFacts`, `UTF8` and `Polars`", ["TakeOver"]),
        ("```\n`pipeline/kernel.c`\n```", []),
    ],
    ids=range(9),
)
def test_a_name_that_does_not_exist_is_noticed(text: str, stale: list[str]) -> None:
    assert stale_names(text) == stale


def test_files_that_other_texts_name_exist() -> None:
    texts = [ROOT / name for name in ("NOTICE", "Makefile", "Dockerfile", ".importlinter", "config.py", "main.py")]
    texts += [*code_files(), *(ROOT / "pipeline" / "native").glob("*.[ch]")]
    invented = {"test_docs.py", "test_describe_layout.py"}
    for text in (text for text in texts if text.name not in invented):
        named = re.findall(r"(?<![\w/])(?:pipeline|tests|docs)/[\w./-]*\w", text.read_text(encoding="utf-8"))
        for name in named:
            number = re.fullmatch(r"docs/decisions/(\d{3})", name)
            exists = any(page.name.startswith(number[1]) for page in DECISIONS) if number else (ROOT / name).exists()
            assert exists, (text.name, name)


def test_the_architecture_page_names_every_package() -> None:
    named = {span.rstrip("/") for span in spans(ARCHITECTURE)}
    top = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pipeline").glob("*.py")} - {"pipeline/__init__.py"}
    packages = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "pipeline").rglob("__init__.py")}
    beside = {path.parent.name for path in ROOT.glob("*/__init__.py")} | {"main.py", "config.py", "scripts"}
    assert (top | packages | beside) - named == set()


def test_the_architecture_page_has_the_layers_of_the_import_rules() -> None:
    rules = configparser.ConfigParser()
    rules.read(ROOT / ".importlinter", encoding="utf-8")
    layers = rules["importlinter:contract:packages"]["layers"].strip()
    assert layers + "\n" in blocks("", ARCHITECTURE)


def test_the_architecture_page_tells_where_every_kernel_runs() -> None:
    kernels: set[str] = set()
    for path in (ROOT / "pipeline").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        origin = {
            alias.asname or alias.name: node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            function = call.func
            place = None
            if isinstance(function, ast.Name) and function.id == "run_all":
                place = 1
            elif isinstance(function, ast.Attribute) and function.attr == "map" and len(call.args) == 4:
                place = 0
            if place is None or not isinstance(kernel := call.args[place], ast.Name) or kernel.id == "kernel":
                continue
            module = origin.get(kernel.id)
            kernels.add(f"{module.replace('.', '/')}.py" if module else path.relative_to(ROOT).as_posix())
    assert len(kernels) > 5
    section = ARCHITECTURE.partition("## Which code runs where")[2].partition("\n## ")[0]
    assert kernels - set(spans(section)) == set()


def test_every_word_stands_once() -> None:
    words = (ROOT / "docs" / "words.md").read_text(encoding="utf-8")
    listed = [
        word for row in re.findall(r"^\| (\*\*.+?) \|", words, re.M) for word in re.findall(r"\*\*(.+?)\*\*", row)
    ]
    assert len(listed) == len(set(listed))
    assert {"split", "bucket", "total", "kernel", "context", "library", "fingerprint", "place"} <= {
        *listed,
        *re.findall(r"\*\*(\w+)\*\*", words),
    }


@pytest.mark.parametrize("split_bytes", [64, 1 << 20])
@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_of_the_words_are_true(number: int, split_bytes: int) -> None:
    words = (ROOT / "docs" / "words.md").read_text(encoding="utf-8")
    claims = re.findall(
        r"^    (\d+) read = (\d+) kept \+ (\d+) duplicate \+ (\d+) conflict \+ (\d+) rejected; (\w+): (\d+) min",
        words,
        re.M,
    )
    *counts, user, minutes = claims[number]
    with Harness([blocks("csv", words)[number].encode()], buckets=2, split_bytes=split_bytes) as run:
        found = run.run()
    shown = [found.records, found.kept, found.duplicates, found.conflicts, found.rejected.total()]
    assert shown == [int(count) for count in counts]
    assert found.totals == {("Asia", user): (int(minutes) * 10**6, 1)}


def test_the_readme_is_short_and_the_index_has_every_page() -> None:
    assert len(README.split()) <= 900
    folder = ROOT / "docs"
    index = folder / "README.md"
    targets = re.findall(r"\]\(([^)#]+)\)", index.read_text(encoding="utf-8"))
    linked = {(folder / target).resolve() for target in targets}
    pages = {page for page in PAGES if page.parent.name != "decisions"} | set((folder / "schema").glob("*.json"))
    assert pages - linked == {index}


@pytest.mark.parametrize("page", [page for page in PAGES if page != CHANGELOG and "decisions" not in page.parts])
def test_pages_use_the_usual_words(page: Path) -> None:
    text = re.sub(r"mend\.csv|<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    if page.name != "commands.md":
        assert not re.findall(r"\b(?:at one instant|mend(?:s|ed|ing)?|taken out|takes? [a-z ]+ out of)\b", text)


def test_messages_use_the_usual_words() -> None:
    wrong = [
        f"{path.name}: {text}"
        for path in code_files()
        if path.parts[len(ROOT.parts)] in ("api.py", "pipeline", "cli", "data_generator")
        for text in spoken(path)
        if re.search(
            r"\b(?:at one instant|mend(?:s|ed|ing)?\b(?!\.csv)|taken out|takes? (?:it|them|these) out)\b", text, re.I
        )
    ]
    assert not wrong


NOUNS = "files|conflicts|duplicates|events|users|rows|records|lines|versions|columns|regions|splits|workers"
SEVERAL = (
    *(
        " columns are shown",
        " events; --limit-rows",
        " files: ",
        " files read",
        " other regions",
        " records were rejected",
    ),
    *(" files were refused", " workers: the memory limit", " records have no timestamp", " lines: missing"),
    *(" files may be open at once", " names its units"),
)
"""What stands behind a number that is never 1."""


def test_numbers_agree_with_their_nouns() -> None:
    """``format_count`` writes 1 file and 2 files. Faults of the program, which say what was expected, may count as they
    like."""
    wrong = []
    for path in code_files():
        if path.parts[len(ROOT.parts)] in ("api.py", "pipeline", "cli", "data_generator"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            wrong += [f"{path.name}:{node.lineno}" for node in ast.walk(tree) if counts_blindly(node)]
    assert not wrong


def counts_blindly(node: ast.AST) -> bool:
    """Whether a text has a number before a noun that is always in the plural."""
    if not isinstance(node, ast.JoinedStr):
        return False
    texts = [part.value for part in node.values if isinstance(part, ast.Constant)]
    if re.search("balance|expected|its index", " ".join(texts)):
        return False
    return any(
        isinstance(number, ast.FormattedValue)
        and isinstance(text, ast.Constant)
        and re.match(rf" (?:(?:more|other|input) )?(?:{NOUNS})\b", text.value)
        and not text.value.startswith(SEVERAL)
        for number, text in pairwise(node.values)
    )


def spoken(path: Path) -> Iterator[str]:
    """The texts of a module that a user may see: all but its docstrings and single words."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield from [node.value] if " " in node.value else []


def test_the_index_of_decisions_has_all_of_them() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d+)\]\((.+?)\) \| (.+) \|$", index, re.M)
    titles = [page.read_text(encoding="utf-8").splitlines()[0] for page in DECISIONS]
    assert rows == [(title[2:5], page.name, title[7:]) for page, title in zip(DECISIONS, titles, strict=True)]


def test_decisions_are_numbered_and_whole() -> None:
    assert [int(page.name[:3]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    for page in DECISIONS:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.name[:3]}. ")
        assert all(f"## {part}" in text for part in ("Context", "Choice", "Rejected")), page.name


def test_every_case_has_tests() -> None:
    """That the tests exist is checked with all other names."""
    page = (ROOT / "docs" / "cases.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (\d+) \|.*\| (.+) \|$", page, re.M)
    assert [int(number) for number, _ in lines] == list(range(1, 26))
    listed: set[str] = set()
    for number, tests in lines:
        named = set(re.findall(r"`[\w/]*test_\w+\.py::(test_\w+)`", tests))
        assert named, number
        listed |= named
        for test in named:
            if test.startswith("test_case_"):
                assert number.zfill(2) in re.findall(r"\d\d", test), test
    files = (ROOT / "tests").rglob("test_*.py")
    written = {test for path in files for test in re.findall(r"^def (test_case_\w+)\(", path.read_text(), re.M)}
    assert written <= listed


def test_the_changelog_tells_of_the_version_that_pyproject_states() -> None:
    newest = re.search(r"^## \[(\d.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert newest
    assert newest[1] == program_version()


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("requirements*.txt")))
def test_requirements_are_exact_and_have_reasons(name: str) -> None:
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "-r ")):
            name_and_version = r"[A-Za-z0-9_-]+(\[[a-z]+\])?==[0-9.]+(post\d+)?"
            assert re.fullmatch(name_and_version + r'( ; python_version < "[0-9.]+")? +# .+', line), line
