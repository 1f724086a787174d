"""What is learned, from what, and by which steps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from contextrl.sections.base import Positive, Section, Share, Stage


class GRPOConfig(Section):
    """The policy-gradient term. The defaults are the paper's where it names them.

    docs/objectives.md says which settings are Dr. GRPO, DAPO, GSPO and CISPO.
    """

    weight: Annotated[float, Field(ge=0)] = 1.0
    """What the term is multiplied by; 0 trains on pairs alone."""
    surrogate: Literal["clip", "cispo"] = "clip"
    """`clip`: the ratio is clipped, and a clipped token has no gradient. `cispo`: the gradient is that of the
    log-probability, times the ratio, at most 1 + clip_high."""
    ratio: Literal["token", "sequence"] = "token"
    """`sequence`: GSPO's, the geometric mean over a trajectory's tokens."""
    clip_low: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """The importance ratio is clipped below 1 - clip_low."""
    clip_high: Annotated[float, Field(gt=0)] = 0.2
    """The importance ratio is clipped above 1 + clip_high."""
    advantage_std: Literal["group", "batch", "none"] = "group"
    """What advantages are divided by: the standard deviation of the group's rewards, of all of the iteration's, or
    nothing."""
    aggregation: Literal["token-mean", "seq-mean-token-mean", "seq-mean-token-sum-norm"] = "token-mean"
    """What the summed token losses are divided by: all sampled tokens; each trajectory's own, then the number of
    trajectories; or `norm_tokens` per trajectory."""
    norm_tokens: Positive = 64
    """The constant of `seq-mean-token-sum-norm`, tokens per trajectory."""
    flat_groups: Literal["count", "leave_out"] = "count"
    """Groups in which all rewards are the same have no gradient. `count`: they stay in the denominator, so that steps
    get smaller as fewer groups have something to say; `leave_out`: the others are averaged over."""
    kl: Annotated[float, Field(ge=0)] = 1e-3
    """Weight of the k3 estimate of the KL to the reference model; 0 keeps no reference model."""
    kl_ratio: bool = False
    """Multiply that estimate by the importance ratio, which makes its gradient unbiased for stale tokens."""
    old: Literal["recorded", "recomputed"] = "recorded"
    """What the importance ratio is taken against: the log-probabilities of the engine that sampled, or the learner's
    own before its first update (for engines whose arithmetic differs)."""
    correction: Literal["none", "truncate", "mask"] = "none"
    """For samples of another policy (a stale one, another engine's arithmetic): weights by the learner's probability
    over the sampler's, cut off at `correction_high`, or 0 outside `correction_low` to `correction_high`. Makes `old`
    recomputed."""
    correction_level: Literal["token", "sequence"] = "token"
    """Of a token, or of all of a trajectory's tokens together."""
    correction_low: Annotated[float, Field(ge=0)] = 0.5
    """Of `mask`."""
    correction_high: Annotated[float, Field(gt=0)] = 2.0
    """Of both."""
    overlong_tokens: Annotated[int, Field(ge=0)] = 0
    """The reward falls by up to 1 over the last so many tokens before `rollout.max_context_tokens`; 0: it does not."""
    overlong_filter: bool = False
    """Learn nothing from episodes that were cut short; they stay in their group's mean."""

    @model_validator(mode="after")
    def _a_band(self) -> GRPOConfig:
        if self.correction == "mask" and self.correction_low >= self.correction_high:
            raise ValueError("`grpo.correction_low` must be smaller than `grpo.correction_high`")
        return self


class ContextConfig(Section):
    """The term over pairs, by default lambda * -log sigmoid(clip(l+ - l-, -c, c)), and its pairs."""

    enabled: bool = True
    """Train on mined pairs. Without it the run is plain GRPO; pairs are mined and measured all the same."""
    objective: Literal["contrast", "imitation", "reinforce", "language"] = "contrast"
    """What is learned from a pair. `contrast`: context awareness. The others are baselines: `imitation`, the right
    letter by cross-entropy; `reinforce`, letters that are sampled and rewarded; `language`, the pair as plain text."""
    before: Annotated[int, Field(ge=0)] | Literal["auto"] = 0
    """Optimiser steps on pairs alone, after the expert episodes and before the first iteration; `auto`: as many as the
    iterations take."""
    during: bool = True
    """Whether the term stays during the iterations."""
    weight: Annotated[float, Field(ge=0)] | Literal["auto"] = 1.0
    """lambda. The paper uses 0.001 to 0.005 on 8B models; a tiny policy needs far more. `auto` holds the ratio of the
    terms' gradients at `gradient_ratio`."""
    gradient_ratio: Annotated[float, Field(gt=0)] = 0.3
    """Of `weight: auto`: the norm of this term's weighted gradient over that of the policy-gradient term."""
    clip: Annotated[float, Field(gt=0)] = 5.0
    """c, in logits."""
    low_side: Literal["clip", "linear"] = "clip"
    """`clip` is the paper's: no gradient for pairs that are wrong by more than c either. `linear` keeps theirs."""
    pairs_per_step: Positive = 12
    """Pairs in one optimiser step, each with one letter order; the orders are balanced."""
    curriculum: Literal["adaptive", "uniform"] = "adaptive"
    """`adaptive` goes on to harder pairs when the frontier is mastered; `uniform` draws from all."""
    promote_at: Share = 0.8
    """Moving average of selection accuracy at which the frontier moves on."""
    frontier_share: Share = 0.7
    """Share of pairs from the frontier level; the others come from the levels below."""
    max_pair_tokens: Positive = 1024
    """Longest pair prompt. Longer contexts lose whole turns, both alike; pairs that cannot be cut enough are left out
    and counted."""
    hardness: Annotated[tuple[float, ...], Field(min_length=1)] = (0.8,)
    """Similarities at which pairs of the same function go into the next harder level; held-out pairs are those above
    the last one."""
    after_edit: Literal["mask", "drop"] = "mask"
    """What a context shows after its first edit: all, with the patch masked (the paper), or nothing."""
    commit: Literal["same", "window", "any"] = "same"
    """Base commits of a pair's trajectories: `same` (the paper), `window` (also others at which the place reads the
    same, or nearly), `any`."""
    function: Literal["same", "overlapping", "file"] = "same"
    """What both must touch to be about the same function: `same` function or class (the paper), `overlapping` (two
    methods of one class), `file`."""
    max_pairs_per_trajectory: Positive = 4
    """Pairs of one stage that are mined from a new trajectory before the miner looks no further."""
    max_pairs_per_function: Positive = 8
    """Living pairs of one function after which no more are mined there: no function fills the set."""
    max_uses: Positive | None = None
    """A pair that was learned from this often is retired."""
    max_age: Positive | None = None
    """A pair that was mined more iterations ago is retired."""
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)] = ("repo", "file", "function")
    """Which pairs are used, by the deepest thing both contexts share."""


