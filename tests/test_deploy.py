"""What deploy/ has for clusters: valid by the schemas of Compose and Kubernetes, and in agreement with the program."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cli.arguments import parse_arguments
from config import Config
from pipeline.versions.folders import local_intermediate
from scripts import storage_server
from tests.end_to_end.program import ROOT

DEPLOY = ROOT / "deploy"
OBJECTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def documents(path: Path) -> list[Any]:
    return list(YAML(typ="safe").load_all(path.read_text(encoding="utf-8")))


def settings_in(text: str) -> set[str]:
    return set(re.findall(r"LOGMILL_([A-Z_]+)", text))


def test_compose_follows_its_schema() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, DEPLOY / "compose.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.stem)
def test_objects_of_kubernetes_follow_its_schema(path: Path) -> None:
    from kubernetes_validate import validate

    for document in documents(path):
        validate(document, "1.35", strict=True)


def test_the_schema_notices_a_wrong_name() -> None:
    from kubernetes_validate import ValidationError, validate

    (pod,) = documents(DEPLOY / "kubernetes" / "executor.yaml")
    pod["spec"]["volume"] = pod["spec"].pop("volumes")
    with pytest.raises(ValidationError):
        validate(pod, "1.35", strict=True)


def test_every_setting_that_is_named_exists() -> None:
    for path in (*OBJECTS, DEPLOY / "compose.yaml"):
        assert settings_in(path.read_text(encoding="utf-8")) <= set(vars(Config())), path


def test_compose_has_a_cluster_of_the_projects_own_image_that_nobody_on_the_network_reaches() -> None:
    (compose,) = documents(DEPLOY / "compose.yaml")
    services = compose["services"]
    del services["storage"]
    assert list(services) == ["master", "worker", "history", "submit"]
    assert {service["image"] for service in services.values()} == {"logmill"}
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert service["volumes"] == ["../data:/data"], "all see the folder under one path"
    for name in ("master", "worker", "history"):
        assert services[name]["entrypoint"] == ["spark-class"]
        assert services[name]["command"][0].startswith("org.apache.spark.deploy.")
    assert services["worker"]["deploy"]["replicas"] == 2
    assert parse_arguments(services["submit"]["command"]).settings == {"INPUT_DIR": "logs"}


@pytest.mark.parametrize("path", [DEPLOY / "compose.yaml", ROOT / "compose.yaml"], ids=["cluster", "one machine"])
def test_compose_has_a_storage_with_the_keys_of_runs_that_only_its_containers_reach(path: Path) -> None:
    (compose,) = documents(path)
    storage, run = (compose["services"][name] for name in ("storage", "submit" if path.parent == DEPLOY else "run"))
    keys = {name: storage["environment"][name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    assert keys.items() <= run["environment"].items()
    assert run["environment"]["AWS_ENDPOINT_URL"].endswith("http://storage:8333}")
    assert "ports" not in storage
    assert storage["profiles"] == ["storage"], "it starts where somebody asks for it"
    program = storage_server.find_program()
    assert program
    known = subprocess.run([program, "help", "mini"], capture_output=True, text=True)
    named = {word.partition("=")[0] for word in storage["command"][1:]}
    assert named <= {line.split()[0] for line in (known.stdout + known.stderr).splitlines() if line.startswith("  -")}


def test_the_example_of_sparks_settings_is_safe() -> None:
    lines = (DEPLOY / "spark-defaults.conf").read_text(encoding="utf-8").splitlines()
    chosen = dict(line.split() for line in lines if line and not line.startswith("#"))
    assert chosen["spark.master.rest.enabled"] == "false"
    assert chosen["spark.authenticate"] == "true"
    assert chosen["spark.eventLog.enabled"] == "true"
    assert chosen["spark.eventLog.dir"] == chosen["spark.history.fs.logDirectory"]


def test_the_driver_may_manage_its_executors_and_nothing_else() -> None:
    account, role, binding = documents(DEPLOY / "kubernetes" / "rbac.yaml")
    resources = {resource for rule in role["rules"] for resource in rule["resources"]}
    assert resources == {"pods", "configmaps", "services", "persistentvolumeclaims"}
    assert role["kind"] == "Role", "of its namespace alone"
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"][0]["name"] == account["metadata"]["name"]


def test_driver_and_executors_of_kubernetes_share_the_volume_under_one_path() -> None:
    (executor,) = documents(DEPLOY / "kubernetes" / "executor.yaml")
    configuration, service, job = documents(DEPLOY / "kubernetes" / "cronjob.yaml")
    driver = job["spec"]["jobTemplate"]["spec"]["template"]
    mounts = [
        {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}["data"]
        for pod in (executor["spec"], driver["spec"])
    ]
    assert mounts == ["/data", "/data"]
    assert service["spec"]["selector"].items() <= driver["metadata"]["labels"].items()
    spark = dict(line.split() for line in configuration["data"]["spark-defaults.conf"].splitlines())
    ports = {str(port["port"]) for port in service["spec"]["ports"]}
    assert ports == {spark["spark.driver.port"], spark["spark.driver.blockManager.port"]}
    assert spark["spark.driver.host"] == f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"


def test_the_driver_of_kubernetes_keeps_its_own_files_between_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where INTERMEDIATE_DIR is a URL, they lie in the cache of the image; each pod has a new one."""
    cache = re.search(r"XDG_CACHE_HOME=(\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert cache
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", cache[1])
    _, _, job = documents(DEPLOY / "kubernetes" / "cronjob.yaml")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (name,) = [
        mount["name"]
        for mount in pod["containers"][0]["volumeMounts"]
        if Path(mount["mountPath"]) == local_intermediate("s3://scratch/logmill").parent
    ]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == name]
    claims = [claim["metadata"]["name"] for claim in documents(DEPLOY / "kubernetes" / "storage.yaml")]
    assert volume["persistentVolumeClaim"]["claimName"] in claims
    assert job["spec"]["concurrencyPolicy"] == "Forbid", "one pod has the volume"


