"""Grouped attention is eager attention, forwards and backwards."""

import pytest
import torch

from agents.attention import BLOCK


@pytest.mark.parametrize("length", [40, BLOCK, BLOCK + 1, 2 * BLOCK + 5])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_equals_eager(make_model, kv_heads, length):
    results = []
    for implementation in ("eager", "grouped"):
        model = make_model(implementation, num_key_value_heads=kv_heads, dtype=torch.float64)
        logits = model(5 + torch.arange(length)[None].repeat(2, 1) % 40).logits
        logits.square().mean().backward()
        results.append([logits, *(parameter.grad for parameter in model.parameters())])
    for eager, grouped in zip(*results, strict=True):
        torch.testing.assert_close(grouped, eager, atol=1e-6, rtol=1e-5)
