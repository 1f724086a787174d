"""A store in which every text is an attack on whoever looks at it."""

from __future__ import annotations

from trajectories.mining.masking import mask_trajectory
from trajectories.queries import Lesson, Margin
from trajectories.records import ContextPair, ToolCall, Trajectory, Turn, Verdict
from trajectories.store import SQLStore

MARK = "owned"
EVIL = (
    f"<script>window.{MARK}=1</script><img src=x onerror=\"window.{MARK}=1\"><svg onload='window.{MARK}=1'>"
    f'"\'><a href="javascript:window.{MARK}=1">x</a></pre></textarea></title></style></script><script>window.{MARK}=1'
    f"</script>{{{{7*7}}}}{{%raw%}} \x1b]8;;javascript:window.{MARK}=1\x07link\x1b]8;;\x07 \x1b[31mred\x1b[0m"
    "\x1b]0;title\x07\x1b[2J\x9b31m\x07\x08 \u202etxet\u202c \u2066x\u2069 \u200b\ufeff"
    " \r overwritten &lt;b&gt; &amp; end"
)
DIFF = f"--- a/{EVIL}\n+++ b/x.py\n@@ -1,1 +1,1 @@\n-{EVIL}\n+{EVIL} changed\n"


def fill(path: str) -> list[str]:
    """The addresses, without the host, of every page on which something of it stands."""
    found = [episode(0), episode(1)]
    with SQLStore(path) as store:
        name = store.claim_run(EVIL, {"recipe": {EVIL: EVIL, "nested": {"<b>": [EVIL]}}})
        store.add_many(found)
        store.add_metrics(name, 0, {"iteration": 0, "selection_accuracy": {EVIL: 0.5}, "resolve_rate": 0.5})
        store.add_metrics(name, 1, {"iteration": 1, "selection_accuracy": {EVIL: 0.7}, "resolve_rate": 0.6})
        store.add_tasks(name, {EVIL: {"instance_id": EVIL, "patch": DIFF, "FAIL_TO_PASS": [EVIL], "PASS_TO_PASS": []}})
        store.add_lessons([Lesson(found[0].id, 0.5, [-0.1] * 3)])
        store.mark_filtered([found[0].id], EVIL)
        for judgement in ("valid", "invalid"):
            store.add_pairs([pair(found, judgement)])
        (first, _) = store.pairs()
        store.use_pairs([first.id], 1)
        store.retire_pairs([first.id], EVIL)
        store.add_margins([Margin(first.id, 1, True, 0.5), Margin(first.id, 2, True, 0.7)])
        store.add_funnel(EVIL, {EVIL[:32]: 5, "commit": 9})
        store.add_finding("audit", EVIL, audit())
        store.add_finding("tokenizer", EVIL, {"tokenizer_json": tokenizer()})
        store.add_finding("replay", found[0].id, replay(found[0].id))
        return addresses(found, [p.id for p in store.pairs()])


def episode(number: int) -> Trajectory:
    """Two turns of attacks."""
    call = ToolCall(
        name=EVIL, arguments={EVIL: EVIL, "path": EVIL, "old": EVIL, "new": EVIL + "!", "command": EVIL * 3}
    )
    turn = Turn(
        completion_ids=[0, 1, 2],
        logprobs=[-0.1, -0.2, -0.3],
        text=f"<think>{EVIL}</think>{EVIL}<tool_call>{EVIL}",
        tool_call=call,
        observation=EVIL + "\n" * 50 + EVIL * 40,
        exit_code=1,
        diff=DIFF,
    )
    broken = Turn(text=EVIL, tool_call=ToolCall(name="", error=EVIL), observation=EVIL, diff="")
    return Trajectory(
        id=f"{number}{EVIL}",
        run=EVIL,
        group=EVIL,
        instance_id=EVIL,
        repo=EVIL,
        base_commit=EVIL,
        problem_statement=EVIL,
        turns=[turn, broken],
        patch=DIFF,
        answer=EVIL,
        files=[EVIL],
        functions=[f"{EVIL}::{EVIL}"],
        verdict=Verdict(
            resolved=number == 0,
            fail_to_pass={EVIL: EVIL},
            pass_to_pass={EVIL: EVIL},
            reason=EVIL,
            tampered=True,
            dropped=(EVIL,),
        ),
        reward=float(number == 0),
        agent=EVIL,
        backend=EVIL,
        created_at=1.0,
    )


