import builtins
from typing import Any

import pytest

from ganpipe.tracking import client


def test_a_reason_is_one_line_without_advice_and_without_passwords() -> None:
    error = RuntimeError(
        "(raised as a result of Query-invoked autoflush)\n"
        "API request to http://ben:secret@host:5000/api failed with exception refused\nand more"
    )
    assert client.reason(error) == "API request to http://host:5000/api failed with exception refused"
    assert client.reason(OSError()) == "OSError"


def test_where_mlflow_is_not_installed_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def bare(name: str, *others: Any) -> Any:
        if name == "mlflow":
            raise ImportError(name)
        return real(name, *others)

    monkeypatch.setattr(builtins, "__import__", bare)
    assert client.import_mlflow() is None
