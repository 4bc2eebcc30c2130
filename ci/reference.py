"""Write docs/reference/settings.md from the models of the settings, and commands.md from the parser: `make reference`.

tests/docs/test_reference.py holds that what is committed is what this writes.
"""

import argparse
import re
from pathlib import Path
from typing import Any

from ganpipe.analysis.params import AnalyseParams, ConceptsParams, NumbersParams, PairsParams
from ganpipe.checks import MODELS
from ganpipe.cli import parser
from ganpipe.settings import Section, read_params
from ganpipe.training.params import Training, TranslateParams

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs/reference"
MAKES = "Written by `make reference`; change the code that it is made from."
# Each section's model in the pipeline, and those of other kinds, with the study whose values are shown.
SHIPPED = read_params(ROOT / "params.yaml")
SECTIONS: dict[str, type[Section]] = {name: model.variant(SHIPPED[name]) for name, model in MODELS.items()}
OTHERS: dict[str, list[tuple[str, type[Section], str, type[Section]]]] = {
    "train": [("of pix2pix", TranslateParams, "facades", Training)],
    "analyse": [
        ("of the kind `concepts`, beside those of images", ConceptsParams, "faces", AnalyseParams),
        ("of the kind `numbers`", NumbersParams, "gaussian", Section),
        ("of the kind `pairs`", PairsParams, "facades", Section),
    ],
}
INTRODUCTION = f"""# Every setting

{MAKES}

`params.yaml` has them, a section for each stage; nothing else has a default that matters. The second column is what the
pipeline is shipped with. Where a cell says *empty*, the setting may be left without a value, which the text calls null.
`ganpipe check` says what is wrong with any of them, and which do not go together. `dvc exp run -S train.width=64`
changes one for a run.
"""


def main() -> None:
    """Write the pages."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (OUT / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """The text of each page by its file's name."""
    return {"settings.md": settings(), "commands.md": commands()}


def settings() -> str:
    """A table for each section, and for each other kind of it."""
    shipped = read_params(ROOT / "params.yaml")
    parts = [INTRODUCTION]
    for section, model in SECTIONS.items():
        parts.append(f"## {section}\n\n{_sentence(model)}\n")
        parts.append(_table(model, shipped[section], section, "shipped"))
        for title, other, study, beside in OTHERS.get(section, ()):
            values = read_params(ROOT / f"studies/{study}/params.yaml")[section]
            parts.append(f"### {section} {title}\n\n{_sentence(other)} Values are those of `studies/{study}`.\n")
            parts.append(_table(other, values, section, study, beside))
    return "\n".join(parts)


def _table(
    model: type[Section], values: dict[str, Any], section: str, column: str, without: type[Section] = Section
) -> str:
    """Markdown of the model's settings, but for those that are the same `without` it."""
    schemas, rows = (
        model.model_json_schema()["properties"],
        [f"| setting | {column} | may be | what it is |", "|---|---|---|---|"],
    )
    base = without.model_json_schema().get("properties", {})
    for name, field in model.model_fields.items():
        if schemas[name] != base.get(name):
            cells = (
                f"`{section}.{name}`",
                _value(values[name]),
                _may_be(schemas[name]),
                _plain(field.description or ""),
            )
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _sentence(model: type[Section]) -> str:
    return " ".join((model.__doc__ or "").split())


def _value(value: Any) -> str:
    if value is None:
        return "*empty*"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _may_be(schema: dict[str, Any]) -> str:
    """What a JSON schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(map(_may_be, schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema["type"] == "array":
        return f"{'at least one' if schema.get('minItems') else 'a list'} of: {_may_be(schema['items'])}"
    words = {
        "null": "*empty*",
        "string": "text",
        "boolean": "`true`, `false`",
        "integer": "whole number",
        "number": "number",
    }
    said = {"minimum": " from", "exclusiveMinimum": " above", "maximum": " to", "exclusiveMaximum": ", below"}
    bounds = (f"{word} {schema[name]:,}" for name, word in said.items() if name in schema)
    steps = f" in steps of {schema['multipleOf']}" if "multipleOf" in schema else ""
    return words[schema["type"]] + "".join(bounds) + steps


def commands() -> str:
    """A list for each subcommand of `ganpipe`."""
    parts = [
        f"# The command `ganpipe`\n\n{MAKES}\n",
        "`ganpipe COMMAND --help` says the same. `make help` lists what make does.\n",
    ]
    subcommands = next(each for each in parser()._actions if isinstance(each, argparse._SubParsersAction))
    for told in subcommands._choices_actions:
        command = subcommands.choices[told.dest]
        lines = [f"## {told.dest}\n", f"{_capital(told.help or '')}.\n"]
        options = [each for each in command._actions if not isinstance(each, argparse._HelpAction)]
        lines += ["| | |", "|---|---|"] if options else []
        lines += [f"| `{_called(each)}` | {_helps(each)} |" for each in options]
        parts.append("\n".join(lines) + ("\n" if options else ""))
    return "\n".join(parts)


def _called(action: argparse.Action) -> str:
    value = str(action.metavar or action.dest).upper()
    if not action.option_strings:
        return {"?": f"[{value}]", "*": f"[{value} ...]", "+": f"{value} ..."}.get(str(action.nargs), value)
    chosen = " or ".join(map(str, action.choices)) if action.choices else value
    return action.option_strings[-1] if action.nargs == 0 else f"{action.option_strings[-1]} {chosen}"


def _helps(action: argparse.Action) -> str:
    return _plain(str(action.help or "").replace("%(default)s", str(action.default)))


def _plain(text: str) -> str:
    """So that Markdown reads it as it is, but for backticks."""
    return re.sub(r"[|<*]", r"\\\g<0>", text)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


if __name__ == "__main__":
    main()
