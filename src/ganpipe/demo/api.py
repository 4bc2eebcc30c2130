"""What the page asks for, and any other program may: images as PNG, all else as JSON. See docs/demo.md."""

import asyncio
import json
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from ganpipe.analysis.walk import between
from ganpipe.corpus.images import BrokenImage
from ganpipe.demo import inspection, latent
from ganpipe.demo.decoder import Decoder, Square
from ganpipe.demo.gate import Gate, Refused
from ganpipe.demo.latent import Point, Seed, Term
from ganpipe.demo.pictures import png, tiles, to_network
from ganpipe.demo.served import Served, Shelf

B = TypeVar("B", bound=BaseModel)

MEGABYTES, JSON_BYTES = 8, 64 << 10  # of an upload; of a question
SECONDS = 15.0  # in which a request must have arrived
MOST = 64  # images of one answer

Name = Annotated[str, Field(min_length=1, max_length=64)]


class Sample(BaseModel):
    """`GET /api/sample`: the samples with the seeds from `seed` on."""

    model_config = ConfigDict(extra="forbid")
    model: Name
    seed: int = Field(default=0, ge=0, lt=2**31 - MOST)
    count: int = Field(default=1, ge=1, le=MOST)
    columns: int = Field(default=8, ge=1, le=MOST)


class Points(BaseModel):
    """`POST /api/images`: an image of each point."""

    model_config = ConfigDict(extra="forbid")
    model: Name
    points: list[Point] = Field(min_length=1, max_length=MOST)
    columns: int = Field(default=8, ge=1, le=MOST)


class Walk(BaseModel):
    """`POST /api/walk`: images on the way from one point to another, the ends among them."""

    model_config = ConfigDict(extra="forbid")
    model: Name
    start: Point
    end: Point
    stops: int = Field(default=16, ge=2, le=MOST)
    path: Literal["linear", "slerp"] = "linear"


class Example(BaseModel):
    """`GET /api/example`: what a translator is given, or should make of it, of a pair that it was not trained on."""

    model_config = ConfigDict(extra="forbid")
    model: Name
    seed: Seed = 0
    half: Literal["given", "wanted"] = "given"


class Upload(BaseModel):
    """The address of `POST /api/translate` and `/api/inspect`; an image file is the body."""

    model_config = ConfigDict(extra="forbid")
    model: Name


