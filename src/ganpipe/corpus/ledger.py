"""What became of each address, kept so that a kill at any moment loses and repeats nothing.

Bodies are appended to one file, and a line with their place to another once they are there. What a kill leaves half
written at the end of either is cut off.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

OK = "ok"


class Outcome(NamedTuple):
    """Of one address."""

    url: str
    outcome: str  # "ok", or why there is no image
    final: bool  # whether asking again would be of no use
    offset: int = 0
    length: int = 0
    facts: dict[str, Any] = {}  # noqa: RUF012 (never changed)


class Ledger:
    """Of one list; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.bodies, self._path = folder / "bodies.bin", folder / "ledger.jsonl"
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "Ledger":
        whole = 0  # bytes of the ledger that are whole lines
        end = 0  # of the bodies that they name
        for line in self._lines():
            whole += len(line)
            outcome = _read(line)
            end = max(end, outcome.offset + outcome.length if outcome is not None else 0)
        for path, size in ((self._path, whole), (self.bodies, end)):
            with path.open("ab"):
                pass
            os.truncate(path, size)
        self._end = end
        self._written, self._noted = self.bodies.open("ab"), self._path.open("ab")
        return self

    def __exit__(self, *_: object) -> None:
        self._written.close()
        self._noted.close()

    def outcomes(self) -> dict[str, Outcome]:
        """The last one of each address."""
        found = (_read(line) for line in self._lines())
        return {outcome.url: outcome for outcome in found if outcome is not None}

    def note(self, url: str, outcome: str, final: bool, body: bytes = b"", **facts: Any) -> Outcome:
        """What became of it; an image's bytes, and what is to be known of it."""
        if body:
            self._written.write(body)
            self._written.flush()
        noted = Outcome(url, outcome, final, self._end, len(body), facts)
        self._end += len(body)
        self._write(noted)
        return noted

    def add(self, noted: Outcome, **facts: Any) -> None:
        """What else is to be known of it."""
        self._write(noted._replace(facts={**noted.facts, **facts}))

    def _write(self, noted: Outcome) -> None:
        self._noted.write(json.dumps(noted, separators=(",", ":")).encode() + b"\n")
        self._noted.flush()

    def _lines(self) -> Iterator[bytes]:
        if self._path.exists():
            with self._path.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))


def _read(line: bytes) -> Outcome | None:
    try:
        return Outcome(*json.loads(line))
    except (ValueError, TypeError):  # after a crash of the machine, not only of the process
        return None
