"""One training, or the evaluation, on a Ray cluster: a process for each GPU, or for each share of the CPUs.

    RAY_ADDRESS=... python deploy/scale/train_ray.py --workers 16 --gpu -- stages/train.py

Ray starts the processes, and starts them again when one is lost; each goes on from the last checkpoint. The project's
folder, the current one, and its packages are on every machine, by the same path.
"""

import argparse
import ctypes
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import ray
from ray import train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.collective import broadcast_from_rank_zero
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, required=True, help="processes that share the work")
    parser.add_argument("--gpu", action="store_true", help="each has one")
    parser.add_argument("--cpus", type=float, default=1, help="for each process")
    parser.add_argument("--failures", type=int, default=3, help="after which it gives up")
    parser.add_argument("command", nargs="+", help="the stage and its arguments")
    given = parser.parse_args()
    ray.init()
    trainer = DataParallelTrainer(
        work,
        train_loop_config={"command": given.command, "folder": str(Path.cwd()), "threads": max(1, int(given.cpus))},
        scaling_config=ScalingConfig(
            num_workers=given.workers, use_gpu=given.gpu, resources_per_worker={"CPU": given.cpus}
        ),
        run_config=RunConfig(
            storage_path=str(Path(".ckpt/ray").absolute()), failure_config=FailureConfig(max_failures=given.failures)
        ),
    )
    trainer.fit()


def work(config: dict[str, Any]) -> None:
    """In each worker: the stage, in a process of its own, which may catch signals and is one of torch.distributed."""
    context = train.get_context()
    ours = (ray.util.get_node_ip_address(), _free_port())  # type: ignore[no-untyped-call]
    address, port = broadcast_from_rank_zero(ours)
    shared = {
        "RANK": context.get_world_rank(),
        "LOCAL_RANK": 0,  # Ray shows each worker its own GPU alone
        "WORLD_SIZE": context.get_world_size(),
        "MASTER_ADDR": address,
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": config["threads"],
    }
    environment = {**os.environ, **{name: str(value) for name, value in shared.items()}}
    command = [sys.executable, *config["command"]]
    subprocess.run(command, check=True, cwd=config["folder"], env=environment, preexec_fn=_end_with_the_worker)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("", 0))
        port: int = listening.getsockname()[1]
        return port


def _end_with_the_worker() -> None:
    """So that none trains on beside those that take its place."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    main()
