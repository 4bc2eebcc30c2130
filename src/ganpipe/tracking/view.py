"""The saved view of the MLflow pages that shows which training is better, and what was different about it.

MLflow keeps a view as a tag of the experiment, in the form that its own page writes: a name and a deflated state. Left
to itself the page makes a chart of every metric in alphabetical order and a column of none.
"""

import base64
import json
import zlib
from typing import Any

KEY = "ganpipe"  # the view's, in its address
TAG = f"mlflow.sharedViewState.{KEY}"
CHOOSING = "accuracy_validation"  # what trainings are chosen by: never by the accuracy on a test set
COLUMNS_AT_MOST = 8  # of parameters: more do not fit a screen


def write(client: Any, experiment: str, stage_tag: str) -> None:
    """Put the view on the experiment, with a column for each set measured and each setting that differs.

    Trainings are found by their tag `stage_tag`. Writing the same view again changes nothing.
    """
    trainings = client.search_runs([experiment], f"tags.`{stage_tag}` = 'train'", max_results=1000)
    names = {name for run in trainings for name in run.data.metrics}
    sets = sorted(name.removesuffix(f"/{CHOOSING}") for name in names if name.endswith(f"/{CHOOSING}"))
    tags = client.get_experiment(experiment).tags
    wanted = {
        "mlflow.experimentKind": "custom_model_development",  # the pages for training, not those for chats
        TAG: _pack(_state(sets, differing([run.data.params for run in trainings]), stage_tag)),
    }
    for key, value in wanted.items():
        if tags.get(key) != value:
            client.set_experiment_tag(experiment, key, value)


def address(experiment: str) -> str:
    """The view's place under the server's address."""
    return f"/#/experiments/{experiment}/runs?viewStateShareKey={KEY}"


def differing(parameters: list[dict[str, str]]) -> list[str]:
    """Names of the parameters that do not have one and the same value in all runs, in alphabetical order."""
    names = {name for run in parameters for name in run}
    return sorted(name for name in names if len({run.get(name) for run in parameters}) > 1)


def _state(sets: list[str], parameters: list[str], stage_tag: str) -> dict[str, Any]:
    columns = [
        *(f"metrics.`{name}/{figure}`" for name in sets for figure in _ACCURACIES),
        *(f"params.`{name}`" for name in parameters[:COLUMNS_AT_MOST]),
    ]
    charts = [
        *(_bars(f"{name}/{figure}") for name in sets for figure in (CHOOSING, "accuracy")),
        _difference("What was different"),
        *(_lines(title, [f"train/{name}" for name in names]) for title, names in _CURVES.items()),
        _pictures("samples"),
    ]
    return {
        "searchFilter": f"tags.`{stage_tag}` = 'train'",
        "orderByKey": f"metrics.`{sets[0]}/{CHOOSING}`" if sets else "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": dict.fromkeys(columns, 200),
        "compareRunCharts": charts,
        "compareRunSections": [
            _section("Which is better", shown=True),
            *(_section(name, shown=False) for name in (*sets, "train", "Model metrics", "System metrics")),
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


_ACCURACIES = (CHOOSING, "accuracy", "accuracy_random_init", "accuracy_pixels")
_CURVES = {"Losses": ["loss_d", "loss_g"], "Told right by the discriminator": ["real_accuracy", "fake_accuracy"]}


def _bars(metric: str) -> dict[str, Any]:
    return _chart("BAR", metric, metricKey=metric)


def _lines(title: str, metrics: list[str]) -> dict[str, Any]:
    axes = {"xAxisKey": "step", "scaleType": "linear"}
    return _chart("LINE", title, metricKey=metrics[0], selectedMetricKeys=metrics, **axes)


def _difference(title: str) -> dict[str, Any]:
    shown = {"compareGroups": ["Parameters"], "showChangeFromBaseline": False, "showDifferencesOnly": True}
    return _chart("DIFFERENCE", title, chartName=title, baselineColumnUuid="", **shown)


def _pictures(key: str) -> dict[str, Any]:
    return _chart("IMAGE", key, imageKeys=[key], step=0, showRunParams=False)


def _chart(kind: str, title: str, **what: Any) -> dict[str, Any]:
    common = {"runsCountToCompare": 10, "metricSectionId": "Which is better", "deleted": False, "isGenerated": False}
    return {"uuid": f"ganpipe-{title}", "type": kind, "displayName": title, **common, **what}


def _section(name: str, shown: bool) -> dict[str, Any]:
    generated = {"isReordered": True, "deleted": False, "isGenerated": False}
    return {"uuid": name, "name": name, "display": shown, "columns": 2, **generated}


def _pack(state: dict[str, Any]) -> str:
    deflated = base64.b64encode(zlib.compress(json.dumps(state, separators=(",", ":")).encode())).decode("ascii")
    return json.dumps(
        {"name": "Which training is better", "createdAt": 0, "updatedAt": 0, "state": f"deflate;{deflated}"}
    )
