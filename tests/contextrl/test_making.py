"""What `contextrl tasks make` says at the end comes from the task set."""

from pathlib import Path

from contextrl.cli.making import summary
from envs.task import TaskInstance
from envs.tasksets import save_taskset


def test_the_summary_says_what_was_made_and_what_was_not(tmp_path: Path) -> None:
    names = ["a.py::f", "a.py::f", "a.py::g"]
    tasks = [
        TaskInstance(
            instance_id=f"t{i}", repo="r", base_commit="c", problem_statement="", patch="", FAIL_TO_PASS=("a",),
            PASS_TO_PASS=("b",), functions=(name,), flaky=("shaky",) if i else (),
        )
        for i, name in enumerate(names)
    ]  # fmt: skip
    funnel = {"valid": 3, "hangs": 1, "no test fails": 4}
    suite = {"tests": 40, "cpu_seconds": 2.0}
    usage = {"calls": 9, "failures": 1, "input_tokens": 800, "output_tokens": 90, "cost": 0.25}
    made = {"funnel": funnel, "suite": suite, "cpu_seconds": 8.0, "flaky": ["other"], "model": {"name": "m", **usage}}
    save_taskset(tasks, tmp_path / "set", made)
    assert dict(summary(tasks, tmp_path / "set", 12.0)) == {
        "tasks": f"3 in {tmp_path / 'set'}",
        "yield": "3 of 8 candidates are valid (38%)",
        "rejected": "1 hangs, 4 no test fails",
        "rate": "12.0 bugs a minute",
        "cost": "0.50 runs of all 40 tests for each candidate",
        "model": "m: 9 calls (1 failed), 800 tokens in, 90 out, cost 0.2500",
        "functions": "2, 1 of them with several bugs",
        "hidden calls": "0 of 3 tasks have some",
        "flaky tests": "2 left out: other, shaky",
    }