def pair(found: list[Trajectory], judgement: str) -> ContextPair:
    """Both, masked."""
    anchor, confounder = map(mask_trajectory, found)
    turn = anchor.turns[0].model_copy(update={"evidence": EVIL, "tool": EVIL, "observation": EVIL})
    return ContextPair(
        run=EVIL,
        repo=EVIL,
        base_commit=EVIL,
        file=EVIL,
        function=EVIL,
        answer=EVIL + judgement,
        replaced=EVIL,
        confounder_answer=EVIL,
        anchor=anchor.model_copy(update={"turns": [turn, *anchor.turns[1:]], "cut": EVIL}),
        confounder=confounder,
        judgement=judgement,
        reasons=[EVIL],
    )


def audit() -> dict[str, object]:
    """A finding as `pairs audit` keeps it."""
    one = {"name": EVIL, "looks_at": EVIL, "accuracy": 0.9, "low": 0.8, "high": 1.0, "p_adjusted": 0.0}
    finding = one | {"flagged": True, "below": False, "examples": [EVIL]}
    return {"pairs": 1, "functions": 1, "findings": [finding], "flagged": [EVIL], "skipped": [EVIL], "of": EVIL}


def replay(trajectory_id: str) -> dict[str, object]:
    """A report with a divergence in everything."""
    step = {
        "number": 1,
        "action": EVIL,
        "same": False,
        "differs": [EVIL],
        "not_compared": [EVIL],
        "not_replayed": EVIL,
        "expected": EVIL,
        "got": EVIL + "2",
        "expected_exit": 1,
        "exit": 2,
        "expected_tree": EVIL,
        "tree": EVIL[::-1],
        "expected_diff": DIFF,
        "diff": EVIL,
    }
    return {
        "trajectory_id": trajectory_id,
        "backend": EVIL,
        "steps": [step],
        "diverged_at": 1,
        "verdict_same": False,
        "verdict_differs": [EVIL],
        "note": EVIL,
    }


def tokenizer() -> str:
    """Three tokens whose texts are attacks."""
    from tokenizers import Tokenizer, models

    return Tokenizer(
        models.WordLevel({EVIL: 0, "<img src=x onerror=alert(1)>": 1, "\u202e": 2}, unk_token=EVIL)
    ).to_str()


def addresses(found: list[Trajectory], pairs: list[str]) -> list[str]:
    """Of all pages and fragments."""
    from trajectories.viewer.asking import address

    first = found[0].id
    return [
        address("/"),
        address("/", run=EVIL),
        address("/run", name=EVIL),
        address("/trajectories"),
        address("/trajectories", text="overwritten", run=EVIL, agent=EVIL, group=EVIL, instance=EVIL, sort="agent"),
        address("/trajectories", agent="nobody" + EVIL),
        address("/trajectories", text=EVIL),
        *(address("/trajectory", id=t.id) for t in found),
        address("/trajectory", id=first, list=f"text=overwritten&agent={EVIL}", at=0),
        *(address("/tokens", id=first, turn=1, by=by) for by in ("logprob", "advantage", "mismatch")),
        address("/text", id=first, turn=1, part="observation", form="ansi"),
        address("/text", id=first, turn=1, part="argument", name=EVIL, form="plain"),
        address("/text", id=first, part="patch", form="diff"),
        address("/groups"),
        address("/groups", instance=EVIL),
        address("/group", run=EVIL, group=EVIL),
        address("/pairs"),
        address("/pairs", function=EVIL),
        *(address("/pair", id=pair_id) for pair_id in pairs),
        address("/funnel", name=EVIL),
        address("/audit", name=EVIL),
        address("/audit", name="x" + EVIL),
        address("/compare", run=EVIL),
        address("/compare", trajectory=[t.id for t in found]),
        # what is not there is said with its name
        address("/run", name="x" + EVIL),
        address("/trajectory", id=EVIL),
        address("/trajectories", sort=EVIL),
        address("/funnel", name="x" + EVIL),
    ]
