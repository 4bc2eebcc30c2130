"""The tracking server of deploy/ without containers: its scripts on real PostgreSQL, real MLflow and moto's S3.

In the order given.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import boto3
import httpx
import mlflow
import psutil
import pytest

from ganpipe.errors import UserError
from ganpipe.tracking.run import track
from ganpipe.tracking.sync import sync
from support.bucket import bucket
from support.graph import ROOT
from support.project import QUICK, Project
from support.server import WebServer, free_port, postgres, postgres_programs

PROGRAMS = postgres_programs()
PASSWORD = "c:o\\l%o\"n's"  # what the files that the scripts write must keep apart
USER = ("ben", "ben's long password")

if PROGRAMS is None:
    pytest.skip("PostgreSQL is not installed: on Debian, apt-get install postgresql", allow_module_level=True)


class Stack:
    """The three servers, and the scripts of deploy/ as they are run beside them."""

    def __init__(self, folder: Path, database: Any, s3: str) -> None:
        assert PROGRAMS is not None
        self.folder, self.database, port = folder, database, free_port()
        self.scripts, self.secrets = folder / "deploy", folder / "deploy/secrets"
        shutil.copytree(ROOT / "deploy", self.scripts, ignore=shutil.ignore_patterns("secrets"))
        subprocess.run(["sh", self.scripts / "secrets.sh"], check=True, capture_output=True)
        (self.secrets / "database_password").chmod(0o600)
        (self.secrets / "database_password").write_text(PASSWORD + "\n")
        (self.secrets / "admin_password").chmod(0o600)
        (self.secrets / "admin_password").write_text("100%(sure) of\\it\n")
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{PROGRAMS}:/usr/bin:/bin",
            "HOME": str(folder),
            "PRIVATE": str(folder),
            "SECRETS": str(self.secrets),
            "PGHOST": "127.0.0.1",
            "PGPORT": str(database.port),
            "PGUSER": "mlflow",
            "PGDATABASE": "mlflow",
            "BUCKET": "artefacts",
            "AWS_ENDPOINT_URL_S3": s3,
            "AWS_DEFAULT_REGION": "us-east-1",
            "MLFLOW_HOST": "127.0.0.1",
            "MLFLOW_PORT": str(port),
            "MLFLOW_WORKERS": "1",
            "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port}",
            **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
        }
        self.server = WebServer(["sh", str(self.scripts / "serve.sh")], folder, port, self.environment)
        self.admin = ("admin", (self.secrets / "admin_password").read_text().strip())

    def run(self, *command: str | Path, variables: Mapping[str, str] = MappingProxyType({}), code: int = 0) -> str:
        """What a program says."""
        environment = {**self.environment, **variables}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=self.folder)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def sql(self, *command: str) -> str:
        """The same of a program of PostgreSQL, with the password."""
        return self.run(*command, variables={"PGPASSWORD": PASSWORD})

    def objects(self) -> dict[str, bytes]:
        """What is in the bucket."""
        store = boto3.client("s3", endpoint_url=self.environment["AWS_ENDPOINT_URL_S3"])
        name = self.environment["BUCKET"]
        pages = store.get_paginator("list_objects_v2").paginate(Bucket=name)
        keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
        return {key: store.get_object(Bucket=name, Key=key)["Body"].read() for key in keys}

    def get(self, path: str, user: tuple[str, str] | None, **headers: str) -> int:
        """The status of an answer."""
        return httpx.get(self.server.url + path, auth=user, headers=headers, trust_env=False, timeout=60).status_code


class Team(Project):
    """The project of one who works with that server."""

    url = ""
    home: Path | None = None  # where ~/.mlflow/credentials is, in place of the variables

    def environment(self) -> dict[str, str]:
        user = {"MLFLOW_TRACKING_USERNAME": USER[0], "MLFLOW_TRACKING_PASSWORD": USER[1]}
        who = user if self.home is None else {"HOME": str(self.home)}
        return {**super().environment(), "MLFLOW_TRACKING_URI": self.url, **who}


@pytest.fixture(autouse=True)
def _without_a_line_for_each_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR", "werkzeug")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    assert PROGRAMS is not None
    with postgres(PROGRAMS, "mlflow", PASSWORD) as database, bucket("another") as s3:
        made = Stack(tmp_path_factory.mktemp("server"), database, s3)
        made.sql("createdb", "mlflow")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_USERNAME", made.admin[0])
            patch.setenv("MLFLOW_TRACKING_PASSWORD", made.admin[1])
            try:
                made.server.start()
                yield made
            finally:
                made.server.kill()


@pytest.fixture(scope="module")
def project(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Team:
    made = Team(tmp_path_factory.mktemp("team") / "project")
    made.url = made.store = stack.server.url
    for section in ("dedupe", "evaluate"):
        made.set(section, **QUICK[section])
    made.set("train", steps=120, sample_every=60)
    return made


def test_only_those_who_may_are_let_in_and_only_under_its_name(stack: Stack) -> None:
    search = "/api/2.0/mlflow/experiments/search?max_results=5"
    assert stack.get(search, None) == 401
    assert stack.get(search, ("admin", "another password")) == 401
    assert stack.get(search, ("admin", stack.admin[1]), Host="evil.example") == 403
    assert stack.get(search, stack.admin) == 200
    assert stack.get("/api/2.0/mlflow-artifacts/artifacts?path=", None) == 401
    assert stack.get("/", None) == 401
    assert stack.get("/health", None) == 200  # for the container's check


def test_no_secret_is_in_a_command_line_or_readable_to_others(stack: Stack) -> None:
    assert stack.server.process is not None
    shell = psutil.Process(stack.server.process.pid)
    lines = " ".join(word for process in (shell, *shell.children(recursive=True)) for word in process.cmdline())
    assert f"--port {stack.server.port}" in lines
    for path in stack.secrets.iterdir():
        assert not [word for word in re.findall(r"[^\s\":,{}\[\]]{12,}", path.read_text()) if word in lines]
    assert PASSWORD not in lines and PASSWORD not in str(shell.environ())
    assert stack.secrets.stat().st_mode & 0o077 == 0
    (private,) = stack.folder.glob("ganpipe.*")
    assert not any(path.stat().st_mode & 0o077 for path in (private, *private.iterdir()))


def test_runs_survive_kills_of_the_server_and_of_the_database(stack: Stack, project: Team) -> None:
    """By a user who owns neither the experiment nor the registered model, as the second one of a team."""
    user = dict(zip(("username", "password"), USER, strict=True))
    made = httpx.post(f"{stack.server.url}/api/2.0/mlflow/users/create", json=user, auth=stack.admin, trust_env=False)
    assert made.status_code == 200
    client = project.client()
    client.create_experiment("ganpipe")
    client.create_registered_model("ganpipe-default")

    log = project.folder.parent / "repro.log"
    with log.open("wb") as out:
        work = subprocess.Popen(
            ["dvc", "repro", "evaluate@digits"],
            cwd=project.folder,
            env=project.environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    while not any("train/loss_d" in run.data.metrics for run in project.mlflow_runs("train")):
        assert work.poll() is None, log.read_text()
        time.sleep(0.5)
    stack.server.kill()
    stack.database.kill()
    assert work.poll() is None
    stack.database.start()
    stack.server.start()
    assert work.wait() == 0, log.read_text()

    home = project.folder.parent / "home"
    (home / ".mlflow").mkdir(parents=True)
    credentials = f"[mlflow]\nmlflow_tracking_username = {USER[0]}\nmlflow_tracking_password = {USER[1]}\n"
    (home / ".mlflow/credentials").write_text(credentials)
    project.home = home
    assert "made from files" not in project.run("ganpipe", "sync")
    assert not list((project.folder / ".ckpt/tracking").iterdir())  # nothing waits

    (parent,), (nested,) = project.mlflow_runs("train"), project.mlflow_runs("evaluate")
    for stage in ("download", "dedupe", "preprocess", "train", "evaluate"):
        assert [run.info.status for run in project.mlflow_runs(stage)] == ["FINISHED"]
    with (project.folder / "plots/train.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    for name in set(rows[0]) - {"step"}:
        history = client.get_metric_history(parent.info.run_id, f"train/{name}")
        told = [(point.step, point.value) for point in history]
        assert told == [(int(row["step"]), float(row[name])) for row in rows if row[name]]
    accuracy = project.json("metrics/evaluate/digits.json")["accuracy"]
    assert parent.data.metrics["digits/accuracy"] == nested.data.metrics["digits/accuracy"] == accuracy
    assert client.get_model_version_by_alias("ganpipe-default", "best").run_id == parent.info.run_id


def test_artefacts_are_in_the_bucket(stack: Stack, project: Team) -> None:
    (parent,) = project.mlflow_runs("train")
    there = stack.objects()
    root = f"{parent.info.experiment_id}/{parent.info.run_id}/artifacts"
    for name in ("generator.safetensors", "discriminator.safetensors"):
        assert there[f"{root}/gan/{name}"] == (project.folder / "models/gan" / name).read_bytes()
    model = project.client().get_model_version_by_alias("ganpipe-default", "best").source
    assert f"{parent.info.experiment_id}/{str(model).replace(':', '')}/artifacts/MLmodel" in there
    pictures = [key for key in there if key.startswith(f"{root}/images/")]
    assert len(pictures) == 2 * len(list((project.folder / "models/gan/samples").iterdir()))
    assert stack.get(f"/api/2.0/mlflow-artifacts/artifacts/{root}/gan/config.json", None) == 401
    assert stack.get(f"/api/2.0/mlflow-artifacts/artifacts/{root}/gan/config.json", USER) == 200


def test_what_was_told_without_a_password_is_kept_until_there_is_one(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / ".dvc").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))  # where no credentials are
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stack.server.url)
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
    with track("train", {"processed": "told without"}, name="told without") as run:
        run.tick({"step": 1, "loss_d": 0.5})
    assert "it is kept, and sent later" in capsys.readouterr().err
    advice = "not authenticated.*: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    with pytest.raises(UserError, match=advice):
        sync()
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a wrong password")
    with pytest.raises(UserError, match=advice):
        sync()
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", USER[1])
    assert sync() == (1, [])


def test_a_backup_brings_all_of_it_back(stack: Stack, project: Team) -> None:
    backups = stack.folder / "backups"
    backups.mkdir()
    private = set(stack.folder.glob("ganpipe.*"))
    old = [backups / f"mlflow-2020010{day}T000000Z.dump" for day in (1, 2, 3)]
    for path in old:
        path.write_text("")
    stack.run("sh", stack.scripts / "backup.sh", backups, "2")
    assert [path for path in old if path.exists()] == old[2:]
    (dump,) = set(backups.glob("mlflow-*.dump")) - set(old)
    before, objects = everything(project.client()), stack.objects()
    assert len(before) == 6 and objects

    def bucket_script(verb: str) -> str:
        key = {"AWS_SHARED_CREDENTIALS_FILE": str(stack.secrets / "s3_credentials")}
        return stack.run("python", stack.scripts / "bucket.py", verb, backups / "bucket", variables=key)

    assert f"save: {len(objects)} objects" in bucket_script("save")
    assert "save: 0 objects" in bucket_script("save")

    full = stack.run("sh", stack.scripts / "restore.sh", dump, code=1)
    assert "only an empty one is restored to" in full
    stack.server.kill()
    stack.sql("dropdb", "--force", "mlflow")
    stack.sql("createdb", "mlflow")
    stack.environment["BUCKET"] = "another"  # which is empty
    stack.run("sh", stack.scripts / "restore.sh", dump)
    assert f"load: {len(objects)} objects" in bucket_script("load")
    assert stack.objects() == objects
    assert set(stack.folder.glob("ganpipe.*")) == private  # the scripts leave no password

    stack.server.start()
    assert everything(project.client()) == before
    assert stack.get("/api/2.0/mlflow/experiments/search?max_results=5", USER) == 200


def everything(client: mlflow.MlflowClient) -> dict[str, Any]:
    """All runs, with all that is known of them."""
    experiment = client.get_experiment_by_name("ganpipe")
    assert experiment is not None
    return {
        run.info.run_id: (
            run.to_dictionary(),
            {
                name: [point.to_dictionary() for point in client.get_metric_history(run.info.run_id, name)]
                for name in run.data.metrics
            },
            sorted(item.path for item in client.list_artifacts(run.info.run_id)),
        )
        for run in client.search_runs([experiment.experiment_id])
    }
