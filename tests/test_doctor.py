import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from ganpipe import doctor
from ganpipe.doctor import MISSING, OK, OPTIONAL, Fact
from support.graph import ROOT, imported_by

BIN = Path(sys.executable).parent


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files of a project that doctor reads, under git, of somebody whom git knows."""
    for name in ("GANPIPE_MIRROR", "GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    Path(".dvc").mkdir()
    for name in ("params.yaml", "dvc.yaml", "requirements.lock", ".dvc/config"):
        shutil.copyfile(ROOT / name, name)
    subprocess.run(["git", "init", "-q"], check=True)
    for name in ("name", "email"):
        subprocess.run(["git", "config", f"user.{name}", "test@example.invalid"], check=True)
    yield Path.cwd()


def run() -> "subprocess.CompletedProcess[str]":
    return subprocess.run([BIN / "ganpipe", "doctor"], capture_output=True, text=True, check=False)


def setting(section: str, name: str, value: str) -> None:
    """Change one line of params.yaml."""
    lines = Path("params.yaml").read_text().splitlines()
    start = lines.index(f"{section}:")
    place = next(number for number in range(start, len(lines)) if lines[number].startswith(f"  {name}:"))
    Path("params.yaml").write_text("\n".join([*lines[:place], f"  {name}: {value}", *lines[place + 1 :]]))


def only(look: Callable[[], Iterator[Fact]]) -> Fact:
    (fact,) = doctor._looked(look)
    return fact


def test_a_project_that_lacks_nothing_ends_well() -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    *lines, empty, last = done.stdout.splitlines()
    assert (empty, last) == ("", "`dvc repro` has what it needs")
    assert {line.split()[0] for line in lines} <= {OK, OPTIONAL}
    assert "optional  nothing was run yet: dvc repro" in lines
    assert any("packages as requirements.lock has them" in line or "packages unlike" in line for line in lines)


def test_what_is_missing_is_counted_and_each_fault_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    setting("evaluate", "tolerance", "2")
    setting("dedupe", "radius", "-1")
    monkeypatch.setenv("GANPIPE_ENGINE", "spark")
    done = run()
    assert done.returncode == 1
    assert done.stderr == "error: 3 of what `dvc repro` needs are missing, see above\n"
    missing = [line.removeprefix("missing   ") for line in done.stdout.splitlines() if line.startswith(MISSING)]
    assert [line.split()[0] for line in missing] == ["params.yaml:", "params.yaml:", "GANPIPE_ENGINE"]
    assert "dedupe.radius" in missing[0] and "evaluate.tolerance" in missing[1]


def test_elsewhere_the_folder_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    told = [fact.text for fact in doctor.facts() if fact.state == MISSING]
    assert sum("params.yaml" in text for text in told) == 1
    assert sum("there is no .dvc in" in text for text in told) == 1
    assert len(told) == 2


def test_the_versions_of_python_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    span = SpecifierSet(project["requires-python"])
    versions = [(3, minor) for minor in range(20) if span.contains(f"3.{minor}.0")]
    assert (versions[0], versions[-1]) == (doctor.OLDEST, doctor.NEWEST)
    assert only(doctor.python).state == OK


def test_another_python_gets_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NEWEST", (3, 8))
    assert only(doctor.python).state == MISSING
    assert "make setup PYTHON=" in only(doctor.python).text


def test_stages_run_with_the_python_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(doctor.path) == Fact(OK, f"stages run with {BIN / 'python'}")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert only(doctor.path).text.endswith(f"`python`, which is not on the path: . {sys.prefix}/bin/activate")
    (tmp_path / "python").write_text("#!/bin/sh\necho /elsewhere\n")
    (tmp_path / "python").chmod(0o755)
    fact = only(doctor.path)
    assert fact.state == MISSING and fact.text.startswith(f"stages run with {tmp_path / 'python'}, which is not that")


def test_packages_are_compared_with_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("requirements.lock").write_text(
        "# by hand\nnumpy==0.1 \\\n    --hash=sha256:00\nno-such==3 ; python_version < '3' \\\n    --hash=sha256:00\n"
    )
    fact = only(doctor.packages)
    assert fact.state == OPTIONAL and "(locked: 0.1)" in fact.text and "no-such" not in fact.text
    about = tmp_path / "site" / "ganpipe-0.1.dist-info"
    about.mkdir(parents=True)
    wants = ["numpy>=1000", "no-such-package>=1; extra == 'pipeline'", "another-one; extra == 'dev'"]
    lines = [f"Requires-Dist: {want}" for want in wants]
    (about / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", "Name: ganpipe", "Version: 0.1", *lines, ""]))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    missing, _ = doctor.packages()
    assert missing == Fact(MISSING, "packages that are not installed: no-such-package >=1, numpy >=1000: make setup")
    Path("requirements.lock").unlink()
    assert [fact.state for fact in doctor.packages()] == [MISSING, OPTIONAL]


def test_a_package_that_a_look_needs_is_named() -> None:
    def look() -> Iterator[Fact]:
        import no_such_package  # type: ignore[import-not-found]  # noqa: F401

        yield Fact(OK, "")

    assert only(look) == Fact(MISSING, "look: cannot be looked at without the package no_such_package: make setup")


def test_what_cannot_be_read_is_said() -> None:
    Path("params.yaml").unlink()
    Path("params.yaml").mkdir()
    assert only(doctor.settings).text.startswith("params.yaml cannot be read (Is a directory)")

    def look() -> Iterator[Fact]:
        yield Fact(OK, Path("params.yaml").read_text())

    assert only(look) == Fact(MISSING, "look: [Errno 21] Is a directory: 'params.yaml'")


def test_git_has_to_be_there_and_to_know_who_commits(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(doctor.git) == Fact(OK, "git knows who commits")
    monkeypatch.setenv("HOME", str(project))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    subprocess.run(["git", "config", "--unset", "user.email"], check=True)
    fact = only(doctor.git)
    assert fact.state == OPTIONAL
    assert fact.text.endswith("`dvc exp run` wants: git config --global user.email you@host")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "me@example.invalid")
    assert only(doctor.git).state == OK
    shutil.rmtree(".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    assert only(doctor.git).state == MISSING and "is no git checkout" in only(doctor.git).text
    monkeypatch.setenv("PATH", str(project))
    assert only(doctor.git) == Fact(MISSING, "git is not installed: on Debian, apt-get install git")


def as_nobody(look: Callable[[], Iterator[Fact]]) -> list[Fact]:
    """What a process without root's rights sees."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            os.write(write, pickle.dumps(list(look())))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        facts: list[Fact] = pickle.loads(answer.read())
    os.waitpid(child, 0)
    return facts


