"""The generator as MLflow serves it: what `mlflow.pyfunc` loads, and `mlflow models serve`.

MLflow keeps this file beside the weights and runs it; nothing is pickled.
"""

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel
from torch import Tensor

from ganpipe.models.networks import GENERATOR, served
from ganpipe.models.pixels import from_network, to_network
from ganpipe.models.store import load
from ganpipe.models.unet import UNet, translate

BATCH = 256  # samples at a time


class Served(PythonModel):
    """From z, or from images, to what the generator makes of it: `networks.served` says which, and of what shape."""

    def load_context(self, context: Any) -> None:
        """Take the weights from the model's artefacts."""
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._generator = load(Path(context.artifacts["model"]), GENERATOR, self._device)
        self._given, self._made = served(cast(Any, self._generator).config)

    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:
        """z, float32 (n, latent), to images uint8 (n, S, S, C) or to numbers float32 (n, 1); or images to images.

        A translator normalises by each image's own statistics and drops nothing: equal images give equal ones.
        """
        given = torch.from_numpy(np.asarray(model_input, self._given.dtype))
        with torch.inference_mode():
            parts = [self._of(given[at : at + BATCH].to(self._device)) for at in range(0, len(given), BATCH)]
        return np.concatenate(parts)

    def _of(self, given: Tensor) -> np.ndarray:
        if isinstance(self._generator, UNet):
            return from_network(translate(self._generator, to_network(given), "image", False, 0))
        made = self._generator(given)
        return from_network(made) if self._made.dtype == np.uint8 else made.cpu().numpy()


set_model(Served())
