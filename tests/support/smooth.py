"""Networks whose gradients do not jump, so that two programs that differ by rounding only can be compared."""

from collections.abc import Callable

from torch.nn import functional


def smooth(replace: Callable[[object, str, object], None]) -> None:
    """ReLUs without a kink, where rounding would make a gradient jump."""
    softplus = functional.softplus
    replace(functional, "relu", lambda x, inplace=False: softplus(x))
    replace(functional, "leaky_relu", lambda x, slope, inplace=False: slope * x + (1 - slope) * softplus(x))
