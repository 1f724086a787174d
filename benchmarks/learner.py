"""The learner's step beside TRL's GRPOTrainer, and what the context-awareness term costs.

Run it: python -m benchmarks.learner [--models tiny 50m] [--times 5] [--json out.json]. Both learn from the same
episodes with the same model, loss (DAPO's aggregation, no KL) and optimiser (AdamW): groups of 8 episodes of a task,
four fifths of whose tokens are observations. They take turns in one process; medians of wall time. `tokens` counts what
the episodes hold, whoever computes them how often. Memory is the most that a process of its own had resident, once from
its start and once beyond what it had before its first step. `apart` is by how much the gradients differ, relative to
TRL's. One thread each unless OMP_NUM_THREADS says otherwise.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from agents import attention
from agents.policy import load_policy
from contextrl.batching import Sample
from contextrl.choice import ChoicePrompt
from contextrl.config import ContextConfig, GRPOConfig, LearnerConfig
from contextrl.learner import Learner, Term
from contextrl.objectives.context_awareness import ContextAwareness
from contextrl.objectives.grpo import GRPO, recompute
from contextrl.objectives.protocol import Prepared
from contextrl.scoring import Scorer

TINY = Path(__file__).parents[1] / "agents" / "tiny" / "policy"
OBSERVED = 0.8
"""Share of an episode's tokens behind its prompt that are observations."""
GROUP = 8
SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"groups": 2, "prompt": 120, "longest": 512},
    "50m": {"groups": 1, "prompt": 400, "longest": 1024},
}
PAPER = {"groups": 7, "pairs": 1, "pair": 900}
"""One pair to seven tasks: 1,000 pairs and 7,000 instances. A pair's prompt holds two contexts."""
CONFIG = GRPOConfig(kl=0.0, clip_high=0.28, aggregation="token-mean", flat_groups="leave_out")


def model_of(name: str) -> Any:
    """`tiny`: the policy that is shipped, with a vocabulary of 697. `50m`: random weights, Qwen3's vocabulary."""
    if name == "tiny":
        return load_policy(TINY).model.float()
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=151_936,
        hidden_size=256,
        num_hidden_layers=12,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=32,
        intermediate_size=1024,
        tie_word_embeddings=True,
    )
    attention.register()
    return Qwen3ForCausalLM._from_config(config, attn_implementation=attention.GROUPED)


