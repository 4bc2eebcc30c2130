"""What runs are called in tables and under charts: short, and not the same for two that differ."""

import textwrap
from collections.abc import Mapping
from typing import Any

from ganpipe.tracking.store import STAGE

AT_MOST, LONGEST = 3, 16  # settings in a name, and letters of a value


def of_training(settings: Mapping[str, Any]) -> str:
    """By what matters most of its settings, by `section.name`."""
    return f"width {settings.get('train.width')}, {settings.get('train.steps')} steps"


def differences(settings: Mapping[str, Any], others: Mapping[str, Any], section: str = "train") -> str:
    """The settings that are not as those others, those of the section first; empty where there are none."""
    known = settings.keys() & others.keys()  # a setting that came or went with another version says nothing
    unlike = [name for name in known if str(settings[name]) != str(others[name])]
    unlike.sort(key=lambda name: (not name.startswith(f"{section}."), name))
    said = [f"{name.removeprefix(f'{section}.')} {_short(settings[name])}" for name in unlike[:AT_MOST]]
    return ", ".join([*said, f"{len(unlike) - AT_MOST} more"] if len(unlike) > AT_MOST else said)


def of_experiment(name: str, settings: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    """DVC's name of an experiment, which says nothing by itself, and what it tries."""
    tried = differences(settings, baseline)
    return f"{name}: {tried}" if tried else name


def tell_apart(client: Any, experiment: str, stage: str) -> None:
    """Where runs of different settings have the stage's own name, say in all but the first what is different.

    What has been told apart is left as it is, and so is a name that somebody has given.
    """
    order = ["attributes.start_time ASC"]
    found = client.search_runs([experiment], f"tags.`{STAGE}` = '{stage}'", max_results=1000, order_by=order)
    taken: dict[str, dict[str, str]] = {}  # names, with the settings of the first that has it
    for run in found:
        taken.setdefault(str(run.info.run_name), run.data.params)
    for run in found:
        name, settings = str(run.info.run_name), run.data.params
        if name != own(stage, settings) or not (said := differences(settings, taken[name], stage)):
            continue
        # The page cuts off the end. Of a training that is what it shares with others.
        apart = f"{said}, {name}" if stage == "train" else f"{name}, {said}"
        free, number = apart, 1
        while differences(settings, taken.get(free, settings)):
            number += 1
            free = f"{apart} ({number})"
        client.update_run(run.info.run_id, name=free)
        taken.setdefault(free, settings)


def own(stage: str, settings: Mapping[str, Any]) -> str:
    """The name that a stage's run has by itself."""
    return of_training(settings) if stage == "train" else stage


def _short(value: Any) -> str:
    return textwrap.shorten("none" if value in (None, "None") else str(value), LONGEST, placeholder="…")
