"""Qwen3 in miniature, with copying heads written into its initial weights.

Invariant: the result is an ordinary `Qwen3ForCausalLM`; only the numbers it starts from are chosen. Trained from random
weights, a model of this size recalls instead of reading: copying does not form in minutes on a CPU. So layer 0 gets two
heads that attend to the last and the last but one position, and layer 1 one that looks for the place where the current
token stood before and copies what came after it (an induction head). Everything is trained afterwards.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention, Qwen3DecoderLayer

Normal = Callable[..., Tensor]

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FEED_FORWARD = 128, 4, 4, 2, 64, 256
ROPE_THETA = 1e5
MAX_POSITIONS = 2048


def build_model(vocabulary: int, end_token: int, pad_token: int, seed: int = 0) -> Qwen3ForCausalLM:
    """A fresh policy of about 0.9 million parameters. Shapes as in the constants above; embeddings tied."""
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=HEAD_DIM,
        intermediate_size=FEED_FORWARD,
        max_position_embeddings=MAX_POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        tie_word_embeddings=True,
        eos_token_id=end_token,
        pad_token_id=pad_token,
        bos_token_id=None,
    )
    config._attn_implementation = "eager"  # the backward pass of torch's fused attention is slow on a CPU
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(config)
    _structure(model, torch.Generator().manual_seed(seed))
    return model


@torch.no_grad()
def _structure(model: Qwen3ForCausalLM, generator: torch.Generator) -> None:
    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    # Embeddings share one direction `bias`: it serves as the bias vector that Qwen3's projections lack.
    bias = normal(HIDDEN)
    unit = bias / bias.norm()

    def without_bias(rows: Tensor) -> Tensor:
        projected: Tensor = rows - (rows @ unit)[:, None] * unit
        return projected

    embedding = model.model.embed_tokens.weight
    embedding.copy_(0.1 * (without_bias(normal(*embedding.shape)) + bias))
    for layer in model.model.layers:
        _scatter(layer, normal)
    basis = without_bias(torch.linalg.qr(normal(HIDDEN, HIDDEN))[0])
    source, target = basis[:HEAD_DIM], basis[HEAD_DIM : 2 * HEAD_DIM]
    copied = without_bias(torch.linalg.qr(normal(HIDDEN, HIDDEN))[0][:HEAD_DIM])
    _previous_token_heads(model.model.layers[0].self_attn, unit, source, target, normal)
    _induction_head(model.model.layers[1].self_attn, source, target, copied, normal)


def _scatter(layer: Qwen3DecoderLayer, normal: Normal) -> None:
    for name, weight in layer.named_parameters():
        if weight.dim() == 2:
            last = name.endswith(("o_proj.weight", "down_proj.weight"))
            weight.copy_(normal(*weight.shape) * weight.shape[1] ** -0.5 * (0.06 if last else 1.0))
    layer.self_attn.q_norm.weight.fill_(1.5)
    layer.self_attn.k_norm.weight.fill_(1.5)


def _frequencies() -> Tensor:
    """Rotation per position of each rotary pair, shape [HEAD_DIM / 2]."""
    return 1.0 / (ROPE_THETA ** (torch.arange(0, HEAD_DIM, 2).float() / HEAD_DIM))


def _phase(lag: int) -> Tensor:
    """A vector whose rotation by `lag` positions is `_phase(0)`; slow rotary pairs are zero. Shape [HEAD_DIM]."""
    theta = _frequencies()
    fast = (theta > 0.2).float()
    return torch.cat([torch.cos(lag * theta) * fast, torch.sin(lag * theta) * fast])


def _previous_token_heads(
    attention: Qwen3Attention, unit: Tensor, source: Tensor, target: Tensor, normal: Normal
) -> None:
    """Query heads 0 and 1 of key-value head 0 attend one and two positions back; head 0 notes what stood there."""
    attention.k_proj.weight[:HEAD_DIM] = 3 * torch.outer(_phase(0), unit) + 0.02 * normal(HEAD_DIM, HIDDEN)
    for head, lag in ((0, -1), (1, -2)):
        rows = slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)
        attention.q_proj.weight[rows] = 3 * torch.outer(_phase(lag), unit) + 0.02 * normal(HEAD_DIM, HIDDEN)
    attention.v_proj.weight[:HEAD_DIM] = source
    attention.o_proj.weight[:, :HEAD_DIM] = 0.3 * target.T


def _induction_head(attention: Qwen3Attention, source: Tensor, target: Tensor, copied: Tensor, normal: Normal) -> None:
    """Query head 0: find the position whose noted previous token is the current one, and copy what stands there."""
    slow = torch.cat([_frequencies() < 0.03] * 2).float()[:, None]  # positions must not matter for the match
    attention.q_proj.weight[:HEAD_DIM] = source * slow + 0.02 * normal(HEAD_DIM, HIDDEN)
    attention.k_proj.weight[:HEAD_DIM] = target * slow + 0.02 * normal(HEAD_DIM, HIDDEN)
    attention.v_proj.weight[:HEAD_DIM] = copied
    attention.o_proj.weight[:, :HEAD_DIM] = 0.6 * copied.T
