"""Losses and gradients are those of TRL 1.16's GRPOTrainer, on an off-policy batch with masked tool output.

On-policy, a GRPO loss is nearly zero whatever is wrong with it: so the old log-probabilities are others.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from learning_toys import byte_tokenizer, gradient, tiny_qwen3
from trl import GRPOConfig as TRLConfig
from trl import GRPOTrainer

from contextrl.batching import Sample
from contextrl.config import GRPOConfig
from contextrl.objectives.advantages import advantages
from contextrl.objectives.grpo import GRPO, recompute
from contextrl.scoring import Scorer

COMPLETION = 12
"""Longest completion of the batch, tokens."""
LOW, HIGH = 0.2, 0.28
KINDS = {
    "grpo": {"aggregation": "seq-mean-token-mean"},
    "bnpo": {"aggregation": "token-mean"},
    "dr_grpo": {"aggregation": "seq-mean-token-sum-norm", "norm_tokens": COMPLETION},
    "dapo": {"aggregation": "token-mean"},
    "cispo": {"aggregation": "token-mean", "surrogate": "cispo"},
}


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token = "<|end|>"
    args = TRLConfig(
        output_dir=str(tmp_path_factory.mktemp("trl")),
        use_cpu=True,
        report_to=[],
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=COMPLETION,
        bf16=False,
    )
    return GRPOTrainer(
        model=tiny_qwen3(512),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=args,
        train_dataset=Dataset.from_dict({"prompt": ["x"] * 8}),
        processing_class=tokenizer,
    )


def samples() -> list[Sample]:
    """Prompts of different lengths, two turns with tool output between; two samples of each prompt."""
    generator = torch.Generator().manual_seed(3)

    def draw(n: int) -> list[int]:
        return torch.randint(4, 500, (n,), generator=generator).tolist()

    made = []
    prompts = [draw(n) for n in (2, 5, 3, 4)]
    for i in range(8):
        first, tool, second = 2 + i % 3, 1 + i % 4, 1 + (i * 2) % 5
        ids = [*prompts[i // 2], *draw(first), *draw(tool), *draw(second)]
        mask = [False] * len(prompts[i // 2]) + [True] * first + [False] * tool + [True] * second
        noise = (0.5 * torch.randn(len(ids), generator=generator)).tolist()
        made.append(Sample(ids, mask, noise, [1.5, -0.5, 0.25, -2.0][i % 4], reference=noise[::-1]))
    return made


def shifted(scorer: Scorer, batch: list[Sample]) -> list[Sample]:
    """Old and reference log-probabilities that are near the policy's own: what `noise` holds is the distance."""
    now = recompute(scorer, batch, 10_000)
    return [
        replace(
            s,
            logprobs=[n + d if m else 0.0 for n, d, m in zip(row, s.logprobs, s.mask, strict=True)],
            reference=[n + d if m else 0.0 for n, d, m in zip(row, s.reference or [], s.mask, strict=True)],
        )
        for s, row in zip(batch, now, strict=True)
    ]


def as_trl(batch: list[Sample]) -> dict[str, torch.Tensor]:
    """Prompts padded on the left, completions on the right; tool output is masked."""
    cuts = [s.mask.index(True) for s in batch]
    widest, longest = max(cuts), max(len(s.ids) - c for s, c in zip(batch, cuts, strict=True))
    rows: dict[str, list[list[float]]] = {}
    for s, at in zip(batch, cuts, strict=True):
        left, right = widest - at, longest - (len(s.ids) - at)
        for name, values in {
            "prompt_ids": [*[0] * left, *s.ids[:at]],
            "prompt_mask": [*[0] * left, *[1] * at],
            "completion_ids": [*s.ids[at:], *[0] * right],
            "completion_mask": [*[1] * (len(s.ids) - at), *[0] * right],
            "tool_mask": [*map(int, s.mask[at:]), *[1] * right],
            "old_per_token_logps": [*s.logprobs[at:], *[0.0] * right],
            "ref_per_token_logps": [*(s.reference or [])[at:], *[0.0] * right],
        }.items():
            rows.setdefault(name, []).append(values)
    found = {name: torch.tensor(values) for name, values in rows.items()}
    found["advantages"] = torch.tensor([s.advantage for s in batch])
    found["num_items_in_batch"] = torch.tensor(float(sum(s.tokens for s in batch)))
    return found


@pytest.mark.parametrize("beta", [0.0, 0.05])
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("micro_batch", [20, 10_000])
def test_losses_and_gradients_are_theirs(trainer, kind, level, beta, micro_batch):
    model = trainer.model.eval()
    policy = Scorer(model)
    batch = shifted(policy, samples())
    trainer.loss_type, trainer.importance_sampling_level, trainer.beta = kind, level, beta
    # Theirs takes the number as it is for CISPO, and adds 1 elsewhere.
    trainer.epsilon_low, trainer.epsilon_high = LOW, HIGH + (kind == "cispo")
    trainer.current_gradient_accumulation_steps = trainer.args.steps_per_generation = 1
    trainer.model.train()  # dropout is 0
    model.zero_grad()
    theirs = trainer._compute_loss(model, as_trl(batch))
    theirs.backward()
    expected = gradient(model)
    model.zero_grad()
    config = {"clip_low": LOW, "clip_high": HIGH, "kl": beta, "kl_ratio": trainer.args.use_bias_correction_kl}
    objective = GRPO(GRPOConfig(ratio=level, **config, **KINDS[kind]))
    if not beta:
        batch = [replace(s, reference=None) for s in batch]
    total = 0.0
    for part in objective.batches(batch, micro_batch, torch.device("cpu")):
        loss = objective.loss(policy, part).loss
        loss.backward()
        total += float(loss.detach())
    assert abs(float(theirs.detach())) > 1e-3
    assert total == pytest.approx(float(theirs.detach()), rel=1e-6, abs=1e-6)
    assert float((gradient(model) - expected).norm() / expected.norm()) < 1e-5


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages_are_theirs(scale):
    """TRL 1.16: (r - mean) / (std + 1e-4), std with n - 1 over the group or over all."""
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.5, 0.0, 0.25, 1.0]])
    std = {"group": rewards.std(1, keepdim=True), "batch": rewards.std(), "none": torch.tensor(1.0 - 1e-4)}[scale]
    expected = (rewards - rewards.mean(1, keepdim=True)) / (std + 1e-4)
    assert advantages(rewards.tolist(), scale) == [pytest.approx(row) for row in expected.tolist()]
