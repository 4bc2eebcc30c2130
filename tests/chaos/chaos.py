"""A hostile day: the pipeline is run many times while one hostile thing happens to it, and put right by a plain rerun.

    python tests/chaos/chaos.py --rounds 50 --seed 0 [--keep] [--until STAGE] [--only HAZARD ...]

A round may end in two ways: the rerun has the very bytes of an undisturbed run in every output; or it says in one
sentence what is wrong, and has them after what the sentence says to do. All else is a violation, and the exit status 1.
A round in which nothing came to harm (the stage was over before it was to be killed) proves nothing: it is told as
such, and made again with other dice.
DVC trusts a file whose date and size are as they were. Of such a one that no stage reads (a picture, say), it is enough
that a `dvc status` without DVC's memory of dates names it.
"""

import argparse
import atexit
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])

from chaos import hazards
from chaos.ground import TRACED, Done, Ground, advice, tracked, zoo
from chaos.origin import serving
from support.project import ALL

UNSHARED = "`unshare --map-root-user --mount python tests/chaos/chaos.py`"
UNREAD = re.compile(r"(plots|metrics)/.*|.*\.(png|gif|html)")  # outputs that no stage reads
ADVISED = 3  # reruns, each after what the sentence of the one before it said
TRIES = 4  # of a round in which nothing comes to harm
AS_UNDISTURBED, UNHARMED = "as undisturbed", "nothing came to harm"
Hazard = Callable[[hazards.Round], AbstractContextManager[hazards.Harm]]
HAZARDS: dict[str, tuple[Hazard, int]] = {  # with how many of fifty rounds each has
    "kill": (hazards.kill, 14),
    "disk": (hazards.full_disk, 8),
    "network": (hazards.bad_network, 6),  # a manner a round
    "tracking": (hazards.lost_tracking, 3),
    "file": (hazards.damaged_file, 12),  # a kind of file a round
    "cache": (hazards.damaged_cache, 3),
    "store": (hazards.damaged_store, 2),
    "journal": (hazards.damaged_journal, 2),
}


class Ended(NamedTuple):
    """How a round ended: AS_UNDISTURBED, UNHARMED, what was said before it was put right, or the violations."""

    hazard: str
    told: str
    outcome: str
    violations: list[str]
    seconds: float


