import io
import json
import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from httpx import Client, Response
from PIL import Image

from ganpipe.demo import api, models
from ganpipe.demo.app import HEADERS, make
from ganpipe.demo.served import Served, Shelf
from ganpipe.models.draws import noise
from ganpipe.models.pixels import from_network, to_network
from ganpipe.models.store import load_generator, load_translator
from ganpipe.models.unet import translate
from support import tiny
from support.local import serving
from support.scenes import scene
from support.tiny import Project

CPU = torch.device("cpu")


@pytest.fixture
def client(here: Project, shelf: Shelf) -> Iterator[Client]:
    with serving(make(shelf, ("127.0.0.1",))) as client:
        yield client


def pixels(answer: Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def png(image: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(image).save(written, "PNG")
    return written.getvalue()


def error(answer: Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    sentence: str = answer.json()["error"]
    assert "\n" not in sentence
    return sentence


def test_a_drawing_is_translated_as_torch_does(client: Client, here: Project, drawn: np.ndarray) -> None:
    found = pixels(client.post("/api/translate?model=facades", content=png(drawn)))
    network = load_translator(here.root / "studies/facades/models/gan", CPU)
    given = to_network(torch.from_numpy(drawn[None]))
    [wanted] = from_network(translate(network, given, "image", dropout=False, seed=0))
    assert np.abs(found.astype(int) - wanted).max() <= 1
    assert found.std() > 5


def test_samples_are_those_of_their_seeds(client: Client, here: Project) -> None:
    found = pixels(client.get("/api/sample?model=some-images&seed=3&count=2"))
    network = load_generator(here.root / "models/gan", CPU)
    z = torch.cat([noise(1, network.latent, "uniform", seed) for seed in (3, 4)])
    with torch.no_grad():
        wanted = from_network(network(z))
    assert np.abs(found.astype(int) - np.concatenate(list(wanted), axis=1)).max() <= 1


def post(client: Client, to: str, **question: Any) -> Response:
    return client.post(to, json={"model": "some-images", **question})


def test_points_become_images_side_by_side(client: Client) -> None:
    sample = {"terms": [{"seeds": [3]}]}
    moved = {**sample, "sliders": [3.0]}
    cancelled = {"terms": [{"seeds": [3, 5]}, {"weight": -1, "seeds": [3, 5]}, {"seeds": [3]}]}
    found = pixels(post(client, "/api/images", points=[sample, moved, cancelled], columns=3))
    assert found.shape == (32, 96, 3)
    np.testing.assert_array_equal(found[:, :32], pixels(client.get("/api/sample?model=some-images&seed=3")))
    assert np.abs(found[:, :32].astype(int) - found[:, 32:64]).max() > 5
    assert np.abs(found[:, :32].astype(int) - found[:, 64:]).max() <= 1


@pytest.mark.parametrize("path", ["linear", "slerp"])
def test_a_walk_goes_from_one_sample_to_the_other(client: Client, path: str) -> None:
    start, end = {"terms": [{"seeds": [1]}]}, {"terms": [{"seeds": [2]}]}
    found = pixels(post(client, "/api/walk", start=start, end=end, stops=5, path=path))
    assert found.shape == (32, 160, 3)
    ends = pixels(client.get("/api/sample?model=some-images&seed=1&count=2")).astype(int)
    assert np.abs(np.concatenate([found[:, :32], found[:, 128:]], axis=1) - ends).max() <= 1


def test_an_example_is_of_the_validation_split(client: Client, shelf: Shelf) -> None:
    corpus = shelf.models["facades"].corpus
    assert corpus is not None
    held_out = corpus.pixels(corpus.rows("val"))
    for seed in range(3):
        given = pixels(client.get(f"/api/example?model=facades&seed={seed}"))
        wanted = pixels(client.get(f"/api/example?model=facades&seed={seed}&half=wanted"))
        both = np.concatenate([wanted, given], axis=2)
        assert any(np.array_equal(both, pair) for pair in held_out)


def inspected(client: Client, image: np.ndarray) -> Any:
    for _ in range(600):
        answer = client.post("/api/inspect?model=some-images", content=png(image))
        assert answer.status_code == 200, answer.text
        found = answer.json()
        if found["training"].get("ready", 1) == 1 and "found" in found["duplicate"]:
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def test_an_image_is_inspected(client: Client, here: Project) -> None:
    found = inspected(client, here.images[7])
    assert found["training"]["nearest"][0]["name"] == "#7"
    assert found["duplicate"]["found"]["name"] == "#7"
    assert [(layer["filters"], layer["side"]) for layer in found["layers"]] == [
        (2, 32), (2, 16), (4, 16), (4, 8), (8, 8), (8, 4),
    ]  # fmt: skip
    assert inspected(client, scene(99))["duplicate"]["found"] is None


def test_models_say_what_they_can_do(client: Client) -> None:
    told = {each["name"]: each for each in client.get("/api/models").json()["models"]}
    assert told["facades"]["draws"] and told["facades"]["examples"] and told["facades"]["ready"]
    assert told["some-images"]["inspects"] and told["some-images"]["sliders"] == 8


@pytest.mark.parametrize(
    ("path", "content", "status", "told"),
    [
        ("/api/translate?model=facades", b"no image", 422, r"cannot be used as an image \(not an image\)"),
        ("/api/inspect?model=some-images", b"", 422, "cannot be used as an image"),
        ("/api/translate?model=facades", bytes((8 << 20) + 1), 413, "larger than 8 MB"),
        ("/api/translate?model=nothing", b"", 404, "there is no model 'nothing'"),
        ("/api/translate?model=some-images", b"", 422, "is a generator"),
        ("/api/inspect?model=facades", b"", 422, "no discriminator of single images"),
        ("/api/translate", b"", 422, "model: Field required"),
        ("/api/images", b"{", 400, "not JSON"),
        ("/api/images", b"[" * 60_000, 400, "not JSON"),
        ("/api/images", bytes(70_000), 413, "larger than"),
        ("/api/images", b"[]", 422, "the request: "),
        ("/api/nothing", b"", 404, "Not Found"),
        ("/", b"", 405, "Method Not Allowed"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_sentence(
    client: Client, path: str, content: bytes, status: int, told: str
) -> None:
    assert re.search(told, error(client.post(path, content=content), status))


def test_a_body_without_a_length_is_cut_off_too(client: Client) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += 1 << 20
            yield bytes(1 << 20)

    error(client.post("/api/translate?model=facades", content=endless()), 413)


@pytest.mark.parametrize(
    "point",
    [
        {"terms": []},
        {"terms": [{"seeds": []}]},
        {"terms": [{"seeds": [-1]}]},
        {"terms": [{"seeds": [2**31]}]},
        {"terms": [{"seeds": [0] * 65}]},
        {"terms": [{"seeds": [0], "weight": 1e9}]},
        {"terms": [{"seeds": [0]}], "sliders": [99]},
        {"terms": [{"seeds": [0]}], "sliders": [0] * 9},
        {"terms": [{"seeds": [0]}], "more": 1},
    ],
)
def test_points_out_of_bounds_are_refused(client: Client, point: Any) -> None:
    error(post(client, "/api/images", points=[point]), 422)


def test_nobody_gets_more_images_at_once_than_there_is_room_for(client: Client) -> None:
    error(client.get("/api/sample?model=some-images&count=65"), 422)
    error(post(client, "/api/images", points=[{"terms": [{"seeds": [0]}]}] * 65), 422)


@pytest.mark.parametrize(("length", "status"), [(9, 408), (9_000_000_000, 413)])
def test_a_body_that_does_not_come_is_given_up_and_a_huge_one_not_waited_for(
    client: Client, monkeypatch: pytest.MonkeyPatch, length: int, status: int
) -> None:
    monkeypatch.setattr(api, "SECONDS", 0.2)
    host, port = client.base_url.host, client.base_url.port
    with socket.create_connection((host, port or 80), timeout=60) as line:
        line.sendall(f"POST /api/images HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n".encode())
        assert line.recv(100).startswith(f"HTTP/1.1 {status} ".encode())


def test_every_answer_has_the_headers_and_no_cookie(client: Client) -> None:
    for path in ("/", "/main.js", "/api/models", "/nothing", "/api/sample?model=some-images"):
        answer = client.get(path)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "set-cookie" not in answer.headers


def test_a_failure_of_ours_is_one_sentence_with_the_headers_too(here: Project, shelf: Shelf, monkeypatch: Any) -> None:
    def failing(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Served, "images", failing)
    with serving(make(shelf, None)) as client:
        answer = client.get("/api/sample?model=some-images")
    assert "the server failed" in error(answer, 500)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_other_sites_and_other_names_are_refused(client: Client) -> None:
    assert "another site" in error(client.get("/api/models", headers={"origin": "http://evil.example"}), 403)
    assert "another site" in error(client.get("/api/models", headers={"origin": "null"}), 403)
    assert "another site" in error(client.get("/api/models", headers={"origin": "http://["}), 403)
    assert client.get("/", headers={"origin": "http://["}).headers["x-content-type-options"] == "nosniff"
    assert "name" in error(client.get("/", headers={"host": "evil.example"}), 403)
    for site in ("cross-site", "same-site"):  # as of a picture on another page, which comes without an Origin
        assert "another site" in error(client.get("/api/models", headers={"sec-fetch-site": site}), 403)
        assert client.get("/", headers={"sec-fetch-site": site}).status_code == 200  # a link
    assert client.get("/api/models", headers={"sec-fetch-site": "same-origin"}).status_code == 200
    assert client.get("/api/models", headers={"origin": str(client.base_url).rstrip("/")}).status_code == 200


def test_only_the_pages_own_files_are_there(client: Client) -> None:
    assert client.get("/draw.js").headers["content-type"].startswith("text/javascript")
    for path in ("/../server.py", "/%2e%2e%2fserver.py", "/server.py", "/page/draw.js", "//etc/passwd"):
        assert client.get(path).status_code == 404


def test_an_origin_that_names_no_site_is_foreign_to_a_request_without_a_name(here: Project, shelf: Shelf) -> None:
    with ExitStack() as held:
        url = held.enter_context(serving(make(shelf, None))).base_url
        line = held.enter_context(socket.create_connection((url.host, url.port or 80), timeout=60))
        line.sendall(b"GET /health HTTP/1.0\r\nOrigin: null\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 403 ")


def test_other_images_than_it_was_trained_on_are_not_told_as_those(
    tmp_path: Path, here: Project, drawn: np.ndarray
) -> None:
    for folder in (here.root / "models/gan", here.root / "studies/facades/models/gan"):
        copied = tmp_path / folder.relative_to(here.root)
        shutil.copytree(folder, copied)
        shutil.copytree(folder.parents[1] / "data", copied.parents[1] / "data")
        config = json.loads((copied / "config.json").read_text())
        config["corpus"]["processed"] = "another"
        (copied / "config.json").write_text(json.dumps(config))
    shelf = Shelf(models.found(tmp_path)[0])
    shelf.prepare()
    others = "the images here are others than it was trained on"
    with serving(make(shelf, None)) as client:
        found = client.post("/api/inspect?model=some-images", content=png(drawn)).json()
        assert found["training"] == found["duplicate"] == {"why": others}
        assert others in error(client.get("/api/example?model=facades"), 404)
        assert not any(each["examples"] for each in client.get("/api/models").json()["models"])


def test_nobody_is_told_where_a_model_is_on_this_machine(tmp_path: Path, here: Project) -> None:
    broken = tiny.generator(tmp_path / "broken")
    (broken / "generator.safetensors").unlink()
    shelf = Shelf(models.named([str(here.root / "models/gan"), str(broken)]))
    shelf.prepare()
    with serving(make(shelf, None)) as client:
        told = client.get("/api/models").text + client.get("/api/sample?model=some-images-2").text
    assert "broken/generator.safetensors is missing" in told
    assert str(here.root) not in told and str(tmp_path) not in told


def test_a_model_that_is_not_ready_says_to_come_again(here: Project) -> None:
    with serving(make(Shelf(models.found(here.root)[0]), None)) as client:
        answer = client.get("/api/sample?model=some-images")
        assert "being made ready" in error(answer, 503)
        assert answer.headers["retry-after"] == "2"


def test_a_model_that_cannot_be_shown_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    weights = tiny.generator(Path("gan")) / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    shelf = Shelf(models.named(["gan"]))
    shelf.prepare()
    assert "is damaged" in capsys.readouterr().err
    with serving(make(shelf, None)) as client:
        assert "is damaged" in client.get("/api/models").json()["models"][0]["failure"]
        assert "cannot be shown" in error(client.get("/api/sample?model=some-images"), 500)
