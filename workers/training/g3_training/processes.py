"""The processes of one training: alone, or those that torchrun started. Gloo on a CPU, NCCL on GPUs."""

import os
from collections.abc import Iterable

import torch
from torch import Tensor, distributed, nn


class Processes:
    """Rank, size and what must be summed or agreed upon. Alone, every method gives back what it was given."""

    def __init__(self, device: str = "auto") -> None:
        """Joins the group that torchrun's environment names. `device` auto: this rank's GPU if there is one."""
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0")) if self.size > 1 else 0
        if device == "auto":
            local = os.environ.get("LOCAL_RANK", "0")
            device = f"cuda:{local}" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self._joined = self.size > 1 and not distributed.is_initialized()
        if self._joined:
            distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def gathered(self, own: Tensor) -> Tensor:
        """[b, …] of every process, in the order of ranks → [size · b, …]; gradients flow to this rank's rows only.

        Where every process computes one and the same loss of what was gathered, the sum of their gradients is the
        gradient of one process on the whole batch: see `sum_gradients`.
        """
        if self.size == 1:
            return own
        parts = [torch.empty_like(own) for _ in range(self.size)]
        distributed.all_gather(parts, own.detach().contiguous())
        parts[self.rank] = own
        return torch.cat(parts)

    def sum_gradients(self, parameters: Iterable[nn.Parameter], shared: Iterable[nn.Parameter] = ()) -> None:
        """Sums the gradients over the processes; those of `shared`, which each computed whole, are averaged."""
        if self.size == 1:
            return
        whole = {id(parameter) for parameter in shared}
        for parameter in parameters:
            if not parameter.requires_grad:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)
            if id(parameter) in whole:
                parameter.grad /= self.size

    def agreed(self, number: float) -> float:
        """The first process's number, for all."""
        if self.size == 1:
            return number
        held = torch.tensor([number], dtype=torch.float64, device=self.device)
        distributed.broadcast(held, 0)
        return float(held)

    def same_start(self, module: nn.Module) -> None:
        """The first process's weights and buffers, for all."""
        if self.size > 1:
            for tensor in module.state_dict().values():
                distributed.broadcast(tensor, 0)

    def close(self) -> None:
        """Leaves the group."""
        if self._joined:
            distributed.destroy_process_group()
