"""A trajectory and a pair as a person reads them in a terminal.

Invariant: text from a sandbox or a policy is shown as text: it is never read as mark-up, and its control characters
never reach the terminal.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from trajectories.records import MASK, ContextPair, MaskedContext, Trajectory, Turn, Verdict
from trajectories.shortening import LINES, brief, clean, shortened
from trajectories.touching.stepping import step_diff

COLOURS = {"valid": "green", "invalid": "red", "uncertain": "yellow"}


def trajectory_renderable(
    trajectory: Trajectory, *, max_lines: int = 40, advantage: float | None = None, gold: str = ""
) -> RenderableType:
    """The whole episode: facts, issue, turns, patch, gold patch, verdict. What is too long to read loses its middle.

    `advantage`: what it was learned from with. `max_lines`: of an observation, and of what a turn changed.
    """
    facts: dict[str, str | Text] = {
        "trajectory": trajectory.id,
        "run": f"{trajectory.run or '-'}, iteration {trajectory.iteration}, policy {trajectory.policy_version}",
        "task": f"{trajectory.instance_id} in {trajectory.repo} at {trajectory.base_commit[:12]}",
        "agent": f"{trajectory.agent or '-'} in {_place(trajectory)}, {trajectory.seconds:.1f} s",
        "touched": ", ".join(trajectory.functions or trajectory.files) or "nothing",
        "outcome": _outcome(trajectory),
    }
    if advantage is not None:
        facts["advantage"] = f"{advantage:+.3g}"
    parts: list[RenderableType] = [_facts(facts), Panel(_plain(trajectory.problem_statement), title="issue")]
    before: str | None = ""
    for i, turn in enumerate(trajectory.turns, 1):
        parts.append(_turn(i, turn, max_lines))
        if turn.diff is not None and before is not None and (changed := step_diff(before, turn.diff)):
            parts.append(_diff(changed, f"what turn {i} changed", max_lines))
        before = turn.diff
    if trajectory.patch:
        parts.append(_diff(trajectory.patch, "patch"))
    if gold:
        parts.append(_diff(gold, "gold patch"))
    if trajectory.verdict is not None:
        parts.append(Panel(_plain("\n".join(_tests(trajectory.verdict))), title="verdict"))
    return Group(*parts)


def _tests(verdict: Verdict) -> list[str]:
    """How many tests passed, then those that did not, then those that do and did not before."""
    both = (("failed", verdict.fail_to_pass), ("passed", verdict.pass_to_pass))
    rows = [(before, after, test) for before, tests in both for test, after in tests.items()]
    bad = [row for row in rows if row[1] != "passed"]
    mended = [row for row in rows if row[0] != row[1] == "passed"]
    told = [f"{now} {test}" + f", {before} before" * (before != now) for before, now, test in (*bad, *mended)]
    flags = ["somebody meddled with the grading"] if verdict.tampered else []
    dropped = [f"did not count: {', '.join(verdict.dropped)}"] if verdict.dropped else []
    return [*flags, f"{len(rows) - len(bad)} of {len(rows)} tests passed", *told, *dropped]


def pair_renderable(pair: ContextPair, *, max_lines: int = 40) -> RenderableType:
    """The answer, and both contexts side by side; the lines that only one of them has stand out."""
    reasons = "; ".join(pair.reasons) or "no objection"
    facts: dict[str, str | Text] = {
        "pair": f"{pair.id}, run {pair.run or '-'}",
        "place": f"{pair.function or pair.file or '-'} in {pair.repo} at {pair.base_commit[:12]}",
        "shared": f"the same {pair.stage}, {pair.similarity:.0%} of the lines",
        "judgement": Text.assemble((pair.judgement, COLOURS[pair.judgement]), f" ({shortened(reasons)})"),
    }
    sides = Table.grid(expand=True, padding=(0, 1))
    sides.add_column(ratio=1)
    sides.add_column(ratio=1)
    anchor, confounder = _lines(pair.anchor), _lines(pair.confounder)
    sides.add_row(
        _context("C+ anchor: supports the answer", pair.anchor, confounder, "green", max_lines),
        _context("C- confounder: does not", pair.confounder, anchor, "red", max_lines),
    )
    language = "diff" if pair.replaced else "python"
    answer = Panel(Syntax(shortened(pair.shown_answer), language, background_color="default"), title="answer")
    return Group(_facts(facts), answer, sides)


def _facts(facts: Mapping[str, str | Text]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(Text(name, style="dim"), value if isinstance(value, Text) else _plain(value))
    return table


def _place(trajectory: Trajectory) -> str:
    return f"{trajectory.backend or '-'}{' with the network open' if trajectory.network else ''}"


def _outcome(trajectory: Trajectory) -> Text:
    if trajectory.resolved:
        said, colour = "resolved", "green"
    elif trajectory.verdict is not None:
        said, colour = f"not resolved: {trajectory.verdict.reason or 'tests fail'}", "red"
    else:
        said, colour = ("not resolved: no verdict", "red") if trajectory.graded else ("not graded", "yellow")
    reward = "no reward" if trajectory.reward is None else f"reward {trajectory.reward:g}"
    return Text.assemble((shortened(said), colour), f", {trajectory.status}, {reward}")


def _turn(number: int, turn: Turn, max_lines: int) -> Panel:
    call = turn.tool_call
    title = Text.assemble(f"{number} ", (brief(call.name) or "no call", "bold"))
    ended = "" if turn.exit_code is None else f"exit {turn.exit_code}, "
    cpu = "" if turn.cpu_seconds is None else f" ({turn.cpu_seconds:.1f} s of CPU time)"
    foot = Text(f"{ended}{turn.seconds:.1f} s{cpu}, {len(turn.completion_ids)} tokens", style="dim")
    parts: list[RenderableType] = [_plain(turn.text)]
    if call.error:
        parts.append(Text(shortened(call.error), style="red"))
    if turn.observation:
        parts.append(Text(shortened(turn.observation, max_lines), style="dim"))
    return Panel(Group(*parts), title=title, title_align="left", subtitle=foot, subtitle_align="right")


def _diff(text: str, title: str, max_lines: int = LINES) -> Panel:
    return Panel(Syntax(shortened(text, max_lines), "diff", background_color="default"), title=title)


def _context(title: str, context: MaskedContext, others: set[str], colour: str, max_lines: int) -> Panel:
    shown = Text()
    blocks = [context.problem_statement]
    for turn in context.turns:
        blocks += [turn.text, turn.observation]
    for block in (block for block in blocks if not block.isspace() and block):
        for line in shortened(block, max_lines).split("\n"):
            own = line.strip() and line not in others
            shown.append(line + "\n", style=colour if own and not line.startswith("...") else "dim")
        shown.append("\n")
    shown.highlight_words([MASK], style="bold magenta")
    return Panel(shown, title=title, subtitle=_plain(f"trajectory {context.trajectory_id}"), border_style=colour)


def _lines(context: MaskedContext) -> set[str]:
    """All lines, as they are shown."""
    texts = [context.problem_statement]
    for turn in context.turns:
        texts += [turn.text, turn.observation]
    return {line for text in texts for line in clean(text).split("\n")}


def _plain(text: str) -> Text:
    return Text(shortened(text))
