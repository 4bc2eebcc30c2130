import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.corpus.lists import Wanted, plain, read
from ganpipe.errors import UserError

UNREADABLE = Path("/proc/self/mem")
ROWS = [
    {"url": "http://a.org/1.jpg", "licence": "CC0", "width": 3},
    {"url": "https://b.org/2", "licence": "", "width": 4},
]


def test_every_form_lists_the_same() -> None:
    Path("l.txt").write_text("# roses\n\nhttp://a.org/1.jpg\n  https://b.org/2  \n")
    Path("l.csv").write_text("\ufefflicence,url,width\nCC0,http://a.org/1.jpg,3\n,https://b.org/2,4\n")
    Path("l.tsv").write_text("url\tlicence\nhttp://a.org/1.jpg\tCC0\nhttps://b.org/2\t\n")
    Path("l.jsonl").write_text("\n".join(json.dumps({**row, "more": [1]}) for row in ROWS))
    pq.write_table(pa.Table.from_pylist(ROWS), "l.parquet")
    for name in ("l.txt", "l.csv", "l.tsv", "l.jsonl", "l.parquet"):
        assert [each.url for each in read(Path(name)).wanted] == [row["url"] for row in ROWS], name
    assert read(Path("l.jsonl")).wanted[0] == Wanted("http://a.org/1.jpg", {"licence": "CC0", "width": 3})
    assert read(Path("l.parquet")).wanted[0].facts == {"licence": "CC0", "width": 3}
    assert read(Path("l.csv")).wanted[0].facts == {"licence": "CC0", "width": "3"}


def test_repeated_and_unusable_entries_are_counted() -> None:
    Path("l.txt").write_text(
        "http://A.org:80#x\nHTTP://a.org/\nftp://a.org/1\nfile:///etc/passwd\nhello\nhttp://a.org/1\n"
    )
    found = read(Path("l.txt"))
    assert [each.url for each in found.wanted] == ["http://a.org/", "http://a.org/1"]
    assert (found.repeated, found.unusable) == (1, ["ftp://a.org/1", "file:///etc/passwd", "hello"])


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("l.txt", b"", "lists no http or https addresses"),
        ("l.txt", b"ftp://a\n", "lists no http or https addresses"),
        ("l.txt", b"http://a/\xff\n", "no readable list of addresses"),
        ("l.csv", b"a,b\n1,2\n", r"l\.csv, entry 1: it has no url; columns are 'a, b'"),
        ("l.csv", b"\x1b]0;owned\x07\n1\n", r"l\.csv, entry 1: it has no url; columns are '\\x1b\]0;owned\\x07'"),
        ("l.jsonl", b"{\n", r"l\.jsonl, line 1: not JSON"),
        ("l.jsonl", b"[1]\n", r"l\.jsonl, line 1: an object with a url is due"),
        ("l.jsonl", b'{"url": 3}\n', r"l\.jsonl, entry 1: it has no url"),
        ("l.parquet", b"PAR1", "no readable Parquet table"),
        ("l.txt", b"http://a/" + b"x" * (17 << 20), "has a line of over 16,777,216 characters"),
        ("l.jsonl", b'{"url": "' + b"x" * (17 << 20), "has a line of over 16,777,216 characters"),
    ],
)
def test_what_is_no_list_gets_a_sentence(name: str, content: bytes, sentence: str) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        read(Path(name))


@pytest.mark.skipif(not UNREADABLE.exists(), reason="no file here that nobody may read from its beginning")
def test_a_list_that_the_system_does_not_read_gets_a_sentence() -> None:
    with pytest.raises(UserError, match="mem is no readable list of addresses: .*Input/output error"):
        read(UNREADABLE)


def test_damage_in_a_table_gets_a_sentence() -> None:
    urls = [f"http://example.org/{number}" for number in range(1000)]
    pq.write_table(
        pa.table({"url": urls}), "l.parquet", compression="gzip", write_statistics=False, use_dictionary=False
    )
    damaged = bytearray(Path("l.parquet").read_bytes())
    damaged[60:90] = bytes(30)
    Path("l.parquet").write_bytes(damaged)
    with pytest.raises(UserError, match=r"l\.parquet is a damaged Parquet table"):
        read(Path("l.parquet"))


def test_a_missing_list_gets_a_sentence() -> None:
    with pytest.raises(UserError, match=r"none\.txt is missing"):
        read(Path("none.txt"))


@pytest.mark.parametrize(
    ("given", "due"),
    [
        ("HTTP://Example.ORG", "http://example.org/"),
        ("https://example.org:443/a?b#c", "https://example.org/a?b"),
        ("http://example.org:8080/A", "http://example.org:8080/A"),
        ("http://bücher.example/ü", "http://xn--bcher-kva.example/ü"),
        ("http://[::1]/x", "http://[::1]/x"),
        ("http://user:word@example.org/", None),
        ("http://example.org:99999/", None),
        ("http:///x", None),
        ("javascript:alert(1)", None),
        ("http://" + "a" * 64 + ".org/", None),
        ("http://a.org/" + "x" * 9000, None),
    ],
)
def test_addresses_are_brought_to_one_form(given: str, due: str | None) -> None:
    assert plain(given) == due


@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://[", "http://a@"]))
def test_no_text_is_too_odd(text: str, start: str) -> None:
    found = plain(start + text)
    assert found is None or plain(found) == found
