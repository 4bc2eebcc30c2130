"""What `ganpipe compare` found as one HTML file that asks nothing of any other.

`page.html`, beside this module, is its template. What is not fixed there reaches the page as escaped text, or as
numbers in JSON; the page's policy lets no other script run. All but the slider over the samples and the values under
the pointer is there without scripts, too.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganpipe import files
from ganpipe.compare import charts, samples, tables, words
from ganpipe.compare.compared import Compared
from ganpipe.compare.markdown import LETTERS
from ganpipe.compare.tables import Comparison, Measure, Row
from ganpipe.errors import UserError, printable
from ganpipe.tracking.told import BY_STEP

# Curves by their names: title, unit, and by what the values are multiplied for it.
CURVES = {
    "train/loss_d": ("Loss of the discriminator", "mean over a tick", 1),
    "train/loss_g": ("Loss of the generator", "mean over a tick", 1),
    "train/real_accuracy": ("Real images told right", "% of them", 100),
    "train/fake_accuracy": ("Generated images told right", "% of them", 100),
    "train/gradient_d": ("Gradient of the discriminator", "norm", 1),
    "train/gradient_g": ("Gradient of the generator", "norm", 1),
    "train/gradient_ratio": ("Gradient of the generator over that of the discriminator", "ratio of norms", 1),
    "train/sample_distance": ("Distance between samples", "1 is that between real images", 1),
    "train/saturated": ("Saturated values of samples", "% of them", 100),
    "train/loss_rotation": ("Loss of telling rotations apart", "mean over a tick", 1),
}


def write(path: Path, comparison: Comparison) -> None:
    """Write the page. Pictures are read here; those that cannot be are said on the page."""
    curves, drawn = _charts(comparison.runs)
    grids, pictures, steps = _samples(comparison.runs)
    letters = LETTERS[: len(comparison.runs)]
    data = {"letters": list(letters), "charts": drawn, "samples": steps}
    values = {
        "title": f"{', '.join(letters[1:-1])}{' and ' if len(letters) > 2 else ''}{letters[-1]} against {letters[0]}",
        "runs": _runs(comparison.runs),
        "verdicts": _verdicts(comparison),
        "remarks": _remarks(comparison.runs),
        "settings": _settings(comparison),
        "accuracies": _accuracies(comparison),
        "counts": _section("Counts that differ", _figures(comparison.counts, letters)) if comparison.counts else "",
        "charts": curves,
        "samples": grids,
        "load": _load(comparison.runs),
        "rest": _rest(comparison, letters),
        "data": json.dumps(data, separators=(",", ":"), allow_nan=False),  # no name is in it
        "pictures": pictures,
    }
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    values |= {f"{tag}hash": _source_hash(template, tag) for tag in ("style", "script")}
    page = re.sub("@([a-z]+)@", lambda mark: values[mark[1]], template)
    with files.atomic(path) as draft:
        draft.write_bytes(page.encode())


def _runs(runs: Sequence[Compared]) -> str:
    rows = []
    for number, run in enumerate(runs):
        role = "baseline" if number == 0 else ""
        facts = " ".join(f"<span>{_text(fact)}</span>" for fact in (run.place, run.began, run.status, role) if fact)
        commit = f"<span>commit {_text(run.commit)}</span>" if run.commit else ""
        rows.append(f"<li>{_mark(number)}<div><b>{_text(run.name)}</b><p>{facts} {commit}</p></div></li>")
    return f'<ul class="runs">{"".join(rows)}</ul>'


def _mark(number: int) -> str:
    """A run's letter and its line, as they are everywhere on the page."""
    line = f'<svg class="key" viewBox="0 0 28 8" aria-hidden="true"><path class="run r{number}" d="M0 4 28 4"/></svg>'
    return f'<span class="mark">{LETTERS[number]}{line}</span>'


def _verdicts(comparison: Comparison) -> str:
    lines = []
    for number in range(1, len(comparison.runs)):
        verdict = words.verdict(comparison, number, lambda name: f"<b>{_text(name)}</b>")
        lines.append(f"<p>{LETTERS[number]} against {LETTERS[0]}: {verdict}.</p>")
    return "".join(lines)


def _remarks(runs: Sequence[Compared]) -> str:
    lines = [
        f"<li>{LETTERS[number]}: {_prose(remark)}</li>" for number, run in enumerate(runs) for remark in run.remarks
    ]
    return f'<ul class="remarks">{"".join(lines)}</ul>' if lines else ""


def _settings(comparison: Comparison) -> str:
    equal = f"<p>Equal: {comparison.equal_settings:,}.</p>"
    if not comparison.settings:
        return _section("Parameters", f"<p>None differs.</p>{equal}")
    rows = []
    for setting in comparison.settings:
        cells = [
            f'<td class="none">{"null" if value is None else "not set"}</td>'
            if not value
            else f"<td{'' if value == setting.values[0] else ' class=other'}>{_text(value)}</td>"
            for value in setting.values
        ]
        rows.append([f'<th scope="row">{_name(setting.name)}</th>', *cells])
    return _section("Parameters that differ", _table("parameter", LETTERS[: len(comparison.runs)], rows) + equal)


