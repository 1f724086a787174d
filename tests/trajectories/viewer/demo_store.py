"""A store that looks like those of real runs, made of nothing: what the viewer's tests and screenshots show.

Invariant: the same every time. Pairs are mined by the miner and judged by its judge; nothing is drawn from a clock.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from trajectories.auditing.audit import audit_pairs
from trajectories.judging.rules import RuleJudge
from trajectories.mining.miner import MinerOptions, PairMiner
from trajectories.queries import Lesson, Margin
from trajectories.records import ToolCall, Trajectory, Turn, Verdict
from trajectories.store import SQLStore

FUNCTIONS = ("settle", "refund", "invoice", "payout", "accrue", "reverse")
GOOD = '''def settle(entries, rate, limit):
    """What the entries come to with tax, at most the limit."""
    total = 0
    for entry in entries:
        if entry.void:
            continue
        total += entry.amount
    taxed = total + total * rate
    return min(taxed, limit)
'''
RUNS = {"context-aware": 0.02, "grpo-only": 0.012}
"""Run -> how fast it learns."""
START = 1_760_000_000.0
ROLLOUTS = 4
ITERATIONS = GROUPS = 24
"""One group an iteration."""
TOTAL = len(RUNS) * GROUPS * ROLLOUTS
"""Trajectories."""


class Bug(NamedTuple):
    """One line that is wrong in one function."""

    name: str
    line: str
    right: str
    statement: str
    test: str
    said: str
    function: str = "settle"

    def of(self, function: str) -> Bug:
        """The same in another function."""
        return self._replace(
            function=function,
            statement=self.statement.replace("settle`", f"{function}`"),
            test=f"{self.test}_{function}",
        )

    @property
    def file(self) -> str:
        """Where the function is."""
        return f"ledger/{self.function}.py"

    @property
    def good(self) -> str:
        """The file as it must be."""
        return GOOD.replace("def settle", f"def {self.function}")

    @property
    def source(self) -> str:
        """The file with the bug."""
        return self.good.replace(self.right, self.line)

    @property
    def diff(self) -> str:
        """From the one to the other."""
        lines = unified_diff(
            self.source.splitlines(True), self.good.splitlines(True), f"a/{self.file}", f"b/{self.file}"
        )
        return "".join(lines)

    @property
    def siblings(self) -> list[Bug]:
        """All bugs of its function."""
        return [bug.of(self.function) for bug in BUGS]

    @property
    def instance(self) -> str:
        """The task instance."""
        return f"ledger__{self.function}-{self.name}"


BUGS = (
    Bug(
        "tax",
        "    taxed = total - total * rate",
        "    taxed = total + total * rate",
        "`settle` gives too little where a rate is set: with entries of 100 and a rate of 0.2 it comes to 80.",
        "test_tax_is_added",
        "AssertionError: 80.0 != 120.0",
    ),
    Bug(
        "void",
        "        if not entry.void:",
        "        if entry.void:",
        "`settle` counts what was made void and leaves out all else: three good entries settle to nothing.",
        "test_void_entries_do_not_count",
        "AssertionError: 0 != 300",
    ),
    Bug(
        "limit",
        "    return max(taxed, limit)",
        "    return min(taxed, limit)",
        "`settle` does not hold the limit: an account with a limit of 50 is settled with 120.",
        "test_the_limit_holds",
        "AssertionError: 120.0 != 50",
    ),
    Bug(
        "sum",
        "        total = entry.amount",
        "        total += entry.amount",
        "`settle` forgets entries: of several only the last one is settled.",
        "test_all_entries_count",
        "AssertionError: 40 != 100",
    ),
)


TASKS = [bug.of(function) for function in FUNCTIONS for bug in BUGS]


def fill(path: Path | str) -> SQLStore:
    """A new store with all that the viewer can show. The caller closes it."""
    with patch("time.time", return_value=START + 40_000):
        return _filled(SQLStore(path))


def _filled(store: SQLStore) -> SQLStore:
    rng = random.Random(7)
    tokenizer = _tokenizer()
    miner = PairMiner(store, RuleJudge(), MinerOptions(max_pairs_per_trajectory=4))
    for run, speed in RUNS.items():
        store.claim_run(run, _configuration(run))
        store.add_tasks(run, {bug.instance: _task(bug) for bug in TASKS})
        for iteration in range(ITERATIONS):
            store.add_metrics(run, iteration, _metrics(rng, iteration, speed))
        for number, bug in enumerate(TASKS):
            _add_group(store, miner if run == "context-aware" else None, rng, tokenizer, run, bug, number)
        store.add_finding("tokenizer", run, {"tokenizer_json": tokenizer.to_str()})
        store.release_run(run)
    _later(store, rng)
    return store


def _add_group(
    store: SQLStore, miner: PairMiner | None, rng: random.Random, tokenizer: Tokenizer, run: str, bug: Bug, number: int
) -> None:
    group = [episode(rng, tokenizer, run, bug, number, place) for place in range(ROLLOUTS)]
    store.add_many(group)
    rewards = [t.reward or 0.0 for t in group]
    mean = sum(rewards) / len(rewards)
    spread = math.sqrt(sum((r - mean) ** 2 for r in rewards) / len(rewards)) or 1.0
    store.add_lessons(
        Lesson(
            t.id,
            round((reward - mean) / spread, 4),
            [p + rng.gauss(0, 0.02) for turn in t.turns for p in turn.logprobs],
        )
        for t, reward in zip(group, rewards, strict=True)
    )
    for trajectory in group if miner else ():
        miner.on_insert(trajectory)


def episode(rng: random.Random, tokenizer: Tokenizer, run: str, bug: Bug, number: int, place: int) -> Trajectory:
    """One rollout: looks, edits, tests; the last of a group gives up, or meddles with the grading."""
    fails, meddles = place == 3, place == 2 and bug.name == "limit"
    name = hashlib.sha256(f"{run} {bug.name} {number} {place}".encode()).hexdigest()[:32]
    turns = list(_turns(rng, tokenizer, bug, place, fails))
    diff = "" if fails else bug.diff
    resolved = not fails and not meddles
    status = {bug.test: "passed" if resolved else "failed"}
    others = {f"test_settle.{b.test}": "passed" for b in bug.siblings if b.name != bug.name}
    verdict = Verdict(
        resolved=resolved,
        fail_to_pass={f"test_settle.{test}": said for test, said in status.items()},
        pass_to_pass=others,
        reason="the canary in the test file passed, which must fail" if meddles else "" if resolved else "tests fail",
        seconds=1.4,
        tampered=meddles,
        dropped=("conftest.py",) if meddles else (),
    )
    return Trajectory(
        id=name,
        run=run,
        group=f"{run}/{number}",
        iteration=number,
        instance_id=bug.instance,
        repo="ledger",
        base_commit=hashlib.sha1(b"ledger").hexdigest(),
        problem_statement=f"{bug.statement}\n\nIt should follow docs/settling.md.\n",
        turns=turns,
        patch=diff,
        answer="" if fails else bug.good,
        files=[] if fails else [bug.file],
        functions=[] if fails else [f"{bug.file}::{bug.function}"],
        sources={} if fails else {f"{bug.file}::{bug.function}": bug.source},
        status="truncated" if fails else "submitted",
        verdict=verdict,
        reward=float(resolved),
        policy_version=number,
        agent="tools",
        backend="docker",
        created_at=START + number * 600 + place * 40,
        seconds=sum(turn.seconds for turn in turns) + 3,
    )


def _turns(rng: random.Random, tokenizer: Tokenizer, bug: Bug, place: int, fails: bool) -> Iterator[Turn]:
    tree, diff = "a" * 40, ""

    def turn(think: str, tool: str, seen: str, code: int | None = 0, **arguments: str) -> Turn:
        inner = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in arguments.items())
        text = f"<think>\n{think}\n</think>\n<tool_call>\n<function={tool}>\n{inner}</function>\n</tool_call>"
        ids = tokenizer.encode(text).ids
        seconds = round(rng.uniform(0.1, 2.0) * (4 if tool == "bash" else 1), 3)
        return Turn(
            prompt_ids=tokenizer.encode(seen).ids[:200],
            completion_ids=ids,
            logprobs=[-round(rng.expovariate(6) if rng.random() < 0.8 else rng.expovariate(0.9), 4) for _ in ids],
            policy_version=3,
            text=text,
            tool_call=ToolCall(name=tool, arguments=arguments),
            observation=seen,
            exit_code=code,
            seconds=seconds,
            cpu_seconds=round(seconds * rng.uniform(0.2, 0.9), 3),
            diff=diff,
            tree=tree,
        )

    shown = "".join(f"{i:6}\t{line}\n" for i, line in enumerate(bug.source.splitlines(), 1))
    run = "python -m unittest -v test_settle"
    yield turn("The tests say most. I run them first.", "bash", _log(bug, False), 1, command=run)
    if place == 1:
        yield turn("What does the document promise?", "bash", _DOCUMENT, command="cat docs/settling.md")
    yield turn("Now the function that fails.", "view", shown, path=bug.file)
    if fails:
        seen = "ls: cannot access 'settle': No such file or directory\n"
        yield turn("Perhaps it is somewhere else.", "bash", seen, 2, command="ls settle")
        yield turn("I run them again.", "bash", _log(bug, False), 1, command=run)
        return
    diff, tree = bug.diff, "b" * 40
    edit = "edited\n"
    think = "One line is not as the document has it."
    if place == 1 and bug.name == "sum":
        think += f" It must be {bug.right.strip()} of course."
    yield turn(think, "edit", edit, path=bug.file, old=bug.line, new=bug.right)
    yield turn("Does it hold now?", "bash", _log(bug, True), command=run)
    yield turn("All pass.", "submit", "submitted\n")


_DOCUMENT = """# Settling

