"""What every benchmark shares: its command line, the machine it ran on, its table and its JSON."""

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path


def arguments(description: str) -> argparse.Namespace:
    """What every benchmark can be asked for."""
    return parser(description).parse_args()


def parser(description: str) -> argparse.ArgumentParser:
    """`--quick` for a run of under a minute, `--json PATH` for the figures in a file."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="under a minute, and rougher")
    made.add_argument("--json", type=Path, help="write the figures there")
    return made


def machine() -> str:
    """Processor, cores, instructions that matter, memory, GPU, and torch's version."""
    import torch  # not above: processes of a pool, which load the benchmark again, need none

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    known = torch.cpu.get_capabilities()
    native = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if known.get(name)]
    gpu = f"; {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cores} cores of {_processor()} ({', '.join(native)}), {memory:.0f} GiB{gpu}; torch {torch.__version__}"


def report(figures: dict[str, float], to: Path | None) -> None:
    """Print the machine, the date, the command and the figures; write them to `to`."""
    command = " ".join(["python", *sys.argv])
    about = {"machine": machine(), "command": command, "date": datetime.now(UTC).date().isoformat()}
    print(f"\n{about['machine']}\n{about['date']}: {about['command']}\n")
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"  {name:<{width}}  {value:,.4g}")
    if to is not None:
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(json.dumps({**about, "figures": figures}, indent=2) + "\n")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
