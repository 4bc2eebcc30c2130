"""Reads one section of params.yaml into its frozen, typed model; unknown keys are errors."""

import difflib
import reprlib
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from ganpipe.errors import UserError

PARAMS_FILE = Path("params.yaml")
SHORT = reprlib.Repr()  # of a value in a sentence: some lines of YAML may stand for gigabytes
SHORT.maxstring = SHORT.maxother = 200
SHORT.maxlevel = 2


class Section(BaseModel):
    """One stage's settings. Fields carry range, unit and meaning; nothing is filled in silently."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def variant(cls, settings: dict[str, Any]) -> type[Self]:
        """The model of these settings, where one of them says of which kind the others are."""
        return cls


S = TypeVar("S", bound=Section)


def load_params(model: type[S], section: str, path: Path = PARAMS_FILE) -> S:
    """The section of the file as `model`; a UserError names every setting that is unknown, missing or out of range."""
    sections = read_params(path)
    if section not in sections:
        raise UserError(f"{path} has no section `{section}`; it has {', '.join(sections) or 'none'}")
    settings = sections[section]
    model = model.variant(settings) if isinstance(settings, dict) else model
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        faults = "; ".join(_sentence(model, section, fault) for fault in error.errors())
        raise UserError(f"{path}: {faults}") from None


def read_params(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """The whole file as plain values, unchecked; a UserError where it cannot be read or is no YAML mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no {path} in {Path.cwd()}: run this from the project's folder") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): mend that, or put another in its place") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # also of bytes that are no text, dates that are none
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold sections with settings, not {type(content).__name__}")
    return content


def _sentence(model: type[Section], section: str, fault: Any) -> str:
    name = ".".join([section, *map(str, fault["loc"])])
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(fault["loc"][-1]), model.model_fields, n=1)
        return f"{name} is no setting" + (f", did you mean {section}.{near[0]}?" if near else "")
    if fault["type"] == "missing":
        return f"{name} is missing"
    message = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:  # of several settings together, whose values the message names where they matter
        return f"{name}: {message}"
    return f"{name}: {message[0].lower()}{message[1:]}, not {SHORT.repr(fault['input'])}"
