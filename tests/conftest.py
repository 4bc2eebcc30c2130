"""What every test gets: a folder of its own to work in, and no settings from the shell."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# The networks of the tests are so small that a second thread waits more than it works. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from ganpipe.corpus.catalogue import find
from ganpipe.corpus.download import download_entry
from ganpipe.corpus.shards import Images
from support.settings import digits_corpus

TESTS = str(Path(__file__).parent)  # where machines find `support`
LONGEST = ("e2e/test_pipeline", "e2e/", "deploy/", "tracking/test_delivery", "corpus/test_hostile")

# Timings decide no test: a busy machine is no mistake.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes come first: side by side, the last one would keep a single core busy."""

    def turn(item: pytest.Item) -> int:
        place = item.path.relative_to(TESTS).as_posix()
        return next((turn for turn, start in enumerate(LONGEST) if place.startswith(start)), len(LONGEST))

    items.sort(key=turn)


@pytest.fixture(autouse=True)
def clean_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of the test's own, so that no checkpoint, download or store is shared."""
    monkeypatch.chdir(tmp_path)
    for name in ("GANPIPE_DEVICE", "GANPIPE_ENGINE", "RAY_ADDRESS", "MLFLOW_TRACKING_URI", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """200 real digits at 32x32."""
    return digits_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The catalogue's draws of N(4, 1.25^2)."""
    folder = tmp_path_factory.mktemp("numbers") / "gaussian"
    download_entry(find("gaussian"), folder)
    return Images(folder)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated MLflow database, made once: its migrations take longer than all the tests that use it."""
    import mlflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="module")
def two_machines() -> Iterator[Any]:
    """A Ray cluster of two machines with one core each, both of them processes here."""
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", TESTS)
        room: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 128 << 20}
        cluster = Cluster(initialize_head=True, head_node_args={**room, "include_dashboard": False})
        cluster.add_node(**room)
    yield cluster
    ray.shutdown()
    cluster.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture
def on_ray(two_machines: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """That cluster as a user has it."""
    monkeypatch.setenv("GANPIPE_ENGINE", "ray")
    monkeypatch.setenv("RAY_ADDRESS", two_machines.address)
    monkeypatch.setenv("PYTHONPATH", TESTS)  # of machines that a test adds
    return two_machines
