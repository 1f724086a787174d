"""Tokens per second of the learner, beside plain transformers forwards with the same losses.

Run it: python -m benchmarks.learner [--json out.json]. The data are made from a seed, with the lengths of the
quickstart: trajectories of up to 512 tokens, choice prompts of 400 to 900. `ours` and `plain` take turns in one
process, on the same samples; medians. `plain` pads a minibatch as it comes and makes all logits. CPU-seconds count all
threads, so that a busy machine distorts less than in wall time. `apart` is by how much the gradients differ, relative
to the plain one.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from agents.policy import load_policy
from contextrl.batching import Sample, pad, token_weights
from contextrl.choice import ChoicePrompt
from contextrl.config import ContextConfig, GRPOConfig, LearnerConfig
from contextrl.objectives.context_awareness import ContextAwareness
from contextrl.objectives.grpo import GRPO, recompute
from contextrl.scoring import Scorer, k3

TINY = Path(__file__).parents[1] / "agents" / "tiny" / "policy"
GRPO_CONFIG = GRPOConfig(clip_high=0.28, kl=0.001, normalisation="constant", constant_tokens=20)
CONTEXT = ContextConfig()
CPU = torch.device("cpu")
MAX_TOKENS = LearnerConfig().microbatch_tokens


def ids(rng: random.Random, count: int) -> list[int]:
    return [rng.randrange(5, 690) for _ in range(count)]


def trajectories(rng: random.Random, count: int) -> list[Sample]:
    """A prompt, then turns of 8 to 30 sampled tokens and an observation."""
    samples = []
    for i in range(count):
        length = rng.randint(250, 512)
        mask = [False] * 120
        while len(mask) < length:
            mask += [True] * rng.randint(8, 30) + [False] * rng.randint(20, 80)
        mask = mask[:length]
        samples.append(Sample(ids(rng, length), mask, [0.0] * length, 1.0 if i % 2 else -1.0))
    return samples


def prompts(rng: random.Random, count: int) -> list[ChoicePrompt]:
    return [ChoicePrompt(str(i), tuple(ids(rng, rng.randint(400, 900))), 3, 4, bool(i % 2)) for i in range(count)]


def plain_scores(model: Any, autocast: bool, samples: list[Sample]) -> Tensor:
    """Log-probabilities [N] of the sampled tokens."""
    batch, mask = (pad([getattr(s, name) for s in samples], 0, torch.int64, CPU) for name in ("ids", "mask"))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        logits = model(input_ids=batch, attention_mask=torch.ones_like(batch), use_cache=False).logits
    scores: Tensor = logits[:, :-1].float().log_softmax(-1).gather(-1, batch[:, 1:, None])[..., 0]
    return scores[mask[:, 1:].bool()]


def plain_grpo(model: Any, autocast: bool, samples: list[Sample]) -> None:
    logp = plain_scores(model, autocast, samples)
    rows = zip(samples, token_weights(samples, "constant", GRPO_CONFIG.constant_tokens), strict=True)
    values = [(s.logprobs[i], (s.reference or s.logprobs)[i], s.advantage, w) for s, w in rows for i in _sampled(s)]
    old, reference, advantage, weight = torch.tensor(values).T
    ratio = (logp - old).exp()
    clipped = ratio.clamp(1 - GRPO_CONFIG.clip_low, 1 + GRPO_CONFIG.clip_high)
    loss = -torch.minimum(ratio * advantage, clipped * advantage) + GRPO_CONFIG.kl * k3(reference - logp)
    (weight * loss).sum().backward()  # type: ignore[no-untyped-call]


def plain_ca(model: Any, autocast: bool, rows: list[ChoicePrompt]) -> None:
    batch = pad([p.ids for p in rows], 0, torch.int64, CPU)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        logits = model(input_ids=batch, attention_mask=torch.ones_like(batch), use_cache=False).logits.float()
    last = logits[torch.arange(len(rows)), torch.tensor([len(p.ids) - 1 for p in rows])]
    margin = last[:, rows[0].anchor_letter] - last[:, rows[0].confounder_letter]
    loss = -nn.functional.logsigmoid(margin.clamp(-CONTEXT.clip, CONTEXT.clip)).mean()
    loss.backward()  # type: ignore[no-untyped-call]


def accumulate(objective: GRPO | ContextAwareness, policy: Scorer, items: Any) -> None:
    for batch in objective.batches(items, MAX_TOKENS, CPU):
        objective.loss(policy, batch).loss.backward()  # type: ignore[no-untyped-call]


def _sampled(sample: Sample) -> list[int]:
    return [i for i, chosen in enumerate(sample.mask) if chosen]


def gradient_of(model: nn.Module, run: Callable[[], object]) -> tuple[float, float, Tensor]:
    """CPU-seconds, wall seconds, and the gradient [P] that is left."""
    model.zero_grad()
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    seconds = time.process_time() - cpu, time.perf_counter() - wall
    grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return *seconds, torch.cat([torch.zeros(1), *grads])


def measure(precision: str, repeats: int) -> list[dict[str, Any]]:
    rng, autocast = random.Random(0), precision == "bfloat16"
    model = load_policy(TINY).model
    policy = Scorer(model, autocast=autocast)
    samples, pairs = trajectories(rng, 5), prompts(rng, 16)
    ca, grpo = ContextAwareness(CONTEXT), GRPO(GRPO_CONFIG)
    orders = ca.prepare(pairs, policy, None, MAX_TOKENS).items
    scores = recompute(policy, samples, MAX_TOKENS)
    samples = [replace(s, logprobs=x, reference=[0.98 * v for v in x]) for s, x in zip(samples, scores, strict=True)]
    tokens = sum(len(s.ids) for s in samples)

    def plain_prepare() -> None:
        with torch.no_grad():
            plain_scores(model, autocast, samples)

    parts: list[tuple[str, int, Callable[[], object], Callable[[], object]]] = [
        ("prepare", tokens, lambda: recompute(policy, samples, MAX_TOKENS), plain_prepare),
        (
            "grpo",
            tokens,
            lambda: accumulate(grpo, policy, samples),
            lambda: plain_grpo(model, autocast, samples),
        ),
        (
            "ca",
            sum(len(p.ids) for p in pairs),
            lambda: accumulate(ca, policy, orders),
            lambda: plain_ca(model, autocast, pairs),
        ),
    ]
    rows = []
    for name, count, ours, plain in parts:
        runs = [(gradient_of(model, ours), gradient_of(model, plain)) for _ in range(repeats + 1)]
        (_, _, a), (_, _, b) = runs[0]
        cpu = [median(r[side][0] for r in runs[1:]) for side in (0, 1)]
        wall = [median(r[side][1] for r in runs[1:]) for side in (0, 1)]
        rows.append(
            {
                "part": name,
                "precision": precision,
                "tokens_per_second": round(count / wall[0]),
                "tokens_per_cpu_second": round(count / cpu[0]),
                "plain_tokens_per_cpu_second": round(count / cpu[1]),
                "ratio": round(cpu[1] / cpu[0], 2),
                "apart": float((a - b).norm() / b.norm().clamp_min(1e-9)),
            }
        )
        print(
            "{part:8} {precision:9} {tokens_per_second:7} tok/s {tokens_per_cpu_second:7} tok/CPU-s, plain "
            "{plain_tokens_per_cpu_second:7} ({ratio} x)  apart {apart:.1e}".format(**rows[-1]),
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--repeats", type=int, default=3, help="the median of so many is shown")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = [row for precision in given.precision for row in measure(precision, given.repeats)]
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