class Api:
    """The answers, each from its own request alone; the networks and the queue before them are shared."""

    def __init__(self, shelf: Shelf, gate: Gate, decoder: Decoder) -> None:
        self.shelf, self.gate, self.decoder = shelf, gate, decoder

    async def health(self, _: Request) -> Response:
        """`GET /health`."""
        return JSONResponse({"ok": True})

    async def models(self, _: Request) -> Response:
        """`GET /api/models`: what there is, and what each can do."""
        return JSONResponse({"models": [_told(each) for each in self.shelf.models.values()], "upload": MEGABYTES << 20})

    async def sample(self, request: Request) -> Response:
        """`GET /api/sample`."""
        asked = _parsed(Sample, dict(request.query_params))
        points = [Point(terms=[Term(seeds=[asked.seed + place])]) for place in range(asked.count)]
        return await self._of(self.shelf.find(asked.model, "generator"), points, asked.columns)

    async def images(self, request: Request) -> Response:
        """`POST /api/images`."""
        asked = _parsed(Points, await _json(request))
        return await self._of(self.shelf.find(asked.model, "generator"), asked.points, asked.columns)

    async def walk(self, request: Request) -> Response:
        """`POST /api/walk`."""
        asked = _parsed(Walk, await _json(request))
        served = self.shelf.find(asked.model, "generator")

        def work() -> bytes:
            ends = _z(served, [asked.start, asked.end])
            on_the_way = between(torch.from_numpy(ends[:1]), torch.from_numpy(ends[1:]), asked.stops, asked.path)
            return tiles(served.images(on_the_way[0].numpy()), asked.stops)

        return _picture(await self.gate.run(work))

    async def example(self, request: Request) -> Response:
        """`GET /api/example`."""
        asked = _parsed(Example, dict(request.query_params))
        served = self.shelf.find(asked.model, "translator")
        images = served.corpus
        if images is None:
            raise Refused(404, f"there is no example of {asked.model}: {served.no_corpus}")
        split = next((name for name in images.splits if name != "train"), None)
        rows = images.rows(split) if split else np.arange(len(images))
        row = rows[np.random.default_rng(asked.seed).integers(len(rows))]
        pixels = images.pixels(np.array([row]))[0]
        backwards = served.model.train.get("direction") == "BtoA"
        first = backwards == (asked.half == "wanted")
        return _picture(png(pixels[..., :3] if first else pixels[..., 3:]))

    async def translate(self, request: Request) -> Response:
        """`POST /api/translate`."""
        served = self.shelf.find(_parsed(Upload, dict(request.query_params)).model, "translator")
        served.network("generator")  # before the upload is read
        [pixels] = await self._decoded(request, [Square(served.model.size, "bilinear")])
        return _picture(await self.gate.run(lambda: png(served.images(to_network(pixels[None]))[0])))

    async def inspect(self, request: Request) -> Response:
        """`POST /api/inspect`."""
        served = self.shelf.find(_parsed(Upload, dict(request.query_params)).model)
        if not served.model.inspects:
            raise Refused(422, f"{served.model.name} has no discriminator of single images: choose another model")
        served.network("discriminator")
        squares = await self._decoded(request, inspection.wanted(served))
        return JSONResponse(await self.gate.run(partial(inspection.inspect, served, *squares)))

    async def _of(self, served: Served, points: list[Point], columns: int) -> Response:
        columns = min(columns, len(points))
        return _picture(await self.gate.run(lambda: tiles(served.images(_z(served, points)), columns)))

    async def _decoded(self, request: Request, wanted: list[Square]) -> list[np.ndarray]:
        data = await _body(request, MEGABYTES << 20)
        try:
            return await run_in_threadpool(self.decoder.squares, data, wanted)
        except BrokenImage as error:
            raise Refused(422, f"the file cannot be used as an image ({error}): choose another") from None


def _told(served: Served) -> dict[str, Any]:
    model = served.model
    return {
        "name": model.name,
        "kind": model.kind,
        "size": model.size,
        "draws": model.draws,
        "inspects": model.inspects,
        "sliders": 0 if served.along is None else len(served.along),
        "reach": latent.REACH,
        "examples": served.corpus is not None and model.kind == "translator",
        "ready": served.ready,
        "failure": served.failure,
    }


def _z(served: Served, points: list[Point]) -> np.ndarray:
    served.network("generator")
    assert served.along is not None  # noqa: S101 (a generator that is ready has them)
    return latent.array(points, served.model, served.along)


def _picture(data: bytes) -> Response:
    return Response(data, media_type="image/png")


def _parsed(form: type[B], given: Any) -> B:
    """Refused with what is wrong first."""
    try:
        return form.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the request"
        raise Refused(422, f"{where}: {first['msg']}") from None


async def _json(request: Request) -> Any:
    try:
        return json.loads(await _body(request, JSON_BYTES))
    except (ValueError, RecursionError):
        raise Refused(400, "the request's body is not JSON") from None


async def _body(request: Request, most: int) -> bytes:
    """The body, of so many bytes at the most; Refused where it is larger, or does not come."""
    large = Refused(413, f"the file is larger than {most / 2**20:g} MB: choose a smaller one")
    if int(request.headers.get("content-length", "0")) > most:  # the HTTP parser takes digits only
        raise large
    data = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for part in request.stream():
                data += part
                if len(data) > most:
                    raise large
    except TimeoutError:
        raise Refused(408, f"the file did not arrive in {SECONDS:g} seconds") from None
    except ClientDisconnect:
        raise Refused(400, "the file did not arrive") from None
    return bytes(data)