Entries that were made void do not count. Tax is added to the total. What is
settled never exceeds the limit of the account.
"""


def _log(bug: Bug, passes: bool) -> str:
    """What the test runner prints, in colours."""
    lines = []
    for each in bug.siblings:
        good = passes or each.name != bug.name
        word = "\x1b[32mok\x1b[0m" if good else "\x1b[1;31mFAIL\x1b[0m"
        lines.append(f"{each.test} (test_settle.SettleTest) ... {word}")
    if not passes:
        lines += ["", "=" * 70, f"\x1b[31mFAIL: {bug.test}\x1b[0m", "-" * 70, f"\x1b[33m{bug.said}\x1b[0m"]
    outcome = "\x1b[32mOK\x1b[0m" if passes else "\x1b[1;31mFAILED (failures=1)\x1b[0m"
    return "\n".join([*lines, "", f"Ran {len(BUGS)} tests in 0.0{len(bug.name)}s", "", outcome, ""])


def _task(bug: Bug) -> dict[str, object]:
    return {
        "instance_id": bug.instance,
        "repo": "ledger",
        "problem_statement": bug.statement,
        "patch": bug.diff,
        "FAIL_TO_PASS": [f"test_settle.{bug.test}"],
        "PASS_TO_PASS": [f"test_settle.{b.test}" for b in bug.siblings if b.name != bug.name],
    }


def _configuration(run: str) -> dict[str, object]:
    weight = 0.005 if run == "context-aware" else 0.0
    recipe = {
        "name": run,
        "policy": "tiny",
        "seed": 0,
        "objective": {
            "name": "grpo",
            "clip_low": 0.2,
            "clip_high": 0.28,
            "kl": 0.001,
            "ca_weight": weight,
            "ca_clip": 5.0,
        },
        "train": {"iterations": ITERATIONS, "groups": 8, "group_size": ROLLOUTS, "learning_rate": 2e-6},
        "repositories": [{"source": "generated:seed=0,modules=4"}],
    }
    return {"recipe": recipe, "versions": {"torch": "2.13.0", "contextrl": "0.1.0"}}


def _metrics(rng: random.Random, iteration: int, speed: float) -> dict[str, object]:
    learned = 1 - math.exp(-speed * 8 * iteration)

    def near(value: float, spread: float) -> float:
        return round(value + rng.gauss(0, spread), 5)

    aware = speed > 0.015
    row: dict[str, object] = {
        "iteration": iteration,
        "resolve_rate": min(1.0, max(0.0, near(0.25 + 0.5 * learned, 0.05))),
        "reward_mean": min(1.0, max(0.0, near(0.25 + 0.5 * learned, 0.05))),
        "loss_grpo": near(0.02 - 0.02 * learned, 0.004),
        "kl": abs(near(0.004 * learned, 0.0004)),
        "entropy": near(0.9 - 0.4 * learned, 0.02),
        "clip_low": abs(near(0.004, 0.001)),
        "clip_high": abs(near(0.007, 0.002)),
        "grad_norm": abs(near(0.6, 0.08)),
        "mismatch_kl": abs(near(2e-4, 4e-5)),
        "staleness": abs(near(0.8, 0.2)),
        "tokens_per_second": near(820, 40),
        "seconds": {
            "sampling": abs(near(14, 1.5)),
            "sandbox": abs(near(9, 1.2)),
            "grading": abs(near(5, 0.8)),
            "learning": abs(near(11, 0.9)),
            "weight_sync": abs(near(1.2, 0.2)),
            "rollout": abs(near(25, 1)),
        },
        "sandboxes": {"mean": abs(near(6, 0.5)), "most": 8 + rng.randrange(3)},
    }
    if aware:
        row |= {
            "loss_ca": abs(near(0.69 - 0.5 * learned, 0.03)),
            "margin": near(3.5 * learned, 0.2),
            "ca_clip_low": 0.0,
            "ca_clip_high": abs(near(0.1 * learned, 0.01)),
        }
    level = 0.35 * learned if aware else 0.0
    accuracy = {"function": near(0.52 + level, 0.03), "file": near(0.54 + level * 1.1, 0.03)}
    return row | {"selection_accuracy": {name: min(1.0, value) for name, value in accuracy.items()}}


def _later(store: SQLStore, rng: random.Random) -> None:
    """What is found out afterwards: margins, an audit, replays, a pair whose label fell."""
    pairs = store.pairs()
    for pair in pairs:
        store.add_margins(
            Margin(pair.id, version, first, round(4 * (1 - math.exp(-version / 6)) + rng.gauss(0, 0.4) - 0.3, 3))
            for version in range(0, ITERATIONS, 2)
            for first in (True, False)
        )
    valid = [pair for pair in pairs if pair.judgement == "valid"]
    for version in (9, 15, 21):
        store.use_pairs([pair.id for pair in valid], version)
    store.retire_pairs([valid[-1].id], "a new right answer solves the confounder's task as well")
    store.add_finding("audit", "context-aware", audit_pairs(valid).to_json())
    for t in (first_of(store, "context-aware"), first_of(store, "grpo-only")):
        store.add_finding("replay", t.id, _replay(t, diverges=t.run == "context-aware"))


def first_of(store: SQLStore, run: str) -> Trajectory:
    """The first trajectory of a run."""
    return store.query(run=run, limit=1)[0]


def _replay(t: Trajectory, *, diverges: bool) -> dict[str, object]:
    steps = []
    for number, turn in enumerate(t.turns, 1):
        same = not (diverges and number == len(t.turns) - 1)
        steps.append(
            {
                "number": number,
                "action": f"{turn.tool_call.name} {' '.join(turn.tool_call.arguments.values())}"[:80],
                "same": same,
                "differs": [] if same else ["observation", "exit_code"],
                "expected": turn.observation,
                "got": turn.observation if same else _log(BUGS[0], False),
                "expected_exit": turn.exit_code,
                "exit": turn.exit_code if same else 1,
                "expected_tree": turn.tree,
                "tree": turn.tree,
                "diff": turn.diff,
                "seconds": turn.seconds,
                "cpu_seconds": turn.cpu_seconds,
            }
        )
    return {
        "trajectory_id": t.id,
        "backend": "docker",
        "image": "ledger",
        "steps": steps,
        "diverged_at": len(t.turns) - 1 if diverges else None,
        "verdict": None,
        "verdict_same": not diverges,
        "stopped_at": None,
        "note": "a test reads the clock" if diverges else "",
    }


def _tokenizer() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    texts = [GOOD, _DOCUMENT, *(_log(bug, False) for bug in BUGS), *(bug.statement for bug in BUGS)]
    made.train_from_iterator(
        texts + ["<think>\n</think>\n<tool_call>\n<function=bash>\n<parameter=command>"] * 4, trainer
    )
    return made
