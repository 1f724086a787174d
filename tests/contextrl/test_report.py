import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from contextrl.report import (
    ReportError,
    change_sentence,
    example,
    groups,
    read_metrics,
    read_report,
    render,
    write_report,
)
from contextrl.summary import summary_table
from trajectories.records import ToolCall, Trajectory, Turn, Verdict
from trajectories.viewer import charts

EVIL = "<script>alert('x')</script>"


def measured(before: float | None, after: float | None, change: float, low: float, high: float) -> dict[str, Any]:
    found: dict[str, Any] = {"tasks": 60, "pairs": 50}
    for measure in ("resolve_rate", "selection_accuracy"):
        for when, value in (("before", before), ("after", after)):
            found[f"{measure}_{when}"] = value
            found[f"{measure}_{when}_interval"] = None if value is None else [value - 0.05, value + 0.05]
        found |= {f"{measure}_change": change, f"{measure}_change_interval": [low, high]}
    return found


def trajectory() -> Trajectory:
    turn = Turn(
        prompt_ids=[1, 2],
        completion_ids=[3],
        logprobs=[-0.1],
        text=EVIL,
        tool_call=ToolCall(name="edit", arguments={"new": f"x = '{EVIL}'"}),
        observation=EVIL,
        exit_code=1,
    )
    broken = Turn(text="sub mit", tool_call=ToolCall(name="", error="no such tool"))
    return Trajectory(
        instance_id="a__f-1",
        repo="a",
        base_commit="0" * 40,
        problem_statement=EVIL,
        turns=[turn, broken],
        patch=f"--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-{EVIL}\n+x = 1\n",
        verdict=Verdict(resolved=False, fail_to_pass={"t.T.test_f": "failed"}, reason=EVIL),
    )


def report(**changes: Any) -> dict[str, Any]:
    return {
        "name": "quick",
        "seed": 3,
        **measured(0.45, 0.87, 0.42, 0.3, 0.5),
        "kinds": {
            "generated": measured(0.45, 0.87, 0.42, 0.3, 0.5),
            "real package": measured(0.1, None, 0.05, -0.02, 0.12),
        },
        "pairs_mined": 2210,
        "trajectories": 3840,
        "iterations": 2,
        "wall_seconds": 412.3,
        "time_split": {"roll out": 300.0, "learn": 112.3},
        "funnel": {"same_repository": 90, "valid": 22},
        "examples": [example(trajectory(), "One")] * 3,
        "notes": [EVIL],
        "config": {"seed": 3, "train": {"iterations": 2}},
        "versions": {"torch": "2"},
        **changes,
    }


METRICS = [
    {
        "iteration": i,
        "resolve_rate": 0.4 + i / 10,
        "loss_grpo": 0.1,
        "loss_ca": 0.7,
        "selection_accuracy": {"level 1": 0.5},
    }
    for i in range(2)
]


def write(tmp_path: Path, **changes: Any) -> str:
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in METRICS) + '{"iterat')
    write_report(tmp_path, report(**changes))
    return (tmp_path / "report.html").read_text()


def test_the_page_is_one_file_without_requests_and_escapes_what_others_wrote(tmp_path: Path) -> None:
    page = write(tmp_path)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 5
    assert not re.search(r"(src|href)\s*=|https?://|url\(|@import", page)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metrics.jsonl", "report.html", "report.json"]


def test_the_page_is_well_formed(tmp_path: Path) -> None:
    class Balanced(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "br"):
                self.open.append(tag)

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    parser = Balanced()
    parser.feed(write(tmp_path))
    assert parser.open == []


def test_the_page_shows_numbers_curves_and_three_trajectories(tmp_path: Path) -> None:
    page = write(tmp_path)
    for text in ("45.0%", "87.0%", "[40,\u00a050]", "rose: +42.0 points [+30.0, +50.0]", "2,210", "3,840", "6:52"):
        assert text in page
    for title in ("Resolve rate in training", "Loss terms", "Selection accuracy in training", "Where the time went"):
        assert title in page
    assert page.count("<details") == 5  # three trajectories, configuration, versions
    assert "not measured" in page
    assert "KL and entropy" not in page  # nothing was measured for it


