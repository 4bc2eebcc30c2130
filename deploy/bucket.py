"""The bucket of the tracking server: make it, copy it to a folder, and fill it from such a copy.

    python bucket.py make | save FOLDER | load FOLDER

In: BUCKET; boto3's AWS_ENDPOINT_URL_S3, AWS_DEFAULT_REGION and AWS_SHARED_CREDENTIALS_FILE. Runs where boto3 is.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error  # no kin of botocore's; an upload raises it
from botocore.exceptions import BotoCoreError, ClientError


def make(store: Any, bucket: str) -> None:
    """The bucket, unless it is there."""
    if bucket not in {found["Name"] for found in store.list_buckets()["Buckets"]}:
        store.create_bucket(Bucket=bucket)


def save(store: Any, bucket: str, folder: Path) -> int:
    """Bring a folder up to date with the bucket; how many objects were copied. What the bucket has lost is kept."""
    count = 0
    for found in _objects(store, bucket):
        path, changed = _path(folder, found["Key"]), found["LastModified"].timestamp()
        if path.exists() and (path.stat().st_size, path.stat().st_mtime) == (found["Size"], changed):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.part")
        store.download_file(bucket, found["Key"], str(draft))
        os.utime(draft, (changed, changed))  # by which the next copy knows it
        draft.replace(path)
        count += 1
    return count


def load(store: Any, bucket: str, folder: Path) -> int:
    """Bring the bucket what it lacks of a folder; how many objects were copied."""
    make(store, bucket)
    there = {found["Key"]: found["Size"] for found in _objects(store, bucket)}
    wanted = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_draft(path)]
    missing = [path for path in wanted if there.get(path.relative_to(folder).as_posix()) != path.stat().st_size]
    for path in missing:
        store.upload_file(str(path), bucket, path.relative_to(folder).as_posix())
    return len(missing)


def _objects(store: Any, bucket: str) -> Iterator[dict[str, Any]]:
    """What S3 tells of each."""
    for page in store.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        yield from (found for found in page.get("Contents", ()) if not found["Key"].endswith("/"))  # a store's folders


def _is_draft(path: Path) -> bool:
    """Whether `save` was killed while it wrote it; an object may be called `x.part`, too."""
    return path.name.startswith(".") and path.name.endswith(".part")


def _path(folder: Path, key: str) -> Path:
    """Where an object is kept. ValueError where its key leads out of the folder."""
    path = folder / key
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the key {key!r} leads out of {folder}: it is not copied")
    return path


def main() -> None:
    """What the command line says."""
    verbs = {"make": make, "save": save, "load": load}
    if len(sys.argv) < 2 or sys.argv[1] not in verbs or len(sys.argv) != (2 if sys.argv[1] == "make" else 3):
        sys.exit("usage: python bucket.py make | save FOLDER | load FOLDER")
    verb, bucket, folders = sys.argv[1], os.environ.get("BUCKET"), [Path(name) for name in sys.argv[2:]]
    if not bucket:
        sys.exit("error: BUCKET is not set: it names the bucket")
    try:
        count = verbs[verb](boto3.client("s3"), bucket, *folders)  # type: ignore[operator]
    except (BotoCoreError, Boto3Error, ClientError, OSError, ValueError) as error:
        sys.exit(f"error: {verb} of the bucket {bucket}: {error}")
    if count is not None:
        print(f"{verb}: {count} objects")


if __name__ == "__main__":
    main()
