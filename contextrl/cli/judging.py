"""`contextrl pairs audit`: can a set of pairs be told apart without reading?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from contextrl.cli import known, show
from contextrl.cli.pairs import Repo, Set, StageOption
from contextrl.cli.records import DEFAULT, Json, Store, open_store
from contextrl.cli.wanted import as_options

if TYPE_CHECKING:
    from trajectories.auditing.audit import AuditReport, Facts, Finding
    from trajectories.queries import PairFilters
    from trajectories.records import ContextPair
    from trajectories.store import SQLStore


def audit(
    context: typer.Context,
    run: Set = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Pairs that `pairs export` wrote, instead of those of a store.")
    ] = None,
    repo: Repo = None,
    judgement: Annotated[
        Literal["valid", "invalid", "uncertain", "any"], typer.Option(help="Only pairs that were judged so.")
    ] = "valid",
    stage: StageOption = None,
    store: Store = DEFAULT,
    as_json: Json = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if the set is flagged.")] = False,
) -> None:
    """Try shortcuts on a set of pairs: selectors that must not succeed, and how well they do.

    A set is flagged when one of them beats chance on functions that it has not learned from.
    """
    from contextrl.progress import Silent, open_progress
    from trajectories.auditing.audit import audit_pairs

    wanted: PairFilters = {"repo": repo, "judgement": None if judgement == "any" else judgement, "stage": stage}
    facts: dict[str, Facts] = {}
    if file:
        source = context.get_parameter_source("store")
        if run is not None or (source and source.name == "COMMANDLINE"):
            raise ValueError("--file audits the pairs of a file, --run and --store those of a store: give one of them")
        pairs = _from_file(file, wanted)
    else:
        pairs, facts = _from_store(store, {**wanted, "run": run, "retired": False})
    if not pairs:
        said = as_options({"run": run, "repo": repo, "judgement": judgement, "stage": stage}, {})
        raise ValueError(f"there are no pairs to audit in {file or store}: none passes {said}")
    if as_json:
        report = audit_pairs(pairs, facts, on_progress=Silent().update)
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        with open_progress() as progress:
            progress.stage("Auditing")
            report = audit_pairs(pairs, facts, on_progress=progress.update)
        tell(report)
    if not file:
        _keep(store, run or "", wanted, report, quiet=as_json)
    if strict and report.flagged:
        raise typer.Exit(1)


def _from_file(path: Path, wanted: PairFilters) -> list[ContextPair]:
    from contextrl.pair_files import read_pairs

    asked = {name: value for name, value in wanted.items() if value is not None}
    found = (pair for batch in read_pairs(path) for pair in batch)
    return [pair for pair in found if all(getattr(pair, name) == value for name, value in asked.items())]


def _from_store(where: str, wanted: PairFilters) -> tuple[list[ContextPair], dict[str, Facts]]:
    with open_store(where) as opened:
        known.check(opened, "set", wanted.get("run"))
        known.check(opened, "repository with pairs", wanted.get("repo"))
        pairs = opened.pairs(**wanted)
        return pairs, _facts(opened, pairs)


def _keep(where: str, name: str, wanted: PairFilters, report: AuditReport, *, quiet: bool) -> None:
    """Keep the audit beside its pairs, for the viewer; said where the store cannot be written."""
    from trajectories.protocol import StoreError

    of = as_options({"repo": wanted.get("repo"), "judgement": wanted["judgement"], "stage": wanted.get("stage")}, {})
    try:
        with open_store(where) as opened:
            opened.add_finding("audit", name, {**report.to_json(), "of": of})
    except StoreError as error:
        if not quiet:
            typer.echo(f"The audit is not kept: {error}", err=True)


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
            _mark(finding),
            finding.looks_at,
        )
        for finding in report.findings
    ]
    show.table(("selector", "accuracy", "95% interval", "p (Holm)", "", "looks at"), rows, "Nothing was tried.")
    typer.echo(f"Marked where p is below {report.level:g} and the interval excludes 0.5 as well.")
    for finding in report.flagged:
        typer.echo(f"\n{finding.name} selects {_points(finding)} points better than chance, for example by")
        for example in finding.examples:
            typer.echo(f"  {show.plain(example)}")
    for finding in report.below:
        typer.echo(
            f"\n{finding.name} selects {_points(finding)} points worse than chance: what it learns on some functions "
            "is wrong on others. That happens in clean sets too and flags none; look at it if it is far."
        )
    if report.skipped:
        typer.echo(f"\nNot tried, because no store knows the trajectories: {', '.join(report.skipped)}.")
    if report.measured < report.pairs:
        typer.echo(
            f"\n{report.pairs - report.measured} pairs could not be measured: by functions and tasks they hang "
            "together with all others, so that there is nothing to learn from."
        )
    typer.echo(f"\n{report.pairs} pairs of {report.functions} functions. {_verdict(report)}")


def _mark(finding: Finding) -> str:
    return "shortcut" if finding.flagged else "below chance" if finding.below else ""


def _points(finding: Finding) -> str:
    """How far an accuracy is from chance, in percentage points."""
    return f"{abs(finding.accuracy - 0.5) * 100:.1f}"


def _verdict(report: AuditReport) -> str:
    if report.flagged:
        return f"The set is flagged: {', '.join(f.name for f in report.flagged)}."
    if report.noticeable >= 1:
        return "Too few to say anything. Mine more functions."
    if not report.enough:
        return (
            "Too few to say anything: only a selector with an accuracy of "
            f"{report.noticeable:.2f} or more would be noticed. Mine more functions."
        )
    return f"Nothing beats chance. An accuracy of {report.noticeable:.2f} would have been noticed four times in five."
