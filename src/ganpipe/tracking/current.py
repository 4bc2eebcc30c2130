"""Which of several measurements of one training is current: what was measured again stands beside it, and says so."""

from collections.abc import Iterable
from typing import Any

PARENT = "mlflow.parentRunId"
SUPERSEDED = "ganpipe.superseded_by"  # the tag of a run of which there is a later one; its value is the id of that
MARK = " (superseded)"  # at the end of its name


def settle(client: Any, experiment: str, training: str | None = None) -> None:
    """Of the measurements of a training, or of each one, that have one name, mark those before the last that finished.

    What was settled before stays as it is.
    """
    wanted = f"tags.`{PARENT}` = '{training}'" if training else f"tags.`{PARENT}` LIKE '%'"
    groups: dict[tuple[str, str], list[Any]] = {}
    for run in _search(client, experiment, wanted):
        if parent := run.data.tags.get(PARENT):
            groups.setdefault((parent, run.info.run_name.removesuffix(MARK)), []).append(run)
    for (_, name), runs in groups.items():
        ended = sorted((run for run in runs if run.info.status != "RUNNING"), key=lambda run: run.info.end_time or 0)
        last = max((at for at, run in enumerate(ended) if run.info.status == "FINISHED"), default=None)
        if last is not None:
            _mark(client, name, ended[last], ended[:last])


def is_current(run: Any) -> bool:
    """Whether no later measurement has taken its place."""
    return SUPERSEDED not in run.data.tags


def _mark(client: Any, name: str, latest: Any, earlier: Iterable[Any]) -> None:
    """The tag comes last, for by it a run is known as done."""
    current = latest.info.run_id
    if not is_current(latest):
        client.update_run(current, name=name)
        client.delete_tag(current, SUPERSEDED)
    for run in earlier:
        if run.data.tags.get(SUPERSEDED) != current:
            client.update_run(run.info.run_id, name=name + MARK)
            client.set_tag(run.info.run_id, SUPERSEDED, current)


def _search(client: Any, experiment: str, wanted: str) -> Iterable[Any]:
    token = None
    while True:
        page = client.search_runs([experiment], wanted, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