def main() -> None:
    """Exit with 1 where a round violated what is promised."""
    parser = argparse.ArgumentParser(description="Run the pipeline while hostile things happen to it.")
    parser.add_argument("--rounds", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of what happens, and when (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the folder, and the project as a violation left it")
    parser.add_argument("--until", choices=ALL, metavar="STAGE", help="the last stage that is run (default: all)")
    parser.add_argument("--only", nargs="+", choices=HAZARDS, help="these hazards only")
    parser.add_argument("--first", type=int, default=0, help="number of the first round (default: %(default)s)")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers and mounts go first
    root = Path(tempfile.mkdtemp(prefix="ganpipe-chaos-"))
    if not asked.keep:
        atexit.register(shutil.rmtree, root, ignore_errors=True)  # however it ends
    chosen = {name: HAZARDS[name] for name in asked.only or HAZARDS}
    if "disk" in chosen and not hazards.can_mount(root):
        print(f"nothing may be mounted here, so no disk is filled: {UNSHARED} may be allowed to")
        del chosen["disk"]
        if not chosen:
            sys.exit(1)
    ended: list[Ended] = []
    with serving(zoo()) as origin:
        began = time.monotonic()
        ground = Ground(root, origin.url, asked.until)
        print(f"undisturbed: {len(ground.stages)} stages, {time.monotonic() - began:.0f} s, in {root}", flush=True)
        for number in range(asked.first, asked.first + asked.rounds):
            name, turn = drawn(chosen, asked.seed, number)
            for again in range(TRIES):
                world = hazards.Round(ground, origin, random.Random(f"{asked.seed} {number} {again}"), turn)
                ended.append(one(name, chosen[name][0], world))
                print(line(number, ended[-1]), flush=True)
                if ended[-1].outcome != UNHARMED:
                    break
            if asked.keep and ended[-1].violations:
                shutil.copytree(ground.folder, root / f"round-{number}", symlinks=True)
    print(table(ended))
    if any(each.violations for each in ended):
        sys.exit(1)


def drawn(chosen: dict[str, tuple[Hazard, int]], seed: int, number: int) -> tuple[str, int]:
    """The hazard of a round, and how often it came before: cards of a pack, shuffled anew when all are dealt."""
    cards = [name for name, (_, count) in chosen.items() for _ in range(count)]
    pack, place = divmod(number, len(cards))
    random.Random(f"{seed} pack {pack}").shuffle(cards)
    name = cards[place]
    return name, pack * chosen[name][1] + cards[:place].count(name)


def one(name: str, hazard: Hazard, world: hazards.Round) -> Ended:
    """A round, from the state after the undisturbed run."""
    world.ground.put_back()
    began = time.monotonic()
    with hazard(world) as harm:
        outcome, violations = judge(world.ground, harm)
    if not harm.bit and not violations:
        outcome = UNHARMED
    return Ended(name, harm.told, outcome, violations, time.monotonic() - began)


def judge(ground: Ground, harm: hazards.Harm) -> tuple[str, list[str]]:
    """Rerun until the outputs are those of the undisturbed run; what was violated on the way."""
    violations, said = [], ""
    if harm.done is not None:
        violations += blemishes(harm.done)
        said = harm.done.said if harm.done.code else ""
        if harm.done.code and not harm.may_fail:
            violations.append(f"ended, and should not have: {harm.done.sentence[:200]}")
        if harm.done.code == 0 and not harm.meant and (wrong := untold(ground)):
            violations.append(f"silently wrong: {', '.join(wrong[:3])}")
    harm.mend()
    sentences = [harm.done.sentence] if harm.done is not None and harm.done.code else []
    for command in (ground.rerun, ["ganpipe", "sync"]) if harm.of_tracking else (ground.rerun,):
        for _ in range(ADVISED):
            for typed in advice(said):
                ground.attempt(*typed)
            again = ground.attempt(*command)
            violations += blemishes(again)
            said = again.said if again.code else ""
            if again.code == 0:
                break
            sentences.append(again.sentence)
        else:
            violations.append(f"{' '.join(command)} fails after what it advised: {again.sentence[:200]}")
    if wrong := untold(ground):
        violations.append(f"wrong after the rerun: {', '.join(wrong[:3])}")
    if harm.of_tracking:
        violations += untracked(ground)
    if not sentences and (seen := ground.differences()):
        sentences.append(f"dvc status without its memory: {seen[0]}")
    return (f"said: {sentences[0][:150]}" if sentences else AS_UNDISTURBED), violations


def untold(ground: Ground) -> list[str]:
    """In what the outputs are not those of the undisturbed run, but for what `dvc status` tells and no stage reads."""
    wrong = ground.differences()
    if not wrong or not all(UNREAD.fullmatch(name) for name in wrong):
        return wrong
    changed = ground.changed_outputs()
    return [name for name in wrong if not any(Path(name).is_relative_to(output) for output in changed)]


def blemishes(done: Done) -> list[str]:
    """Of a command: a traceback, or a failure without a sentence."""
    if TRACED in done.said:
        last = [row for row in done.said.splitlines() if row and not row.startswith((" ", "ERROR"))]
        return [f"a traceback: {last[-1][:200]}"]
    return [] if done.code == 0 or done.sentence else [f"status {done.code} without a sentence: {done.said[-200:]}"]


def untracked(ground: Ground) -> list[str]:
    """What the store lacks of the undisturbed run's, or has doubled."""
    server = ground.root / "server/mlflow.db"
    found = tracked(server if (ground.store or "").startswith("http:") else ground.folder / "mlflow.db")
    if found.at_work:
        return [f"runs at work for ever: {found.at_work}"]
    held = {key: runs for key, runs in found.finished.items() if key in ground.ledger}
    lacking = [key for key, steps in ground.ledger.items() if any(run != steps for run in held.get(key, [None]))]
    return [f"MLflow lacks or doubles {len(lacking)} of {len(ground.ledger)} runs"] if lacking else []


def line(number: int, ended: Ended) -> str:
    """Of a round."""
    came = "; ".join(f"VIOLATION {each}" for each in ended.violations) or ended.outcome
    return f"{number:3} {ended.seconds:5.1f} s  {ended.hazard:8} {ended.told}: {came}"


def table(ended: list[Ended]) -> str:
    """Of all rounds, by hazard."""
    head = f"{'hazard':10} {'rounds':>6} {AS_UNDISTURBED:>15} {'said, put right':>16} {'violations':>11}"
    rows = [f"{head} {'unharmed':>9} {'seconds':>8}"]
    for name in [*HAZARDS, "all"]:
        of = [each for each in ended if name in (each.hazard, "all")]
        bad = sum(bool(each.violations) for each in of)
        same, idle = (
            sum(not each.violations and each.outcome == outcome for each in of)
            for outcome in (AS_UNDISTURBED, UNHARMED)
        )
        if of:
            put_right = len(of) - bad - same - idle
            counts = f"{len(of) - idle:6} {same:15} {put_right:16} {bad:11} {idle:9} {sum(e.seconds for e in of):8.0f}"
            rows.append(f"{name:10} {counts}")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
