"""deploy/scale/: what its files would have SLURM and Kubernetes start; and a work on a Ray cluster, all of it here."""

import os
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import yaml
from torch.distributed.run import get_args_parser

from support.graph import ROOT

SCALE = ROOT / "deploy/scale"
SERVICE, JOB = yaml.safe_load_all((SCALE / "train-job.yaml").read_text())
POD: dict[str, Any] = JOB["spec"]["template"]["spec"]
CONTAINER: dict[str, Any] = POD["containers"][0]
VARIABLES: dict[str, str] = {each["name"]: each["value"] for each in CONTAINER["env"]}


def torchrun(words: list[str]) -> Namespace:
    """What torchrun makes of a command line; it ends the test where it does not take it."""
    assert Path(words[0]).name == "torchrun"
    found: Namespace = get_args_parser().parse_args(words[1:])
    return found


def started(place: Path, command: list[str], variables: dict[str, str], **programs: str) -> list[list[str]]:
    """Run it beside programs of ours: the words that `torchrun` was started with, each time."""
    (place / "bin").mkdir(exist_ok=True)
    noting = 'for word in torchrun "$@"; do printf "%s\\0" "$word"; done >>"$NOTES"; printf "\\n" >>"$NOTES"'
    for name, text in {"torchrun": noting, **programs}.items():
        (place / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (place / "bin" / name).chmod(0o755)
    notes = place / "notes"
    notes.unlink(missing_ok=True)
    environment = {"PATH": f"{place / 'bin'}:/usr/bin:/bin", "NOTES": str(notes), **variables}
    subprocess.run(command, check=True, env=environment, cwd=place)
    return [line.rstrip("\0").split("\0") for line in notes.read_text().splitlines()]


def test_pods_are_as_many_as_meet_and_find_the_first(tmp_path: Path) -> None:
    name, pods = JOB["metadata"]["name"], JOB["spec"]["completions"]
    assert JOB["spec"]["completionMode"] == "Indexed" and JOB["spec"]["parallelism"] == pods
    assert SERVICE["spec"]["clusterIP"] == "None" and SERVICE["spec"]["selector"] == {"job-name": name}
    assert POD["subdomain"] == SERVICE["metadata"]["name"]
    for index in range(pods):
        surroundings = {**VARIABLES, "JOB_COMPLETION_INDEX": str(index)}
        asked = torchrun(*started(tmp_path, CONTAINER["command"], surroundings))
        assert asked.nnodes == str(pods) and asked.training_script == "/ganpipe/stages/train.py"
        assert asked.rdzv_endpoint.split(":")[0] == f"{name}-0.{SERVICE['metadata']['name']}"
        assert asked.rdzv_conf == f"is_host={int(index == 0)}"


def test_a_pod_has_a_gpu_and_its_cores_for_each_process_and_mounts_what_it_has() -> None:
    resources, processes = CONTAINER["resources"], int(VARIABLES["PROCESSES"])
    assert resources["limits"]["nvidia.com/gpu"] == processes
    assert int(resources["requests"]["cpu"]) >= processes * int(VARIABLES["OMP_NUM_THREADS"])
    assert all(isinstance(value, str) for value in VARIABLES.values())
    assert {each["name"] for each in CONTAINER["volumeMounts"]} == {each["name"] for each in POD["volumes"]}
    assert CONTAINER["workingDir"] in {each["mountPath"] for each in CONTAINER["volumeMounts"]}


def test_a_pod_may_do_what_a_namespace_of_the_strictest_kind_lets_it() -> None:
    who, may = POD["securityContext"], CONTAINER["securityContext"]
    assert who["runAsNonRoot"] and who["runAsUser"] and who["seccompProfile"] == {"type": "RuntimeDefault"}
    assert may == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert not any("hostPath" in volume for volume in POD["volumes"])


def on_slurm(place: Path, job: int, *arguments: str, **variables: str) -> Namespace:
    """What the batch script has each machine start, as job of that number."""
    (place / ".venv/bin").mkdir(parents=True, exist_ok=True)
    (place / ".venv/bin/activate").touch()
    slurm = {
        "SLURM_JOB_ID": str(job),
        "SLURM_JOB_NODELIST": "a[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "2",
        **variables,
    }
    programs = {
        "scontrol": "echo a1; sleep 0.1; echo a2",
        "srun": '[ "$1" = --cpus-per-task=$SLURM_CPUS_PER_TASK ] && shift && "$@"',
    }
    return torchrun(*started(place, ["bash", str(SCALE / "train.sbatch"), *arguments], slurm, **programs))


def test_slurm_starts_a_process_for_each_gpu_and_trains_unless_told_otherwise(tmp_path: Path) -> None:
    plain = on_slurm(tmp_path, 1)
    assert (plain.nnodes, plain.nproc_per_node, plain.training_script) == ("2", "1", "stages/train.py")
    given = on_slurm(tmp_path, 1, "stages/evaluate.py", "cifar10", SLURM_GPUS_ON_NODE="8", SLURM_CPUS_PER_TASK="16")
    assert (given.nproc_per_node, given.training_script) == ("8", "stages/evaluate.py")
    assert given.training_script_args == ["cifar10"]


def test_jobs_of_slurm_meet_apart_and_a_job_that_is_started_again_meets_anew(tmp_path: Path) -> None:
    first, second = on_slurm(tmp_path, 41_999), on_slurm(tmp_path, 42_000)
    again = on_slurm(tmp_path, 42_000, SLURM_RESTART_COUNT="1")
    ports = [int(each.rdzv_endpoint.removeprefix("a1:")) for each in (first, second, again)]
    assert ports[0] != ports[1] == ports[2] and all(1024 < port < 32768 for port in ports)  # none that the kernel gives
    assert len({each.rdzv_id for each in (first, second, again)}) == 3


def test_what_is_said_of_a_billion_images_follows_from_the_rates() -> None:
    text = (ROOT / "docs/scale.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| ([\d,]+) \| [^|]+ \| ([\d,.]+) \|", text, re.MULTILINE)
    assert len(rows) >= 8
    for rate, hours in rows:
        digits = len(hours.partition(".")[2])
        assert f"{1e9 / float(rate.replace(',', '')) / 3600:,.{digits}f}" == hours, rate


PROBE = """
import os, sys
from datetime import timedelta
from pathlib import Path
import torch
import torch.distributed as dist
dist.init_process_group("gloo", timeout=timedelta(seconds=60))
total = torch.tensor(1 + dist.get_rank())
dist.all_reduce(total)
once = Path("failed")
if dist.get_rank() == 1 and not once.exists():
    once.touch()
    sys.exit(1)
found = dist.get_world_size(), int(total), sys.argv[1], os.environ["OMP_NUM_THREADS"]
Path(f"done-{dist.get_rank()}").write_text(" ".join(map(str, found)))
"""


def test_ray_starts_the_processes_and_all_of_them_again_when_one_is_lost(two_machines: Any, tmp_path: Path) -> None:
    Path("probe.py").write_text(PROBE)
    command = [sys.executable, str(SCALE / "train_ray.py"), "--workers", "2", "--", "probe.py", "word"]
    environment = {**os.environ, "RAY_ADDRESS": two_machines.address}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path("failed").exists()
    assert [Path(f"done-{rank}").read_text() for rank in (0, 1)] == ["2 3 word 1"] * 2
