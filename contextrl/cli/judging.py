"""`contextrl pairs audit`: can a set of pairs be told apart without reading?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from contextrl.cli import show
from contextrl.cli.records import DEFAULT, Store, open_store

if TYPE_CHECKING:
    from trajectories.auditing.audit import AuditReport, Facts
    from trajectories.records import ContextPair
    from trajectories.store import SQLStore


def audit(
    run: Annotated[str | None, typer.Option("--run", help="Only pairs of this run, or of this mined set.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Pairs that `pairs export` wrote, instead of those of a store.")
    ] = None,
    judgement: Annotated[
        Literal["valid", "invalid", "uncertain", "any"], typer.Option(help="Only pairs that were judged so.")
    ] = "valid",
    stage: Annotated[
        Literal["repo", "file", "function"] | None, typer.Option(help="Only pairs that share this much.")
    ] = None,
    store: Store = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if the set is flagged.")] = False,
) -> None:
    """Try shortcuts on a set of pairs: selectors that must not succeed, and how well they do.

    A set is flagged when one of them beats chance on functions that it has not learned from.
    """
    from contextrl.progress import Silent, open_progress
    from trajectories.auditing.audit import audit_pairs

    pairs, facts = _from_file(file) if file else _from_store(store, run)
    pairs = [p for p in pairs if judgement in ("any", p.judgement) and stage in (None, p.stage)]
    if not pairs:
        raise ValueError(f"there are no pairs to audit in {file or store}; `contextrl pairs ls` lists what is there")
    if as_json:
        report = audit_pairs(pairs, facts, on_progress=Silent().update)
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        with open_progress() as progress:
            progress.stage("Auditing")
            report = audit_pairs(pairs, facts, on_progress=progress.update)
        tell(report)
    if strict and report.flagged:
        raise typer.Exit(1)


def _from_file(path: Path) -> tuple[list[ContextPair], dict[str, Facts]]:
    from contextrl.mining import read_pairs

    return [pair for batch in read_pairs(path) for pair in batch], {}


def _from_store(where: str, run: str | None) -> tuple[list[ContextPair], dict[str, Facts]]:
    with open_store(where) as opened:
        pairs = opened.pairs(run=run, retired=False)
        return pairs, _facts(opened, pairs)


def _facts(store: SQLStore, pairs: list[ContextPair]) -> dict[str, Facts]:
    """What the store knows of the trajectories beside their text."""
    from trajectories.auditing.audit import Facts

    wanted = {context.trajectory_id for pair in pairs for context in (pair.anchor, pair.confounder)}
    return {t.id: Facts(t.position, t.created_at, t.policy_version, t.agent) for t in store.scan() if t.id in wanted}


def tell(report: AuditReport) -> None:
    """Print an audit."""
    rows = [
        (
            finding.name,
            f"{finding.accuracy:.3f}",
            f"{finding.low:.3f}-{finding.high:.3f}",
            f"{finding.p_adjusted:.3f}",
            "shortcut" if finding.flagged else "",
            finding.looks_at,
        )
        for finding in report.findings
    ]
    show.table(("selector", "accuracy", "95% interval", "p (Holm)", "", "looks at"), rows, "Nothing was tried.")
    for finding in report.flagged:
        excess = finding.accuracy - 0.5
        typer.echo(f"\n{finding.name} selects {excess:.1%} better than chance, for example by")
        for example in finding.examples:
            typer.echo(f"  {show.plain(example)}")
    if report.skipped:
        typer.echo(f"\nNot tried, because no store knows the trajectories: {', '.join(report.skipped)}.")
    typer.echo(f"\n{report.pairs} pairs of {report.functions} functions. {_verdict(report)}")


def _verdict(report: AuditReport) -> str:
    if report.flagged:
        return f"The set is flagged: {', '.join(f.name for f in report.flagged)}."
    if not report.enough:
        return (
            "Too few to say anything: only a selector with an accuracy of "
            f"{report.noticeable:.2f} or more would be noticed. Mine more functions."
        )
    return f"Nothing beats chance. An accuracy of {report.noticeable:.2f} would have been noticed four times in five."
