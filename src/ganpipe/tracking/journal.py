"""What a stage has to tell MLflow, on disk until MLflow has it: a server that is down, slow or lost costs no work.

A folder below `.ckpt/tracking/` for each run: `events.jsonl`, a line an event with its true time; the files that they
name, for the stage's next run would overwrite them; `delivered.json`, how far a store has them; `lock`, held by the
process that writes. A process that is killed leaves all of it, and lets go of the lock. What a disk has damaged is told
by checksums, and counts as not noted.
"""

import fcntl
import json
import os
import re
import shutil
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ganpipe import files

LINE = re.compile(rb'\{"sum":"([0-9a-f]{8})",(.+)\n', re.DOTALL)  # with the checksum of what follows it
LOCK = "lock"
LARGE = 1 << 20  # bytes from which on a file gets a second name instead of a copy
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
        self._lock = (folder / LOCK).open("wb")
        self._file: Any = None

    def take(self) -> bool:
        """Hold it, and cut off what a kill left half written, or a damaged line.

        False where another process holds it, or has removed it since it was opened.
        """
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(self._lock.fileno()), (self.folder / LOCK).stat()):
                return False
        except OSError:
            return False
        self._file = self._path.open("ab")
        os.truncate(self._path, sum(len(line) for line in self._lines()))
        return True

    def note(self, kind: str, **what: Any) -> None:
        """One more event, now."""
        line = json.dumps({"at": round(time.time() * 1000), "kind": kind, **what}, separators=(",", ":")).encode()
        with self._writing:
            self._file.write(b'{"sum":"%08x",%s\n' % (zlib.crc32(line[1:]), line[1:]))
            self._file.flush()

    def keep(self, path: Path, only: tuple[str, ...] = ()) -> str:
        """The name under which a copy of that file, or of the folder or some of its files, is held here."""
        inside = [path / each for each in only] or [each for each in sorted(path.rglob("*")) if each.is_file()]
        if not path.is_dir():
            name = f"{_content(path, [path])}{path.suffix}"
            _link(path, self.folder / name)
            return name
        name = _content(path, inside)
        for each in inside:
            to = self.folder / name / each.relative_to(path)
            to.parent.mkdir(parents=True, exist_ok=True)
            _link(each, to)
        return name

    def holds(self, name: str) -> bool:
        """Whether what is held under a name is what was given to `keep`."""
        path = self.folder / name
        inside = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        try:
            return _content(path, inside) == name.partition(".")[0]
        except OSError:
            return False

    def events(self, start: int = 0) -> Iterator[Event]:
        """From the `start`th on."""
        for number, line in enumerate(self._lines()):
            if number >= start:
                yield json.loads(line)

    @property
    def delivered(self) -> dict[str, Any]:
        """What `deliver` was told last; empty where no store has anything, and where that cannot be told."""
        try:
            done = json.loads((self.folder / "delivered.json").read_text())
        except (FileNotFoundError, ValueError, RecursionError):
            return {}
        checksum = done.pop("checksum", None) if isinstance(done, dict) else None
        return done if checksum is not None and checksum == files.digest(done) else {}

    def deliver(self, store: str, run: str, events: int, settled: bool = False) -> None:
        """A store has so many of them; and, of a process that is gone, that it is."""
        done = {"store": store, "run": run, "events": events, "settled": settled}
        files.write_json(self.folder / "delivered.json", {**done, "checksum": files.digest(done)})

    def close(self, remove: bool = False) -> None:
        """Let go of it; for ever, where it is to be removed."""
        if self._file is not None:
            self._file.close()
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def _lines(self) -> Iterator[bytes]:
        """Those before the first that is not whole."""
        if self._path.exists():
            with self._path.open("rb") as file:
                for line in file:
                    found = LINE.fullmatch(line)
                    if found is None or int(found[1], 16) != zlib.crc32(found[2]):
                        return
                    yield line


def left() -> Iterator[Journal]:
    """Those that no living process holds, the oldest first; each is held while it is looked at."""
    known: list[tuple[int, Path]] = []
    for path in root().glob("*/events.jsonl"):
        with suppress(FileNotFoundError):  # whoever held it has just delivered all of it
            known.append((path.stat().st_ctime_ns, path.parent))
    for _, folder in sorted(known):
        journal = Journal(folder)
        if journal.take():
            yield journal
        else:
            journal.close()


def _content(path: Path, inside: list[Path]) -> str:
    """Hex digest of a file, or of a folder's files by their names."""
    return files.digest([[each.relative_to(path).as_posix(), files.sha256(each)] for each in sorted(inside)])


def _link(source: Path, to: Path) -> None:
    """A copy; of a large file a second name, where the disk has such: what stages write is replaced, never changed.

    Small ones may be others', as dvc.lock and params.yaml are, which are written over.
    """
    if to.exists():  # of the same content
        return
    if source.stat().st_size >= LARGE:
        with suppress(OSError):
            os.link(source, to)
            return
    draft = to.with_name(f".{to.name}.part")
    shutil.copyfile(source, draft)
    draft.replace(to)  # or a kill would leave a part of it under its name