def test_report_json_says_the_same_and_has_no_token_ids(tmp_path: Path) -> None:
    write(tmp_path, mean=math.nan, runs=Path("runs"))
    found = read_report(tmp_path)
    assert found["resolve_rate_after"] == 0.87
    assert (found["mean"], found["runs"]) == (None, "runs")
    assert "completion_ids" not in found["examples"][0]["turns"][0]
    assert found["examples"][0]["turns"][0]["observation"] == EVIL


def test_a_change_is_one_only_if_its_interval_leaves_zero_out() -> None:
    assert change_sentence(measured(0.4, 0.5, 0.1, 0.01, 0.2), "resolve_rate").startswith("rose: +10.0")
    assert change_sentence(measured(0.5, 0.4, -0.1, -0.2, -0.01), "resolve_rate").startswith("fell: -10.0")
    assert change_sentence(measured(0.5, 0.6, 0.1, -0.01, 0.2), "resolve_rate").startswith("no clear change")
    assert change_sentence({}, "resolve_rate") == "change not measured"


def test_a_run_without_iterations_still_has_a_page(tmp_path: Path) -> None:
    nothing = measured(None, None, 0.0, 0.0, 0.0)
    empty = dict(kinds={}, examples=[], notes=[], funnel={}, time_split={}, iterations=0)
    write_report(tmp_path, report(**(nothing | empty)))
    assert "not measured" in (tmp_path / "report.html").read_text()


def test_an_iteration_played_again_counts_once(tmp_path: Path) -> None:
    rows = [{"iteration": 1, "kl": 1}, {"iteration": 0, "kl": 0}, {"iteration": 1, "kl": 2}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert [row["kl"] for row in read_metrics(tmp_path)] == [0, 2]


def test_a_report_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(ReportError, match=re.escape(str(tmp_path))):
        read_report(tmp_path / "other")
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(ReportError, match="damaged"):
        read_report(tmp_path)


def test_the_terminal_table_ends_with_the_next_commands(tmp_path: Path) -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(summary_table(report(), Path("runs/quick")))
    text = console.export_text()
    assert "real package" in text
    assert "not measured" in text
    assert text.index("contextrl traj ls --run quick") < text.index("contextrl repo add")


def test_ticks_enclose_and_are_round() -> None:
    assert charts.nice_ticks(0, 1) == [0, 0.25, 0.5, 0.75, 1]
    assert charts.nice_ticks(-0.13, 0.71) == [-0.25, 0, 0.25, 0.5, 0.75]
    ticks = charts.nice_ticks(5, 5)
    assert ticks[0] < 5 < ticks[-1]


def test_a_line_goes_where_the_numbers_say() -> None:
    svg = charts.line_chart({"a": [(0, 0.0), (10, 1.0)]}, y_range=(0.0, 1.0))
    left, bottom, right, top = charts.LEFT, charts.HEIGHT - charts.BOTTOM, charts.WIDTH - charts.RIGHT, charts.TOP
    assert f'points="{left:.1f},{bottom:.1f} {right:.1f},{top:.1f}"' in svg
    assert charts.line_chart({"a": []}) == ""
    assert charts.line_chart({"a": [(0, math.nan)]}).startswith('<p class="soft">1 value is left out')


def test_a_run_is_finished_only_when_its_page_is_there(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("contextrl.report.render", killed)
    with pytest.raises(KeyboardInterrupt):
        write_report(tmp_path, report())
    assert not (tmp_path / "report.json").exists()


def test_splits_stand_on_the_page_and_not_in_the_terminal():
    one = measured(0.45, 0.87, 0.42, 0.3, 0.5)
    split = report(kinds={"generated": one | {"splits": {"heldout_function": one, "heldout_mutation": one}}})
    assert list(groups(split)) == ["generated"]
    assert list(groups(split, splits=True)) == [
        "generated",
        "generated, new functions",
        "generated, new bugs in known functions",
    ]
    assert "new bugs in known functions" in render(split, METRICS)
