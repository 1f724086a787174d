"""What a person sees: everything that matters, and nothing that a sandbox could smuggle in."""

import time

import pytest
from rich.console import Console
from trajectory_builders import pair, trajectory, turn

from trajectories.mining.masking import mask_trajectory
from trajectories.records import MASK, ContextPair, ToolCall, Turn, Verdict
from trajectories.show import pair_renderable, trajectory_renderable


def shown(renderable, color_system=None):
    console = Console(width=160, color_system=color_system, force_terminal=color_system is not None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_a_trajectory_shows_issue_turns_patch_and_verdict():
    text = shown(trajectory_renderable(trajectory()))
    for part in ["i1-0", "area is wrong: case i1", "1 test", "FAIL area case i1", "+    return a - b * 7", "resolved"]:
        assert part in text
    assert "1 of 1 tests passed" in text


def test_failures_say_why():
    t = trajectory(resolved=False, turns=[Turn(text="??", tool_call=ToolCall(name="", error="cannot be read"))])
    text = shown(trajectory_renderable(t))
    assert "not resolved" in text
    assert "failed t" in text
    assert "cannot be read" in text
    dead = trajectory(status="infra_error", verdict=None, reward=None)
    assert "not graded, infra_error, no reward" in shown(trajectory_renderable(dead))


def test_an_open_network_is_told():
    assert "network" not in shown(trajectory_renderable(trajectory()))
    assert "docker with the network open" in shown(trajectory_renderable(trajectory(backend="docker", network=True)))


def test_long_observations_lose_their_middle():
    t = trajectory(turns=[turn("test", "\n".join(f"line {i}." for i in range(100)))])
    text = shown(trajectory_renderable(t, max_lines=10))
    assert "line 4." in text
    assert "... 90 lines ..." in text
    assert "line 95." in text
    assert "line 50." not in text


HUGE = 10_000_000


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"problem_statement": "x" * HUGE}, "... 9,998,000 characters ..."),
        ({"problem_statement": "\x1b" * HUGE}, "... 9,998,000 characters ..."),
        ({"problem_statement": "a line\n" * 100_000}, "... 98,000 lines ..."),
        ({"problem_statement": ("y" * 100 + "\n") * 1000}, "... 50,999 characters ..."),
        ({"turns": [turn("view", "x" * HUGE)]}, "... 9,998,000 characters ..."),
        ({"turns": [turn("view", think="x" * HUGE)]}, "characters ..."),
        ({"turns": [Turn(tool_call=ToolCall(name="n" * HUGE))]}, "9,999,900 characters"),
        ({"patch": "+" + "x" * HUGE}, "... 9,998,001 characters ..."),
        ({"functions": [f"a.py::f{i}" for i in range(100_000)]}, "characters ..."),
        ({"verdict": Verdict(resolved=False, fail_to_pass={f"t{i}": "failed" for i in range(100_000)})}, "lines ..."),
    ],
)
def test_what_is_far_too_long_is_shown_at_once_and_how_much_is_left_out_is_said(fields, said):
    started = time.perf_counter()
    text = shown(trajectory_renderable(trajectory(**fields)))
    assert said in text and len(text) < 500_000
    assert time.perf_counter() - started < 3


def test_a_pair_of_huge_texts_is_shown_at_once():
    a = trajectory("i1", problem_statement="x" * HUGE)
    text = shown(pair_renderable(pair(a, trajectory("i2"), answer="y" * HUGE)))
    assert text.count("... 9,998,000 characters ...") == 2 and len(text) < 500_000


def test_text_is_neither_mark_up_nor_terminal_control():
    t = trajectory(
        turns=[turn("test", "[bold]x[/bold] \x1b]0;owned\x07\x1b[2J \x9b31m")],
        problem_statement="[red]\x1b[31m",
        verdict={"resolved": False, "reason": "\x1b[1m"},
    )
    text = shown(trajectory_renderable(t))
    assert "[bold]x[/bold]" in text
    assert "[red]" in text
    assert not any(c in text for c in "\x1b\x07\x9b")


def test_a_pair_shows_both_sides_and_what_differs():
    a, b = trajectory("i1"), trajectory("i2", shown=("-", 7), right=("+", 7))
    made = ContextPair(
        repo="pkg",
        base_commit="c" * 40,
        file="pkg/a.py",
        function="pkg/a.py::area",
        answer=a.answer,
        anchor=mask_trajectory(a),
        confounder=mask_trajectory(b),
        similarity=0.75,
        judgement="invalid",
        reasons=["no_leak: [it] leaks"],
    )
    text = shown(pair_renderable(made))
    for part in [
        "C+ anchor",
        "C- confounder",
        "pkg/a.py::area",
        "75% of the lines",
        "invalid (no_leak: [it] leaks)",
        MASK,
    ]:
        assert part in text
    assert "i1-0" in text
    assert "i2-0" in text
    coloured = shown(pair_renderable(made), "standard")
    (own,) = [line for line in coloured.splitlines() if "return a + b * 7" in line and "return a - b * 7" in line]
    assert "\x1b[32m" in own
    assert "\x1b[31m" in own


def test_what_a_step_changed_stands_after_it():
    before = "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n x\n-old\n+new\n"
    after = "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n x\n-old\n+newer\n"
    turns = [
        turn("bash", "first").model_copy(update={"diff": before, "cpu_seconds": 0.25, "seconds": 1.5}),
        turn("bash", "second").model_copy(update={"diff": before}),
        turn("bash", "third").model_copy(update={"diff": after}),
    ]
    text = shown(trajectory_renderable(trajectory(turns=turns, patch="")))
    assert "1.5 s (0.2 s of CPU time)" in text
    assert "what turn 1 changed" in text and "what turn 2 changed" not in text
    last = text[text.index("what turn 3 changed") :]
    assert "-new " in last and "+newer" in last and "-old" not in last


def test_tests_are_told_before_and_after():
    verdict = Verdict(
        resolved=False,
        fail_to_pass={"mended": "passed", "left": "failed"},
        pass_to_pass={"broken": "failed", "kept": "passed"},
        tampered=True,
        dropped=("conftest.py",),
    )
    text = shown(trajectory_renderable(trajectory(verdict=verdict)))
    told = [line.strip("│ ") for line in text[text.index(" verdict ") :].splitlines()[1:-1]]
    assert told == [
        "somebody meddled with the grading",
        "2 of 4 tests passed",
        "failed left",
        "failed broken, passed before",
        "passed mended, failed before",
        "did not count: conftest.py",
    ]


def test_line_ends_of_another_system_are_no_odd_characters():
    text = shown(trajectory_renderable(trajectory(problem_statement="one\r\ntwo\r\n")))
    assert "one" in text and "\ufffd" not in text


def test_advantage_and_gold_patch_where_they_are_known():
    bare = shown(trajectory_renderable(trajectory()))
    assert "advantage" not in bare and "gold patch" not in bare
    text = shown(trajectory_renderable(trajectory(), advantage=-0.5, gold="--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+gold\n"))
    assert "-0.5" in text and "+gold" in text
