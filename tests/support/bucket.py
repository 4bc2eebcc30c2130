"""An object store on this machine: moto's server, which speaks S3."""

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
from moto.server import ThreadedMotoServer

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def bucket(name: str) -> Iterator[str]:
    """A bucket of that name, empty, and the endpoint; the environment leads there, as a user would set it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {**KEYS, "AWS_ENDPOINT_URL": endpoint, "NO_PROXY": "127.0.0.1"}.items():
            patch.setenv(key, value)
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=name)
        try:
            yield endpoint
        finally:
            server.stop()