def _accuracies(comparison: Comparison) -> str:
    if not comparison.accuracies:
        return _section("Accuracies", "<p>None was measured.</p>")
    changes = [changed for row in comparison.accuracies for changed in row.changes if changed is not None]
    ends = [abs(end) for each in changes for end in (each.low, each.difference, each.high) if end is not None]
    most = max([0.001, *ends])
    rows = []
    for row in comparison.accuracies:
        kind = ' class="control"' if tables.is_control(row) else ""
        cells = [f'<th scope="row"{kind}><b>{_text(row.labelled)}</b> {_text(row.name)}</th>']
        cells += [_accuracy(row, number, most) for number in range(len(comparison.runs))]
        rows.append(cells)
    told = "".join(f"<p>{_text(sentence)}</p>" for sentence in words.notes(comparison))
    scale = f"<p>The bars reach from -{100 * most:.2f} to +{100 * most:.2f} points.</p>" if changes else ""
    titles = [f"{letter}, and its difference from {LETTERS[0]}" for letter in LETTERS[1 : len(comparison.runs)]]
    return _section("Accuracies", _table("accuracy", [LETTERS[0], *titles], rows, "figures") + told + scale)


def _accuracy(row: Row, number: int, most: float) -> str:
    measure, changed = row.measures[number], row.changes[number]
    if measure is None:
        return '<td class="none">not measured</td>'
    cell = _measure(row, measure)
    if changed is not None:
        spread, kind = words.spread(changed), changed.moved or "unknown"
        moved, arrow = words.moved(changed), {"up": "\u25b2 ", "down": "\u25bc "}.get(kind, "")
        cell += (
            f'<span class="change {kind}">{charts.whisker(changed, most)}<span>'
            f"{words.difference(row, changed)}{f' <small>({spread})</small>' if spread else ''}</span> "
            f"<b>{arrow}{'within chance' if moved == 'no' else moved}</b></span>"
        )
    return f"<td>{cell}</td>"


def _measure(row: Row, measure: Measure | None) -> str:
    if measure is None:
        return ""
    interval = words.interval(measure)
    return words.figure(row.key, measure.value) + (f" <small>({interval})</small>" if interval else "")


def _figures(rows: Sequence[Row], letters: str) -> str:
    lines = []
    for row in rows:
        cells = [
            f"<td>{_measure(row, measure)}</td>" if measure else '<td class="none">none</td>'
            for measure in row.measures
        ]
        lines.append([f'<th scope="row">{_name(row.key)}</th>', *cells])
    return _table("figure", letters, lines, "figures")


def _charts(runs: Sequence[Compared]) -> tuple[str, list[dict[str, Any]]]:
    """Small charts, one a curve, and what their values are shown by."""
    names = [name for name in CURVES if any(run.curves.get(name) for run in runs)]
    names += sorted({name for run in runs for name in run.curves} - set(CURVES))
    parts, drawn = [], []
    for name in names:
        title, unit, times = CURVES.get(name) or (name, "", 1)
        if name.endswith(f"/{BY_STEP}"):
            title, unit, times = f"Accuracy on validation, {name.removesuffix(f'/{BY_STEP}')}", "%", 100
        curves = [[(step, value * times) for step, value in run.curves.get(name, [])] for run in runs]
        chart = charts.draw(curves, f"{printable(title, kept='')}, by step of the training")
        if chart is None:
            continue
        last = [f"{LETTERS[number]} {value:.4g}" for number, value in enumerate(chart.last) if value is not None]
        scale = ", logarithmic" if chart.data["log"] else ""
        parts.append(
            f'<div class="chart"><h3>{_text(title)} <small>{_text(unit)}{scale}</small></h3>'
            f'<div class="plot" tabindex="0" role="group" aria-label="{_text(title)}: arrow keys go from step to step">'
            f'{chart.svg}</div><p class="values">At the end: {", ".join(last)}</p></div>'
        )
        drawn.append(chart.data)
    if not parts:
        return _section("Curves", "<p>There are none.</p>"), []
    key = "".join(f"<li>{_mark(number)} {_text(run.name)}</li>" for number, run in enumerate(runs))
    legend = f'<ul class="legend" aria-label="Legend">{key}</ul><p id="said" role="status"></p>'
    return _section("Curves", f'{legend}<div class="charts">{"".join(parts)}</div>'), drawn