def episodes(rng: random.Random, model: Any, shape: dict[str, int], scored: bool = True) -> list[Sample]:
    """Groups that share a prompt; turns of sampled tokens with four times as many observed ones behind them."""
    vocabulary = model.config.vocab_size
    samples = []
    for group in range(shape["groups"]):
        prompt = [rng.randrange(5, vocabulary) for _ in range(shape["prompt"])]
        for member in range(GROUP):
            length = rng.randint(shape["longest"] // 2, shape["longest"])
            mask = [False] * len(prompt)
            while len(mask) < length:
                sampled = rng.randint(8, 30)
                mask += [True] * sampled + [False] * round(sampled * OBSERVED / (1 - OBSERVED))
            mask = mask[:length]
            ids = prompt + [rng.randrange(5, vocabulary) for _ in range(length - len(prompt))]
            samples.append(Sample(ids, mask, [0.0] * length, 1.0 if member % 2 else -1.0, name=f"{group}.{member}"))
    if not scored:
        return samples
    scores = recompute(Scorer(model), samples, 8192)
    noise = [
        [x + 0.3 * rng.gauss(0, 1) * m for x, m in zip(row, s.mask, strict=True)]
        for row, s in zip(scores, samples, strict=True)
    ]
    return [Sample(s.ids, s.mask, row, s.advantage, name=s.name) for s, row in zip(samples, noise, strict=True)]


def prompts(rng: random.Random, model: Any) -> list[ChoicePrompt]:
    def ids() -> tuple[int, ...]:
        return tuple(rng.randrange(5, model.config.vocab_size) for _ in range(PAPER["pair"]))

    return [ChoicePrompt(str(i), ids(), 3, 4, bool(i % 2)) for i in range(PAPER["pairs"])]


class Given(GRPO):
    """GRPO over samples that are made already."""

    def prepare(self, data: Sequence[Any], policy: Scorer, reference: Scorer | None, max_tokens: int) -> Prepared:
        return Prepared(list(data))


def ours(model: Any, samples: list[Sample], pairs: list[ChoicePrompt], probe: int = 0) -> Callable[[], object]:
    terms = [Term(Given(CONFIG))] + ([Term(ContextAwareness(ContextConfig()), 1e-3)] if pairs else [])
    config = LearnerConfig(lr=1e-6, minibatch_trajectories=len(samples), warmup_steps=0, grad_clip=1e9)
    config = config.model_copy(update={"probe_every": probe})
    learner = Learner(model, None, config, terms)
    return lambda: learner.step(samples, pairs)  # type: ignore[arg-type]


def theirs(model: Any, samples: list[Sample], folder: str) -> Callable[[], object]:
    """One optimiser step of GRPOTrainer over micro-batches of one group, as it cuts them."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import GRPOConfig as TRLConfig
    from trl import GRPOTrainer

    groups = len(samples) // GROUP
    args = TRLConfig(
        output_dir=folder,
        use_cpu=True,
        report_to=[],
        per_device_train_batch_size=GROUP,
        gradient_accumulation_steps=groups,
        num_generations=GROUP,
        max_completion_length=max(len(s.ids) for s in samples),
        loss_type="dapo",
        beta=0.0,
        epsilon_high=CONFIG.clip_high,
        bf16=False,
        gradient_checkpointing=False,
    )
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=args,
        train_dataset=Dataset.from_dict({"prompt": ["x"] * len(samples)}),
        processing_class=tokenizer,
    )
    trainer.current_gradient_accumulation_steps = groups
    trainer.model.train()
    optimizer = torch.optim.AdamW(trainer.model.parameters(), lr=1e-6, betas=(0.9, 0.95), weight_decay=0.0)
    total = sum(s.tokens for s in samples)
    batches = [as_trl(samples[i : i + GROUP], total) for i in range(0, len(samples), GROUP)]
    inputs = [batch for batch in batches]
    trainer.args.steps_per_generation = groups

    def step() -> None:
        optimizer.zero_grad()
        for batch in inputs:
            trainer._compute_loss(trainer.model, batch).backward()
        nn.utils.clip_grad_norm_(trainer.model.parameters(), 1e9)
        optimizer.step()

    return step


def as_trl(batch: list[Sample], total: int) -> dict[str, Tensor]:
    """A group as GRPOTrainer makes it: completions padded on the right, observations masked."""
    cut = batch[0].mask.index(True)
    longest = max(len(s.ids) for s in batch)
    rows: dict[str, list[list[float]]] = {}
    for s in batch:
        right = longest - len(s.ids)
        for name, values in {
            "prompt_ids": s.ids[:cut],
            "prompt_mask": [1] * cut,
            "completion_ids": [*s.ids[cut:], *[0] * right],
            "completion_mask": [*[1] * (len(s.ids) - cut), *[0] * right],
            "tool_mask": [*map(int, s.mask[cut:]), *[1] * right],
            "old_per_token_logps": [*s.logprobs[cut:], *[0.0] * right],
        }.items():
            rows.setdefault(name, []).append(values)
    found = {name: torch.tensor(values) for name, values in rows.items()}
    return found | {
        "advantages": torch.tensor([s.advantage for s in batch]),
        "num_items_in_batch": torch.tensor(float(total)),
    }


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def gradient(model: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def compared(name: str, times: int) -> dict[str, Any]:
    """Rates, memory and the cost of the context-awareness term."""
    rng, shape = random.Random(0), SHAPES[name]
    model, other = model_of(name), model_of(name)
    other.load_state_dict(model.state_dict())
    other.set_attn_implementation("sdpa")  # TRL's users take what transformers gives them
    samples = episodes(rng, model, shape)
    with tempfile.TemporaryDirectory() as folder:
        sides = [ours(model, samples, []), theirs(other, samples, folder)]
        for side in sides:
            side()
        apart = float((gradient(model) - gradient(other)).norm() / gradient(other).norm())
        rounds = [[timed(side) for side in sides] for _ in range(times)]
    seconds = [median(one[i] for one in rounds) for i in range(2)]
    tokens = sum(len(s.ids) for s in samples)
    used = {side: measured_apart(name, side) for side in ("ours", "theirs")}
    return {
        "model": name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": tokens,
        "observed": 1 - sum(s.tokens for s in samples) / sum(len(s.ids) - shape["prompt"] for s in samples),
        "tokens_per_s": tokens / seconds[0],
        "trl_tokens_per_s": tokens / seconds[1],
        "times_as_fast": median(one[1] / one[0] for one in rounds),
        "apart": apart,
        "mib": used["ours"],
        "trl_mib": used["theirs"],
        "episodes": len(samples),
    }


def cost_of_pairs(times: int) -> dict[str, Any]:
    """What the context-awareness term adds to a step at the paper's ratio of pairs to tasks."""
    rng, model = random.Random(1), model_of("tiny")
    samples = episodes(rng, model, SHAPES["tiny"] | {"groups": PAPER["groups"]})
    pairs = prompts(rng, model)
    sides = [ours(model, samples, []), ours(model, samples, pairs), ours(model, samples, pairs, probe=1)]
    for side in sides:
        side()
    rounds = [[timed(side) for side in sides] for _ in range(times)]
    found = {"cost": median(one[1] / one[0] for one in rounds) - 1, "looked": median(o[2] / o[1] for o in rounds) - 1}
    return {**PAPER, "episodes": len(samples), "every": LearnerConfig().probe_every, **found}


def measured_apart(name: str, side: str) -> dict[str, float]:
    """Peak resident memory of a process that does nothing else, MiB: whole, and beyond what it began the step with."""
    command = [sys.executable, "-m", "benchmarks.learner", "--alone", side, "--models", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def alone(name: str, side: str) -> None:
    """Two steps of one side; what they took, as JSON."""
    forget_peak()  # a process begins with its parent's
    rng, shape = random.Random(0), SHAPES[name]
    model = model_of(name)
    samples = episodes(rng, model, shape, scored=False)  # that would be part of the peak
    with tempfile.TemporaryDirectory() as folder:
        if side == "theirs":
            model.set_attn_implementation("sdpa")
        step = ours(model, samples, []) if side == "ours" else theirs(model, samples, folder)
        before = memory("VmRSS")
        step()
        step()
    peak = memory("VmHWM")
    print(json.dumps({"peak": peak, "beyond": peak - before}))


def forget_peak() -> None:
    """The most that was resident counts from here."""
    Path("/proc/self/clear_refs").write_text("5")


def memory(field: str) -> float:
    """A field of /proc/self/status, MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", choices=list(SHAPES), nargs="+", default=list(SHAPES))
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--alone", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.alone:
        alone(given.models[0], given.alone)
        return
    rows = []
    for name in given.models:
        rows.append(row := compared(name, given.times))
        print(
            "{model}: {parameters:,} parameters, {episodes} episodes, {tokens:,} tokens, {observed:.0%} observed\n"
            "  ours {tokens_per_s:,.0f} tokens/s, TRL {trl_tokens_per_s:,.0f}: {times_as_fast:.2f} times as fast; "
            "gradients {apart:.1e} apart".format(**row)
        )
        for key, words in (("peak", "in all"), ("beyond", "beyond model and data")):
            a, b = row["mib"][key], row["trl_mib"][key]
            print(f"  memory {words}: ours {a:,.0f} MiB, TRL {b:,.0f}: {a / b:.2f} of it")
        sys.stdout.flush()
    pairs = cost_of_pairs(given.times)
    print("context awareness, {pairs} pair to {groups} tasks ({episodes} episodes): {cost:+.1%} time".format(**pairs))
    share = pairs["looked"] / pairs["every"]
    print("a step whose terms are compared: {looked:+.1%} time; one in {every}: ".format(**pairs) + f"{share:+.2%}")
    if given.json:
        given.json.write_text(json.dumps({"beside TRL": rows, "pairs": pairs}, indent=1))


if __name__ == "__main__":
    main()
