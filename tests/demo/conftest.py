"""One small project for all of these tests: its networks are exported once."""

import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from ganpipe.demo import models
from ganpipe.demo.served import Shelf
from support import tiny
from support.server import WebServer, free_port
from support.tiny import GANPIPE, Project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def shelf(project: Project) -> Iterator[Shelf]:
    """Its models, ready."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        made = Shelf(models.found(project.root)[0])
        made.prepare()
    assert all(served.ready for served in made.models.values())
    yield made


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project, and this process in it."""
    monkeypatch.chdir(project.root)
    return project


@pytest.fixture(scope="session")
def drawn() -> np.ndarray:
    """Labels of a wall with a window, uint8 (128, 128, 3)."""
    labels = np.full((128, 128, 3), tiny.LABELS[1], np.uint8)
    labels[40:80, 40:70] = tiny.LABELS[2]
    return labels


@pytest.fixture(scope="session")
def server(project: Project, shelf: Shelf) -> Iterator[WebServer]:
    """`ganpipe serve` of both; its networks were exported before."""
    port = free_port()
    made = WebServer([str(GANPIPE), "serve", "--port", str(port)], project.root, port, None)
    made.start()
    while not all(each["ready"] for each in httpx.get(f"{made.url}/api/models").json()["models"]):
        time.sleep(0.1)
    yield made
    made.kill()
