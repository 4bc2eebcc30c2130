from pathlib import Path

import fsspec
import pytest
from corpus.mirror import running, serve

from ganpipe.corpus import address
from ganpipe.errors import UserError

TO = Path("fetched")


def names(wanted: str) -> list[str]:
    return [path.name for path in address.local("download.path", wanted, TO)]


def test_stars_and_ranges_of_numbers_name_several_files() -> None:
    for name in ("a-09.tar", "a-10.tar", "a-11.tar", "b-10.tar", "a-x.tar"):
        Path(name).write_bytes(b"")
    assert names("a-10.tar") == ["a-10.tar"]
    assert names("a-*.tar") == ["a-09.tar", "a-10.tar", "a-11.tar", "a-x.tar"]
    assert names("a-{09..11}.tar") == ["a-09.tar", "a-10.tar", "a-11.tar"]
    assert names(f"file://{Path.cwd()}/a-1{{0..1}}.tar") == ["a-10.tar", "a-11.tar"]


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("nowhere.tar", r"download\.path is nowhere\.tar: there is no file nowhere\.tar \(seen from"),
        ("*.tar", "there is no file"),
        (".", "there is no file"),
        ("a-{3..1}.tar", "a range in braces goes from a smaller to a larger number"),
        ("a-{0..9999}{0..9999}", "a range in braces"),
        ("gopher://x/y", "download.path is gopher://x/y"),
        ("memory://nowhere.tar", "could not be read"),
    ],
)
def test_what_is_not_there_gets_a_sentence(wanted: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        names(wanted)


def test_any_file_system_of_fsspec_will_do() -> None:
    memory = fsspec.filesystem("memory")
    for number in range(3):
        memory.pipe(f"/bucket/s-{number}.tar", b"x" * number)
    assert [path.read_bytes() for path in address.local("p", "memory://bucket/s-*.tar", TO)] == [b"", b"x", b"xx"]
    assert names("memory://bucket/s-{1..2}.tar") == ["s-1.tar", "s-2.tar"]


def test_what_is_here_and_whole_is_not_fetched_again() -> None:
    with running() as mirror:
        url = mirror.url("/a.tar", serve(b"content"))
        (path,) = address.local("p", url, TO)
        assert path.read_bytes() == b"content"
        asked = len(mirror.requests["/a.tar"])
        path.write_bytes(b"conten")  # broken off
        assert address.local("p", url, TO)[0].read_bytes() == b"content"
        assert len(mirror.requests["/a.tar"]) > asked
    assert [each.name for each in path.parent.iterdir()] == ["a.tar"]


def test_a_server_that_breaks_off_leaves_nothing() -> None:
    with running() as mirror, pytest.raises(UserError, match="could not be read"):
        address.local("p", mirror.url("/a.tar", serve(b"content" * 100, most=50)), TO)
    assert not [path for path in TO.rglob("*") if path.is_file()]
