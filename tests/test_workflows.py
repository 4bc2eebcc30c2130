"""CI's files run what a person can run, and a fork's code meets neither a secret nor a machine of ours."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.graph import ROOT

WORKFLOWS = {path.stem: path for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
GITLAB = ROOT / ".gitlab-ci.yml"
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
OURS = "github.event.pull_request.head.repo.full_name == github.repository"
OURS_ON_GITLAB = "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_MERGE_REQUEST_PROJECT_ID"
NO_JOBS = ("workflow", "default", "variables")  # of GitLab's keys


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


JOBS: dict[str, dict[str, Any]] = {
    f"{workflow}/{name}": job for workflow, path in WORKFLOWS.items() for name, job in read(path)["jobs"].items()
}
GITLAB_JOBS: dict[str, dict[str, Any]] = {name: job for name, job in read(GITLAB).items() if name not in NO_JOBS}


def triggers(workflow: str) -> dict[str, Any]:
    """PyYAML reads the key `on` as true."""
    found: dict[str, Any] = yaml.safe_load(WORKFLOWS[workflow].read_text())[True]
    return found


def tool(name: str) -> str:
    """The program, as it is installed with the tests."""
    return str(Path(sys.executable).parent / name)


def is_make(command: str) -> bool:
    """Whether it is one make target that is there, and settings."""
    words = re.fullmatch(r'make ([a-z-]+)((?: [A-Z]+=(?:"[^"]*"|\S+))*)', command)
    return words is not None and words[1] in TARGETS


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = job["steps"]
    return found


def test_actionlint_finds_nothing() -> None:
    done = subprocess.run(
        [tool("actionlint"), *map(str, WORKFLOWS.values())], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("vendor.github-workflows", list(WORKFLOWS.values())),
        ("custom.github-workflows-require-timeout", list(WORKFLOWS.values())),
        ("vendor.gitlab-ci", [GITLAB]),
    ],
)
def test_they_follow_the_schemas(schema: str, paths: list[Path]) -> None:
    done = subprocess.run(
        [tool("check-jsonschema"), "--builtin-schema", schema, *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", JOBS)
def test_a_step_is_a_make_target_or_an_action_of_github_at_a_version(name: str) -> None:
    for step in steps(JOBS[name]):
        if "run" in step:
            assert is_make(step["run"]), step["run"]
        else:
            assert re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})", step["uses"]), step["uses"]


@pytest.mark.parametrize("name", [name for name, job in GITLAB_JOBS.items() if "script" in job])
def test_a_line_of_a_script_is_a_make_target(name: str) -> None:
    assert all(is_make(line) for line in GITLAB_JOBS[name]["script"])


@pytest.mark.parametrize("name", JOBS)
def test_nothing_from_outside_is_put_into_a_shells_text(name: str) -> None:
    assert not any("${{" in step.get("run", "") for step in steps(JOBS[name]))


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_only_events_without_secrets_for_forks_start_them(workflow: str) -> None:
    assert set(triggers(workflow)) <= {"push", "pull_request"}


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_newer_push_ends_the_run_of_an_older_one(workflow: str) -> None:
    concurrency = read(WORKFLOWS[workflow])["concurrency"]
    assert "github.ref" in concurrency["group"] and concurrency["cancel-in-progress"] is True


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_permissions_are_given_job_by_job(workflow: str) -> None:
    content = read(WORKFLOWS[workflow])
    assert content["permissions"] == {}
    for name, job in content["jobs"].items():
        assert job["timeout-minutes"] <= 360
        if "write" in job["permissions"].values():
            # Where a token can write, no package is installed, and the program is the base's.
            checkout, *_, last = steps(job)
            assert [step["run"] for step in steps(job) if "run" in step] == ["make ci-comment"] and last["run"]
            assert checkout["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
        else:
            assert job["permissions"] == {"contents": "read"}, name


def test_the_program_that_may_write_needs_no_package() -> None:
    rule = (ROOT / "Makefile").read_text().split("\nci-comment:")[1].splitlines()[0]
    assert rule.split("##")[0].strip() == ""  # not even `setup`
    imported = re.findall(r"^(?:import|from) (\w+)", (ROOT / "ci/comment.py").read_text(), re.MULTILINE)
    assert imported and set(imported) <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", JOBS)
def test_secrets_and_machines_of_ours_are_not_for_forks(name: str) -> None:
    job = JOBS[name]
    if "secrets." in str(job) or "write" in job["permissions"].values() or job["runs-on"] != "ubuntu-latest":
        allowed = {OURS, f"github.event_name == 'push' || {OURS}"}
        assert job.get("if") in allowed


@pytest.mark.parametrize("name", JOBS)
def test_no_token_is_left_behind_in_the_checkout(name: str) -> None:
    for step in steps(JOBS[name]):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", ["remote", "experiment", "experiment-gpu", "comment"])
def test_nor_are_they_on_gitlab(name: str) -> None:
    rules = GITLAB_JOBS[name]["rules"]
    admitting = [rule["if"] for rule in rules if rule.get("when") != "never"]
    for condition in admitting:
        assert OURS_ON_GITLAB in condition or condition == '$CI_PIPELINE_SOURCE != "merge_request_event"'


def test_paths_are_real_and_hold_all_that_the_graph_reads() -> None:
    paths = triggers("experiment")["pull_request"]["paths"]
    on_gitlab = GITLAB_JOBS["experiment"]["rules"][-1]["changes"]
    assert [path.replace("/**/*", "/**") for path in on_gitlab] == paths
    assert all((ROOT / path.removesuffix("/**")).exists() for path in paths)
    graph = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    read = {dep for stage in graph for dep in stage.get("do", stage)["deps"]}
    code = {dep for dep in read if (ROOT / dep).is_file() and not dep.startswith(("data/", "models/"))}
    assert code and all(any(dep.startswith(path.removesuffix("**")) for path in paths) for dep in code)


def test_each_python_that_the_project_names_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    first, last = map(int, re.findall(r"3\.(\d+)", project["requires-python"]))
    every = [f"3.{minor}" for minor in range(first, last)]
    assert JOBS["ci/test"]["strategy"]["matrix"]["python"] == every
    assert JOBS["ci/e2e"]["strategy"]["matrix"]["python"] == [every[0], every[-1]]


def test_gitlab_has_the_same_jobs() -> None:
    names = {name for name in GITLAB_JOBS if not name.startswith((".", "experiment-"))}
    assert names == {name.split("/")[1] for name in JOBS}
    for name, job in JOBS.items():
        twin = GITLAB_JOBS[name.split("/")[1]]
        script = {**GITLAB_JOBS.get(twin.get("extends", ""), {}), **twin}["script"]
        assert [step["run"] for step in steps(job) if "run" in step and step["run"] != "make setup"] == script
        pythons = twin.get("parallel", {"matrix": [{}]})["matrix"][0].get("PYTHON_VERSION")
        assert job.get("strategy", {"matrix": {}})["matrix"].get("python") == pythons


def test_a_person_can_run_what_ci_runs() -> None:
    rule = re.search(r"^ci: (.*?)  ##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert rule is not None
    ran = {
        step["run"].split()[1]
        for name, job in JOBS.items()
        if name.startswith("ci/")
        for step in steps(job)
        if "run" in step
    }
    assert set(rule[1].split()) == ran
