"""What an optimiser step needs of a model, whatever is learned: AdamW, and activations that are computed again.

Invariant: nothing here knows a loss; dropout stays off.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from contextrl.config import LearnerConfig

logger = logging.getLogger(__name__)
BETAS = (0.9, 0.95)


def make_optimizer(model: nn.Module, config: LearnerConfig) -> torch.optim.AdamW:
    """Of all parameters that are learned."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if any(p.dtype in (torch.bfloat16, torch.float16) for p in parameters):
        logger.warning(
            "the policy's weights have 16 bits: updates smaller than 1/256 of a weight are lost; "
            "load it in float32 (precision: bfloat16 then only concerns the activations)"
        )
    return torch.optim.AdamW(parameters, lr=config.lr, betas=BETAS, weight_decay=config.weight_decay)


def checkpoint_layers(model: Any) -> None:
    """Recompute activations in the backward pass. Layers do so in training mode only, hence dropout set to 0."""
    # Renamed in the course of transformers 5.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
