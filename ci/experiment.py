"""What CI does with a change, on any machine: run again what it touches, in a copy, and compare the results.

`make ci-experiment BASE=main`: the copies are of the current commit and of the one where it left BASE. They share this
checkout's DVC cache, its unfinished work and its tracking store; beside these nothing is written but report.md,
report.html and the pictures in report/. With PUSH=1 the results go to the DVC remote, too.
"""

import argparse
import contextlib
import fcntl
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from dvc.config import Config
from dvc.repo import Repo

from ganpipe import files
from ganpipe.compare.compare import compare
from ganpipe.compare.markdown import LETTERS, code
from ganpipe.errors import UserError, entry

# Below it, `files.project_root` takes a copy for what `dvc exp run --temp` makes, and gives it the original's store.
WORKPLACE = Path(".dvc/tmp/exps/ci")
BASE, NEW = "base", "new"  # the copies, by the names that the report has for them
NOWHERE = "error.dvc.org/missing-files"  # what DVC says of data that it can neither find nor pull
EMPTY = "empty"  # a remote of the copies, where the project has none


class Outcome(NamedTuple):
    """What became of the stages in a copy, by name."""

    executed: list[str]
    restored: list[str]  # from the run cache: the same command with the same inputs has run before


@entry
def main() -> None:
    """Run, compare, write the report, and push."""
    parser = argparse.ArgumentParser(description="Run again what the current commit changed, and compare.")
    parser.add_argument("base", help="branch or commit to compare with")
    parser.add_argument("--push", action="store_true", help="send the results to the DVC remote")
    arguments = parser.parse_args()
    root = Path(_git("rev-parse", "--show-toplevel"))
    head = _git("rev-parse", "HEAD")
    base = _fork_point(arguments.base, head)
    remote = Config(str(root / ".dvc"))["core"].get("remote")
    if arguments.push and remote is None:
        raise UserError("there is no DVC remote to push to: `dvc remote add --default NAME ADDRESS` names one")
    take = "dvc repro --pull" if remote else "dvc repro"
    if _git("status", "--porcelain"):
        print("what is not committed is left out")
    with _workplace(root) as folder:
        copies = {BASE: _copy(root, base, folder / BASE), NEW: _copy(root, head, folder / NEW)}
        outcome = _reproduce(copies[NEW])
        for copy in copies.values():
            _bring_pictures(copy)
        with contextlib.chdir(folder):
            compare([f"./{BASE}", f"./{NEW}"], root / "report.html", str(folder / "compared.md"))
        words = [
            f"## {code(head[:8])} against {code(arguments.base)}\n",
            _stages(_locked(copies[BASE]), _locked(copies[NEW]), outcome, take),
            (folder / "compared.md").read_text(encoding="utf-8"),
            _pictures(copies, root / "report"),
        ]
        with files.atomic(root / "report.md") as draft:
            draft.write_text("\n".join(words), encoding="utf-8")
        print("report.md: the same in short, to post on a pull request")
        if arguments.push:
            _push(copies[NEW], outcome)
    print(f"executed: {', '.join(outcome.executed) or 'nothing'}")


