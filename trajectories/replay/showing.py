"""A replay as a person reads it in a terminal.

Invariant: text from a sandbox or a policy is shown as text, never read as mark-up, and no control character of it
reaches the terminal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from difflib import unified_diff

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from trajectories.replay.report import ReplayReport, ReplayStep
from trajectories.shortening import clean, shortened

_WORDS = {
    "exact": "same",
    "normalised": "same but for times, names and addresses",
    "reordered": "same lines in another order",
    "different": "another output",
}
_DIFFERS = {
    "observation": "another output",
    "exit_code": "another exit code",
    "tree": "another repository",
    "diff": "another diff than the one recorded",
    "patch": "another patch than the one recorded",
    "end": "another end",
}
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def report_renderable(report: ReplayReport, *, max_lines: int = 40) -> RenderableType:
    """Every step in a line, the first divergence whole, and how it came out."""
    parts: list[RenderableType] = [step_line(step) for step in report.steps]
    first = next(iter(report.divergences), None)
    if first is not None:
        parts.append(divergence_panel(first, max_lines=max_lines))
    return Group(*parts, *summary(report))


def step_line(step: ReplayStep) -> Text:
    """A step in a line."""
    return Text.assemble(
        (f"{step.number:>4}  ", "dim"),
        (f"{outcome(step)}", "red" if not step.same else "yellow" if step.not_replayed else "green"),
        (f"  {clean(step.action).splitlines()[0] if step.action else ''}", ""),
        no_wrap=True,
        overflow="ellipsis",
    )


def outcome(step: ReplayStep) -> str:
    """How a step came out, in a few words."""
    if step.not_replayed:
        return f"not replayed: {clean(step.not_replayed)}"
    if not step.same:
        return ", ".join(_DIFFERS.get(what, what) for what in step.differs)
    return _WORDS[step.likeness] if step.likeness else "done again, nothing to compare its output with"


def divergence_panel(step: ReplayStep, *, max_lines: int = 40) -> Panel:
    """What differs at a step: the recorded side with minus, the new one with plus."""
    shown = Text()
    for line in _differences(step, max_lines):
        shown.append(line + "\n", style=_COLOURS.get(line[:1], ""))
    shown.rstrip()
    return Panel(shown, title=f"step {step.number}: {outcome(step)}", title_align="left", border_style="red")


def _differences(step: ReplayStep, max_lines: int) -> Iterator[str]:
    if "observation" in step.differs:
        yield from _diff(step.expected, step.got, "recorded output", "output now", max_lines)
    if "exit_code" in step.differs:
        yield f"-exit code {_code(step.expected_exit)}"
        yield f"+exit code {_code(step.exit)}"
    if {"tree", "diff", "patch"} & {*step.differs}:
        before, now = step.expected_diff, step.diff
        if before is None or before == now:
            yield f"-repository {step.expected_tree[:16]}"
            yield f"+repository {step.tree[:16]}, by what no diff shows"
        elif now is None:
            yield "+the diff now is too long to be kept"
        else:
            yield from _diff(before, now or "", "recorded diff of the repository", "diff now", max_lines)


def _diff(before: str, now: str, then_name: str, now_name: str, max_lines: int) -> Iterator[str]:
    lines = unified_diff(before.splitlines(), now.splitlines(), then_name, now_name, lineterm="", n=2)
    yield from shortened("\n".join(lines), max_lines).split("\n")


def summary(report: ReplayReport) -> Iterator[Text]:
    """How it came out, in a few lines."""
    yield Text(f"replayed in {report.backend}, image {clean(report.image)}", style="dim")
    if report.stopped_at is not None:
        yield Text(f"stopped after step {report.stopped_at}")
    if report.diverged_at is None:
        yield Text(f"{_many(len(report.steps), 'step')}, no divergence", style="green")
    else:
        count = f"divergence at {len(report.divergences)} of {_many(len(report.steps), 'step')}"
        yield Text(f"{count}, first at step {report.diverged_at}", style="red")
    if report.unplayed:
        places = ", ".join(str(step.number) for step in report.unplayed[:10])
        yield Text(f"{_many(len(report.unplayed), 'step')} not replayed: {places}", style="yellow")
    left = Counter(what for step in report.steps if not step.not_replayed for what in step.not_compared)
    for what, times in sorted(left.items()):
        yield Text(f"{what.replace('_', ' ')}: not compared at {_many(times, 'step')}", style="dim")
    yield from _verdict(report)
    if report.note:
        yield Text(clean(report.note), style="yellow")


def _verdict(report: ReplayReport) -> Iterator[Text]:
    if report.verdict is not None:
        why = report.verdict.reason or "tests fail"
        said = "resolved" if report.verdict.resolved else f"not resolved: {shortened(why)}"
        if report.verdict_same is None:
            yield Text(f"verdict: {said}; none was recorded")
        elif report.verdict_same:
            yield Text(f"verdict: {said}, as recorded", style="green")
        else:
            yield Text(f"verdict: {said}, which is not what was recorded", style="red")
    for line in report.verdict_differs[:20]:
        yield Text(f"  {clean(line)}", style="red")


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _code(code: int | None) -> str:
    return "none" if code is None else str(code)
