"""The episodes of the demo, and its tokenizer."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

from demo_tasks import BUGS, DOCUMENT, GOOD, Bug, log
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from trajectories.records import ToolCall, Trajectory, Turn, Verdict

START = 1_760_000_000.0
ROLLOUTS = 4


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
    yield turn("The tests say most. I run them first.", "bash", log(bug, False), 1, command=run)
    if place == 1:
        yield turn("What does the document promise?", "bash", DOCUMENT, command="cat docs/settling.md")
    yield turn("Now the function that fails.", "view", shown, path=bug.file)
    if fails:
        seen = "ls: cannot access 'settle': No such file or directory\n"
        yield turn("Perhaps it is somewhere else.", "bash", seen, 2, command="ls settle")
        yield turn("I run them again.", "bash", log(bug, False), 1, command=run)
        return
    diff, tree = bug.diff, "b" * 40
    edit = "edited\n"
    think = "One line is not as the document has it."
    if place == 1 and bug.name == "sum":
        think += f" It must be {bug.right.strip()} of course."
    yield turn(think, "edit", edit, path=bug.file, old=bug.line, new=bug.right)
    yield turn("Does it hold now?", "bash", log(bug, True), command=run)
    yield turn("All pass.", "submit", "submitted\n")


def make_tokenizer() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    texts = [GOOD, DOCUMENT, *(log(bug, False) for bug in BUGS), *(bug.statement for bug in BUGS)]
    made.train_from_iterator(
        texts + ["<think>\n</think>\n<tool_call>\n<function=bash>\n<parameter=command>"] * 4, trainer
    )
    return made
