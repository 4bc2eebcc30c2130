"""Trained models in MLflow: logged so that they can be served, and registered so that the best one has a name."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

BEST = "best"  # the alias of the version with the highest validation accuracy: never of that on a test set
NEEDED = ("torch", "safetensors", "pydantic", "pyyaml", "numpy", "pillow", "mlflow")  # to serve a model
RATING = "accuracy_validation."  # the beginning of a version's tags by which it is rated; a set's name follows
EXAMPLES = 4  # of z, beside the model


def log_model(mlflow: ModuleType, store: str, run: str, folder: Path) -> None:
    """Log the generator in that folder as the run's model, with its signature, unless the run has one."""
    from importlib.metadata import version

    import ganpipe
    from ganpipe.models.networks import served
    from ganpipe.models.store import load_config

    if _model_of(mlflow.MlflowClient(store), run) is not None:
        return
    given, made = served(load_config(folder)["generator"])
    schema, spec = mlflow.types.Schema, mlflow.types.TensorSpec
    signature = mlflow.models.ModelSignature(
        *(schema([spec(form.dtype, (-1, *form.shape))]) for form in (given, made)),
    )
    z = np.random.default_rng(0).uniform(-1, 1, (EXAMPLES, *given.shape))
    example = z.astype(np.float32) if given.dtype == np.float32 else np.zeros((1, *given.shape), np.uint8)
    with fluent(mlflow, store), mlflow.start_run(run_id=run):
        mlflow.pyfunc.log_model(
            name="generator",
            python_model=str(Path(str(ganpipe.__file__)).with_name("serving.py")),
            artifacts={"model": str(folder)},
            code_paths=[str(Path(str(ganpipe.__file__)).parent)],
            signature=signature,
            input_example=example,
            pip_requirements=[f"{name}=={version(name)}" for name in NEEDED],
        )


def register(client: Any, name: str, training: str, labelled: str, figures: dict[str, float]) -> None:
    """Make the training's model a version of `name`, note its figures on the set, and move `best` to the best version.

    `figures` are `validation` and, where the test set was looked at, `test`.
    """
    model = _model_of(client, training)
    if model is None:
        return
    if not client.search_registered_models(f"name = '{name}'"):
        about = "Generators; `best` is of the training whose discriminator is the most accurate, on validation"
        client.create_registered_model(name, description=about)
    versions = client.search_model_versions(f"name = '{name}'")
    mine = next((version for version in versions if version.run_id == training), None)
    if mine is None:
        about = client.get_run(training).info.run_name
        mine = client.create_model_version(name, f"models:/{model}", training, description=about, model_id=model)
        versions.append(mine)
    tag = f"{RATING}{labelled}"
    client.set_model_version_tag(name, mine.version, tag, repr(figures["validation"]))
    mine.tags[tag] = repr(figures["validation"])
    # The first set by name decides, so that the order of the measurements does not.
    decides = min(each for version in versions for each in version.tags if each.startswith(RATING))
    rated = [version for version in versions if decides in version.tags]
    best = max(rated, key=lambda version: (float(version.tags[decides]), -int(version.version)))
    client.set_registered_model_alias(name, BEST, best.version)


@contextmanager
def fluent(mlflow: ModuleType, store: str) -> Iterator[None]:
    """MLflow's functions go to that store. Its `set_tracking_uri` sets a variable that other processes read."""
    named = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(store)
    try:
        yield
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if named is not None:
            os.environ["MLFLOW_TRACKING_URI"] = named


def _model_of(client: Any, run: str) -> str | None:
    """The id of the model that the run has logged, whole: an upload that was cut short leaves one that is not ready."""
    experiment = client.get_run(run).info.experiment_id
    found = client.search_logged_models([experiment], f"source_run_id = '{run}'")
    return next((str(model.model_id) for model in found if model.status == "READY"), None)
