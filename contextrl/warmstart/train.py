"""Supervised training of the tiny policy.

Invariant: the same corpus and seed give the same weights on the same machine; the loss is the weighted mean of the
cross-entropy over the tokens of a step.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from contextrl.warmstart.config import WarmStart
from contextrl.warmstart.corpus import Corpus, Example

WARMUP = 50
REPEATS = (0.2, 0.02)
"""Share of steps on repeated random tokens, at the start and from three tenths of the first phase on."""
QUOTES, CHOICES = 0.1, (0.2, 0.5)
"""Shares of the other steps: quotes in both phases, choices in the first and in the second."""


def supervise(
    model: PreTrainedModel, corpus: Corpus, config: WarmStart, progress: Callable[[int, int, str], None]
) -> dict[str, float]:
    """Train in place; the mean loss of the last steps of each kind of batch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    rng = random.Random(config.seed)
    steps = config.copy_steps + config.choice_steps
    losses: dict[str, list[float]] = {}
    for step in range(steps):
        kind, examples = _draw(corpus, config, step, rng)
        loss = weighted_loss(model, examples)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * _rate(step, config)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.setdefault(kind, []).append(float(loss.detach()))
        progress(step + 1, steps, "  ".join(f"{k} {_recent(v):.2f}" for k, v in sorted(losses.items())))
    return {kind: _recent(values) for kind, values in losses.items()}


def weighted_loss(model: PreTrainedModel, examples: Sequence[Example]) -> Tensor:
    """Cross-entropy, weighted by token, in bfloat16 activations."""
    width = max(len(e.ids) for e in examples)
    ids = torch.zeros(len(examples), width, dtype=torch.int64)
    weights = torch.zeros(len(examples), width)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        weights[row, : len(example.ids)] = torch.tensor(example.weights)
    select = weights[:, 1:] > 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        logits = model.get_output_embeddings()(hidden[select])  # type: ignore[no-untyped-call]
    losses = cross_entropy(logits.float(), ids[:, 1:][select], reduction="none")
    chosen = weights[:, 1:][select]
    return (losses * chosen).sum() / chosen.sum()


def _draw(corpus: Corpus, config: WarmStart, step: int, rng: random.Random) -> tuple[str, list[Example]]:
    second = step >= config.copy_steps
    done = min(1.0, step / (0.3 * config.copy_steps))
    repeats = REPEATS[0] + (REPEATS[1] - REPEATS[0]) * done
    if rng.random() < repeats:
        longest = 12 if step < 0.1 * config.copy_steps else 28
        return "repeats", corpus.repeats(2 * config.batch, longest=longest)
    kind = rng.random()
    if kind < QUOTES:
        return "quotes", corpus.quotes(config.batch)
    if kind < QUOTES + CHOICES[second]:
        return "choices", corpus.choices(config.batch if second else config.batch // 2)
    return "demonstrations", corpus.demonstrations(config.batch)


def _rate(step: int, config: WarmStart) -> float:
    if step < config.copy_steps:
        return min(1.0, (step + 1) / WARMUP)
    return 0.5


def _recent(values: Sequence[float]) -> float:
    last = values[-50:]
    return sum(last) / len(last)
