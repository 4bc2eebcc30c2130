"""MLflow as other modules take it: imported without its chatter, and what it raises told in a line."""

import logging
import os
from types import ModuleType

from ganpipe.tracking.store import without_passwords


def import_mlflow() -> ModuleType | None:
    """It, without its start-up chatter; None where it is not installed."""
    for noisy, level in {
        "alembic": "WARNING",
        "mlflow.store.db.utils": "CRITICAL",
        "mlflow.store.model_registry": "WARNING",
        "mlflow.utils.environment": "ERROR",
        "mlflow.pyfunc": "ERROR",
        "mlflow.models.model": "ERROR",
    }.items():
        logging.getLogger(noisy).setLevel(level)
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # a lost server costs seconds, not minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    try:
        import mlflow
    except ImportError:
        return None
    return mlflow


def refusals(mlflow: ModuleType) -> tuple[type[Exception], ...]:
    """What is raised where a store is not there, is not to be used, or is none."""
    from sqlalchemy.exc import SQLAlchemyError

    return (mlflow.exceptions.MlflowException, SQLAlchemyError, ImportError, OSError)


def reason(error: Exception) -> str:
    """The first line that says what happened, without passwords: MLflow names the address that it asked.

    SQLAlchemy puts advice to programmers before it, in brackets.
    """
    lines = [line for line in str(error).splitlines() if not line.startswith("(raised as a result of")]
    return without_passwords(lines[0]) if lines else type(error).__name__
