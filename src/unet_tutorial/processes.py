"""One training by several processes, as torchrun starts them.

Each takes its part of every batch and of the validation images, and what they count is
added up. Together they learn nearly what one would: each normalises its part by itself.
"""

import logging
import os
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from unet_tutorial.errors import UserError
from unet_tutorial.hardware import choose_precision

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def processes_started() -> int:
    """By torchrun; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def best_device() -> torch.device:
    """A GPU if there is one, else the processor."""
    # Not above: it takes seconds, and who wants but a loss would wait for it.
    from lightning_fabric import Fabric

    return Fabric(accelerator="auto", devices=1).device


def make_fabric(precision: str) -> "Fabric":
    """One process on the best device there is, or as many as torchrun has started.

    Args:
        precision: ``"32-true"``, ``"bf16-mixed"``, or ``"auto"`` for the faster one.

    Raises:
        UserError: if there are fewer GPUs than processes, the precision is not known,
            or the cache folder, where what is faster is kept, cannot be written.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    # It tells what it does, which is nothing for the pages of a book.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    processes = processes_started()
    device = best_device()
    if processes > 1 and device.type == "mps":
        device = torch.device("cpu")  # several processes cannot share an Apple GPU
    where: dict[str, Any] = {
        "accelerator": device.type,
        "precision": choose_precision(precision, device),
    }
    if processes == 1:
        return Fabric(devices=1, **where)
    on_this_machine = int(os.environ["LOCAL_WORLD_SIZE"])
    if device.type == "cuda" and on_this_machine > torch.cuda.device_count():
        raise UserError(
            f"{on_this_machine} processes for {torch.cuda.device_count()} GPU(s); "
            "start as many as there are, or set CUDA_VISIBLE_DEVICES= to train on the "
            "processor"
        )
    # Newer torch has another name for it, which the oldest that we admit does not know.
    warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated")
    # Fabric up to 2.6.6 prepares the network on a stream of its own, and torch says at
    # each run that this may cost time (Lightning issue 21567).
    warnings.filterwarnings("ignore", "The AccumulateGrad node's stream does not match")
    fabric = Fabric(
        # The means of the batch normalisation are shared once an epoch, not at each
        # step: processes that answer for different numbers of batches would wait.
        strategy=DDPStrategy(broadcast_buffers=False),
        devices=on_this_machine,
        num_nodes=processes // on_this_machine,
        **where,
    )
    fabric.launch()
    return fabric


def is_shared() -> bool:
    """Whether several processes are at work on one training."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def add_up(value: Tensor) -> Tensor:
    """The sum of all processes' values, through which the gradient finds its way."""
    return _Sum.apply(value) if is_shared() else value


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        torch.distributed.all_reduce(total)
        return total

    # A sum as well, since the gradients of the weights are averaged afterwards.
    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        torch.distributed.all_reduce(total)
        return total


def share_positions(positions: Tensor, batch_size: int, fabric: "Fabric") -> Tensor:
    """What this process sees of each batch; a rest too small for all is left out."""
    share = [
        batch[fabric.global_rank :: fabric.world_size]
        for batch in positions.split(batch_size)
        if len(batch) >= fabric.world_size
    ]
    return torch.cat(share)


def share_batches(count: int, batch_size: int, fabric: "Fabric") -> Tensor:
    """Whole batches in turns, so that each is judged once, by one process."""
    whole = torch.arange(count).split(batch_size)
    return torch.cat([whole[0][:0], *whole[fabric.global_rank :: fabric.world_size]])


def share_buffers(model: nn.Module) -> None:
    """Let all processes have the first one's means of the batch normalisation."""
    if is_shared():
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)
