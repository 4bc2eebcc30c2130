"""What was noted is there after any kill; who holds a journal holds it alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.tracking import journal
from ganpipe.tracking.journal import Journal


@pytest.fixture
def noting() -> Journal:
    made = Journal(journal.root() / "run")
    assert made.take()
    return made


def test_events_come_back_in_order_with_their_times(noting: Journal) -> None:
    for number in range(5):
        noting.note("tick", row={"step": number})
    events = list(noting.events())
    assert [event["row"]["step"] for event in events] == list(range(5))
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    assert [event["row"]["step"] for event in noting.events(3)] == [3, 4]


def six_events(folder: Path) -> Path:
    """The file of a journal that is closed."""
    writing = Journal(folder)
    writing.take()
    for number in range(6):
        writing.note("tick", row={"step": number})
    writing.close()
    return folder / "events.jsonl"


@given(st.integers(0, 400))
def test_what_is_cut_off_anywhere_loses_the_last_event_only(cut: int) -> None:
    folder = Path(f"cut{os.urandom(4).hex()}")
    path = six_events(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    again = Journal(folder)
    assert again.take()
    kept = whole[:cut].count(b"\n")
    again.note("tick", row={"step": 99})
    assert [event["row"]["step"] for event in again.events()] == [*range(kept), 99]
    again.close()


def test_several_threads_write_whole_lines(noting: Journal) -> None:
    def write() -> None:
        for _ in range(100):
            noting.note("tick", text="x" * 300)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (noting.folder / "events.jsonl").read_bytes().splitlines()
    assert len(lines) == 400
    assert all(json.loads(line)["text"] == "x" * 300 for line in lines)


HOLD = """
import sys, time
from pathlib import Path
from ganpipe.tracking.journal import Journal
noting = Journal(Path(sys.argv[1]))
print(noting.take(), flush=True)
time.sleep(60)
"""


def test_it_is_held_by_one_process_and_let_go_by_its_death(noting: Journal) -> None:
    noting.note("begin")
    assert list(journal.left()) == []  # also not by another opening of the same process
    noting.close()
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(noting.folder)], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"True\n"
    assert list(journal.left()) == []
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    (left,) = journal.left()
    assert left.folder == noting.folder
    left.close(remove=True)
    assert not noting.folder.exists()


def test_files_are_kept_while_their_owner_goes_on(noting: Journal) -> None:
    Path("gan").mkdir()
    for name in ("a.txt", "b.txt"):
        Path("gan", name).write_text(name)
    picture, folder = noting.keep(Path("gan/a.txt")), noting.keep(Path("gan"))
    some = noting.keep(Path("gan"), ("b.txt",))
    for path in Path("gan").iterdir():
        path.unlink()
    assert (noting.folder / picture).read_text() == "a.txt"
    assert sorted(path.name for path in (noting.folder / folder).iterdir()) == ["a.txt", "b.txt"]
    assert [path.name for path in (noting.folder / some).iterdir()] == ["b.txt"]


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_byte_costs_what_was_noted_from_there_on(place: int, change: int) -> None:
    folder = Path(f"damaged{os.urandom(4).hex()}")
    path = six_events(folder)
    data = bytearray(path.read_bytes())
    place %= len(data)
    data[place] ^= change
    path.write_bytes(data)
    again = Journal(folder)
    assert again.take()
    whole = bytes(data[:place]).count(b"\n")
    assert [event["row"]["step"] for event in again.events()] == list(range(whole))
    again.note("end")
    assert len(list(again.events())) == whole + 1
    again.close()


def test_what_is_held_is_known_by_its_content(noting: Journal) -> None:
    Path("gan/sub").mkdir(parents=True)
    for name in ("a.txt", "sub/b.txt"):
        Path("gan", name).write_text(name)
    for kept in (noting.keep(Path("gan/a.txt")), noting.keep(Path("gan")), noting.keep(Path("gan"), ("a.txt",))):
        assert noting.holds(kept)
        path = noting.folder / kept
        inner = path / "a.txt" if path.is_dir() else path
        text = inner.read_text()
        for damage in (lambda path: path.write_text("A.txt"), Path.unlink):
            damage(inner)
            assert not noting.holds(kept)
        Path("gan/a.txt").write_text(text)  # the links led there


def test_how_far_it_is_delivered_survives(noting: Journal) -> None:
    assert noting.delivered == {}
    noting.deliver("sqlite:///x", "run", 3)
    assert Journal(noting.folder).delivered == {"store": "sqlite:///x", "run": "run", "events": 3, "settled": False}
    whole = (noting.folder / "delivered.json").read_text()
    for damaged in ("{half", "[]", "", whole.replace("3", "5"), whole.replace("false", "true")):
        (noting.folder / "delivered.json").write_text(damaged)
        assert noting.delivered == {}


def test_what_others_write_over_is_held_as_it_was(noting: Journal) -> None:
    """As DVC does with dvc.lock at the end of a stage."""
    Path("dvc.lock").write_text("before")
    kept = noting.keep(Path("dvc.lock"))
    with Path("dvc.lock").open("r+") as file:
        file.write("after!")
    assert noting.holds(kept)
    assert (noting.folder / kept).read_text() == "before"


def test_what_was_removed_since_it_was_opened_is_not_held(noting: Journal) -> None:
    """By a process that has delivered it; written to, it would be lost."""
    noting.note("begin")
    opened = Journal(noting.folder)
    noting.close(remove=True)
    assert not opened.take()
    opened.close()
    again = Journal(noting.folder)
    assert again.take() and list(again.events()) == []
    opened = Journal(noting.folder)
    again.close(remove=True)
    another = Journal(noting.folder)
    assert another.take() and not opened.take()


def test_those_that_go_while_they_are_looked_at_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        made = Journal(journal.root() / name)
        made.take()
        made.note("begin")
        made.close()
    listed = Path.glob

    def removed(path: Path, pattern: str) -> list[Path]:
        found = sorted(listed(path, pattern))
        shutil.rmtree(journal.root() / "b")
        return found

    monkeypatch.setattr(Path, "glob", removed)
    assert [left.folder.name for left in journal.left()] == ["a"]


def test_a_copy_that_was_cut_short_is_made_anew(noting: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("picture.png").write_text("whole")

    def cut(source: Path, to: Path) -> None:
        to.write_text(source.read_text()[:2])
        raise KeyboardInterrupt

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(shutil, "copyfile", cut)
        noting.keep(Path("picture.png"))
    kept = noting.keep(Path("picture.png"))
    assert noting.holds(kept)
    assert (noting.folder / kept).read_text() == "whole"