def _fork_point(asked: str, head: str) -> str:
    """The newest commit that `asked` and `head` share, so that what others did since is no part of the change."""
    for name in (asked, f"origin/{asked}"):  # CI checks out no branch but the one it looks at
        found = subprocess.run(["git", "merge-base", "--", name, head], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            return found.stdout.strip()
    raise UserError(
        f"BASE is {asked}, which git here does not know as a commit that this one came from: name a branch, "
        "or `git fetch --unshallow origin` first"
    )


@contextlib.contextmanager
def _workplace(root: Path) -> Iterator[Path]:
    """An empty folder for the copies, gone at the end; what a killed run left in it goes at the beginning."""
    place = root / WORKPLACE
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("make ci-experiment is at work in this folder already: wait for it") from None
        shutil.rmtree(place / "copies", ignore_errors=True)
        (place / "copies").mkdir()
        try:
            yield place / "copies"
        finally:
            shutil.rmtree(place / "copies", ignore_errors=True)


def _copy(root: Path, commit: str, folder: Path) -> Path:
    """The project as it was committed, with this checkout's cache and remotes."""
    _git("clone", "--quiet", "--shared", "--no-checkout", str(root), str(folder))
    _git("-C", str(folder), "checkout", "--quiet", "--detach", commit)
    ours = Config(str(root / ".dvc"))  # its relative paths made absolute
    with Config(str(folder / ".dvc")).edit("local") as local:
        local["cache"]["dir"] = str(ours["cache"].get("dir") or root / ".dvc/cache")
        local["remote"] = {name: {**remote, "url": str(remote["url"])} for name, remote in ours["remote"].items()}
        default = ours["core"].get("remote")
        if default is None:  # an empty one, for without any `dvc repro --pull` fails
            local["remote"][EMPTY] = {"url": str(folder.parent / EMPTY)}
        local["core"]["remote"] = default or EMPTY
    return folder


def _reproduce(copy: Path) -> Outcome:
    """Run what dvc.lock does not fit. UserError where a stage fails."""
    failed, said = _shown("dvc", "repro", "--pull", "--allow-missing", cwd=copy)
    if failed and NOWHERE in said:
        print("what a stage reads is neither in the cache nor at a remote: it is made again")
        failed, again = _shown("dvc", "repro", "--pull", cwd=copy)
        said += again
    if failed:
        raise UserError("`dvc repro` failed, and said above why")
    return Outcome(
        re.findall(r"^Running stage '(.+)':$", said, re.MULTILINE),
        re.findall(r"^Stage '(.+)' is cached - skipping run", said, re.MULTILINE),
    )


def _bring_pictures(copy: Path) -> None:
    """What the comparison reads and no stage has made here; what is nowhere is left out, and remarked on there."""
    subprocess.run(["dvc", "pull", "--quiet", "--allow-missing", "train", "evaluate"], cwd=copy, check=False)


def _push(copy: Path, outcome: Outcome) -> None:
    """Send results and run cache to the remote, where `dvc repro --pull` on any machine finds them."""
    failed, _ = _shown("dvc", "push", "--run-cache", cwd=copy)
    if failed:
        raise UserError("`dvc push --run-cache` failed, and said above why; the report is written")
    with contextlib.chdir(copy), Repo() as repo:  # DVC names stages as they are seen from the current folder
        # `dvc push` leaves out what git keeps (`cache: false`), but a stage is only restored with all its outputs.
        stages = [stage for stage in repo.index.stages if stage.addressing in outcome.executed + outcome.restored]
        figures = {out.hash_info for stage in stages for out in stage.outs if not out.use_cache}
        if repo.cloud.push(figures).failed:
            raise UserError("the figures could not be sent to the DVC remote: run the same command again")


def _stages(before: dict[str, Any], after: dict[str, Any], outcome: Outcome, command: str) -> str:
    """A table of the stages whose entry in dvc.lock is another one, and why; `command` takes the results over."""
    rows = []
    for stage, held in after.items():
        why = _differing(before.get(stage, {}), held)
        done = "executed" if stage in outcome.executed else "from the cache" if stage in outcome.restored else ""
        if why or done:
            rows.append(f"| {code(stage)} | {', '.join(map(code, why))} | {done or 'as in dvc.lock'} |")
    if not rows:
        return "No stage changed.\n"
    taken = f"\n\n`{command}` takes these results over, without running them again." if any(outcome) else ""
    return "\n".join(["| stage | changed | result |", "| --- | --- | --- |", *rows]) + taken + "\n"


def _differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of the settings and paths of the inputs that are others; `cmd` for the command."""
    then, now = _inputs(before), _inputs(after)
    return [name for name in now | then if now.get(name) != then.get(name)]


def _inputs(held: dict[str, Any]) -> dict[str, Any]:
    """What a stage's result follows from, by name."""
    inputs = {"cmd": held.get("cmd"), **{dep["path"]: dep.get("md5") for dep in held.get("deps", [])}}
    for section, value in held.get("params", {}).get("params.yaml", {}).items():
        within = {f"{section}.{name}": each for name, each in value.items()} if isinstance(value, dict) else {}
        inputs |= within or {section: value}
    return inputs


def _locked(copy: Path) -> dict[str, Any]:
    stages: dict[str, Any] = yaml.safe_load((copy / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    return stages


def _pictures(copies: dict[str, Path], to: Path) -> str:
    """Samples and bars of both, side by side; copied to the folder `to`, whose name stands in the links."""
    shutil.rmtree(to, ignore_errors=True)
    rows: dict[str, dict[str, str]] = {}
    for side, copy in copies.items():
        found = {"samples": copy / "models/gan/samples.png"}
        found |= {f"bars of {path.parent.name}": path for path in sorted(copy.glob("plots/evaluate/*/bars.png"))}
        for title, path in found.items():
            if path.is_file():
                name = re.sub(r"[^\w.-]", "-", f"{side}-{title}.png")
                to.mkdir(exist_ok=True)
                shutil.copyfile(path, to / name)
                rows.setdefault(title, {})[side] = f"![{name}]({to.name}/{name})"
    if not rows:
        return ""
    titles = [f"{side}, {letter}" for side, letter in zip(copies, LETTERS, strict=False)]
    lines = [f"| {' | '.join(row.get(side, '') for side in copies)} |" for row in rows.values()]
    return "\n".join(["#### Pictures\n", f"| {' | '.join(titles)} |", "| --- | --- |", *lines]) + "\n"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def _shown(*command: str, cwd: Path) -> tuple[int, str]:
    """Exit status and output of a command, whose lines are printed as they come."""
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = []
        try:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                lines.append(line)
        except KeyboardInterrupt:
            process.wait()  # it has the signal, too, and keeps what it has done
            raise
    return process.returncode, "".join(lines)


if __name__ == "__main__":
    main()
