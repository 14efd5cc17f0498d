"""What would let a GPU wait for the CPU, found on a machine without one."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = ("aten.nonzero", "aten._local_scalar_dense", "aten.masked_select")


class Waits(TorchDispatchMode):
    """Collects the operations whose outcome the CPU must know to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        by_mask = str(func) == "aten.index.Tensor" and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if by_mask or str(func).startswith(WAITING):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))
