"""What a stage has to tell MLflow, on disk until MLflow has it: a server that is down, slow or lost costs no work.

A folder below `.ckpt/tracking/` for each run: `events.jsonl`, a line an event with its true time; the files that they
name, for the stage's next run would overwrite them; `delivered.json`, how far a store has them; `lock`, held by the
process that writes. A process that is killed leaves all of it, and lets go of the lock.
"""

import fcntl
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ganpipe import files

Event = dict[str, Any]  # `at`, milliseconds since 1970; `kind`, a method of `delivery.Delivery`; what that takes


def root() -> Path:
    """Where they lie: at the project's root, also for temporary copies of it."""
    return files.work_folder() / "tracking"


class Journal:
    """Of one run. Whoever opens it holds it alone, until `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._path = folder, folder / "events.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self._writing = threading.Lock()
        self._lock = (folder / "lock").open("wb")
        self._file: Any = None

    def take(self) -> bool:
        """Hold it, and cut off what a kill left half written; False where another process does."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        self._file = self._path.open("ab")
        os.truncate(self._path, sum(len(line) for line in self._lines()))
        return True

    def note(self, kind: str, **what: Any) -> None:
        """One more event, now."""
        line = json.dumps({"at": round(time.time() * 1000), "kind": kind, **what}, separators=(",", ":"))
        with self._writing:
            self._file.write(line.encode() + b"\n")
            self._file.flush()

    def keep(self, path: Path, only: tuple[str, ...] = ()) -> str:
        """The name under which a copy of that file, or of the folder or some of its files, is held here."""
        name = f"{uuid.uuid4().hex}{path.suffix}"
        if only:
            (self.folder / name).mkdir()
            for each in only:
                _link(path / each, self.folder / name / each)
        elif path.is_dir():
            shutil.copytree(path, self.folder / name, copy_function=_link)
        else:
            _link(path, self.folder / name)
        return name

    def events(self, start: int = 0) -> Iterator[Event]:
        """From the `start`th on."""
        for number, line in enumerate(self._lines()):
            if number >= start:
                yield json.loads(line)

    @property
    def delivered(self) -> dict[str, Any]:
        """What `deliver` was told last; empty where no store has anything."""
        try:
            return dict(json.loads((self.folder / "delivered.json").read_text()))
        except (FileNotFoundError, ValueError):
            return {}

    def deliver(self, store: str, run: str, events: int, settled: bool = False) -> None:
        """A store has so many of them; and, of a process that is gone, that it is."""
        done = {"store": store, "run": run, "events": events, "settled": settled}
        files.write_json(self.folder / "delivered.json", done)

    def close(self, remove: bool = False) -> None:
        """Let go of it; for ever, where it is to be removed."""
        if self._file is not None:
            self._file.close()
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def _lines(self) -> Iterator[bytes]:
        if self._path.exists():
            with self._path.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))


def left() -> Iterator[Journal]:
    """Those that no living process holds, the oldest first; each is held while it is looked at."""
    folders = [path for path in root().glob("*") if (path / "events.jsonl").exists()]
    for folder in sorted(folders, key=lambda path: (path / "events.jsonl").stat().st_ctime_ns):
        journal = Journal(folder)
        if journal.take():
            yield journal
        else:
            journal.close()


def _link(source: str | Path, to: str | Path) -> None:
    """A second name of a file, or a copy where the disk has none: what stages write is replaced, never changed."""
    try:
        os.link(source, to)
    except OSError:
        shutil.copyfile(source, to)
