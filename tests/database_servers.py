"""Real servers of databases for the tests, in temporary folders: PostgreSQL from a wheel, MariaDB from the system."""

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit


@contextmanager
def postgres_server() -> Iterator[str]:
    """PostgreSQL that listens on a socket in its own folder; yields the URL of its database ``postgres``."""
    from pipeline.datasets.demo_server import open_server

    with open_server() as url:
        run_sql(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield url


@contextmanager
def empty_schema(url: str) -> Iterator[str]:
    """A schema of its own, in which statements and the program find tables while the block runs; yields the URL."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    run_sql(url, f"CREATE SCHEMA {name}")
    try:
        yield f"{url}&options={quote(f'-csearch_path={name}')}"
    finally:
        run_sql(url, f"DROP SCHEMA {name} CASCADE")


def run_sql(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements of PostgreSQL, each in a transaction of its own; returns the rows of the last one."""
    with session(url) as connection:
        rows: list[tuple[Any, ...]] = []
        for statement in statements:
            rows = connection(statement)
        return rows


@contextmanager
def session(url: str) -> Iterator[Any]:
    """A session of PostgreSQL, as a function that runs a statement and returns its rows."""
    from adbc_driver_postgresql import dbapi

    with closing(dbapi.connect(url, autocommit=True)) as connection:

        def run(statement: str) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []

        yield run


MARIADB = shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
"""The server's program; None: there is none on this machine."""


@contextmanager
def mariadb_server(port: int) -> Iterator[str]:
    """MariaDB that listens on a socket in its own folder and, with a certificate for ``localhost`` by the authority
    ``ca.pem`` there, on a port; yields the URL of its database ``mysql``."""
    assert MARIADB, "tests ask for it first"
    with tempfile.TemporaryDirectory(prefix="maria-") as folder:
        data, socket = f"{folder}/data", f"{folder}/socket"
        common = ["--no-defaults", f"--datadir={data}", "--user=root"] if os.geteuid() == 0 else [
            "--no-defaults", f"--datadir={data}"
        ]  # fmt: skip
        made = ["mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(made, check=True, capture_output=True)
        options = [f"--socket={socket}", f"--port={port}", "--bind-address=127.0.0.1", "--skip-log-bin",
                   "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--skip-name-resolve",
                   f"--pid-file={folder}/pid"]  # fmt: skip
        make_certificates(Path(folder))
        options += [f"--ssl-cert={folder}/cert.pem", f"--ssl-key={folder}/key.pem"]
        with Path(folder, "log").open("wb") as log:
            server = subprocess.Popen([MARIADB, *common, *options], stdout=log, stderr=log)
        try:
            url = f"mysql://root@localhost:{port}/mysql?socket={socket}"
            _wait_for_mariadb(url, server, Path(folder, "log"))
            yield url
        finally:
            server.kill()
            server.wait()


def make_certificates(folder: Path) -> None:
    """Write ``ca.pem`` of an authority, and ``cert.pem`` with ``key.pem`` of ``localhost``."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def certificate(name: str, key: Any, signer: str, by: Any, *, authority: bool) -> bytes:
        names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in (name, signer)]
        made = (
            x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2120, 1, 1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        )  # fmt: skip
        return made.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ca, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    (folder / "ca.pem").write_bytes(certificate("authority", ca, "authority", ca, authority=True))
    (folder / "cert.pem").write_bytes(certificate("localhost", own, "authority", ca, authority=False))
    form = serialization.PrivateFormat.TraditionalOpenSSL
    secret = own.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(secret)


def _wait_for_mariadb(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    import pymysql

    until, socket = time.monotonic() + 60, Path(url.partition("socket=")[2])
    while time.monotonic() < until and server.poll() is None:
        with suppress(pymysql.MySQLError):
            if socket.exists():  # or PyMySQL would leave a socket open
                run_mysql(url, "SELECT 1")
                return
        time.sleep(0.1)
    raise RuntimeError(f"MariaDB does not start:\n{log.read_text(errors='replace')[-2000:]}")


@contextmanager
def empty_database(url: str) -> Iterator[str]:
    """A database of its own on a MariaDB server while the block runs; yields its URL."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    run_mysql(url, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        yield url.replace("/mysql?", f"/{name}?")
    finally:
        run_mysql(url, f"DROP DATABASE {name}")


def run_mysql(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements of MySQL, each in a transaction of its own; returns the rows of the last one."""
    with mysql_session(url) as run:
        rows: list[tuple[Any, ...]] = []
        for statement in statements:
            rows = run(statement)
        return rows


@contextmanager
def mysql_session(url: str) -> Iterator[Any]:
    """A session of MySQL, as a function that runs a statement and returns its rows."""
    import pymysql

    parts = urlsplit(url)
    socket = dict(parse_qsl(parts.query))["socket"]
    with closing(
        pymysql.connect(user=parts.username, database=parts.path[1:], unix_socket=socket, autocommit=True)
    ) as connection:

        def run(statement: str) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())

        yield run
