"""Settings of `download`, `evaluation_sets` and `preprocess`."""

import re
from typing import Literal

from pydantic import ConfigDict, Field, field_validator

from ganpipe.settings import Section


class DownloadParams(Section):
    """Where the corpus comes from."""

    name: str = Field(
        description="a catalogue entry, or images of your own: folder, archive, webdataset, parquet, lmdb, scrape"
    )
    path: str | None = Field(description="where images of your own are; null for a catalogue entry")
    contact: str | None = Field(description="of scrape: a mail address or a page of yours, which every host is told")
    per_second: float = Field(gt=0, le=1000, description="of scrape: requests of one host")

    @field_validator("path")
    @classmethod
    def _empty(cls, path: str | None) -> str | None:
        return path or None  # as `-S download.path=` leaves it

    @field_validator("contact")
    @classmethod
    def _reachable(cls, contact: str | None) -> str | None:
        if contact and not re.fullmatch(r"[!-~]+@[!-~]+|https?://[!-~]+", contact):
            raise ValueError("a mail address or a page's address is due")
        return contact or None


class EvaluationSetsParams(Section):
    """What of `evaluate` says where labelled sets come from; its other settings change none of them."""

    model_config = ConfigDict(extra="ignore")

    datasets: list[str] = Field(min_length=1, description="labelled sets of the catalogue, or `folder`")
    path: str | None = Field(description="where the labelled set `folder` is read from")


class PreprocessParams(Section):
    """How images become pixels."""

    # Not `size`: DVC leaves keys of that name out of its run cache's, and would bring back images of another side.
    side: int = Field(ge=8, le=1024, description="of the square images, in pixels")
    resize: Literal["bilinear", "antialias"] = Field(
        description="shorter side to `side`: `bilinear` reads four pixels each, as the paper did; `antialias` averages"
    )
    seed: int = Field(ge=0, description="of the order of the images")
