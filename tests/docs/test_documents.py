"""What the pages name is there: links, pictures, targets of make, commands, settings, files, environment variables."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ganpipe.analysis.params import KINDS
from ganpipe.checks import MODELS
from ganpipe.cli import parser
from ganpipe.settings import Section, load_params, read_params
from ganpipe.training.params import TrainParams, TranslateParams
from support.graph import ROOT

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("studies/*/README.md")),
    *sorted((ROOT / "released").rglob("*.md")),
]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
OURS = ("src/", "stages/", "tests/", "docs/", "studies/", "benchmarks/", "ci/", "deploy/")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
SETTING = re.compile(rf"({'|'.join(MODELS)})\.([A-Za-z]\w*)")


class Command(NamedTuple):
    """A program of a page with its arguments, without what stands before it in the shell."""

    page: str
    words: tuple[str, ...]


@cache
def tokens(page: Path) -> tuple[Token, ...]:
    """Of a page, those within lines among them."""
    found = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    return tuple(each for token in found for each in (token, *(token.children or ())))


def inline_code(page: Path) -> list[str]:
    return [token.content for token in tokens(page) if token.type == "code_inline"]


def lines(page: Path) -> Iterator[str]:
    """Of code, in blocks and within sentences: what continues on a next line in one, here-documents left out."""
    yield from inline_code(page)
    for token in tokens(page):
        if token.type in ("fence", "code_block"):
            end = ""
            for line in token.content.replace("\\\n", " ").splitlines():
                if end:
                    end = "" if line == end else end
                    continue
                yield line
                here = re.search(r"<<'?(\w+)'?", line)
                end = here[1] if here else ""


def words(line: str) -> list[str]:
    """As a shell takes it apart; of what is no line of a shell nothing."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()<>")
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:
        return []


@cache
def commands() -> tuple[Command, ...]:
    """Every program that a page calls, in code of any kind."""
    found = []
    for page, name in zip(PAGES, NAMES, strict=True):
        for line in lines(page):
            command: list[str] = []
            for word in [*words(line), ";"]:
                if word[0:1] in tuple(";&|()<>"):
                    found += [Command(name, tuple(command))] if command else []
                    command = []
                elif command or not re.match(r"[A-Z_]+=", word):
                    command.append(word.removeprefix(".venv/bin/") if not command else word)
    return tuple(found)


def called(program: str) -> list[Command]:
    return [command for command in commands() if command.words[0] == program]


