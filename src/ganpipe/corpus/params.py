"""Settings of `download`, `evaluation_sets` and `preprocess`."""

import re
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from ganpipe.settings import Section


class DownloadParams(Section):
    """Where the corpus comes from."""

    name: str = Field(
        description="a catalogue entry, or images of your own: folder, archive, webdataset, parquet, lmdb, scrape"
    )
    path: str | None = Field(description="where images of your own are; null for a catalogue entry")
    faces: str | None = Field(description="what finds faces in images: haar, or a YuNet model's file; null for nothing")
    contact: str | None = Field(description="of scrape: a mail address or a page of yours, which every host is told")
    most: int = Field(ge=1, le=1_000_000, description="of scrape: images that a search lists at most")
    each: int = Field(ge=1, le=1000, description="of scrape: images of each person that a search for people lists")
    per_second: float = Field(gt=0, le=1000, description="of scrape: requests of one host")

    @field_validator("path", "faces")
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
    crop: Literal["center", "faces", "none", "pairs"] = Field(
        description="what of an image: the centre, a square around each face, or all of it, squeezed to a square; "
        "pairs: its left and its right half, each squeezed, as six channels"
    )
    margin: float = Field(ge=0, le=2, description="around a face, as a share of its box, on each side")
    smallest_face: int = Field(ge=1, description="side of the smallest faces that are taken, in pixels of the image")
    grey: bool = Field(description="one channel, the luminance, instead of three")
    classes: list[str] = Field(description="only images of these classes of the set; []: of all")
    held_out: Annotated[int, Field(ge=0)] | list[str] = Field(
        description="what the training does not see: so many images, drawn; or the set's splits of these names"
    )
    seed: int = Field(ge=0, description="of the order of the images, and of those held out")

    @model_validator(mode="after")
    def _in_colour(self) -> "PreprocessParams":
        if self.grey and self.crop == "pairs":
            raise ValueError("grey is true, but pairs are in colour: set it to false")
        return self
