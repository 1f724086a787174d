"""Processes that learn together: what `torchrun -m contextrl train` starts.

Invariant: all ranks make the same calls of the learner in the same order, for each is a collective; only rank 0 plays
episodes, writes and speaks. Weights, gradients and the optimiser's state are sharded over the ranks (FSDP2), and
gradients are sums: each token's share of the loss is fixed before it is known which rank computes it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

_PATIENCE = timedelta(days=7)
"""How long ranks wait for rank 0, which makes tasks and plays episodes meanwhile."""


class Ranks:
    """Which process this is, and how it speaks with the others."""

    def __init__(self, rank: int = 0, size: int = 1, device: str = "cpu") -> None:
        self.rank, self.size, self._device = rank, size, device

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def share(self, value: Any) -> Any:
        """What rank 0 gives."""
        box = [value]
        if self.size > 1:
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """What each rank gives, on all of them."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def shard(self, root: nn.Module) -> None:
        """Spread a module's parameters over the ranks: each transformer layer by itself, the rest with the root."""
        if self.size == 1:
            return
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, fully_shard

        mesh = init_device_mesh(self._device, (self.size,))
        blocks = {name for module in root.modules() for name in getattr(module, "_no_split_modules", None) or ()}
        for module in [m for m in root.modules() if type(m).__name__ in blocks]:
            fully_shard(module, mesh=mesh)
        fully_shard(root, mesh=mesh)
        for module in root.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)

    def end(self) -> None:
        """Leave the others, once all have come so far."""
        if self.size > 1:
            dist.barrier()
            dist.destroy_process_group()


def from_environment() -> Ranks:
    """As torchrun says; alone without it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Ranks()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
    return Ranks(dist.get_rank(), size, device)


def leads() -> bool:
    """Whether this process is the one that speaks; asked before anything is set up."""
    return os.environ.get("RANK", "0") == "0"


def whole(value: Tensor) -> Tensor:
    """A tensor that may be sharded, as it is on one rank."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def whole_weights(root: nn.Module) -> dict[str, Tensor]:
    """All weights, on the CPU of rank 0; empty elsewhere."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    found: Mapping[str, Any] = get_model_state_dict(root, options=options)
    return {name.partition(".")[2]: value for name, value in found.items()}


def optimizer_state(root: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """All of an optimiser's state, on the CPU of rank 0; empty elsewhere, and before its first step."""
    if not optimizer.state:  # asked for it, torch would take a step with gradients of 0, which counts
        return {}
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return dict(get_optimizer_state_dict(root, optimizer, options=options))


def load_optimizer_state(
    root: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any], ranks: Ranks
) -> None:
    """Go on from what `optimizer_state` gave on rank 0."""
    if not ranks.share(bool(state)):
        return
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_optimizer_state_dict(root, optimizer, state, options=options)


class Leader:
    """The learner as rank 0 uses it: the other ranks, which `follow`, do with theirs what it is told."""

    COLLECTIVE = ("step", "state_dict", "load_state_dict", "whole_weights", "begin_anew")

    def __init__(self, learner: Any, ranks: Ranks) -> None:
        self._learner, self._ranks = learner, ranks

    def __getattr__(self, name: str) -> Any:
        """What concerns all ranks is told to all."""
        found = getattr(self._learner, name)
        if name not in self.COLLECTIVE or self._ranks.size == 1:
            return found

        def together(*args: Any, **kwargs: Any) -> Any:
            told = args
            if name == "load_state_dict":  # the others get their shards of the optimiser's state by themselves
                told = ({**args[0], "optimizer": {}},)
            self._ranks.share((name, told, kwargs))
            return found(*args, **kwargs)

        return together

    def end(self) -> None:
        """The others may go."""
        if self._ranks.size > 1:
            self._ranks.share(("end", (), {}))


def follow(learner: Any, ranks: Ranks) -> None:
    """What the other ranks do until rank 0 ends."""
    while True:
        name, args, kwargs = ranks.share(None)
        if name == "end":
            return
        getattr(learner, name)(*args, **kwargs)
