"""Steps recorded once as CUDA graphs and replayed: one launch from the host instead of several hundred."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3  # steps run as usual before recording, so that libraries have chosen their algorithms


class Captured:
    """`function` of a batch, after a few calls replayed from a recording. It must have no other input from the host.

    What it returns is overwritten by the next call.
    """

    def __init__(self, function: Callable[[Any], dict[str, Tensor]]) -> None:
        self.function, self.calls = function, 0
        self._graph = torch.cuda.CUDAGraph()
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, batch: Any) -> dict[str, Tensor]:
        """The function's result, and its effects on the networks."""
        self.calls += 1
        if self.calls <= WARM_UP:  # on a stream of its own, as recording demands
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                seen = self.function(batch)
            torch.cuda.current_stream().wait_stream(self._stream)
            return seen
        if self.calls == WARM_UP + 1:
            self._inputs = type(batch)(*(tensor.clone() for tensor in batch))
            with torch.cuda.graph(self._graph):
                self._seen = self.function(self._inputs)
        for mine, given in zip(self._inputs, batch, strict=True):
            mine.copy_(given, non_blocking=True)
        self._graph.replay()
        return self._seen
