"""What `ganpipe compare` found as Markdown that GitHub and GitLab show alike: what CI posts on a pull request."""

import re
from collections.abc import Iterable, Sequence

from ganpipe.compare import tables, words
from ganpipe.compare.tables import Comparison, Measure, Row
from ganpipe.errors import printable

LETTERS = "ABCDEF"  # by which runs are told apart: their names may be equal
LONGEST = 60  # letters of a setting's value
SIZE = 60_000  # bytes, of the 65,536 letters that GitHub takes for a comment
PLAIN = re.compile(r"[^`|\\]+")


def markdown(comparison: Comparison) -> str:
    """The tables, with what is of less interest folded away; what would be too long for a comment is left out."""
    letters = LETTERS[: len(comparison.runs)]
    blocks = [_head(comparison, letters), *_verdicts(comparison, letters), *_remarks(comparison, letters)]
    blocks += _settings(comparison, letters)
    for number in range(1, len(letters)):
        blocks += _accuracies(comparison, number, letters)
    blocks += [f"<sub>{' '.join(told)}</sub>"] if (told := words.notes(comparison)) else []
    if comparison.counts:
        blocks.append(f"#### Counts that differ\n\n{_figures(comparison.counts, letters)}")
    whole = "\n\n".join(blocks) + "\n"
    return whole + _rest(comparison, letters, SIZE - len(whole.encode()))


def code(text: str, longest: int = 2 * LONGEST) -> str:
    """Hostile text as code, which mentions nobody and links nowhere: in a cell of a table, too."""
    text = printable(text, kept="")
    if len(text) > longest:
        text = f"{text[: longest - 12]}...{text[-9:]}"
    if PLAIN.fullmatch(text) and text == text.strip():
        return f"`{text}`"
    inside = "".join(c if c.isalnum() or c in " .," else f"&#{ord(c)};" for c in text)
    return f"<code>{inside}</code>"


def _head(comparison: Comparison, letters: str) -> str:
    rows = []
    for letter, run in zip(letters, comparison.runs, strict=True):
        facts = ", ".join([code(run.place), *filter(None, (run.began, run.status))])
        rows.append([letter, code(run.name), facts, code(run.commit) if run.commit else ""])
    return f"### {_listed(letters[1:])} against {letters[0]}\n\n{_table(['', 'training', 'from', 'commit'], rows)}"


def _listed(letters: str) -> str:
    return " and ".join(filter(None, (", ".join(letters[:-1]), letters[-1])))


def _verdicts(comparison: Comparison, letters: str) -> list[str]:
    return [
        f"**{letter} against {letters[0]}:** {words.verdict(comparison, number, code)}."
        for number, letter in enumerate(letters)
        if number
    ]


def _remarks(comparison: Comparison, letters: str) -> list[str]:
    lines = [
        f"- {letter}: " + re.sub("`([^`]*)`", lambda name: code(name[1]), remark)
        for letter, run in zip(letters, comparison.runs, strict=True)
        for remark in run.remarks
    ]
    return ["\n".join(lines)] if lines else []


def _settings(comparison: Comparison, letters: str) -> list[str]:
    equal = f"equal: {comparison.equal_settings:,}"
    if not comparison.settings:
        return [f"No parameter differs ({equal})."]
    rows = [
        [code(setting.name), *("" if value == "" else code(words.setting(value), LONGEST) for value in setting.values)]
        for setting in comparison.settings
    ]
    return [f"#### Parameters that differ ({equal})\n\n{_table(['parameter', *letters], rows)}"]


def _accuracies(comparison: Comparison, number: int, letters: str) -> list[str]:
    rows, alone = [], tables.alone(comparison, number)
    for row in comparison.accuracies:
        if any(row.labelled in sets for sets in alone.values()) or row.measures[0] is row.measures[number] is None:
            continue
        cells = [f"{code(row.labelled)} {row.name}", *(_measure(row, row.measures[each]) for each in (0, number))]
        changed = row.changes[number]
        if changed is None:
            cells += ["", ""]
        else:
            spread, moved = words.spread(changed), words.moved(changed)
            cells.append(words.difference(row, changed) + (f" ({spread})" if spread else ""))
            cells.append(f"**{moved}**" if changed.moved in ("up", "down") else moved)
        rows.append(cells)
    titles = ["accuracy", letters[0], letters[number], "difference, points", "moved"]
    blocks = [f"#### Accuracies: {letters[number]} against {letters[0]}"] if rows or alone else []
    blocks += [_table(titles, rows, "lrrrl")] if rows else []
    blocks += [f"Only {letters[each]} was measured on {', '.join(map(code, sets))}." for each, sets in alone.items()]
    return blocks


def _measure(row: Row, measure: Measure | None) -> str:
    if measure is None:
        return ""
    interval = words.interval(measure)
    return words.figure(row.key, measure.value) + (f" ({interval})" if interval else "")


def _rest(comparison: Comparison, letters: str, room: int) -> str:
    """All other figures that differ, folded away, as many as there is room for."""
    rows, equal = comparison.rest, f"equal: {comparison.equal_figures:,}"
    if not rows:
        return f"\nNo other figure differs ({equal}).\n"
    low, high = 0, len(rows)  # the most rows that fit are sought
    while low < high:
        middle = (low + high + 1) // 2
        fits = len(_figures(rows[:middle], letters).encode()) <= room
        low, high = (middle, high) if fits else (low, middle - 1)
    parts = [f"<details>\n<summary>Other figures that differ: {len(rows):,} ({equal})</summary>"]
    if low:
        parts.append(_figures(rows[:low], letters))
    if low < len(rows):
        parts.append(f"{len(rows) - low:,} more are left out, for a comment would be too long: the page has all.")
    return "\n" + "\n\n".join([*parts, "</details>"]) + "\n"


def _figures(rows: Sequence[Row], letters: str) -> str:
    """A column a run, and the difference where there are two."""
    lines = []
    for row in rows:
        cells = [code(row.key), *(_measure(row, measure) for measure in row.measures)]
        if len(letters) == 2:
            changed = row.changes[1]
            cells.append("" if changed is None else words.difference(row, changed))
        lines.append(cells)
    titles = ["figure", *letters, *(["difference"] if len(letters) == 2 else [])]
    return _table(titles, lines, "l" + "r" * (len(titles) - 1))


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]], sides: str = "") -> str:
    """Columns of one width each, so that it can be read as it stands, too; `sides` are l and r."""
    lines = [list(titles), *map(list, rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(titles))]
    columns = list(zip(widths, sides or "l" * len(titles), strict=True))
    rule = ["-" * (width - 1) + ":" if side == "r" else "-" * width for width, side in columns]
    padded = [
        [
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, (width, side) in zip(line, columns, strict=True)
        ]
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])
