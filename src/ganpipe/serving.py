"""The generator as MLflow serves it: what `mlflow.pyfunc` loads, and `mlflow models serve`.

MLflow keeps this file beside the weights and runs it; nothing is pickled.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from ganpipe.models.pixels import from_network
from ganpipe.models.store import load_generator

BATCH = 256  # images at a time


class Sampler(PythonModel):
    """From z to images."""

    def load_context(self, context: Any) -> None:
        """Take the weights from the model's artefacts."""
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._generator = load_generator(Path(context.artifacts["model"]), self._device)

    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:
        """z, float32 (n, latent), to uint8 (n, side, side, 3)."""
        z = torch.from_numpy(np.asarray(model_input, np.float32))
        with torch.inference_mode():
            starts = range(0, len(z), BATCH)
            parts = [from_network(self._generator(z[at : at + BATCH].to(self._device))) for at in starts]
        return np.concatenate(parts)


set_model(Sampler())