def _samples(runs: Sequence[Compared]) -> tuple[str, str, list[list[int | None]]]:
    """The grids at the last steps, with a slider; all other grids; and the steps of the slider by run."""
    chosen = samples.choose([run.samples for run in runs])
    if not chosen.rows:
        return _section("Samples", f"<p>{chosen.left_out or 'There are none.'}</p>"), "", []
    held, unread = _pictures(runs, chosen.rows)
    last = chosen.rows[-1]
    figures = []
    for number, step in enumerate(last):
        if step is None:
            figures.append(f"<figure><figcaption>{_mark(number)} <span>no samples</span></figcaption></figure>")
            continue
        figures.append(
            f"<figure><figcaption>{_mark(number)} <span>step {step:,}</span></figcaption>"
            f'<img alt="Samples of {LETTERS[number]}, step {step:,}" src="data:image/png;base64,{held[number, step]}">'
            "</figure>"
        )
    others = "\n".join(
        f'<script type="text/plain" id="picture-{number}-{step}">{picture}</script>'
        for (number, step), picture in held.items()
        if last[number] != step
    )
    slider = (
        '<div class="slide" hidden><label for="step">Step</label>'
        f'<input id="step" type="range" min="0" max="{len(chosen.rows) - 1}" value="{len(chosen.rows) - 1}" '
        'autocomplete="off"><b aria-hidden="true"></b></div>'
        if len(chosen.rows) > 1
        else ""
    )
    sentences = [chosen.said, chosen.left_out, f"Not read: {', '.join(unread)}." if unread else ""]
    told = "".join(f"<p>{_text(sentence)}</p>" for sentence in sentences if sentence)
    section = _section("Samples", f'{slider}<div class="grids">{"".join(figures)}</div>{told}')
    return section, others, [list(row) for row in chosen.rows]


def _pictures(runs: Sequence[Compared], rows: Sequence[samples.Steps]) -> tuple[dict[tuple[int, int], str], list[str]]:
    """The grids of these steps in base64, by run and step, empty where one cannot be read; and which those are."""
    held: dict[tuple[int, int], str] = {}
    unread: list[str] = []
    for row in rows:
        for number, step in enumerate(row):
            if step is None or (number, step) in held:
                continue
            try:
                picture = samples.png(runs[number].samples[step])
            except (UserError, OSError, ValueError):
                unread.append(f"{LETTERS[number]}, step {step:,}")
                picture = b""
            held[number, step] = base64.b64encode(picture).decode()
    return held, unread


LOADS = {
    "cpu_utilization_percentage": ("CPU", 1, "%"),
    "system_memory_usage_megabytes": ("memory", 1e-3, " GB"),
    "system_memory_usage_percentage": ("memory", 1, "%"),
    "disk_available_megabytes": ("disk free", 1e-3, " GB"),
}


def _load(runs: Sequence[Compared]) -> str:
    """The machine's load in each run: mean, and from least to most."""
    names = dict.fromkeys(name for run in runs for name in run.load)
    rows = []
    if any(run.took is not None for run in runs):
        cells = [f"<td>{_time(run.took)}</td>" for run in runs]
        rows.append(['<th scope="row">from start to end, h:min:s</th>', *cells])
    for name in sorted(names):
        gpu = re.fullmatch(r"gpu_(\d+)_memory_usage_(megabytes|percentage)", name)
        title, times, unit = LOADS.get(name, (name, 1, ""))
        if gpu:
            title = f"memory of GPU {gpu[1]}"
            times, unit = (1e-3, " GB") if gpu[2] == "megabytes" else (1, "%")
        cells = []
        for run in runs:
            values = [value * times for value in run.load.get(name, [])]
            if not values:
                cells.append('<td class="none">not noted</td>')
                continue
            span = f"{min(values):,.3g} to {max(values):,.3g}"
            cells.append(f"<td>{sum(values) / len(values):,.3g}{unit} <small>({span})</small></td>")
        rows.append([f'<th scope="row">{_text(title)}</th>', *cells])
    if not rows:
        return ""
    about = "<p>Mean, and from least to most, of all looks at the machine while the training ran.</p>"
    return _section("The machine", _table("load", LETTERS[: len(runs)], rows, "figures") + about)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _rest(comparison: Comparison, letters: str) -> str:
    equal = f"equal: {comparison.equal_figures:,}"
    if not comparison.rest:
        return _section("Other figures", f"<p>None differs ({equal}).</p>")
    summary = f"<summary>Different: {len(comparison.rest):,} ({equal})</summary>"
    return _section("Other figures", f"<details>{summary}{_figures(comparison.rest, letters)}</details>")


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>"


def _table(corner: str, titles: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """In a box of its own, which can be moved sideways, by the keyboard, too."""
    head = "".join(f'<th scope="col">{_text(title)}</th>' for title in titles)
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    return (
        f'<div class="box" tabindex="0" role="region" aria-label="Table: {_text(corner)}">'
        f'<table class="{kind}"><thead><tr><th scope="col">{_text(corner)}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _prose(sentence: str) -> str:
    """A sentence with names between backticks."""
    parts = re.split("`([^`]*)`", sentence)
    return "".join(f"<code>{_text(part)}</code>" if place % 2 else _text(part) for place, part in enumerate(parts))


def _text(value: str) -> str:
    return html.escape(printable(value, kept=""))


def _name(value: str) -> str:
    """A setting's or a figure's, which may go on in the next line between its parts."""
    return re.sub("([._/])", r"\1<wbr>", _text(value))


def _source_hash(template: str, tag: str) -> str:
    """What the page's policy knows its one style or script by: 'sha256-' and base64, of the text within the tag."""
    source = re.search(f"<{tag}>(.*)</{tag}>", template, re.DOTALL)
    assert source is not None  # noqa: S101  # the template is our own
    return f"'sha256-{base64.b64encode(hashlib.sha256(source[1].encode()).digest()).decode()}'"
