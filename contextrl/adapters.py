"""LoRA through peft: only small matrices beside a policy's weights are learned.

Invariant: the model stays the class that it was, so all that scores or samples with it goes on; what is saved of it are
whole weights, which plain transformers load. Without its adapters it is its own reference model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from contextrl.config import LoRAConfig
from contextrl.packing import Row
from contextrl.recipe_file import RecipeError
from contextrl.scoring import Scorer


def add_adapters(model: nn.Module, config: LoRAConfig, seed: int) -> None:
    """Put adapters into a model, which is frozen but for them. Raises `RecipeError` where a target is not there."""
    from peft import LoraConfig, inject_adapter_in_model

    targets = config.targets if isinstance(config.targets, str) else list(config.targets)
    options = LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=targets, lora_dropout=0.0)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(options, model)
        except ValueError as error:
            raise RecipeError(f"learner.lora.targets: {str(error).splitlines()[0]}") from None


def has_adapters(model: nn.Module) -> bool:
    """Whether there are any."""
    return any(True for _ in _layers(model))


def adapters_of(model: nn.Module) -> dict[str, Tensor]:
    """What is learned, by name: for `torch.save`."""
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def load_adapters(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Go on from what `adapters_of` gave. Raises `RecipeError` where the adapters are others."""
    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if own.keys() != state.keys() or any(own[name].shape != value.shape for name, value in state.items()):
        raise RecipeError("the checkpoint's adapters are not those of learner.lora; add --fresh to start the run over")
    with torch.no_grad():
        for name, value in state.items():
            own[name].copy_(value)


@torch.no_grad()
def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a model without adapters that says the same; those that nothing was added to are not copied."""
    layers = dict(_layers(model))
    weights: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if ".lora_" in name:
            continue
        owner, _, last = name.rpartition(".base_layer.")
        added = layers[owner].get_delta_weight("default").to(value.dtype) if owner and last == "weight" else None
        weights[f"{owner}.{last}" if owner else name] = value if added is None else value + added
    return weights


@contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
    """The model as it was before anything was learned."""
    layers = [layer for _, layer in _layers(model)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


class Bare(Scorer):
    """The policy without its adapters: its reference model, which takes no memory."""

    def _features(self, row: Row, places: Tensor) -> Tensor:
        with without_adapters(self.model):
            return super()._features(row, places)


def _layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    if find_spec("peft") is None:
        return
    from peft.tuners.lora import LoraLayer

    yield from ((name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer))
