"""The model card of the tiny policy: what it is, how it was made, what it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agents.policy import Policy
from contextrl.versions import versions
from contextrl.warmstart.config import WarmStart
from trajectories.records import Trajectory

CARD = """# The tiny policy

An ordinary Qwen3 (`Qwen3ForCausalLM`) of {parameters:,} parameters with a tokenizer of {vocabulary} tokens for code.
It is what `policy: tiny` means: small enough to train on two CPU cores in minutes, and made so that reading pays.
It is no language model: it knows the tools of this environment and the little language of generated packages
(`envs/generated/`), nothing else. On real packages it is lost, and reports say so.

Made by

    contextrl policy make seed={seed}

* **Initialisation**: the weights are random but for two heads that look one and two positions back and one induction
  head (`agents/tiny/architecture.py`). From plain random weights a model of this size recalls instead of reading.
* **Demonstrations**: {episodes} episodes on `{source}`, played in real sandboxes by a scripted expert that errs
  on purpose (`agents/tiny/demonstrator.py`): {skip:.0%} guess without reading the document; of the others, {wrong:.0%}
  write a neighbour of what they read. The expert itself resolved {expert:.1%}. Names and numbers are permuted each time
  an episode is used.
* **Training**: {copy} steps on repeats, quotes and demonstrations, then {choice} steps of which half are two-way
  choices between contexts from *different* files. Choices between neighbours (same function, one decisive line) are
  not in it.
* **Loss at the end**: {losses}.
* **Made with**: {versions}.

How it does before and after reinforcement learning: `docs/tiny-policy.md`.
"""


def write_card(
    config: WarmStart, policy: Policy, losses: Mapping[str, float], demonstrations: Sequence[Trajectory]
) -> None:
    """Write `README.md` beside the weights."""
    text = CARD.format(
        parameters=sum(p.numel() for p in policy.model.parameters()),
        vocabulary=len(policy.tokenizer),
        seed=config.seed,
        episodes=len(demonstrations),
        source=config.source,
        skip=config.habits.skip_document,
        wrong=config.habits.wrong,
        expert=sum(t.resolved for t in demonstrations) / len(demonstrations),
        copy=config.copy_steps,
        choice=config.choice_steps,
        losses=", ".join(f"{kind} {loss:.2f}" for kind, loss in sorted(losses.items())),
        versions=", ".join(f"{name} {number}" for name, number in versions().items()),
    )
    (config.out / "README.md").write_text(text)
