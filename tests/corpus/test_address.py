from pathlib import Path

import fsspec
import pytest
from corpus.mirror import running, serve

from ganpipe.corpus import address, http
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
        ("a-{0..9999}{0..9999}", "its ranges in braces name more than 1,000,000 files: name fewer"),
        ("~nobody-of-that-name/a.tar", r"which is no path here \(Could not determine home directory.\): name another"),
        ("x" * 300, r"which is no path here \(File name too long\): name another"),
        ("gopher://x/y", "download.path is gopher://x/y"),
        ("memory://nowhere.tar", "could not be read"),
    ],
)
def test_what_is_not_there_gets_a_sentence(wanted: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        names(wanted)


@pytest.mark.parametrize("wanted", ["~nobody-of-that-name/photos", "x" * 300])
def test_a_folder_that_no_path_leads_to_gets_a_sentence(wanted: str) -> None:
    with pytest.raises(UserError, match="^download.path is .*, which is no path here"):
        address.local_folder("download.path", wanted, TO)


def test_files_of_one_name_in_several_folders_stay_apart() -> None:
    memory = fsspec.filesystem("memory")
    for folder in ("x", "y", "z"):
        memory.pipe(f"/alike/{folder}/train.tar", folder.encode())
    found = address.local("p", "memory://alike/*/train.tar", TO)
    assert [path.read_text() for path in found] == ["x", "y", "z"]
    assert {path.name for path in found} == {"train.tar"}


def test_a_folder_of_a_long_name_has_a_short_one_here() -> None:
    memory = fsspec.filesystem("memory")
    names = [f"{letter * 300}" for letter in ("a", "ä")]
    for name in names:
        memory.pipe(f"/long/{name}/1.png", name.encode())
    folders = [address.local_folder("p", f"memory://long/{name}", TO) for name in names]
    assert [(folder / "1.png").read_text() for folder in folders] == names
    assert all(
        len(folder.name.encode()) <= 200 and folder.name[:9] == name[:9]
        for folder, name in zip(folders, names, strict=True)
    )


def test_any_file_system_of_fsspec_will_do() -> None:
    memory = fsspec.filesystem("memory")
    for number in range(3):
        memory.pipe(f"/bucket/s-{number}.tar", b"x" * number)
    assert [path.read_bytes() for path in address.local("p", "memory://bucket/s-*.tar", TO)] == [b"", b"x", b"xx"]
    assert names("memory://bucket/s-{1..2}.tar") == ["s-1.tar", "s-2.tar"]


def test_what_is_here_and_whole_is_not_fetched_again() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/a.tar", b"content")
    (path,) = address.local("p", "memory://bucket/a.tar", TO)
    held = path.stat().st_mtime_ns
    assert address.local("p", "memory://bucket/a.tar", TO) == [path]
    assert path.stat().st_mtime_ns == held
    path.write_bytes(b"conten")  # broken off
    assert address.local("p", "memory://bucket/a.tar", TO)[0].read_bytes() == b"content"
    assert [each.name for each in path.parent.iterdir()] == ["a.tar"]


def test_a_server_that_breaks_off_leaves_no_file_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "WAIT_SECONDS", 0.001)
    with running() as mirror, pytest.raises(UserError, match="could not be read: .*peer closed connection"):
        address.local("p", mirror.url("/a.tar", serve(b"content" * 100, most=50)), TO)
    assert [path.name for path in TO.rglob("*") if path.is_file()] == ["a.tar.part"]


def test_a_file_that_a_store_cuts_short_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "WAIT_SECONDS", 0)
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/cut.tar", b"whole")
    whole = type(memory).info
    monkeypatch.setattr(type(memory), "info", lambda self, path, **kw: {**whole(self, path, **kw), "size": 9})
    with pytest.raises(UserError, match="could not be read: it stopped after 5 of 9 bytes"):
        address.local("p", "memory://bucket/cut.tar", TO)
    assert not [path for path in TO.rglob("*") if path.is_file()]
