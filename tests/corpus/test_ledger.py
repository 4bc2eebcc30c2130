from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ganpipe.corpus.ledger import OK, Ledger

FOLDER = Path("scraped")
BODIES = [b"one", b"", b"three" * 100, b"four"]


def fill() -> None:
    with Ledger(FOLDER) as ledger:
        for number, body in enumerate(BODIES):
            ledger.note(f"http://a/{number}", OK if body else "answered 404", True, body, size=len(body))


def held() -> dict[str, bytes]:
    with Ledger(FOLDER) as ledger:
        data = ledger.bodies.read_bytes()
        return {url: data[o.offset : o.offset + o.length] for url, o in ledger.outcomes().items()}


def test_what_is_noted_is_there_again() -> None:
    fill()
    assert held() == {f"http://a/{number}": body for number, body in enumerate(BODIES)}
    with Ledger(FOLDER) as ledger:
        ledger.note("http://a/1", OK, True, b"two")
        assert ledger.outcomes()["http://a/2"].facts == {"size": 500}
        noted = ledger.note("http://a/4", OK, True, b"five", size=4)
        ledger.add(noted, wide=2)
        assert ledger.outcomes()["http://a/4"].facts == {"size": 4, "wide": 2}
    assert (held()["http://a/1"], held()["http://a/4"]) == (b"two", b"five")


@given(st.data())
def test_whatever_a_kill_leaves_is_a_beginning(data: st.DataObject) -> None:
    """Bytes are written before the line that names them: the ledger never has more than the bodies."""
    for path in FOLDER.glob("*") if FOLDER.exists() else []:
        path.unlink()
    fill()
    lines, bodies = FOLDER / "ledger.jsonl", FOLDER / "bodies.bin"
    whole = lines.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    lines.write_bytes(whole[:cut])
    noted = whole[:cut].count(b"\n")
    needed = sum(map(len, BODIES[:noted]))
    bodies.write_bytes(bodies.read_bytes()[: data.draw(st.integers(needed, sum(map(len, BODIES))))])
    assert held() == {f"http://a/{number}": BODIES[number] for number in range(noted)}
    assert bodies.stat().st_size == needed  # what no line names is gone
    with Ledger(FOLDER) as ledger:
        ledger.note("http://b/", OK, True, b"next")
    assert held() == {**{f"http://a/{number}": BODIES[number] for number in range(noted)}, "http://b/": b"next"}


def test_a_damaged_line_hides_no_other() -> None:
    fill()
    path = FOLDER / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\x00" * 20 + b"\n" + b"".join(lines[2:]))
    assert held() == {f"http://a/{number}": BODIES[number] for number in (0, 2, 3)}
