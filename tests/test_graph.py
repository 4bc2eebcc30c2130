"""dvc.yaml tells the truth about what each stage reads and imports."""

from typing import Any

import pytest
import yaml

from support.graph import (
    GRAPHS,
    NO_PART_OF_A_RESULT,
    ROOT,
    SOURCE,
    determining,
    imported_by,
    renewed,
    script_of,
    settings_read,
)

STAGES: dict[str, dict[str, Any]] = {
    f"{path.parent.relative_to(ROOT)}:{name}": stage.get("do", stage)
    for path in GRAPHS
    for name, stage in yaml.safe_load(path.read_text())["stages"].items()
}


def listed(name: str) -> list[str]:
    """A stage's deps, those in the project's own folders relative to its root."""
    return [dep.removeprefix("../../") for dep in STAGES[name]["deps"]]


@pytest.mark.parametrize("name", STAGES)
def test_deps_are_exactly_the_modules_that_determine_the_result(name: str) -> None:
    code = {path for path in listed(name) if path.endswith(".py")}
    wanted = determining(ROOT / script_of(STAGES[name]["cmd"]))
    assert code == wanted, f"missing: {sorted(wanted - code)}; superfluous: {sorted(code - wanted)}; make graph"


@pytest.mark.parametrize("name", STAGES)
def test_params_are_exactly_the_settings_that_are_read(name: str) -> None:
    assert set(STAGES[name].get("params", [])) == settings_read(ROOT / script_of(STAGES[name]["cmd"]))


@pytest.mark.parametrize("name", STAGES)
def test_data_that_the_command_names_is_a_dependency(name: str) -> None:
    graph = name.partition(":")[0]
    made = {out for each, stage in STAGES.items() if each.startswith(f"{graph}:") for out in stage.get("outs", ())}
    for word in STAGES[name]["cmd"].split():
        assert word not in made or word in STAGES[name]["deps"]


def test_what_code_and_graph_say_is_written_again_as_it_is() -> None:
    for path in GRAPHS:
        assert renewed(path) == path.read_text(), "make graph"


def test_every_stage_file_is_used_and_short() -> None:
    assert {script_of(stage["cmd"]) for stage in STAGES.values()} == {
        f"stages/{path.name}" for path in (ROOT / "stages").glob("*.py")
    }
    for path in (ROOT / "stages").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 40, path


def test_what_is_no_part_of_a_result_exists() -> None:
    assert all((ROOT / path).is_file() for path in NO_PART_OF_A_RESULT)


# Imports point one way. Each package, and what it may import beside itself and the modules at the top.
ALLOWED = {
    "models": set[str](),
    "corpus": set[str](),
    "dedupe": {"corpus", "models"},
    "training": {"corpus", "models"},
    "evaluation": {"corpus", "models"},
    "analysis": {"corpus", "evaluation", "models"},
}
TOP = {"cluster", "errors", "files", "histogram", "intervals", "manifest", "progress", "runtime", "settings"}


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package: str) -> None:
    for path in (SOURCE / "ganpipe" / package).glob("*.py"):
        for module in imported_by(path):
            part = module.removeprefix("src/ganpipe/").removesuffix(".py").split("/")[0]
            assert part in {"__init__", package} | ALLOWED[package] | TOP, f"{path} imports {module}"


@pytest.mark.parametrize("package", ["models", "training", "evaluation"])
def test_training_and_evaluation_need_only_torch_numpy_pillow_and_pydantic(package: str) -> None:
    bare = {"torch", "numpy", "PIL", "pydantic", "yaml", "safetensors", "ganpipe"}
    import ast
    import sys

    scripts = list((SOURCE / "ganpipe" / package).glob("*.py"))
    reached = {path for script in scripts for path in imported_by(script)}
    reached |= {script.relative_to(ROOT).as_posix() for script in scripts}
    for path in reached - {"src/ganpipe/corpus/unpack.py"}:  # whose sets are never unpacked there
        for node in ast.parse((ROOT / path).read_text()).body:
            if isinstance(node, ast.Import):
                names = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").split(".")[0]}
            else:
                continue
            assert names <= bare | set(sys.stdlib_module_names), f"{path} imports {names}"
