"""Results for the terminal, beside the paper's.

Invariant: what the paper measured is marked as its own, on other pairs; what is left out or could not be read is said
below the table, never silent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from contextrl.probe import paper
from contextrl.probe.result import Estimate, ModelResult, Result, label

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

MOST_GROUPS = 12
"""Groups of one dimension that are shown, the largest ones."""
KEY = (
    "In brackets: 95% intervals, functions as clusters; chance is 50%. As A/B: accuracy where the anchor is A, "
    "where it is B; bias: how far these are apart."
)


def result_renderable(result: Result) -> RenderableType:
    """What was measured, the paper's figure, what to know of both, and accuracy by group."""
    from rich.console import Group
    from rich.text import Text

    notes = [KEY, *_notes(result)]
    return Group(*_measured(result), _published(), Text("\n".join(notes)), *_groups(result))


def _measured(result: Result) -> Iterator[RenderableType]:
    """A table for each set, a row for each model. The cells fit 80 columns with a short name."""
    from rich.text import Text

    for one in result.sets:
        table = _table(
            f"Selection accuracy: {one.name}", "", "accuracy", "as A/B", "bias", "says A", "pairs", "functions"
        )
        for found in result.results:
            if found.set == one.name:
                accuracy = found.accuracy
                orders = f"{_share(found.accuracy_anchor_first)}/{_share(found.accuracy_anchor_second)}"
                shares = (orders, _share(found.order_bias), _share(found.says_a))
                counts = (str(accuracy.pairs), str(accuracy.functions))
                table.add_row(*map(Text, (label(found.model), estimate(accuracy), *shares, *counts)))
        yield table


def _published() -> RenderableType:
    table = _table(paper.TITLE, "", "agent", "multimodal")
    for published in paper.FIGURE_2:
        table.add_row(published.model, f"{published.agent:.1%}", f"{published.multimodal:.1%}")
    return table


def _table(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=Text(title), title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(Text(column), justify="right" if i else "left", overflow="fold", no_wrap=i > 0)
    return table


def _notes(result: Result) -> Iterator[str]:
    for one in result.sets:
        for reason, count in one.left_out.items():
            yield f"{one.name}: {count:,} pairs left out, {reason}."
    for found in result.results:
        yield from (f"{label(found.model)}: {note}." for note in _of_model(found))
    for pair in result.differences:
        d = pair.difference
        verdict = "no clear difference" if d.low <= 0 <= d.high else "higher" if d.mean > 0 else "lower"
        interval = f"[{d.low * 100:+.1f}, {d.high * 100:+.1f}]"
        whom = f"{label(pair.model)} against {label(pair.against)}"
        yield f"{whom}: {d.mean * 100:+.1f} points {interval} on {d.pairs} pairs of {pair.set}: {verdict}."


def _of_model(found: ModelResult) -> Iterator[str]:
    """What a reader should know of how a model answered."""
    for reason, count in found.left_out.items():
        yield f"{count:,} pairs of {found.set} left out, {reason}"
    if found.cut:
        yield f"{found.cut:,} pairs of {found.set} had turns cut to fit"
    asked = found.by_margin + found.by_text + found.unreadable
    if found.by_text:
        yield f"{found.by_text:,} of {asked:,} letters were read off its text, {found.by_margin:,} by log-probabilities"
    if found.unreadable:
        share = found.unreadable / asked
        yield f"{found.unreadable:,} of {asked:,} answers ({share:.1%}) could not be read and count half"


def _groups(result: Result) -> Iterator[RenderableType]:
    """One table for each set, a column for each model; dimensions with a single group say nothing."""
    from rich.text import Text

    for one in result.sets:
        models = [found for found in result.results if found.set == one.name]
        table = _table(f"By group: {one.name}", "", *(label(found.model) for found in models), "pairs")
        for dimension in models[0].by:
            groups = {name: e.pairs for found in models for name, e in found.by[dimension].items()}
            if len(groups) < 2:
                continue
            largest = sorted(groups, key=lambda name: -groups[name])[:MOST_GROUPS]
            table.add_row(Text(dimension, style="bold"))
            for name in (name for name in groups if name in largest):
                cells = (estimate(found.by[dimension].get(name), bare=len(models) > 2) for found in models)
                table.add_row(Text(f"  {name}"), *map(Text, cells), str(groups[name]))
            if len(groups) > len(largest):
                table.add_row(Text(f"  and {len(groups) - len(largest)} more: see probe.json", style="dim"))
        if table.row_count:
            yield table


def estimate(found: Estimate | None, bare: bool = False) -> str:
    """`61.2% [55, 67]`, or `61.2%` if bare."""
    if found is None:
        return "-"
    return f"{found.mean:.1%}" + ("" if bare else f" [{found.low * 100:.0f}, {found.high * 100:.0f}]")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