def slugs(page: Path) -> set[str]:
    """The anchors that a host of Markdown gives its headings."""
    found = tokens(page)
    titles = [found[place + 1].content for place, token in enumerate(found) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_code_is_found() -> None:
    assert min(len(called(program)) for program in ("make", "ganpipe", "dvc")) > 30
    assert Command("docs/evaluation.md", ("ganpipe", "import-theano", "FOLDER")) in called("ganpipe")
    assert {"draws", "validation"} <= {
        name for command in called("dvc") for name in overrides(command).get("evaluate", {})
    }


@pytest.mark.parametrize("name", NAMES)
def test_links_and_pictures_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for token in tokens(page):
        address = token.attrGet("href") or token.attrGet("src")
        if not isinstance(address, str) or urlsplit(address).scheme:
            continue
        path, _, anchor = unquote(address).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists() and target.is_relative_to(ROOT), f"{name}: {address}"
        assert not anchor or anchor in slugs(target), f"{name}: {address}"


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs/README.md"
    linked = {(index.parent / str(token.attrGet("href"))).resolve() for token in tokens(index) if token.attrGet("href")}
    assert set(PAGES) - {ROOT / "README.md", index, *(ROOT / "released").rglob("*.md")} <= linked


def test_what_make_is_asked_for_is_a_target() -> None:
    for command in called("make"):
        for word in command.words[1:]:
            if not re.match(r"[A-Z]+=", word):
                assert word in TARGETS, command
            elif word.startswith("NAME=") and word != "NAME=":
                assert (ROOT / "studies" / word[5:] / "dvc.yaml").is_file(), command


def test_ganpipe_takes_what_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    for command in called("ganpipe"):
        given = [re.sub(r"^[A-Z_]+(\.\.\.)?$", "1", word) for word in command.words[1:] if word != "..."]
        if given in ([], ["1", "--help"]):
            continue
        if len(given) == 1:  # its name in a sentence, perhaps
            given.append("--help")
        try:
            parser().parse_args(given)
        except SystemExit as ended:
            assert ended.code == 0, f"{command}: {capsys.readouterr().err}"


def overrides(command: Command) -> dict[str, dict[str, Any]]:
    """The settings that `-S` gives, or SET of `make study`, by section."""
    given: list[str] = []
    for place, word in enumerate(command.words):
        given += [command.words[place + 1]] if word == "-S" and place + 1 < len(command.words) else []
        given += word.removeprefix("SET=").split() if word.startswith("SET=") else []
    found: dict[str, dict[str, Any]] = {}
    for setting in given:
        name, _, value = setting.partition("=")
        section, _, key = name.partition(".")
        found.setdefault(section, {})[key] = yaml.safe_load(value)
    return found


def test_settings_that_commands_change_exist_and_may_be_so(tmp_path: Path) -> None:
    for command in commands():
        if not (changed := overrides(command)):
            continue
        of_study = [word[5:] for word in command.words if word.startswith("NAME=")]
        settings = read_params((ROOT / "studies" / of_study[0] if of_study else ROOT) / "params.yaml")
        for section, values in changed.items():
            assert section in settings, command
            settings[section] |= values
            (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
            load_params(MODELS[section], section, tmp_path / "params.yaml")


@cache
def known(section: str) -> frozenset[str]:
    """The settings of a section, of every kind that it may be of."""
    kinds: dict[str, list[type[Section]]] = {"train": [TrainParams, TranslateParams], "analyse": [*KINDS.values()]}
    return frozenset(name for model in kinds.get(section, [MODELS[section]]) for name in model.model_fields)


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_sentences_name_exist(name: str) -> None:
    for code in inline_code(ROOT / name):
        if found := re.match(SETTING, code):
            assert found[2] in known(found[1]), code


@pytest.mark.parametrize("name", NAMES)
def test_files_of_the_project_that_a_page_names_exist(name: str) -> None:
    page = ROOT / name
    named = [code.split()[0] for code in inline_code(page) if code.startswith(OURS)]
    named += [word for command in commands() if command.page == name for word in command.words if word.startswith(OURS)]
    for path in named:
        certain = re.split(r"[*<:]", path)[0]
        there = certain if certain == path else certain.rpartition("/")[0]
        assert (ROOT / there).exists() or is_ignored(there), f"{name}: {path}"


def is_ignored(path: str) -> bool:
    """Whether git leaves it aside: what a command makes there."""
    return not subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False).returncode


def test_scripts_that_python_is_given_exist() -> None:
    scripts = [word for command in called("python") for word in command.words[1:2] if word.endswith(".py")]
    assert any(script.startswith("benchmarks/") for script in scripts)
    for script in scripts:
        assert script.startswith("/") or (ROOT / script).is_file(), script


@pytest.mark.parametrize("name", NAMES)
def test_environment_variables_are_those_of_the_code(name: str) -> None:
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "stages").glob("*.py")]
    ours = {found for path in sources for found in re.findall(r"GANPIPE_[A-Z]+", path.read_text())}
    assert set(re.findall(r"GANPIPE_[A-Z]+", (ROOT / name).read_text())) <= ours


def test_the_page_of_the_environment_has_all_of_ours() -> None:
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "stages").glob("*.py")]
    read = {name for path in sources for name in re.findall(r"environ[^)\]]*\"(GANPIPE_[A-Z]+)\"", path.read_text())}
    assert read and read <= set(re.findall(r"GANPIPE_[A-Z]+", (ROOT / "docs/reference/environment.md").read_text()))