def test_places_that_may_not_be_written_to_are_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (project, *(project / name for name in (".dvc", ".git"))):
        place.chmod(0o777)
    for place in project.parents:  # pytest's own are its user's alone
        if place.is_relative_to(tempfile.gettempdir()) and place != Path(tempfile.gettempdir()):
            place.chmod(0o711)
    assert [fact.state for fact in as_nobody(doctor.writable)] == [OK]
    (project / "data").mkdir(mode=0o555)
    ((fact),) = as_nobody(doctor.writable)
    assert fact.state == MISSING
    assert fact.text.startswith(f"you may not write to {project / 'data'}: sudo chown")
    (project / "data").rmdir()
    (project / "studies/roses/.dvc").mkdir(parents=True)
    (project / ".ckpt").mkdir(mode=0o555)
    monkeypatch.chdir(project / "studies/roses")
    assert f"{project / '.ckpt'}" in as_nobody(doctor.writable)[0].text


def test_disk_is_compared_with_what_the_sets_take(monkeypatch: pytest.MonkeyPatch) -> None:
    cifar, beside = 170_052_171, 1 << 30
    assert f"take {(beside + 3 * cifar) / 1e9:.1f} GB at least" in only(doctor.disk).text
    setting("download", "name", "edges2shoes")
    assert only(doctor.disk).text.endswith("at least; of edges2shoes the size is not known")
    Path("data/evaluation/cifar10").mkdir(parents=True)
    assert f"take {beside / 1e9:.1f} GB at least" in only(doctor.disk).text
    monkeypatch.setattr(doctor, "BESIDE", 1 << 60)
    assert only(doctor.disk).state == MISSING and only(doctor.disk).text.endswith(": make room")


def test_the_device_is_said_with_its_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    setting("train", "precision", "fp32")
    monkeypatch.setenv("GANPIPE_DEVICE", "cpu")
    first = next(doctor.device())
    assert first.state == OK and first.text.startswith("computes on cpu (") and first.text.endswith(" in fp32")
    monkeypatch.setenv("GANPIPE_DEVICE", "tpu9")
    assert only(doctor.device).state == MISSING and "GANPIPE_DEVICE=tpu9" in only(doctor.device).text


