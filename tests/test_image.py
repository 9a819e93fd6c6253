"""The container images, without Docker: what each step of the Dockerfile does, and what compose.yaml says.

``tests/image.py`` replays whole stages, which takes minutes and packages from the network, and is run by hand.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cli.arguments import parse_arguments
from cli.version import program_version
from config import Config
from pipeline.native.build import _portable_library
from tests.end_to_end.program import HEADER, ROOT, environment, published
from tests.harness import library
from tests.image import Build, Settings, chain, expand, final_settings, read_stages
from tests.needs import needs_java

STAGES = read_stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))
COMPOSE = ROOT / "compose.yaml"
IMAGES = "embedded", "spark"
SPARK, COMPILER = {"pyspark", "py4j"}, {"ziglang"}
BUILT_WITH = {"UID": "4321", "COMMIT": "abc1234"}


def test_stages_of_a_dockerfile_are_read_as_docker_says() -> None:
    text = (
        '# x\nFROM a:1 AS one\nARG WHO=me\nENV A="b c" D=$WHO\n# RUN no\nRUN x \\\n  && y\n\nFROM one AS two\nUSER $A\n'
    )
    stages = read_stages(text)
    assert [(stage.name, stage.base) for stage in stages.values()] == [("one", "a:1"), ("two", "one")]
    assert stages["one"].texts("RUN") == ["x && y"]
    assert [stage.name for stage in chain(stages, "two")] == ["one", "two"]
    assert final_settings(stages, "two", {}).env["D"] == "me"
    found = final_settings(stages, "one", {"WHO": "you", "OTHER": "x"})
    assert (found.args, found.env["A"], found.env["D"]) == ({"WHO": "you"}, "b c", "you")
    assert final_settings(stages, "two", {}).args == {}, "arguments end with their stage"
    assert expand('"$A/$NONE"', Settings(env={"A": "x"})) == '"x/"'


def test_the_last_stage_is_built_unless_another_is_named() -> None:
    assert list(STAGES)[-1] == "spark"
    assert {stage.base for stage in STAGES.values()} - set(STAGES) == {"python:3.11-slim-bookworm"}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_tells_what_it_is_and_is_not_run_by_root(image: str) -> None:
    found = final_settings(STAGES, image, BUILT_WITH)
    assert (found.user, found.folder, found.entrypoint) == ("logmill", "/data", ("logmill",))
    assert found.env["container"] == "docker", "runs then say where no volume is mounted"
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8").split()[0]
    assert found.labels == {
        "org.opencontainers.image.title": "Logmill",
        "org.opencontainers.image.description": "Watch time per user and region from activity logs, exactly",
        "org.opencontainers.image.version": program_version(),
        "org.opencontainers.image.licenses": f"{licence} AND CC-BY-4.0",
        "org.opencontainers.image.revision": "abc1234",
    }


def test_the_images_copy_what_there_is_and_no_more_than_they_may() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copies = [text.split() for stage in STAGES.values() for text in stage.texts("COPY") if "--from" not in text]
    sources = {word for words in copies for word in words[:-1]}
    assert sources == {line[1:] for line in ignored if line.startswith("!")}
    assert all((ROOT / source).exists() for source in sources)
    code = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks"}
    assert code <= sources


def pins(name: str) -> dict[str, str]:
    """The lines of a list of requirements, without comments, by package."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    return {line.partition("==")[0]: line for line in lines if "==" in line}


def installed_by(stages: list[str], folder: Path) -> dict[str, str]:
    """What ``pip`` is given by the steps of these stages: each is run, with a pip that only notes it."""
    for name in ("app", "build", "bin"):
        (folder / name).mkdir()
    pip = folder / "bin" / "pip"
    pip.write_text(f"#!/bin/sh\n[ \"$*\" = 'install --no-cache-dir -r /dev/stdin' ] && cat >> {folder}/noted\n")
    pip.chmod(0o755)
    for name in stages:
        for step in STAGES[name].steps:
            text = step.text.replace("/app/", f"{folder}/app/").replace("/build/", f"{folder}/build/")
            if step.word == "COPY" and text.startswith("requirements"):
                *sources, target = text.split()
                for source in sources:
                    shutil.copy(ROOT / source, target)
            elif step.word == "RUN" and "| pip" in text:
                path = f"{folder / 'bin'}:{os.environ['PATH']}"
                subprocess.run(["sh", "-c", text], check=True, env={**os.environ, "PATH": path})
    lines = [line.partition("#")[0].strip() for line in (folder / "noted").read_text(encoding="utf-8").splitlines()]
    return {line.partition("==")[0]: line for line in lines if line}


