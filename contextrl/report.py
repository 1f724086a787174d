"""What a run found, as `report.json` and as one page that opens anywhere.

Invariant: the report says what was measured and nothing else: a number without a measurement reads "not measured", and
a change is called a change only if its interval leaves zero out. The page is one file, makes no request, escapes all
text that a policy or a repository wrote, and can be made again from the run's folder.

The report's keys: `name`, `seed`, `backend`, `policy`, `created_at`; `resolve_rate_before`, `resolve_rate_after`,
`selection_accuracy_before`, `selection_accuracy_after` (0 to 1 or None), each with `<key>_interval` [low, high], and
`resolve_rate_change`, `selection_accuracy_change` likewise (paired); `tasks`, `pairs` (how many were evaluated);
`kinds` (`generated`, `real package`: the same keys, and `splits`, where there are two: the same keys once more);
`pairs_mined`, `trajectories`, `iterations`, `wall_seconds`; `training` (its `episodes`, the policy's `tokens` in them,
their `sandbox_seconds`); `time_split` (name -> seconds); `funnel` (stage -> count);
`examples` (see `example`); `notes`; `config`; `versions`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from contextrl.figures import Metrics, figures_of
from contextrl.progress import duration
from trajectories.records import Trajectory
from trajectories.touching.marking import marked
from trajectories.viewer.bars import interval_bar

MEASURES = {"resolve_rate": "Resolve rate", "selection_accuracy": "Selection accuracy"}
CHANCE = {"selection_accuracy": 0.5}
SPLITS = {"heldout_function": "new functions", "heldout_mutation": "new bugs in known functions"}
"""What a reader calls the splits."""


class ReportError(ValueError):
    """There is no report to show; the message says where it was looked for."""


def write_report(run_dir: Path, report: Mapping[str, Any]) -> None:
    """Write `report.html`, from the report and `metrics.jsonl`, and last `report.json`: with it a run is finished."""
    report = _finite(report)
    write_text(run_dir / "report.html", render(report, read_metrics(run_dir)))
    write_text(run_dir / "report.json", json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_report(run_dir: Path) -> dict[str, Any]:
    """The report of a finished run. Raises `ReportError`."""
    path = run_dir / "report.json"
    if not path.is_file():
        others = sorted(str(p.parent) for p in run_dir.parent.glob("*/report.json"))
        hint = f"; finished runs: {', '.join(others)}" if others else "; a run writes it when it ends"
        raise ReportError(f"{path} does not exist{hint}")
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ReportError(f"{path} is damaged ({error}); delete it and run the training command again") from None
    if not isinstance(report, dict) or "name" not in report:
        raise ReportError(f"{path} is no report of this program; delete it and run the training command again")
    return report


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """One mapping per iteration, in order. A last line that was cut off is left out."""
    path = run_dir / "metrics.jsonl"
    if not path.is_file():
        return []
    by_iteration: dict[int, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        by_iteration[row["iteration"]] = row  # a resumed run may have played an iteration again
    return [by_iteration[i] for i in sorted(by_iteration)]


def example(trajectory: Trajectory, title: str) -> dict[str, Any]:
    """A trajectory as the report shows it: text and verdict, no token ids."""
    tokens = {"prompt_ids", "completion_ids", "logprobs"}
    shown = trajectory.model_dump(mode="json", exclude={"turns": {"__all__": tokens}})
    return {"title": title, **shown}


def change_sentence(report: Mapping[str, Any], measure: str) -> str:
    """What may be said about a measure's change, in a few words."""
    change, interval = report.get(f"{measure}_change"), report.get(f"{measure}_change_interval")
    if change is None or interval is None:
        return "change not measured"
    low, high = interval
    verb = "no clear change" if low <= 0 <= high else "rose" if change > 0 else "fell"
    return f"{verb}: {change * 100:+.1f} points [{low * 100:+.1f}, {high * 100:+.1f}]"


def render(report: Mapping[str, Any], metrics: Metrics) -> str:
    """The page."""
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    jinja = Environment(
        loader=PackageLoader("contextrl"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters |= {"duration": duration, "estimate": estimate, "diff": marked}
    jinja.globals |= {"measures": MEASURES, "change": change_sentence, "ranges": _ranges}
    page = jinja.get_template("report.html")
    return page.render(
        report=report,
        groups=groups(report, splits=True),
        facts=_facts(report),
        figures=[(title, text, Markup(drawing)) for title, text, drawing in figures_of(report, metrics) if drawing],
        appendices=[(k.capitalize(), _yaml(report[k])) for k in ("config", "versions") if report.get(k)],
    )


def estimate(report: Mapping[str, Any], key: str, bare: bool = False, digits: int = 1) -> str:
    """`42.0% [35.1, 49.2]`, `42.0%` if bare, or `not measured`; `digits` of the interval."""
    value, interval = report.get(key), report.get(f"{key}_interval")
    if value is None:
        return "not measured"
    around = f" [{interval[0] * 100:.{digits}f}, {interval[1] * 100:.{digits}f}]" if interval and not bare else ""
    return f"{value * 100:.1f}%{around}"


def groups(report: Mapping[str, Any], *, splits: bool = False) -> dict[str, Mapping[str, Any]]:
    """Name -> measurements: everything, then each kind of repository; a single kind stands for all. With `splits`,
    each kind is followed by what is new about its tasks.
    """
    kinds: dict[str, Mapping[str, Any]] = report.get("kinds") or {}
    found: dict[str, Mapping[str, Any]] = {} if len(kinds) == 1 else {"all": report}
    for kind, measured in kinds.items():
        found[kind] = measured
        parts = (measured.get("splits") or {}).items() if splits else ()
        found |= {f"{kind}, {SPLITS.get(split, split)}": part for split, part in parts}
    return found


def _facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    counts = {
        "trajectories": "trajectories",
        "context pairs mined": "pairs_mined",
        "iterations": "iterations",
        "held-out tasks": "tasks",
        "held-out pairs": "pairs",
    }
    facts = [(title, f"{report[key]:,}") for title, key in counts.items() if report.get(key) is not None]
    seconds = report.get("wall_seconds")
    return facts if seconds is None else [*facts, ("wall time", duration(seconds))]


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return text


def _ranges(report: Mapping[str, Any], measure: str) -> str:
    from markupsafe import Markup

    both = []
    for when in ("before", "after"):
        value, interval = report.get(f"{measure}_{when}"), report.get(f"{measure}_{when}_interval")
        if value is None:
            return ""
        low, high = interval or (value, value)
        both.append((low, value, high))
    return Markup(interval_bar(both[0], both[1], CHANCE.get(measure)))


def _finite(value: Any) -> Any:
    """The value with what JSON cannot say made null (no number) or text (paths)."""
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)


def write_text(path: Path, text: str) -> None:
    """All of it or nothing: written beside, then moved into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
