"""Which of the project's modules a stage imports, directly or through others, read from the source."""

import ast
import re
from importlib import import_module
from pathlib import Path

import yaml

from ganpipe.settings import Section

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"

# Modules that cannot change a stage's result: where it is worked at, written, shown, reported and refused.
NO_PART_OF_A_RESULT = {
    "src/ganpipe/cluster.py",
    "src/ganpipe/errors.py",
    "src/ganpipe/files.py",
    "src/ganpipe/progress.py",
}
NO_PART_OF_A_RESULT |= {path.relative_to(ROOT).as_posix() for path in (SOURCE / "ganpipe/tracking").glob("*.py")}


GRAPHS = [ROOT / "dvc.yaml", *sorted(ROOT.glob("studies/*/dvc.yaml"))]


def script_of(command: str) -> str:
    """The stage's script that a command runs, relative to the root."""
    return next(word for word in command.split() if "stages/" in word).lstrip("./")


def imported_by(script: Path) -> set[str]:
    """Paths, relative to the root, of all modules below `src` that running `script` may import."""
    return _reached(script, set())


def _reached(script: Path, beyond: set[str]) -> set[str]:
    """The same, but what those `beyond` import themselves is left out."""
    seen: set[str] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path.relative_to(ROOT).as_posix() in beyond:
            continue
        for module in _imports(path):
            found = _path_of(module)
            if found is not None and found.relative_to(ROOT).as_posix() not in seen:
                seen.add(found.relative_to(ROOT).as_posix())
                waiting.append(found)
    return seen


def determining(script: Path) -> set[str]:
    """What must stand in the stage's `deps`: the script and the modules that determine its result."""
    reached = _reached(script, NO_PART_OF_A_RESULT)
    modules = {name for name in reached if (ROOT / name).stat().st_size > 0}
    return {script.relative_to(ROOT).as_posix(), *modules} - NO_PART_OF_A_RESULT


def settings_read(script: Path) -> set[str]:
    """What must stand in the stage's `params`: the sections that the script's calls of `load_params` name.

    Where the model leaves a section's other settings aside, its own ones in place of the section.
    """
    tree = ast.parse(script.read_text())
    modules = {
        alias.name: node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "load_params":
            name, section = node.args[0], ast.literal_eval(node.args[1])
            assert isinstance(name, ast.Name)
            model: type[Section] = getattr(import_module(modules[name.id]), name.id)
            partial = model.model_config["extra"] == "ignore"
            found |= {f"{section}.{field}" for field in model.model_fields} if partial else {section}
    return found


def renewed(path: Path) -> str:
    """The text of that dvc.yaml with the deps that hold."""
    text, up = path.read_text(encoding="utf-8"), "../" * len(path.parent.relative_to(ROOT).parts)
    for name, stage in yaml.safe_load(text)["stages"].items():
        inner = stage.get("do", stage)
        others = [dep for dep in inner.get("deps") or [] if not dep.endswith(".py")]
        assets = [dep.removeprefix(up) for dep in others if dep.startswith(f"{up}src/")]
        code = sorted({*determining(ROOT / script_of(inner["cmd"])), *assets}, key=_place)
        deps = [*(up + each for each in code), *(dep for dep in others if not dep.startswith(f"{up}src/"))]
        found = re.search(rf"^  {name}:\n.*?^( +)deps:\n((?:\1  - [^\n]*\n)*)", text, re.DOTALL | re.MULTILINE)
        if found is None:
            raise ValueError(f"{path}: the stage {name} has no deps, a line each")
        lines = "".join(f"{found[1]}  - {dep}\n" for dep in deps)
        text = text[: found.start(2)] + lines + text[found.end(2) :]
    return text


def _place(path: str) -> tuple[bool, bool, str]:
    """Packages first, then the modules at the top, then the script."""
    script = path.startswith("stages/")
    return script, len(path.split("/")) <= 3 and not script, path


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in names if name.split(".")[0] == "ganpipe"}


def _path_of(module: str) -> Path | None:
    place = SOURCE / Path(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)
