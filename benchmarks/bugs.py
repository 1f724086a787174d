"""Episodes that repair bugs of a few functions each, as large as real ones: what the miner is measured with.

An episode reads the issue, sees a test fail, views the function, edits the line that is wrong (with the shell or with
an editor's tool), looks at the result and submits; between these, turns of sizes drawn from real ones. All issues of a
function break another line of it, so its trajectories show the same code but for a line, as SWE-smith's do.
"""

from __future__ import annotations

import random

from benchmarks.realistic import Episodes
from trajectories.records import ToolCall, Trajectory, Turn

REPOSITORIES, FILES, FUNCTIONS, ISSUES, GROUP = 128, 4, 2, 8, 8
"""Files of a repository, functions of a file, issues of a function, trajectories of a group: 65,536 in all."""
LENGTH = 40
"""Lines of a function."""
RESOLVED = 0.5


class BugEpisodes(Episodes):
    """An endless supply. The same seed gives the same episodes; issues come again in another order each round."""

    def next(self, run: str = "bench") -> Trajectory:
        """One more, of a group on the same issue."""
        number = self._made
        filler = super().next(run)
        rng = self._rng
        order = random.Random(f"{self._name}/{number // (GROUP * ISSUES * FUNCTIONS * FILES * REPOSITORIES)}")
        places = REPOSITORIES * FILES * FUNCTIONS * ISSUES
        place = (number // GROUP * 7919 + order.randrange(places)) % places  # neighbours in time are not in place
        issue, rest = place % ISSUES, place // ISSUES
        function, rest = rest % FUNCTIONS, rest // FUNCTIONS
        file, repo = rest % FILES, rest // FILES
        return self._repair(filler, repo, file, function, issue, rng)

    def _repair(
        self, filler: Trajectory, repo: int, file: int, function: int, issue: int, rng: random.Random
    ) -> Trajectory:
        path, name = f"package_{repo}/module_{file}.py", f"function_{function}"
        right, wrong = source(repo, file, function), source(repo, file, function, issue)
        at = next(i for i, (a, b) in enumerate(zip(right, wrong, strict=True)) if a != b)
        resolved = rng.random() < RESOLVED
        new = right[at] if resolved else f"{right[at]} or {rng.randrange(100)}"
        after = [*wrong[:at], new, *wrong[at + 1 :]]
        of_function, of_issue = (random.Random(f"{repo}/{file}/{function}/{n}") for n in ("", issue))
        statement = self._cut(of_function, 1500) + self._cut(of_issue, 1500)
        turns = list(filler.turns)
        half = len(turns) // 2
        shown = "\n".join(f"{i + 120:6}\t{line}" for i, line in enumerate(wrong))
        turns[2] = said(
            turns[2], f"python -m pytest tests/test_{file}.py", f"FAILED tests/test_{file}.py::test_{issue}"
        )
        turns[4] = said(turns[4], f"nl -ba {path} | sed -n '120,160p'", shown)
        turns[half] = edit(turns[half], path, wrong[at], new, at + 120, with_editor=repo % 2 == 0)
        seen = "\n".join(f"{i + 120:6}\t{line}" for i, line in enumerate(after))
        turns[half + 1] = said(turns[half + 1], f"nl -ba {path} | sed -n '120,160p'", seen)
        turns[-1] = said(turns[-1], "git diff", "")
        body = "".join(f" {line}\n" for line in wrong[max(0, at - 3) : at])
        tail = "".join(f" {line}\n" for line in wrong[at + 1 : at + 4])
        hunk = f"@@ -{at + 117},7 +{at + 117},7 @@ class Thing:\n{body}-{wrong[at]}\n+{new}\n{tail}"
        return filler.model_copy(
            update={
                "instance_id": f"repo_{repo}.{file}.{function}.{issue}",
                "repo": f"owner/repo_{repo}",
                "base_commit": f"{repo:040x}",
                "problem_statement": f"{name} of {path} is wrong, case {issue}.\n{statement}",
                "turns": turns,
                "patch": f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n{hunk}",
                "answer": "\n".join(after) + "\n",
                "sources": {f"{path}::{name}": "\n".join(wrong) + "\n"},
                "files": [path],
                "functions": [f"{path}::{name}"],
                "status": "submitted",
                "verdict": filler.verdict and filler.verdict.model_copy(update={"resolved": resolved}),
                "reward": float(resolved),
            }
        )


def source(repo: int, file: int, function: int, issue: int | None = None) -> list[str]:
    """The lines of a function, with the bug of an issue in one of them."""
    rng = random.Random(f"{repo}/{file}/{function}")
    lines = [f"def function_{function}(left, right, width=None):"]
    for i in range(1, LENGTH):
        a, b = (rng.choice(("left", "right", "width", f"value_{i - 1}")) for _ in range(2))
        lines.append(f"    value_{i} = combine({a}, {b}, {rng.randrange(1000)}) + offset_{rng.randrange(100)}")
    if issue is not None:
        at = 3 + 4 * issue
        lines[at] = lines[at].replace(") + ", ") - ")
    return lines


def said(turn: Turn, command: str, observation: str) -> Turn:
    """A turn of the shell with the filler's words before the command."""
    text = f"{turn.text}\n\n```bash\n{command}\n```"
    call = ToolCall(name="bash", arguments={"command": command})
    return turn.model_copy(update={"text": text, "tool_call": call, "observation": observation})


def edit(turn: Turn, path: str, old: str, new: str, line: int, *, with_editor: bool) -> Turn:
    """The turn that changes the line."""
    if not with_editor:
        return said(turn, f"sed -i '{line}s/.*/{new}/' {path}", "")
    arguments = {"command": "str_replace", "path": f"/testbed/{path}", "old_str": old, "new_str": new}
    inner = "".join(f"<parameter={k}>{v}</parameter>\n" for k, v in arguments.items())
    text = f"{turn.text}\n\n<function=str_replace_editor>\n{inner}</function>"
    call = ToolCall(name="str_replace_editor", arguments=arguments)
    return turn.model_copy(update={"text": text, "tool_call": call, "observation": f"edited {path}\n{line}\t{new}"})
