import pytest

from ganpipe.tracking.store import without_passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ben:secret@host:5000/x", "http://host:5000/x"),
        ("no https://ben:p@ss@host/x, nor s3://key@bucket", "no https://host/x, nor s3://bucket"),
        ("http://host/a@b and http://host?mail=a@b", "http://host/a@b and http://host?mail=a@b"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
    ],
)
def test_addresses_are_shown_without_users(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
