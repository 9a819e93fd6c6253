"""Servers for the tests of object storage: one in memory, a real one, and one that misbehaves as told."""

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from unittest import mock
from urllib.error import URLError
from urllib.request import Request, urlopen

from scripts.storage_server import command as server_command
from scripts.storage_server import find_program, free_ports

KEY, SECRET = "LOGMILLTESTKEY", "logmill-test-secret"
_UNSET = "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"


def settings_for(endpoint: str) -> dict[str, str]:
    """The environment in which the program finds the server at this address."""
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": endpoint,
        "LOGMILLTEST_STORAGE_RETRIES": "2",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def found_at(endpoint: str, **more: str) -> Iterator[str]:
    """Let the program, also one that a test starts, find the server at this address while the block runs."""
    from pipeline.storage import client

    with mock.patch.dict(os.environ, settings_for(endpoint) | more), mock.patch.object(client, "_RETRIES", 2):
        for name in _UNSET:
            if name not in more:
                os.environ.pop(name, None)
        client._open.cache_clear()
        yield endpoint
    client._open.cache_clear()


@contextmanager
def memory_server() -> Iterator[str]:
    """moto: a server in this process, right about every condition; yields its address."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@contextmanager
def real_server(folder: Path, bucket: str) -> Iterator[str]:
    """SeaweedFS: a server as people run it, with its files in ``folder`` and one bucket; yields its address."""
    (port,) = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    command = server_command(find_program() or "weed", folder, port)
    environ = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "S3_BUCKET": bucket}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, cwd=folder)
        try:
            endpoint = f"http://127.0.0.1:{port}"
            _wait_for(endpoint, process, folder / "log")
            _wait_for_bucket(endpoint, f"s3://{bucket}")
            yield endpoint
        finally:
            process.kill()  # its files are of no use to anyone, and a busy machine let it take over 30 s to end itself
            process.wait()


def _wait_for(endpoint: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server has ended:\n{log.read_text(errors='replace')[-2000:]}")
        try:
            urlopen(f"{endpoint}/healthz", timeout=2).close()
            return
        except (URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the server does not answer:\n{log.read_text(errors='replace')[-2000:]}")


def _wait_for_bucket(endpoint: str, bucket: str) -> None:
    """The server answers before it has made the bucket."""
    from pipeline.storage.faults import StorageFault
    from pipeline.storage.objects import list_objects

    until = time.monotonic() + 60
    with found_at(endpoint):
        while time.monotonic() < until:
            try:
                list(list_objects(f"{bucket}/"))
                return
            except StorageFault:
                time.sleep(0.2)
    raise RuntimeError("the server makes no bucket")


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def odd_server(answer: Answer) -> Iterator[str]:
    """A server that answers every request by calling ``answer`` with its handler; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            answer(self)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _handle

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def answer_with(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    """Answer a request, whose body is read."""
    handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def error(code: str) -> bytes:
    """The body in which S3 names an error; it also names the key's id, as S3 does."""
    return f"<Error><Code>{code}</Code><Message>no</Message><AWSAccessKeyId>{KEY}</AWSAccessKeyId></Error>".encode()


def empty_bucket(endpoint: str) -> str:
    """Make a bucket with a name of its own; returns its URL."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    urlopen(Request(f"{endpoint}/{name}", method="PUT"), timeout=30).close()
    return f"s3://{name}"
