"""Machines of a test that have a network of their own, which can be cut: network namespaces on one bridge of Linux."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_HOST = "10.213.7"
"""The first three numbers of all addresses; nobody beyond this machine can reach them."""


@dataclass(frozen=True)
class Network:
    """Machines 1, 2, ... beside this one, which is 0."""

    name: str

    def address(self, machine: int) -> str:
        """The address of a machine."""
        return f"{_HOST}.{machine + 1}"

    def around(self, machine: int) -> tuple[str, ...]:
        """A command that runs a command on a machine: it sees all files, and only that machine's network."""
        return ("nsenter", f"--net=/run/netns/{self.name}-{machine}")

    def cut(self, machine: int) -> None:
        """Let nothing reach a machine, or come from there, any more."""
        _ip("link", "set", f"{self.name}-{machine}", "down")

    def heal(self, machine: int) -> None:
        """Undo ``cut``."""
        _ip("link", "set", f"{self.name}-{machine}", "up")


@contextmanager
def open_network(machines: int) -> Iterator[Network]:
    """So many machines beside this one, for the block. Raises CalledProcessError where they may not be made."""
    network = Network(f"lm{os.getpid()}")
    try:
        _ip("link", "add", network.name, "type", "bridge")
        _ip("address", "add", f"{network.address(0)}/24", "dev", network.name)
        _ip("link", "set", network.name, "up")
        for machine in range(1, machines + 1):
            own = f"{network.name}-{machine}"
            _ip("netns", "add", own)
            _ip("link", "add", own, "type", "veth", "peer", "name", "eth0", "netns", own)
            _ip("link", "set", own, "master", network.name, "up")
            _ip("-n", own, "address", "add", f"{network.address(machine)}/24", "dev", "eth0")
            for card in ("eth0", "lo"):
                _ip("-n", own, "link", "set", card, "up")
        yield network
    finally:
        for machine in range(1, machines + 1):
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", f"{network.name}-{machine}")
        with suppress(subprocess.CalledProcessError):
            _ip("link", "delete", network.name)


def can_make_networks() -> bool:
    """Whether this user may make networks that can be cut."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nsenter"):
        return False
    return subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