class LoRAConfig(Section):
    """Small matrices that are learned in place of the weights (peft)."""

    rank: Annotated[int, Field(ge=0)] = 0
    """Of each pair of matrices; 0: all weights are learned."""
    alpha: Positive = 32
    """What they add is multiplied by alpha / rank."""
    targets: str | tuple[str, ...] = "all-linear"
    """Names of the layers that get them, or `all-linear`: all but the output layer."""


class LearnerConfig(Section):
    """The optimiser step (AdamW)."""

    lr: Annotated[float, Field(gt=0)] = 3e-4
    """Peak learning rate, reached after the warm-up and then held."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay."""
    steps_per_iteration: Positive = 1
    """Passes over an iteration's trajectories. More than one makes the later ones off-policy."""
    minibatch_trajectories: Positive = 64
    """Trajectories in one optimiser step."""
    microbatch_tokens: Positive = 8192
    """Most tokens in one forward pass; changes memory, never the result. On a CPU at most 2048 are taken."""
    grad_clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient."""
    warmup_steps: Annotated[int, Field(ge=0)] = 5
    """Optimiser steps of linear warm-up."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of activations in the learner; weights, sampling, logits and the loss on them stay in float32."""
    gradient_checkpointing: bool = False
    """Trade time for memory."""
    lora: LoRAConfig = LoRAConfig()
    """Learn adapters only. The policy without them is the reference model, which then takes no memory."""
    probe_every: Annotated[int, Field(ge=0)] = 10
    """Optimiser steps between two comparisons of the terms' gradients (norms, cosine); 0: never."""