@pytest.mark.parametrize(
    ("image", "without"), [("embedded", COMPILER | SPARK), ("spark", COMPILER), ("program", SPARK)]
)
def test_an_image_has_all_packages_but_the_compiler_and_where_it_needs_none_spark(
    image: str, without: set[str], tmp_path: Path
) -> None:
    extras = "dashboard", "databases", "delta", "storage"
    lists = "requirements.txt", *(f"requirements-{extra}.txt" for extra in extras)
    wanted = {package: line for name in lists for package, line in pins(name).items() if package not in without}
    assert installed_by([stage.name for stage in chain(STAGES, image)], tmp_path) == wanted
    stated = (tmp_path / "app" / "requirements.txt").read_text(encoding="utf-8")
    assert set(re.findall(r"^([\w-]+)==", stated, flags=re.MULTILINE)) == set(pins(lists[0])) - without - (
        COMPILER if image == "program" else set()
    ), "doctor compares what is installed with this list"


@pytest.mark.parametrize("image", IMAGES)
def test_what_is_made_once_is_in_the_image_as_its_user_finds_it(image: str) -> None:
    copied = STAGES[image].texts("COPY")
    assert copied == [
        "--from=program /app /app",
        "--from=program --chown=logmill /var/cache/logmill /var/cache/logmill",
    ]
    assert final_settings(STAGES, image, {}).env["XDG_CACHE_HOME"] == "/var/cache"
    (made,) = [text for text in STAGES["program"].texts("RUN") if "prepare" in text]
    assert "python -m pipeline.planning.prepare &&" in made
    assert ("python -m pipeline.planning.prepare spark" in STAGES[image].texts("RUN")) == (image == "spark")


def test_a_shell_in_the_container_calls_the_program_logmill(tmp_path: Path) -> None:
    (text,) = [text for text in STAGES["packages"].texts("RUN") if "/usr/local/bin/logmill" in text]
    text = text.replace("/usr/local/bin", str(tmp_path)).replace("/app/main.py", str(ROOT / "main.py"))
    subprocess.run(["sh", "-c", text.replace("exec python", f"exec {sys.executable}")], check=True)
    told = subprocess.run([tmp_path / "logmill", "run", "a b/"], capture_output=True, text=True)
    assert told.returncode == 2
    assert "logmill run --input 'a b/'" in told.stderr
    assert "/" not in told.stderr.partition("Did you mean: ")[2].partition(" run ")[0]


@pytest.mark.parametrize("uid", ["0", "33", "4321"], ids=["root", "www-data", "free"])
def test_the_image_belongs_to_whoever_builds_it(uid: str, tmp_path: Path) -> None:
    """Also to a user whom Debian has already: root's is built by ``--build-arg UID="$(id -u)"``, too."""
    (text,) = [text for text in STAGES["packages"].texts("RUN") if "useradd" in text]
    if os.geteuid() or not shutil.which("useradd") or not can_mount():
        pytest.skip("this user or container may not mount file systems")
    build = Build(STAGES, Path("/"), tmp_path, {})
    with build.mounted("the base", tmp_path / "layer") as root:
        build.execute(root, ["sh", "-c", text], Settings(), {"UID": uid}).check_returncode()
        asked = "id -u; echo $HOME; touch $HOME/x /data/x /var/cache/logmill/x; stat -c %u /data/x"
        done = build.execute(root, ["sh", "-c", asked], Settings(user="logmill"), {}, stdout=subprocess.PIPE)
    assert done.stdout.decode().split() == [uid, "/home/logmill", uid]
    assert (tmp_path / "layer" / "var" / "cache" / "logmill" / "x").stat().st_uid == int(uid)


def can_mount() -> bool:
    return subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]).returncode == 0


