"""Servers that tests kill and start again: any command that answers on loopback, and PostgreSQL."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

STARTS = 20
DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


def free_port() -> int:
    """One on loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Process:
    """A program that serves, with all its children, its output in a log."""

    def __init__(self, command: list[str], log: Path, ready: Callable[[], bool], **how: object) -> None:
        self.command, self.log, self.ready, self.how = command, log, ready, how
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it is ready; again where it ends, as a supervisor does.

        PostgreSQL does while processes of a killed one still hold its memory: they are in sessions of their own.
        """
        for _ in range(STARTS):
            with self.log.open("ab") as log:
                process = subprocess.Popen(  # type: ignore[call-overload]
                    self.command, stdout=log, stderr=log, start_new_session=True, **self.how
                )
            self.process = process
            for _ in range(1200):
                if self.ready():
                    return
                if process.poll() is not None:
                    break
                time.sleep(0.1)
            time.sleep(1)
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        """SIGKILL to it and its children; returns once it answers no more."""
        if self.process is not None:
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
            while self.ready():  # its workers die after it
                time.sleep(0.1)


class WebServer(Process):
    """MLflow's, or another that says at /health that it is well."""

    def __init__(self, command: list[str], folder: Path, port: int, environment: Mapping[str, str] | None) -> None:
        super().__init__(command, folder / "log", self.answers, cwd=folder, env=environment)
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    def answers(self) -> bool:
        """Whether it is well."""
        try:
            return bool(httpx.get(f"{self.url}/health", trust_env=False).is_success)
        except httpx.HTTPError:
            return False


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's newest programs, or None."""
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else DEBIAN[-1] if DEBIAN else None


@contextmanager
def postgres(programs: Path, user: str, password: str) -> Iterator[Process]:
    """A new PostgreSQL on `port`, an attribute, of loopback, whose superuser is `user`; it asks for the password."""
    # It refuses to be run by root, and an unprivileged user does not reach pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="ganpipe-postgres-"))
    port = free_port()
    how: dict[str, object] = {"cwd": folder, "env": {"PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C"}}
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        how |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    (folder / "password").write_text(password)
    made = ["initdb", "--pgdata=data", f"--username={user}", "--pwfile=password", "--auth=scram-sha-256", "--no-sync"]
    subprocess.run([programs / made[0], *made[1:]], check=True, capture_output=True, **how)  # type: ignore[call-overload]
    ready = ["pg_isready", "--quiet", "--host=127.0.0.1", f"--port={port}"]
    command = ["postgres", "-D", "data", "-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1"]
    server = Process(
        [str(programs / command[0]), *command[1:], "-c", "fsync=off"],  # processes are killed here, not machines
        folder / "log",
        lambda: subprocess.run([programs / ready[0], *ready[1:]], check=False).returncode == 0,
        **how,
    )
    server.port = port  # type: ignore[attr-defined]
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)
