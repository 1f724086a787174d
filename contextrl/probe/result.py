"""The schema of `probe.json`.

Invariant: a file that validates is complete: every number has its counts beside it, and a pair that counts nowhere is
in a `left_out` with the reason. Shares and accuracies are 0 to 1; intervals are of 95%.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from contextrl.probe.journal import Asked

SHORT = 24
"""Characters of a name in a narrow column."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(_Section):
    """A selection accuracy, or a difference of two. Pairs of one function are a cluster."""

    mean: float
    low: float
    high: float
    pairs: int
    functions: int


class SetResult(_Section):
    """One `--pairs`."""

    name: str
    pairs: int
    """Put to the models."""
    functions: int
    left_out: dict[str, int]
    """Reason -> pairs that were put to no model."""


class ModelResult(_Section):
    """One model on one set."""

    model: str
    set: str
    accuracy: Estimate
    """Mean over pairs of the share of letter orders in which the anchor was named. A tie counts half, and so does an
    answer that could not be read."""
    accuracy_anchor_first: float | None
    """Where the anchor was A; None where it never was."""
    accuracy_anchor_second: float | None
    order_bias: float | None
    """|accuracy with the anchor first - accuracy with it second|."""
    says_a: float | None
    """Share of A among the letters that were named; None where none was."""
    mean_margin: float | None
    """Of l+ - l- in nats; None for a model whose letters were read off its text."""
    by_margin: int
    """Questions that were decided by comparing the two letters' logits or log-probabilities."""
    by_text: int
    """Questions whose letter was read off the model's text."""
    unreadable: int
    """Questions whose answer could not be read."""
    cut: int
    """Pairs whose contexts were cut to fit."""
    left_out: dict[str, int]
    """Reason -> pairs that could not be put to this model."""
    by: dict[str, dict[str, Estimate]]
    """Dimension -> group -> accuracy there; see `contextrl.probe.groups`."""


class Difference(_Section):
    """A model minus the first one, on the pairs of a set that both answered."""

    set: str
    model: str
    against: str
    difference: Estimate


class Result(_Section):
    """A probe."""

    schema_version: Literal[1] = 1
    asked: Asked
    judge: str
    """What judged the pairs before the probe; empty where nothing did."""
    sets: list[SetResult]
    results: list[ModelResult]
    differences: list[Difference]
    created_at: str
    """UTC, ISO 8601."""
    versions: dict[str, str]


def label(model: str) -> str:
    """A name for a narrow column; the whole one is in probe.json.

    `tiny (vllm)` for `vllm:http://127.0.0.1:8000#tiny`, `...uns/mine/checkpoint` for a long path.
    """
    scheme, _, rest = model.partition(":")
    name = rest.partition("#")[2]
    if name:
        return f"{name} ({scheme})"
    return model if len(model) <= SHORT else f"...{model[3 - SHORT :]}"