def test_ray_has_to_be_there_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(doctor.engine).state == OK
    monkeypatch.setenv("GANPIPE_ENGINE", "ray")
    with socket.socket() as head:
        head.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{head.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert only(doctor.engine).state == MISSING and "Connection refused" in only(doctor.engine).text
        head.listen()
        assert only(doctor.engine) == Fact(OK, f"GANPIPE_ENGINE: work over images is done by Ray, {address}")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    assert "Ray is not installed" in only(doctor.engine).text


def test_sets_without_an_address_want_a_mirror(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(doctor.mirror()) == []
    setting("download", "name", "roses")
    assert only(doctor.mirror) == Fact(
        MISSING, "no address gives roses to programs: put its files into FOLDER/roses; export GANPIPE_MIRROR=FOLDER"
    )
    monkeypatch.setenv("GANPIPE_MIRROR", str(project / "mirror"))
    assert [fact.state for fact in doctor.mirror()] == [OPTIONAL, MISSING]
    (project / "mirror/roses").mkdir(parents=True)
    assert [fact.state for fact in doctor.mirror()] == [OK]
    monkeypatch.setenv("GANPIPE_MIRROR", "s3://key:secret@bucket/sets")
    assert only(doctor.mirror) == Fact(OK, "GANPIPE_MIRROR: s3://bucket/sets is asked for sets first")


def test_results_are_looked_for() -> None:
    assert only(doctor.results) == Fact(OPTIONAL, "nothing was run yet: dvc repro")
    Path("dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  train:\n    outs:\n    - path: models/gan\n    - path: plots/train.csv\n"
        "  evaluate@digits:\n    outs:\n    - path: plots/evaluate/digits\n"  # of other settings
    )
    Path("models/gan").mkdir(parents=True)
    assert only(doctor.results).text.startswith("1 of 2 results that dvc.lock names are not here (plots/train.csv):")
    Path("plots").mkdir()
    Path("plots/train.csv").touch()
    assert only(doctor.results) == Fact(OK, "all 2 results that dvc.lock names are here")
    Path("dvc.lock").write_text("stages: [")
    assert only(doctor.results) == Fact(MISSING, "dvc.lock cannot be read: git checkout dvc.lock")


class Server(BaseHTTPRequestHandler):
    """A tracking server that has no experiments."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *about: object) -> None:
        """Nothing of it is printed."""


def test_a_store_that_does_not_answer_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(doctor.store).text.endswith("mlflow.db will be made by the first run")
    Path("mlflow.db").write_bytes(b"no database" * 100)
    fact = only(doctor.store)
    assert fact.state == OPTIONAL and "mv it away" in fact.text
    for name, value in (("TIMEOUT", "5"), ("MAX_RETRIES", "0")):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    server = HTTPServer(("127.0.0.1", 0), Server)
    host = f"127.0.0.1:{server.server_port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ben:secret@{host}")
    with server:
        answering = threading.Thread(target=server.serve_forever)
        answering.start()
        fact = only(doctor.store)
        server.shutdown()
        answering.join()
    assert fact == Fact(OK, f"MLflow: http://{host} answers")
    fact = only(doctor.store)
    assert fact.state == OPTIONAL and "unset MLFLOW_TRACKING_URI" in fact.text
    assert "secret" not in fact.text


def test_a_remote_is_named() -> None:
    assert only(doctor.remote).text.endswith("dvc remote add -d storage ADDRESS")
    Path(".dvc/config").write_text(
        "[core]\n    remote = storage\n['remote \"storage\"']\n    url = https://me:secret@host/cache\n"
    )
    assert only(doctor.remote) == Fact(OK, "DVC remote: storage, https://host/cache")
    Path(".dvc/config").write_text("[core\n")
    assert only(doctor.remote).state == MISSING
    shutil.rmtree(".dvc")
    assert only(doctor.remote).text.startswith("there is no .dvc in")


def test_the_inception_network_is_optional() -> None:
    assert only(doctor.inception).state in (OK, OPTIONAL)


def test_no_stage_imports_it() -> None:
    for script in (ROOT / "stages").glob("*.py"):
        assert "src/ganpipe/doctor.py" not in imported_by(script)