def test_the_command_of_executors_hands_over_what_spark_tells_them(tmp_path: Path) -> None:
    """By a java that prints its words: the project's image has no entry point of Spark's."""
    (executor,) = documents(DEPLOY / "kubernetes" / "executor.yaml")
    command = executor["spec"]["containers"][0]["command"]
    java = tmp_path / "java"
    java.write_text(
        '#!/bin/sh\nfor word in "$@"; do\n  case $word in @*) cat "${word#@}" ;; *) echo "$word" ;; esac\ndone\n'
    )
    java.chmod(0o755)
    told = {
        "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@driver:7078", "SPARK_EXECUTOR_ID": "3",
        "SPARK_EXECUTOR_CORES": "2", "SPARK_EXECUTOR_MEMORY": "953m", "SPARK_APPLICATION_ID": "spark-1",
        "SPARK_EXECUTOR_POD_IP": "10.0.0.7", "SPARK_RESOURCE_PROFILE_ID": "0", "SPARK_EXECUTOR_POD_NAME": "pod-3",
        "SPARK_JAVA_OPT_0": "-Dspark.driver.port=7078",
        "SPARK_JAVA_OPT_1": "--add-opens=java.base/java.lang=ALL-UNNAMED",
    }  # fmt: skip
    path = f"{tmp_path}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, env={**os.environ, **told, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()
    assert {"-Dspark.driver.port=7078", "--add-opens=java.base/java.lang=ALL-UNNAMED", "-Xmx953m"} <= set(words)
    assert words[words.index("--driver-url") + 1] == told["SPARK_DRIVER_URL"]
    assert words[words.index("--podName") + 1] == "pod-3"
    (classes,) = [word for word in words if word.endswith("/jars/*")]
    assert list(Path(classes.removesuffix("*")).glob("spark-kubernetes*.jar"))
