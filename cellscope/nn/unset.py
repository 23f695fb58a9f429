"""Networks built without drawing the random numbers that the weights of a model file replace."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.nn import init
from torch.overrides import TorchFunctionMode

_RANDOM = frozenset(
    {
        init.uniform_, init.normal_, init.trunc_normal_, init.kaiming_uniform_, init.kaiming_normal_,
        init.xavier_uniform_, init.xavier_normal_, init.orthogonal_, torch.Tensor.uniform_, torch.Tensor.normal_,
    }
)  # fmt: skip


class weights_to_come(TorchFunctionMode):
    """While in this context, functions that fill a tensor with random numbers leave it as it is.

    For networks whose every weight is then loaded: drawing them takes longer than reading them.

    Examples
    --------
    >>> with weights_to_come():
    ...     layer = torch.nn.Linear(3, 2)
    >>> _ = layer.load_state_dict({"weight": torch.ones(2, 3), "bias": torch.zeros(2)})
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run a function of PyTorch's, unless it draws random numbers into a tensor."""
        if func in _RANDOM:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))
