"""The models that a server holds: each made ready once, in the background, and then asked."""

import sys
import threading
from typing import Any

import numpy as np
from torch import Tensor

from ganpipe.corpus.shards import Images
from ganpipe.demo.exported import Part, session
from ganpipe.demo.gate import Refused
from ganpipe.demo.known import Known
from ganpipe.demo.latent import directions
from ganpipe.demo.models import Model
from ganpipe.demo.pictures import from_network
from ganpipe.errors import UserError

BATCH = 16  # images at a time


class Served:
    """One model, its networks as soon as they are ready, and its training images where they are here."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.corpus: Images | None = None
        self.no_corpus = ""  # why there are none
        self.known: Known | None = None
        self.failure: str | None = None
        self.along: Tensor | None = None
        self._ready: dict[Part, Any] = {}

    @property
    def ready(self) -> bool:
        """Whether it answers."""
        return bool(self._ready)

    def prepare(self) -> None:
        """Export what never was, and run each network once: the first time takes longer."""
        try:
            self.corpus, self.no_corpus = self.model.corpus(), self.model.no_corpus()
            if self.model.latent:
                self.along = directions(self.model)
            generator = session(self.model, "generator")
            shape = (1, self.model.latent) if self.model.latent else (1, 3, self.model.size, self.model.size)
            generator.run(None, {generator.get_inputs()[0].name: np.zeros(shape, np.float32)})
            ready: dict[Part, Any] = {"generator": generator}
            if self.model.inspects:
                ready["discriminator"] = session(self.model, "discriminator")
                if self.corpus is not None:
                    self.known = Known(self.model, self.corpus)
            self._ready = ready
        except Exception as error:
            self.failure = self._told(error) if isinstance(error, UserError) else f"it failed: {type(error).__name__}"
            print(f"{self.model.folder} is not shown: {error}", file=sys.stderr, flush=True)

    def _told(self, error: UserError) -> str:
        """Without where on this machine the model's folder is: whoever reaches the page reads it."""
        folder = self.model.folder
        return str(error).replace(str(folder), folder.name) if folder.is_absolute() else str(error)

    def images(self, given: np.ndarray) -> np.ndarray:
        """What the generator makes of z or of images, uint8 (n, H, W, 3)."""
        running = self.network("generator")
        name = running.get_inputs()[0].name
        parts = [running.run(None, {name: given[at : at + BATCH]})[0] for at in range(0, len(given), BATCH)]
        return from_network(np.concatenate(parts))

    def network(self, part: Part) -> Any:
        """Refused where it is not ready, or never will be."""
        if part not in self._ready:
            if self.failure is not None:
                raise Refused(500, f"{self.model.name} cannot be shown: {self.failure}")
            raise Refused(503, f"{self.model.name} is being made ready: ask again in some seconds")
        return self._ready[part]


class Shelf:
    """All models, by name."""

    def __init__(self, models: list[Model]) -> None:
        self.models = {model.name: Served(model) for model in models}

    def prepare(self) -> None:
        """Make them ready, one after another: those that draw first, for people wait for these."""
        for served in sorted(self.models.values(), key=lambda each: not each.model.draws):
            served.prepare()

    def start(self) -> None:
        """Do so in a thread."""
        threading.Thread(target=self.prepare, daemon=True).start()

    def find(self, name: str, what: str = "") -> Served:
        """That model, which must be of the kind `what`, if one is given; Refused where there is none."""
        served = self.models.get(name)
        if served is None:
            raise Refused(404, f"there is no model {name[:64]!r} here: /api/models lists them")
        if what and served.model.kind != what:
            raise Refused(422, f"{name} is a {served.model.kind}, and this takes a {what}")
        return served
