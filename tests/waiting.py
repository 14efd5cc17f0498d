"""What would let a GPU wait for the CPU, found on a machine without one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

GPU = torch.device("cuda", 0)
# Their outcome, or its shape, hangs on what tensors hold.
ASKING = tuple(
    f"aten.{name}."
    for name in (
        "nonzero",
        "_local_scalar_dense",
        "masked_select",
        "bincount",
        "_unique2",
        "equal",
    )
)
COPYING = ("aten._to_copy.", "aten.copy_.")


class Waits(TorchDispatchMode):
    """Collects the operations whose outcome the CPU must know to go on, and copies."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = str(func)
        by_mask = name.startswith(("aten.index.", "aten.index_put")) and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if by_mask or name.startswith(ASKING):
            self.found.append(name)
        out = func(*args, **(kwargs or {}))
        if name.startswith(COPYING):
            tensors = [t for t in (*args, out) if isinstance(t, torch.Tensor)]
            if len({tensor.device for tensor in tensors}) > 1:
                self.found.append(name)
        return out


@contextmanager
def imagined_gpu() -> Iterator[Waits]:
    """Tensors that are made on ``GPU`` in here have a shape and no content.

    Operations that hang on content raise, and so do those of tensors on two devices.
    There are no gradients: autograd asks for a driver.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with torch.no_grad(), mode, Waits() as waits:
        yield waits
