"""What deploy/ says of itself, without containers: what is shown, what is pinned, what is secret, what is there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.graph import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
VARIABLE = re.compile(r"\$\{\w+:-([^}]*)\}")
each_service = pytest.mark.parametrize("name", SERVICES)


def test_compose_would_take_it() -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    command = [str(program), "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_port_is_on_loopback_unless_told_otherwise() -> None:
    shown = [VARIABLE.sub(r"\1", port) for service in SERVICES.values() for port in service.get("ports", ())]
    assert shown == ["127.0.0.1:5000:5000"]
    assert all(isinstance(port, str) for service in SERVICES.values() for port in service.get("ports", ()))
    assert not any("network_mode" in service or "privileged" in service for service in SERVICES.values())
    assert COMPOSE["networks"]["tables"]["internal"] and COMPOSE["networks"]["objects"]["internal"]
    assert [name for name, service in SERVICES.items() if "front" in service["networks"]] == ["mlflow"]
    assert {"-ip.bind=127.0.0.1", "-s3.ip.bind=0.0.0.0"} <= set(SERVICES["store"]["command"])


def test_by_default_it_answers_to_loopback_at_the_port_that_is_shown() -> None:
    hosts = SERVICES["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"]
    for port in ("5000", "5001"):
        inner = hosts.replace("${PORT:-5000}", port)  # as Compose fills it in, from within
        assert VARIABLE.sub(r"\1", inner) == f"localhost:{port},127.0.0.1:{port}"


def test_every_secret_comes_from_a_file_that_git_does_not_have() -> None:
    used = {name for service in SERVICES.values() for name in service["secrets"]}
    assert used == set(COMPOSE["secrets"])
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
        ignored = subprocess.run(["git", "check-ignore", "-q", DEPLOY / "secrets" / name], check=False, cwd=ROOT)
        assert ignored.returncode == 0
    for service in SERVICES.values():
        for variable in service.get("environment", {}):
            assert not re.search("PASSWORD|SECRET|KEY|TOKEN", variable) or variable.endswith("_FILE")


def test_secrets_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "secrets.sh", tmp_path)
    made = [subprocess.run(["sh", tmp_path / "secrets.sh"], check=True, capture_output=True) for _ in range(2)]
    assert made[0].stdout.count(b"made ") == len(COMPOSE["secrets"]) and not made[1].stdout
    assert {path.name for path in (tmp_path / "secrets").iterdir()} == set(COMPOSE["secrets"])
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    words = re.findall(r"\b[0-9a-f]{48}\b", "".join(path.read_text() for path in (tmp_path / "secrets").iterdir()))
    assert len(words) == 7 and len(set(words)) == 5  # the object store's key and its name are in two forms
    identities = yaml.safe_load((tmp_path / "secrets/s3_identities.json").read_text())["identities"]
    for word in identities[0]["credentials"][0].values():
        assert word in (tmp_path / "secrets/s3_credentials").read_text()


@each_service
def test_a_service_is_pinned_watched_and_restarted(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[\w./-]+:\d+(\.\d+)+[\w.-]*", service["image"])
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    words = [*service.get("command", ()), *service["healthcheck"]["test"], *service.get("environment", {}).values()]
    assert all(isinstance(word, str) for word in words)  # YAML takes "a: b" for something else
    for other, how in service.get("depends_on", {}).items():
        assert other in SERVICES and how == {"condition": "service_healthy"}


@each_service
def test_what_a_service_mounts_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source, target, *mode = volume.split(":")
        if source.startswith("."):
            assert (DEPLOY / source).is_file() and mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]
    command = " ".join(SERVICES[name].get("command", ()))
    mounted = " ".join(SERVICES[name].get("volumes", ()))
    assert all(script in mounted for script in re.findall(r"/deploy/[\w.]+", command))


def test_the_image_is_built_from_what_is_there_and_from_nothing_else() -> None:
    copied = [name for line in re.findall(r"^COPY (.*)", DOCKERFILE, re.M) for name in line.split()[:-1]]
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert [line for line in ignore if line[:1] not in "#!"] == ["*"]
    assert [line[1:] for line in ignore if line.startswith("!")] == copied
    assert all((ROOT / name).is_file() for name in copied)
    context = SERVICES["mlflow"]["build"]
    assert (DEPLOY / context["context"]).resolve() == ROOT and (ROOT / context["dockerfile"]).samefile(
        DEPLOY / "Dockerfile"
    )


def test_the_image_has_the_versions_of_the_project() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==([\w.]+)", lock, re.M))
    uv = re.search(r"^UV_VERSION := (.*)", (ROOT / "Makefile").read_text(), re.M)
    assert uv is not None
    wanted = {name: version for name, _, version in re.findall(r"([\w-]+)(\[\w+\])?==([\d.]+)", DOCKERFILE)}
    assert wanted.pop("uv") == uv[1].strip()
    assert set(wanted) == {"mlflow", "psycopg2-binary", "boto3"}
    assert wanted == {name: locked[name] for name in wanted}
    assert "flask-wtf" in locked  # what mlflow[auth] is without its lock
    assert SERVICES["mlflow"]["image"].endswith(f":{locked['mlflow']}")
    assert SERVICES["database"]["image"] == SERVICES["backup"]["image"]  # pg_dump is as new as what it dumps


@pytest.mark.parametrize("script", sorted(DEPLOY.glob("*.sh")), ids=lambda path: path.name)
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_scripts_parse(script: Path, shell: str) -> None:
    subprocess.run([shell, "-n", script], check=True)


@pytest.mark.parametrize("lacking", ["database_password", "PGHOST"])
def test_what_is_lacking_is_named(tmp_path: Path, lacking: str) -> None:
    variables = {"PATH": "/usr/bin:/bin", "PGHOST": "x", "PGUSER": "x", "PGDATABASE": "x", "SECRETS": str(tmp_path)}
    variables = {name: value for name, value in variables.items() if name != lacking}
    for script, *arguments in (["serve.sh"], ["backup.sh", ".", "1"], ["restore.sh", "dump"]):
        command = ["sh", str(DEPLOY / script), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, env=variables)
        assert done.returncode != 0 and lacking.encode() in done.stderr
