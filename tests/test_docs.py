"""The documents say what the program does: commands, options, settings, exit codes, files and packages exist."""

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from cli.arguments import EXIT_CODES, make_parser, parse_arguments
from cli.commands import COMMANDS
from cli.version import program_version
from config import Config, load_config
from pipeline.inspection.views import VIEWS
from scripts import document_commands
from scripts.document_settings import PAGE, render
from utils.settings import declared

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def shell_lines(start: str) -> list[str]:
    lines = (line for block in blocks("sh") for line in block.splitlines())
    return [line for line in lines if re.match(rf"(LOGMILL_\w+=\S+ )*{re.escape(start)}", line)]


@pytest.mark.parametrize("line", shell_lines("python main.py"))
def test_commands_of_the_readme_are_understood(line: str) -> None:
    words = shlex.split(line)
    begin = words.index("main.py") + 1
    environ = dict(word.split("=", 1) for word in words[: begin - 2])
    environ.pop("LOGMILL_GEO_REGIONS", None)
    arguments = parse_arguments(words[begin:])
    assert load_config(arguments.settings, environ, None)


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"`make (\w+)", README)) | {line.split()[1] for line in shell_lines("make")}
    assert {"run", "test", "check", "bench"} <= named <= targets
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").count("make test") == 1


def test_commands_are_documented_as_they_are() -> None:
    assert document_commands.PAGE.read_text(encoding="utf-8") == document_commands.render(), (
        "run: python -m scripts.document_commands"
    )
    for command in COMMANDS:
        assert re.search(rf"python main\.py {command}\b", README) or command == "run"
        assert (ROOT / "cli" / f"{command}.py").exists()


def test_the_views_are_in_help_and_readme() -> None:
    help_text = make_parser("query").format_help()
    assert all(f"  {view} " in help_text and f"`{view}`" in README for view in VIEWS)


@pytest.mark.parametrize("command", ["run", "generate", "replay"])
def test_every_option_is_in_the_readme(command: str) -> None:
    options = {
        name for action in make_parser(command)._actions for name in action.option_strings if name.startswith("--")
    }
    missing = {name for name in options - {"--help"} if not re.search(rf"{name}\b", README)}
    assert not missing


def test_every_exit_code_is_in_the_readme() -> None:
    promised = {int(code) for code in re.findall(r"(?:^|[:·] |^  )(\d+) \w", EXIT_CODES, flags=re.MULTILINE)}
    assert promised == {0, 1, 2, 3, 4, 5, 130}
    assert promised == {int(code) for code in re.findall(r"^\| (\d+) \|", README, flags=re.MULTILINE)}


def test_settings_are_documented_as_they_are() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: python -m scripts.document_settings"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_pages_name_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"LOGMILL_([A-Z][A-Z_]+)", text)) | set(re.findall(r"`([A-Z]+_[A-Z_]+)[`=]", text))
    assert {name.removeprefix("LOGMILL_") for name in named} - {"DELTA_BINARY_PACKED", "PSEUDONYM_KEY"} <= set(
        declared(Config)
    )


def test_the_example_file_of_settings_is_valid(tmp_path: Path) -> None:
    for number, block in enumerate(blocks("toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(block)
        assert tomllib.loads(block)
        assert load_config({}, {}, path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("https://", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_files_that_the_readme_names_exist() -> None:
    for name in re.findall(r"`((?:scripts|pipeline|docs|benchmarks)/[\w./-]+)`", README):
        assert (ROOT / name).exists(), name


def test_decisions_are_numbered_and_whole() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:3]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.name[:3]}. ")
        assert all(f"## {part}" in text for part in ("Context", "Choice", "Rejected")), page.name


def test_every_case_has_tests_and_they_exist() -> None:
    files = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
    lines = re.findall(r"^\| (\d+) \|.*\| (.+) \|$", (ROOT / "docs" / "cases.md").read_text(encoding="utf-8"), re.M)
    assert [int(number) for number, _ in lines] == list(range(1, 26))
    listed: set[tuple[str, str]] = set()
    for number, tests in lines:
        named = set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", tests))
        assert named, number
        listed |= named
        for file, test in named:
            assert f"\ndef {test}(" in files[file].read_text(encoding="utf-8"), test
            if test.startswith("test_case_"):
                assert number.zfill(2) in re.findall(r"\d\d", test), test
    written = {(p.name, t) for p in files.values() for t in re.findall(r"^def (test_case_\w+)\(", p.read_text(), re.M)}
    assert written <= listed


def test_the_image_copies_what_there_is_and_no_more_than_it_may() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sources = [
        word for line in re.findall(r"^COPY (.+)$", DOCKERFILE, flags=re.MULTILINE) for word in line.split()[:-1]
    ]
    assert set(sources) == {line[1:] for line in ignored if line.startswith("!")}
    for source in sources:
        assert (ROOT / source).exists(), source
    code = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks"}
    assert code <= set(sources)


def test_the_image_is_not_run_by_root_and_can_find_its_java() -> None:
    assert re.search(r"^FROM python:3\.11-slim-bookworm$", DOCKERFILE, flags=re.MULTILINE)
    users = re.findall(r"^USER (.+)$", DOCKERFILE, flags=re.MULTILINE)
    assert users == ["logmill"]
    assert DOCKERFILE.index("USER logmill") < DOCKERFILE.index("ENTRYPOINT")
    release = Path("/etc/os-release")
    if not shutil.which("apt-cache") or "bookworm" not in (release.read_text() if release.exists() else ""):
        pytest.skip("this machine is not Debian bookworm")
    shown = subprocess.run(["apt-cache", "policy", "openjdk-17-jre-headless"], capture_output=True, text=True)
    assert shown.returncode == 0
    if "Candidate:" not in shown.stdout:
        pytest.skip("this machine has no package lists")
    assert "Candidate: 17." in shown.stdout


def test_the_changelog_tells_of_the_version_that_pyproject_states() -> None:
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert newest
    assert newest[1] == program_version()


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("requirements*.txt")))
def test_requirements_are_exact_and_have_reasons(name: str) -> None:
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "-r ")):
            assert re.fullmatch(r'[A-Za-z0-9_-]+==[0-9.]+(post\d+)?( ; python_version < "[0-9.]+")? +# .+', line), line
