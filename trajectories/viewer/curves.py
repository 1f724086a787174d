"""What runs measured, as figures: one run, or several over each other.

Invariant: a figure that nobody measured is left out; nothing is filled in between measurements. Several runs differ by
colour, several measures of one run by dashes; of one run alone measures differ by colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from trajectories.viewer.bars import stacked
from trajectories.viewer.charts import Points, drawable, line_chart, number, percent
from trajectories.viewer.texts import visible
from trajectories.viewer.words import lasted

Rows = Sequence[Mapping[str, Any]]
SPLIT = ("sampling", "sandbox", "grading", "learning", "weight_sync", "learn")
"""What an iteration's time is spent on; `rollout` is the sum of what runs side by side, and not among them."""


class Figure(NamedTuple):
    """One figure."""

    title: str
    text: str
    drawing: Markup


class _Kind(NamedTuple):
    title: str
    text: str
    keys: Mapping[str, str]
    """Key of a row, `outer.inner` for one inside -> what it is called."""
    form: Callable[[float], str] = number
    range: tuple[float, float] | None = None
    mark: float | None = None
    smooth: int = 1


def _parts(value: float) -> str:
    return f"{value * 100:.3g}%"


_KINDS = (
    _Kind(
        "Resolve rate",
        "Share of an iteration's episodes that solved their task.",
        {"resolve_rate": "resolve rate"},
        percent,
        (0.0, 1.0),
        smooth=5,
    ),
    _Kind("Reward", "Mean of an iteration's episodes.", {"reward_mean": "reward"}, smooth=5),
    _Kind(
        "Selection accuracy",
        "How often the policy picks the context that supports the answer, by pair level. Dashed: chance.",
        {"selection_accuracy.*": ""},
        percent,
        (0.0, 1.0),
        0.5,
        5,
    ),
    _Kind("Margin", "l+ less l-, mean over the pairs learned from, in logits.", {"margin": "margin"}, smooth=5),
    _Kind("L_GRPO", "The policy term, with its own normaliser.", {"loss_grpo": "L_GRPO"}),
    _Kind("L_CA", "The context-awareness term, before lambda.", {"loss_ca": "L_CA"}),
    _Kind("KL", "To the reference model, nats per token.", {"kl": "KL"}),
    _Kind("Entropy", "Of the sampled tokens, nats.", {"entropy": "entropy"}),
    _Kind(
        "Clip fractions, L_GRPO",
        "Share of tokens whose importance ratio was clipped below and above.",
        {"clip_low": "low", "clip_high": "high"},
        _parts,
    ),
    _Kind(
        "Clip fractions, L_CA",
        "Share of pairs whose margin was beyond the clip, below and above.",
        {"ca_clip_low": "low", "ca_clip_high": "high"},
        _parts,
    ),
    _Kind("Mismatch KL", "Trainer against sampler, same weights, nats per token.", {"mismatch_kl": "mismatch KL"}),
    _Kind("Gradient norm", "Before clipping.", {"grad_norm": "gradient norm"}),
    _Kind(
        "Gradient norms of the terms",
        "Of each term's part of the gradient, its weight included, in the steps that were looked into.",
        {"grad_norm_grpo": "L_GRPO", "grad_norm_ca": "L_CA"},
    ),
    _Kind(
        "Cosine of the terms' gradients",
        "1: both pull the same way; dashed, 0: neither minds the other; below: they pull against each other.",
        {"cosine_grpo_ca": "cosine"},
        range=(-1.0, 1.0),
        mark=0.0,
    ),
    _Kind("Weight of L_CA", "lambda: what the context-awareness term is multiplied by.", {"ca_weight": "lambda"}),
    _Kind(
        "Sandbox time that teaches",
        "Share of an iteration's sandbox seconds spent on episodes that have an advantage, and on those or on episodes "
        "whose context stands in a pair mined in that iteration.",
        {"salvage.policy": "advantage", "salvage.all": "advantage or pair"},
        percent,
        (0.0, 1.0),
        smooth=5,
    ),
    _Kind(
        "Tokens shared",
        "Share of the trajectories' tokens that the learner did not compute again, for others begin alike.",
        {"tokens_shared": "shared"},
        percent,
        (0.0, 1.0),
    ),
    _Kind("Staleness", "Policy versions between sampling and learning.", {"staleness": "staleness"}),
    _Kind("Speed", "Sampled tokens a second.", {"tokens_per_second": "tokens/s"}, smooth=5),
    _Kind(
        "Sandboxes alive",
        "In an iteration, on average and at most.",
        {"sandboxes.mean": "mean", "sandboxes.most": "most"},
    ),
)


def figures(runs: Mapping[str, Rows]) -> list[Figure]:
    """All figures that these runs have data for. `runs`: name -> rows of its metrics."""
    drawn = [Figure(kind.title, _told(kind), Markup(_drawn(kind, runs))) for kind in _KINDS]
    return [figure for figure in drawn if figure.drawing] + list(_times(runs))


def _told(kind: _Kind) -> str:
    return f"{kind.text} The line is the mean of {kind.smooth} iterations." if kind.smooth > 1 else kind.text


def _drawn(kind: _Kind, runs: Mapping[str, Rows]) -> str:
    series: dict[str, Points] = {}
    looks: dict[str, tuple[int, int]] = {}
    for i, (run, rows) in enumerate(runs.items(), 1):
        for k, (name, points) in enumerate(_curves(kind, rows).items(), 1):
            alone = len(runs) == 1
            called = (
                name if alone else visible(run) + (f", {name}" if len(kind.keys) > 1 or "*" in str(kind.keys) else "")
            )
            series[called], looks[called] = points, (k, 1) if alone else (i, k)
    return line_chart(series, y_format=kind.form, y_range=kind.range, mark=kind.mark, smooth=kind.smooth, looks=looks)


def _curves(kind: _Kind, rows: Rows) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for key, name in kind.keys.items():
            for called, value in _values(row, key, name):
                found.setdefault(called, []).append((_float(row.get("iteration")), _float(value)))
    return dict(sorted(found.items())) if "*" in str(kind.keys) else found


def _values(row: Mapping[str, Any], key: str, name: str) -> Iterator[tuple[str, Any]]:
    outer, _, inner = key.partition(".")
    if outer not in row:
        return
    value = row[outer]
    if not inner:
        yield name, value
    elif not isinstance(value, Mapping):
        if inner == "*":
            yield "all", value
    elif inner == "*":
        yield from ((visible(str(level)), inside) for level, inside in value.items())
    elif inner in value:
        yield name, value[inner]


def _float(value: Any) -> float:
    """A measurement; what no chart can draw is no number."""
    return float(value) if drawable(value) else math.nan


def _times(runs: Mapping[str, Rows]) -> Iterator[Figure]:
    for run, rows in runs.items():
        series = [
            (_float(row.get("iteration")), {n.replace("_", " "): _float(seconds[n]) for n in SPLIT if n in seconds})
            for row in rows
            if isinstance(seconds := row.get("seconds"), Mapping)
        ]
        if drawing := stacked(series, lasted):
            of = f", {run}" if len(runs) > 1 else ""
            text = "Of an iteration: sampling, sandbox and grading run side by side in a rollout."
            yield Figure(f"Time split{of}", text, Markup(drawing))
