"""Builds an image without Docker: replays the Dockerfile's steps as root, each stage as layers over a base folder.

    python -m tests.image --base DEBIAN --into FOLDER --target embedded --arg UID=0

``--base`` stands for the official Python image: a Debian bookworm (``debootstrap --variant=minbase bookworm``) with a
Python 3.11 in ``/usr/local``. RUN, COPY, USER, WORKDIR, ENV, ARG and LABEL do what Docker says of them; a stage that
is there already is not replayed. In the image that was built, ``--run "logmill --version"`` runs a command as its user
does, with ``--volume`` (FOLDER:PLACE) for a folder of this machine; what it writes elsewhere goes at its end.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "Dockerfile"
SYSTEM_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Step:
    """An instruction of a Dockerfile: its ``word``, such as RUN, and the text behind it, on one line."""

    word: str
    text: str


@dataclass(frozen=True)
class Stage:
    """``name``; ``base``: the stage or image that it is made from; ``steps``: all but FROM."""

    name: str
    base: str
    steps: tuple[Step, ...]

    def texts(self, word: str) -> list[str]:
        """What stands behind every ``word``."""
        return [step.text for step in self.steps if step.word == word]


@dataclass(frozen=True)
class Settings:
    """What steps have set so far: ``args`` and ``env`` by name, ``labels``, ``user``, ``folder`` and ``entrypoint``."""

    args: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=lambda: {"PATH": SYSTEM_PATH})
    labels: Mapping[str, str] = field(default_factory=dict)
    user: str = "root"
    folder: str = "/"
    entrypoint: tuple[str, ...] = ()


def read_stages(text: str) -> dict[str, Stage]:
    """The stages of a Dockerfile by name, in their order."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r" *\\\n *", " ", "\n".join(lines))
    stages: dict[str, Stage] = {}
    for line in filter(None, joined.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages[name] = Stage(name, base, ())
        else:
            last = next(reversed(stages.values()))
            stages[last.name] = replace(last, steps=(*last.steps, Step(word, rest)))
    return stages


def chain(stages: Mapping[str, Stage], name: str) -> list[Stage]:
    """The stage and those that it is made from, the first one first."""
    stage = stages[name]
    return [*(chain(stages, stage.base) if stage.base in stages else []), stage]


def follow(settings: Settings, step: Step, given: Mapping[str, str]) -> Settings:
    """The settings after a step; those of RUN and COPY are the same. ``given``: the arguments of the build."""
    pairs = dict(word.partition("=")[::2] for word in shlex.split(expand(step.text, settings)) if "=" in word)
    match step.word:
        case "ARG":
            name, _, default = step.text.partition("=")
            return replace(settings, args={**settings.args, name: given.get(name, default)})
        case "ENV":
            return replace(settings, env={**settings.env, **pairs})
        case "LABEL":
            return replace(settings, labels={**settings.labels, **pairs})
        case "USER":
            return replace(settings, user=step.text)
        case "WORKDIR":
            return replace(settings, folder=step.text)
        case "ENTRYPOINT":
            return replace(settings, entrypoint=tuple(json.loads(step.text)))
    return settings


def final_settings(stages: Mapping[str, Stage], name: str, given: Mapping[str, str]) -> Settings:
    """The settings of an image. The arguments of a stage end with it."""
    settings = Settings()
    for stage in chain(stages, name):
        settings = replace(settings, args={})
        for step in stage.steps:
            settings = follow(settings, step, given)
    return settings


def expand(text: str, settings: Settings) -> str:
    """The text with ``$NAME`` and ``"$NAME"`` of arguments and variables; the shell expands those of RUN itself."""
    known = {**settings.args, **settings.env}
    return re.sub(r"\$(\w+)", lambda name: known.get(name[1], ""), text)


class Build:
    """Replays stages. ``into`` gets a folder with the layer of each; ``base`` is never changed."""

    def __init__(self, stages: Mapping[str, Stage], base: Path, into: Path, given: Mapping[str, str]) -> None:
        self.stages, self.base, self.into, self.given = stages, base.resolve(), into.resolve(), given

    def stage(self, name: str) -> None:
        """Replay a stage and those that it needs."""
        stage = self.stages[name]
        copied = re.findall(r"--from=(\w+)", " ".join(stage.texts("COPY")))
        for needed in dict.fromkeys([*([stage.base] if stage.base in self.stages else []), *copied]):
            self.stage(needed)
        if (self.into / name).exists():
            return
        layer = self.into / f"{name}.partial"
        shutil.rmtree(layer, ignore_errors=True)
        settings = final_settings(self.stages, stage.base, self.given) if stage.base in self.stages else Settings()
        settings = replace(settings, args={})
        with self.mounted(stage.base, layer) as root:
            for step in stage.steps:
                print(f"{name}: {step.word} {step.text}", flush=True)
                settings = follow(settings, step, self.given)
                if step.word == "RUN":
                    self.execute(root, ["/bin/sh", "-c", step.text], settings, dict(settings.args)).check_returncode()
                elif step.word == "COPY":
                    self.copy(root, expand(step.text, settings))
                elif step.word == "WORKDIR":
                    (root / step.text.lstrip("/")).mkdir(parents=True, exist_ok=True)
        layer.rename(self.into / name)

    def copy(self, root: Path, text: str) -> None:
        """COPY: files into a folder, the content of a folder into another; owned by root unless --chown names another.
        Compiled modules and what .dockerignore leaves out stay away."""
        options = dict(re.findall(r"--(from|chown)=(\S+)", text))
        *sources, target = [word for word in text.split() if not word.startswith("--")]
        place = root / target.lstrip("/")
        with ExitStack() as stack:
            origin = stack.enter_context(self.mounted(options["from"])) if "from" in options else ROOT
            for source in sources:
                path = origin / source.lstrip("/")
                name = "" if path.is_dir() else f"{'' if target.endswith('/') else place.name}"
                to = place if path.is_dir() else (place / path.name if not name else place)
                to.parent.mkdir(parents=True, exist_ok=True)
                if path.is_dir():
                    ignored = None if "from" in options else shutil.ignore_patterns("__pycache__")
                    shutil.copytree(path, to, symlinks=True, dirs_exist_ok=True, ignore=ignored)
                else:
                    shutil.copy2(path, to)
        subprocess.run(["chroot", root, "chown", "-R", f"{options.get('chown', 'root')}:", target], check=True)

    def execute(
        self, root: Path, command: Sequence[str], settings: Settings, more: Mapping[str, str], stdout: int | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a command in ``root`` as the user of the settings, with that user's HOME as Docker sets it."""
        lines = (root / "etc/passwd").read_text().splitlines()
        entry = next(line.split(":") for line in lines if line.split(":")[0] == settings.user)
        env = {"HOME": entry[5], **settings.env, **more}
        inside = ["env", "-i", *(f"{name}={value}" for name, value in env.items()), "sh", "-c", 'cd "$0" && exec "$@"']
        user = f"--userspec={entry[2]}:{entry[3]}"
        return subprocess.run(["chroot", user, root, *inside, settings.folder, *command], stdout=stdout)

    @contextmanager
    def mounted(self, name: str, layer: Path | None = None, volumes: Sequence[str] = ()) -> Iterator[Path]:
        """The files of a stage, or of the base, at a folder; what is written goes into ``layer``, or is dropped."""
        below = [self.into / stage.name for stage in reversed(chain(self.stages, name))] if name in self.stages else []
        with tempfile.TemporaryDirectory(dir=self.into, prefix="mount-") as folder, ExitStack() as mounts:
            work, root, dropped = (Path(folder) / part for part in ("work", "root", "dropped"))
            for part in (work, root, layer or dropped):
                part.mkdir(exist_ok=True)
            lower = ":".join(map(str, [*below, self.base]))
            options = f"lowerdir={lower},upperdir={layer or dropped},workdir={work}"
            self._mount(mounts, root, "-t", "overlay", "overlay", "-o", options)
            self._mount(mounts, root / "proc", "-t", "proc", "proc")
            for shared in ("dev", "dev/shm"):
                self._mount(mounts, root / shared, "--bind", f"/{shared}")
            for volume in volumes:
                source, _, place = volume.partition(":")
                (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
                self._mount(mounts, root / place.lstrip("/"), "--bind", source)
            yield root

    @staticmethod
    def _mount(mounts: ExitStack, place: Path, *arguments: str) -> None:
        subprocess.run(["mount", *arguments, place], check=True)
        mounts.callback(subprocess.run, ["umount", "--lazy", place], check=True)


def main(argv: Sequence[str]) -> int:
    """Build, or run a command in what was built."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--target", default="spark")
    parser.add_argument("--arg", action="append", default=[])
    parser.add_argument("--volume", action="append", default=[])
    parser.add_argument("--run")
    asked = parser.parse_args(argv)
    if os.environ.get("LOGMILLTEST_MOUNTS") != "own":  # no mount is seen, or left, outside
        os.environ["LOGMILLTEST_MOUNTS"] = "own"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, "-m", "tests.image", *argv])
    given = dict(pair.partition("=")[::2] for pair in asked.arg)
    build = Build(read_stages(DOCKERFILE.read_text(encoding="utf-8")), asked.base, asked.into, given)
    asked.into.mkdir(parents=True, exist_ok=True)
    build.stage(asked.target)
    if asked.run is None:
        return 0
    settings = final_settings(build.stages, asked.target, given)
    with build.mounted(asked.target, volumes=asked.volume) as root:
        return build.execute(root, shlex.split(asked.run), settings, {}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
