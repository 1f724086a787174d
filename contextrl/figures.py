"""Which figures a report shows, from its numbers and the run's `metrics.jsonl`.

Invariant: a figure without data is empty text and is left out by the page; nothing is filled in between measurements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contextrl.progress import duration
from trajectories.viewer import bars, charts

Metrics = Sequence[Mapping[str, Any]]
Curve = list[tuple[float, float]]
FUNNEL = {
    "commit": "same commit",
    "file": "same file",
    "function": "same function",
    "related": "related, distinct issues",
    "masked": "both patches masked",
    "asked": "put to the judge",
    "valid": "valid",
    "uncertain": "uncertain",
    "invalid": "invalid",
}
"""Stage of the mining cascade -> what the figure calls it."""


def figures_of(report: Mapping[str, Any], metrics: Metrics) -> Iterator[tuple[str, str, str]]:
    """Title, what it shows, and the drawing of each figure."""
    yield (
        "Resolve rate in training",
        "Share of an iteration's episodes that solved their task; the line is the mean of five iterations.",
        charts.line_chart(_curves(metrics, "resolve_rate"), smooth=5, y_format=charts.percent, y_range=(0.0, 1.0)),
    )
    yield (
        "Selection accuracy in training",
        "How often the policy picks the context that supports the answer, by pair level. Dashed: chance.",
        charts.line_chart(_selection(metrics), mark=0.5, smooth=5, y_format=charts.percent, y_range=(0.0, 1.0)),
    )
    yield (
        "Loss terms",
        "The two terms before weighting, each with its own normaliser.",
        charts.line_chart(_named(metrics, {"loss_grpo": "GRPO", "loss_ca": "context awareness"})),
    )
    yield (
        "KL and entropy",
        "KL to the reference model, and entropy of the sampled tokens, in nats per token.",
        charts.line_chart(_named(metrics, {"kl": "KL", "entropy": "entropy"})),
    )
    yield (
        "Tokens with a clipped ratio",
        "Share of tokens whose importance ratio was clipped.",
        charts.line_chart(
            _named(metrics, {"clip_low": "below", "clip_high": "above"}), y_format=lambda v: f"{v * 100:.3g}%"
        ),
    )
    yield (
        "Speed",
        "Sampled tokens a second; the line is the mean of five iterations.",
        charts.line_chart(_curves(metrics, "tokens_per_second"), smooth=5),
    )
    yield (
        "Where the time went",
        "Seconds of the whole run.",
        bars.split_bar(report.get("time_split") or {}, duration),
    )
    yield (
        "Mining funnel",
        "Couples of trajectories that are left after each filter, and what the judge said.",
        bars.funnel(_funnel(report)),
    )


def _curves(metrics: Metrics, *keys: str) -> dict[str, Curve]:
    return _named(metrics, {key: key for key in keys})


def _named(metrics: Metrics, names: Mapping[str, str]) -> dict[str, Curve]:
    """One curve for each key that was measured at least once."""
    curves = {
        name: [(float(row["iteration"]), float(row[key])) for row in metrics if _measured(row.get(key))]
        for key, name in names.items()
    }
    return {name: curve for name, curve in curves.items() if curve}


def _selection(metrics: Metrics) -> dict[str, Curve]:
    """`selection_accuracy` is a number, or a mapping from level to number."""
    curves: dict[str, Curve] = {}
    for row in metrics:
        value = row.get("selection_accuracy")
        levels: Mapping[str, Any] = value if isinstance(value, Mapping) else {"all": value}
        for level, accuracy in levels.items():
            if _measured(accuracy):
                curves.setdefault(str(level), []).append((float(row["iteration"]), float(accuracy)))
    return dict(sorted(curves.items()))


def _funnel(report: Mapping[str, Any]) -> dict[str, int]:
    """Counts in the cascade's order, under names that a reader understands."""
    counts: Mapping[str, Any] = report.get("funnel") or {}
    return {title: int(counts[stage]) for stage, title in FUNNEL.items() if _measured(counts.get(stage))}


def _measured(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
