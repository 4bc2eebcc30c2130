"""The saved view of the MLflow pages that shows which training is better, and what was different about it.

MLflow keeps a view as a tag of the experiment, in the form that its own page writes: a name and a deflated state. Left
to itself the page makes a chart of every metric in alphabetical order and a column of none.
"""

import base64
import json
import zlib
from typing import Any

from ganpipe.tracking.notes import NOTE
from ganpipe.tracking.store import STAGE

KEY = "ganpipe"  # the view's, in its address
TAG = f"mlflow.sharedViewState.{KEY}"
TRAININGS = f"tags.`{STAGE}` = 'train'"
CHOOSING = "accuracy_validation"  # what trainings are chosen by: never by the accuracy on a test set
BEST = "best"  # before the figures of a training's best evaluation, which is one of a set
ABOUT = "A run for each training, its evaluations nested in it. Compared under Views: **Which training is better**."
COLUMNS_AT_MOST = 8  # of parameters: more do not fit a screen


def write(client: Any, experiment: str) -> None:
    """Put the view on the experiment, with a column for each set measured and each setting that differs.

    Writing the same view again changes nothing.
    """
    trainings = client.search_runs([experiment], TRAININGS, max_results=1000)
    names = {name for run in trainings for name in run.data.metrics}
    measured = {name.removesuffix(f"/{CHOOSING}") for name in names if name.endswith(f"/{CHOOSING}")}
    sets = sorted(measured - {BEST})
    settings = [run.data.params for run in trainings]
    held = client.get_experiment(experiment)
    wanted = {
        "mlflow.experimentKind": "custom_model_development",  # the pages for training, not those for chats
        TAG: _pack(_state(sets, _groups(names, sets), settings)),
    }
    if NOTE not in held.tags:  # or somebody has written a better one
        wanted[NOTE] = ABOUT
    for key, value in wanted.items():
        if held.tags.get(key) != value:
            client.set_experiment_tag(experiment, key, value)


def address(experiment: str) -> str:
    """The view's place under the server's address."""
    return f"/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={KEY}"


def differing(parameters: list[dict[str, str]]) -> list[str]:
    """Names of the parameters that do not have one and the same value in all runs, in alphabetical order."""
    names = {name for run in parameters for name in run}
    return sorted(name for name in names if len({run.get(name) for run in parameters}) > 1)


def _groups(names: set[str], sets: list[str]) -> list[str]:
    """What stands before the last stroke of the figures' names: those of the sets first, best and system last."""
    groups = {name.rpartition("/")[0] for name in names} - {"", "system"}
    return sorted(groups, key=lambda group: (group == BEST, group.split("/")[0] not in sets, group))


def _state(sets: list[str], groups: list[str], settings: list[dict[str, str]]) -> dict[str, Any]:
    columns = [
        *(f"metrics.`{name}/{figure}`" for name in sets for figure in _ACCURACIES),
        *(f"params.`{name}`" for name in differing(settings)[:COLUMNS_AT_MOST]),
        *(f"metrics.`{name}/{figure}`" for name in sets for figure in _CONTROLS),
    ]
    charts = [
        *(_bars(f"{name}/{figure}") for name in sets for figure in _ACCURACIES),
        _difference(),
        _pictures("samples", _latest_of_all(settings)),
        *(_line(f"train/{name}") for name in _CURVES),
    ]
    return {
        "searchFilter": TRAININGS,
        "orderByKey": f"metrics.`{sets[0]}/{CHOOSING}`" if sets else "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {name: _width(name) for name in columns},
        "compareRunCharts": charts,
        "compareRunSections": [
            *(_section(name, shown=True, **how) for name, how in _SECTIONS.items()),
            *(_section(name, shown=False, columns=3) for name in (*groups, "System metrics")),
        ],
        "isAccordionReordered": True,
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _latest_of_all(settings: list[dict[str, str]]) -> int:
    """The last step at which each training has samples: at some, and at its end."""
    told = [(each.get("train.steps", ""), each.get("train.sample_every", "")) for each in settings]
    numbers = [(int(steps), int(every)) for steps, every in told if steps.isdecimal() and every.isdecimal()]
    sampled = [{*range(0, steps + 1, max(every, 1)), steps} for steps, every in numbers]
    return max(set.intersection(*sampled)) if sampled else 0


_ACCURACIES, _CONTROLS = (CHOOSING, "accuracy"), ("accuracy_random_init", "accuracy_pixels")
_CURVES = ("loss_d", "loss_g", "real_accuracy", "fake_accuracy")
_BETTER, _DIFFERENT, _SAMPLES, _COURSE = "Which is better", "What was different", "Samples", "How they went"
# What has a part for each training takes the whole width.
_SECTIONS = {
    _BETTER: {"columns": 2, "cardHeight": 330},
    _DIFFERENT: {"columns": 1, "cardHeight": 330},
    _SAMPLES: {"columns": 1, "cardHeight": 560},
    _COURSE: {"columns": 2, "cardHeight": 330},
}


def _width(column: str) -> int:
    """In pixels: enough for the heading."""
    return 60 + 7 * len(column.split("`")[1])


def _bars(metric: str) -> dict[str, Any]:
    return _chart("BAR", metric, _BETTER, metricKey=metric)


def _line(metric: str) -> dict[str, Any]:
    """Of one figure: the page draws two lines for each training where there are two."""
    axes = {"xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": "linear", "useGlobalXaxisKey": True}
    # Or the page smooths each line by a measure of its own.
    smoothed = {"lineSmoothness": 0, "useGlobalLineSmoothing": True}
    return _chart("LINE", metric, _COURSE, metricKey=metric, selectedMetricKeys=[metric], **axes, **smoothed)


def _difference() -> dict[str, Any]:
    shown = {"compareGroups": ["Parameters"], "showChangeFromBaseline": False, "showDifferencesOnly": True}
    return _chart("DIFFERENCE", _DIFFERENT, _DIFFERENT, chartName=_DIFFERENT, baselineColumnUuid="", **shown)


def _pictures(key: str, step: int) -> dict[str, Any]:
    """All trainings at that step, to begin with."""
    return _chart("IMAGE", key, _SAMPLES, imageKeys=[key], step=step, showRunParams=False)


def _chart(kind: str, title: str, section: str, **what: Any) -> dict[str, Any]:
    common = {"runsCountToCompare": 10, "metricSectionId": section, "deleted": False, "isGenerated": False}
    return {"uuid": f"ganpipe-{title}", "type": kind, "displayName": title, **common, **what}


def _section(name: str, shown: bool, **how: int) -> dict[str, Any]:
    generated = {"isReordered": True, "deleted": False, "isGenerated": False}
    return {"uuid": name, "name": name, "display": shown, **how, **generated}


def _pack(state: dict[str, Any]) -> str:
    deflated = base64.b64encode(zlib.compress(json.dumps(state, separators=(",", ":")).encode())).decode("ascii")
    return json.dumps(
        {"name": "Which training is better", "createdAt": 0, "updatedAt": 0, "state": f"deflate;{deflated}"}
    )