@pytest.mark.slow
def test_a_run_without_the_compiler_and_spark_is_warm(tmp_path: Path) -> None:
    """As in the embedded image: packages are found by links to all but these."""
    packages, cache = tmp_path / "packages", tmp_path / "cache" / "logmill"
    packages.mkdir()
    cache.mkdir(parents=True)
    for source in Path(pytest.__file__).parents[1].iterdir():
        if not re.match(r"(ziglang|pyspark|py4j)\b", source.name.replace("_", "-")):
            (packages / source.name).symlink_to(source)
    shutil.copy(library(), portable := _portable_library(cache, "baseline"))
    (tmp_path / "log.csv").write_text(HEADER + "i,u,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1.5\n")
    env = environment() | {"PYTHONPATH": str(packages), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": "/nowhere"}
    env.pop("JAVA_HOME", None)
    command = [sys.executable, "-S", str(ROOT / "main.py")]
    done = subprocess.run([*command, "--input", "log.csv"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = " ".join((done.stdout + done.stderr).split())
    assert "no compiled parser" not in told
    assert "engine polars" in told
    assert published(tmp_path) == [("North America", "u", 1.5, 1)]
    shown = subprocess.run([*command, "--version"], env=env, capture_output=True, text=True).stdout
    assert "PySpark is not installed" in shown
    assert list(cache.glob("library-*")) == [portable]


@needs_java
@pytest.mark.slow
def test_spark_starts_from_the_archive_of_the_image(tmp_path: Path) -> None:
    """``-Xshare:on`` lets a JVM end that cannot use its archive: with a damaged one the run ended with exit code 5."""
    env = environment() | {"XDG_CACHE_HOME": str(tmp_path)}
    prepare = [sys.executable, "-m", "pipeline.planning.prepare", "spark"]
    subprocess.run(prepare, cwd=ROOT, env=env, check=True)
    (archive,) = (tmp_path / "logmill").glob("spark-*.jsa")
    made = archive.stat()
    (tmp_path / "log.csv").write_text(HEADER + "i,u,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1.5\n")
    command = [sys.executable, str(ROOT / "main.py"), "--input", "log.csv", "--engine", "spark"]
    env |= {"JAVA_TOOL_OPTIONS": "-Xshare:on"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert published(tmp_path) == [("North America", "u", 1.5, 1)]
    (after,) = (tmp_path / "logmill").glob("spark-*.jsa")
    assert (after, after.stat().st_mtime_ns, after.stat().st_ino) == (archive, made.st_mtime_ns, made.st_ino)


@pytest.fixture(scope="module")
def services() -> Any:
    """The services of compose.yaml, with the defaults of its variables."""
    text = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", COMPOSE.read_text(encoding="utf-8"))
    return YAML(typ="safe").load(text)["services"]


def test_compose_follows_its_schema(tmp_path: Path) -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, COMPOSE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text(encoding="utf-8").replace("mem_limit:", "memory_limit:"))
    assert subprocess.run([*check, wrong], capture_output=True).returncode == 1, "the schema notices a wrong name"


def test_compose_starts_runs_and_the_dashboard_within_limits(services: Any) -> None:
    assert list(services) == ["run", "dashboard", "storage"]
    for service in (services["run"], services["dashboard"]):
        assert service["build"]["target"] in IMAGES
        assert set(service["build"]["args"]) <= {name for text in arguments() for name in [text.partition("=")[0]]}
        assert float(service["cpus"]) >= 1
        assert re.fullmatch(r"[2-9]g", service["mem_limit"])
    assert services["run"]["volumes"] == ["./data:/data"], "a folder above the output, which becomes a link"
    assert services["dashboard"]["volumes"] == ["./data:/data:ro"], "the dashboard changes nothing"
    assert services["dashboard"]["ports"] == ["127.0.0.1:8501:8501"], "nobody on the network reaches it"


def arguments() -> list[str]:
    return [text for stage in STAGES.values() for text in stage.texts("ARG")]


def test_the_commands_of_compose_are_commands_of_the_program(services: Any) -> None:
    assert parse_arguments(services["run"]["command"]).settings == {"INPUT_DIR": "logs"}
    dashboard = parse_arguments(services["dashboard"]["command"])
    assert (dashboard.command, dashboard.host) == ("dashboard", "0.0.0.0")
    assert Config().DASHBOARD_PORT == 8501


def test_the_page_tells_of_every_target_argument_and_variable(services: Any) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    variables = re.findall(r"\$\{(\w+):-(.*?)\}", COMPOSE.read_text(encoding="utf-8"))
    lines = page.partition("\n| variable | default |")[2].partition("\n\n")[0]
    table = dict(re.findall(r"^\| (`[A-Z`_, ]+) \| (.*?) \|", lines, flags=re.MULTILINE))
    told = {
        name.strip("` "): value.strip("` ")
        for names, values in table.items()
        for name, value in zip(names.split(","), values.split(","), strict=True)
    }
    assert told == {name: value or "none" for name, value in variables}
    named = set(re.findall(r"--target (\w+)", page)) | set(re.findall(r"^\| `(\w+)`, the default", page, re.MULTILINE))
    assert named == set(IMAGES)
    assert set(re.findall(r"--build-arg (\w+)=", page)) == {text.partition("=")[0] for text in arguments()}
    assert services["run"]["image"] == services["dashboard"]["image"] == re.findall(r"-t (\w+) \.", page)[0]


def test_java_17_is_in_the_release_of_the_image() -> None:
    release = Path("/etc/os-release")
    if not shutil.which("apt-cache") or "bookworm" not in (release.read_text() if release.exists() else ""):
        pytest.skip("this machine is not Debian bookworm")
    shown = subprocess.run(["apt-cache", "policy", "openjdk-17-jre-headless"], capture_output=True, text=True)
    assert shown.returncode == 0
    if "Candidate:" not in shown.stdout:
        pytest.skip("this machine has no package lists")
    assert "Candidate: 17." in shown.stdout
