"""Copies of the tracking server's bucket, on moto's S3."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from support.bucket import bucket
from support.graph import ROOT


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with bucket("here") as made:
        yield made


@pytest.fixture
def store(endpoint: str) -> Any:
    return boto3.client("s3", endpoint_url=endpoint)


def run(*arguments: str, name: str = "here", code: int = 0, **variables: str) -> str:
    command = [sys.executable, str(ROOT / "deploy/bucket.py"), *arguments]
    environment = {**os.environ, "BUCKET": name, **variables}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_it_is_made_once(store: Any) -> None:
    for _ in range(2):
        run("make", name="new")
    assert "new" in {found["Name"] for found in store.list_buckets()["Buckets"]}


def test_a_copy_follows_the_bucket_and_fills_another(store: Any, tmp_path: Path) -> None:
    for key in ("1/a/model", "1/a/picture.png", "1/folder/"):
        store.put_object(Bucket="here", Key=key, Body=b"" if key.endswith("/") else key.encode())
    assert "save: 2 objects" in run("save", str(tmp_path))
    store.put_object(Bucket="here", Key="1/a/model", Body=b"1/a/m0del")  # as long as the one before
    os.utime(tmp_path / "1/a/model", (0, 0))  # moto counts whole seconds
    store.delete_object(Bucket="here", Key="1/a/picture.png")
    assert "save: 1 objects" in run("save", str(tmp_path))
    (tmp_path / "1/.cut-short.part").write_text("half")
    assert "load: 2 objects" in run("load", str(tmp_path), name="there")
    assert "load: 0 objects" in run("load", str(tmp_path), name="there")
    pages = store.list_objects_v2(Bucket="there")["Contents"]
    bodies = {found["Key"]: store.get_object(Bucket="there", Key=found["Key"])["Body"].read() for found in pages}
    assert bodies == {"1/a/model": b"1/a/m0del", "1/a/picture.png": b"1/a/picture.png"}


def test_an_object_that_is_called_like_a_part_comes_back(store: Any, tmp_path: Path) -> None:
    store.create_bucket(Bucket="parts")
    store.put_object(Bucket="parts", Key="1/a/model.part", Body=b"whole")
    run("save", str(tmp_path), name="parts")
    assert "load: 1 objects" in run("load", str(tmp_path), name="back")
    assert store.get_object(Bucket="back", Key="1/a/model.part")["Body"].read() == b"whole"


def test_a_key_that_leads_out_of_the_folder_is_refused(store: Any, tmp_path: Path) -> None:
    store.create_bucket(Bucket="hostile")
    store.put_object(Bucket="hostile", Key="../../out", Body=b"x")
    said = run("save", str(tmp_path / "a/b"), name="hostile", code=1)
    assert "leads out of" in said and not (tmp_path / "out").exists()


def test_mistakes_get_a_sentence(tmp_path: Path) -> None:
    assert "usage" in run("copy", code=1)
    nowhere = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "AWS_ENDPOINT_URL": "", "AWS_MAX_ATTEMPTS": "1"}
    assert "error: save of the bucket here" in run("save", str(tmp_path), code=1, **nowhere)
    assert "BUCKET is not set" in run("make", name="", code=1)


def test_what_the_store_does_not_take_is_a_sentence(store: Any, tmp_path: Path) -> None:
    store.create_bucket(Bucket="closed")
    everything = {"Principal": "*", "Resource": "arn:aws:s3:::closed/*"}
    rule = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:PutObject", **everything}]}
    store.put_bucket_policy(Bucket="closed", Policy=json.dumps(rule))
    (tmp_path / "file").touch()
    assert "error: load of the bucket closed" in run("load", str(tmp_path), name="closed", code=1)
