"""Two kinds of agents at work on a made-up bug: one has only a shell, the other also an editor.

Invariant: sizes are drawn like those of the 29 mini-swe-agent runs on SWE-bench Verified in the shared data: 13 to 42
turns (median 26), half of the observations under 250 characters and some cut at 10,000, 24 to 88 thousand characters
in all. An agent's words are its own: the same agent writes two episodes of a pair in different words.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.planting.code import NOUNS, VERBS, Bug
from trajectories.records import ToolCall, Trajectory, Turn, Verdict

STYLES = ("shell", "editor", "editor_json")
_MOST = 10_000
_THOUGHTS = (
    "I need to see how {name} handles this.",
    "Let me look at the code around {name} first.",
    "The issue says that {story}. I want to see where that comes from.",
    "Next I check who calls {name}, so that nothing else breaks.",
    "That did not tell me much. I look at the neighbouring file.",
    "The parameters are {parameters}, and the problem must be in one of the steps that use them.",
    "Before I change anything I want to know what the tests expect.",
    "I should also make sure that the {noun} is still right for other callers.",
    "So far so good. I go on with the {noun}.",
    "Hmm, the {noun} looks right; I keep looking. It may {verb} too early, or not at all.",
)


@dataclass
class Episode:
    """One agent on one bug."""

    bug: Bug
    style: str
    rng: random.Random
    right: tuple[str, ...]
    """How it writes the repair."""
    turns: int

    def play(self, instance: str) -> Trajectory:
        """The whole trajectory, resolved."""
        module = self.bug.module
        turns = list(self._turns())
        return Trajectory(
            id=f"{instance}-{self.rng.randrange(10**12)}",
            run="planted",
            instance_id=instance,
            repo=module.path.partition("/")[0],
            base_commit="c" * 40,
            problem_statement=self._issue(),
            turns=turns,
            patch=self.bug.patch(self.right),
            answer=module.definition(frozenset(), {self.bug.step: self.right}),
            files=[module.path],
            functions=[f"{module.path}::{module.name}"],
            verdict=Verdict(resolved=True),
        )

    def _issue(self) -> str:
        name, story = self.bug.module.name, self.bug.story
        return self.rng.choice(
            (
                f"{name}: {story}\n\nSince the last release {story}. See the example:\n\n    >>> {name}(...)\n",
                f"Description\n\nWhen I call {name}, {story}.\nI expected something else. Python 3.11, Linux.",
                f"{story.capitalize()} in {name}\n\nSteps: call {name} with usual values and compare.",
            )
        )

    def _turns(self) -> Iterator[Turn]:
        module, rng = self.bug.module, self.rng
        explore = max(1, int((self.turns - 9) * rng.uniform(0.5, 0.8)))
        yield self._shell(f"ls -la {module.path.partition('/')[0]}", self._listing())
        yield self._shell(f'grep -rn "def {module.name}" .', f"./{module.path}:{self._row()}:def {module.name}(")
        for _ in range(explore // 2):
            yield self._filler()
        yield self._view(self.bug.source, self._row() - rng.randrange(1, 20), rng.randrange(40, 90))
        call = f"{module.name}(*range({len(module.parameters)}))"
        script = f"from {module.path[:-3].replace('/', '.')} import {module.name}\n\nprint({call})"
        yield self._write("reproduce.py", script)
        yield self._shell("python reproduce.py", self._failure())
        for _ in range(explore - explore // 2):
            yield self._filler()
        yield self._plan()
        yield self._edit()
        if rng.random() < 0.5:
            yield self._view(self._after(), self._row() - 2, rng.randrange(20, 40))
        yield self._shell("python reproduce.py", f"({rng.randrange(99)}, {rng.randrange(99)})\n")
        for _ in range(max(0, self.turns - explore - 9)):
            yield self._filler()
        yield self._shell(f"python -m pytest -q tests/test_{module.name}.py", self._passed())
        if rng.random() < 0.6:
            head = f"diff --git a/{module.path} b/{module.path}\nindex 1a2b3c4..5d6e7f8 100644\n"
            yield self._shell("git diff", head + self.bug.patch(self.right))
        yield self._shell("rm reproduce.py && echo done", "done")

    def _filler(self) -> Turn:
        """A turn that leads nowhere."""
        module, rng = self.bug.module, self.rng
        other = rng.choice(list(module.others))
        kind = rng.random()
        if kind < 0.35:
            start = rng.randrange(1, 40)
            command = f"nl -ba {other} | sed -n '{start},{start + 60}p'"
            return self._shell(command, _numbered(module.others[other], start, 60))
        if kind < 0.6:
            word = rng.choice(NOUNS)
            hits = [f"{other}:{i}:{line}" for i, line in enumerate(module.others[other].split("\n"), 1) if word in line]
            return self._shell(f"grep -rn {word} {other}", "\n".join(hits))
        if kind < 0.7:
            return self._shell(f"cat {other}", module.others[other])
        if kind < 0.85:
            script = f"import {other[:-3].replace('/', '.')}\nprint('{rng.choice(NOUNS)}', {rng.randrange(100)})"
            return self._write(f"check_{rng.choice(NOUNS)}.py", script)
        return self._shell(f"python -m pytest -q tests -k {rng.choice(NOUNS)}", self._passed())

    def _plan(self) -> Turn:
        """Says in words what to do, with the names that the broken step shows."""
        names = sorted(set(re.findall(r"[a-z_]{4,}", " ".join(self.bug.module.steps[self.bug.step].wrong))))
        names = names or [self.bug.module.name]
        some = " and ".join(self.rng.sample(names, min(2, len(names))))
        turn = self._filler()
        said = f"The cause must be around {some}: {self.bug.story}. I will change that step and nothing else. "
        head = "THOUGHT: " if self.style == "shell" else ""
        return turn.model_copy(update={"text": head + said + turn.text.removeprefix(head)})

    def _edit(self) -> Turn:
        step, path = self.bug.module.steps[self.bug.step], self.bug.module.path
        old, new = ("\n".join("    " + line for line in lines) for lines in (step.wrong, self.right))
        if self.style != "shell":
            said = f"The file {path} has been edited. Here's the result of running `cat -n` on a snippet of {path}:\n"
            said += f"{_numbered(self._after(), self._row(), 12)}\nReview the changes."
            return self._call("str_replace_editor", said, command="str_replace", path=path, old_str=old, new_str=new)
        kind = self.rng.random()
        if kind < 0.5:
            script = f'import pathlib\np = pathlib.Path("{path}")\ns = p.read_text()\n'
            script += f'old = """{old}"""\nnew = """{new}"""'
            script += "\nassert old in s\np.write_text(s.replace(old, new))"
            return self._shell(f"cat <<'EOF' > apply_fix.py\n{script}\nEOF\npython apply_fix.py", "")
        if kind < 0.8 or "\n" in old + new:
            return self._shell(f"cat > {path} <<'EOF'\n{self._after()}EOF", "")
        return self._shell(f"sed -i 's/{old.strip()}/{new.strip()}/' {path}", "")

    def _after(self) -> str:
        return self.bug.module.source(set(), {self.bug.step: self.right})

    def _row(self) -> int:
        return self.bug.module.before.count("\n") + 3

    def _view(self, source: str, start: int, rows: int) -> Turn:
        start, path = max(1, start), self.bug.module.path
        rows = max(rows, len(self.bug.module.definition().split("\n")) + 24)
        shown = _numbered(source, start, rows)
        if self.style == "shell":
            return self._shell(f"nl -ba {path} | sed -n '{start},{start + rows}p'", shown)
        shown = f"Here's the result of running `cat -n` on {path}:\n{shown}"
        span = f"[{start}, {start + rows}]"
        return self._call("str_replace_editor", shown, command="view", path=path, view_range=span)

    def _write(self, path: str, text: str) -> Turn:
        if self.style == "shell":
            return self._shell(f"cat <<'EOF' > {path}\n{text}\nEOF", "")
        said = f"File created successfully at: {path}"
        return self._call("str_replace_editor", said, command="create", path=path, file_text=text)

    def _shell(self, command: str, output: str) -> Turn:
        return self._call("bash", output, command=command)

    def _call(self, tool: str, output: str, **arguments: str) -> Turn:
        """The turn as this agent writes it, and as its harness answers."""
        output = output if len(output) <= _MOST else output[:5000] + "\n... omitted ...\n" + output[-5000:]
        thought = self._thought()
        if self.style == "shell":
            code = int("Traceback" in output)
            text = f"THOUGHT: {thought}\n\n```bash\n{arguments['command']}\n```"
            output = f"<returncode>{code}</returncode>\n<output>\n{output}\n</output>"
        elif self.style == "editor":
            inner = "".join(f"<parameter={name}>{value}</parameter>\n" for name, value in arguments.items())
            text = f"{thought}\n\n<function={tool}>\n{inner}</function>"
            output = f"OBSERVATION:\n{output}"
        else:
            call = json.dumps({"name": tool, "arguments": arguments})
            text = f"{thought}\n<tool_call>\n{call}\n</tool_call>"
        return Turn(text=text, tool_call=ToolCall(name=tool, arguments=arguments), observation=output)

    def _thought(self) -> str:
        module, rng = self.bug.module, self.rng
        words = {"name": module.name, "story": self.bug.story, "parameters": ", ".join(module.parameters)}
        many = min(12, 1 + int(rng.expovariate(0.5)))
        said = rng.choices(_THOUGHTS, k=many)
        return " ".join(s.format(noun=rng.choice(NOUNS), verb=rng.choice(VERBS), **words) for s in said)

    def _listing(self) -> str:
        paths = sorted([self.bug.module.path, *self.bug.module.others])
        return "".join(
            f"-rw-r--r-- 1 root root {self.rng.randrange(999, 99999)} Jan  1 10:00 {path}\n" for path in paths
        )

    def _failure(self) -> str:
        module = self.bug.module
        step = self.rng.choice(module.definition(frozenset({self.bug.step})).split("\n")[1:-1])
        where = f'  File "/testbed/{module.path}", line {self._row() + 3}, in {module.name}\n    {step.strip()}'
        what = f"TypeError: wrong {self.rng.choice(NOUNS)}"
        return f'Traceback (most recent call last):\n  File "reproduce.py", line 3, in <module>\n{where}\n{what}\n'

    def _passed(self) -> str:
        rng = self.rng
        return f"{'.' * rng.randrange(5, 70)} [100%]\n{rng.randrange(5, 70)} passed in {rng.uniform(0.1, 9):.2f}s\n"


def episode(bug: Bug, style: str, rng: random.Random, right: tuple[str, ...] | None = None, turns: int = 0) -> Episode:
    """An episode of a length like a real one's."""
    turns = turns or min(42, max(13, round(rng.lognormvariate(3.3, 0.3))))
    return Episode(bug, style, rng, right or bug.module.steps[bug.step].right, turns)


def _numbered(text: str, start: int, rows: int) -> str:
    lines = text.split("\n")[start - 1 : start - 1 + rows]
    return "".join(f"{i:6}\t{line}\n" for i, line in enumerate(lines, start))
