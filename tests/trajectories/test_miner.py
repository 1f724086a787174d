"""The miner takes a trajectory through the cascade, online, in bounded time, and the same each time."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from trajectory_builders import PLANTED, planted, trajectory, turn

from trajectories.judge import RuleJudge
from trajectories.mining.masking import leaks
from trajectories.mining.miner import FUNNEL, MinerOptions, PairMiner
from trajectories.protocol import RightAnswer
from trajectories.records import Verdict
from trajectories.storage.pairs import pair_key
from trajectories.store import SQLStore

PLUS, MINUS = ("+", 7), ("-", 7)
A = {"shown": PLUS, "right": MINUS}
B = {"shown": MINUS, "right": PLUS}
"""Two issues of one function that show each other's answer."""


OF_OLD = {"keep_after_edit": False, "max_pairs_per_function": 1000}
"""Contexts that end with the edit, and no quota: what these tests are about is then seen best."""


@pytest.fixture
def store():
    with SQLStore("sqlite://") as opened:
        yield opened


def mine(store, *trajectories, judge=None, gold=None, **options):
    """Add and mine one after the other; what each brought."""
    miner = PairMiner(store, judge or RuleJudge(), MinerOptions(**OF_OLD | options), gold)
    found = []
    end = store.subscribe(lambda t: found.append(miner.on_insert(t)))
    for t in trajectories:
        store.add(t)
    end()
    return found


def test_two_resolved_neighbours_make_a_pair_in_both_directions(store):
    first, second = mine(store, trajectory("i1", **A), trajectory("i2", **B))
    assert first == []
    assert [(p.anchor.instance_id, p.confounder.instance_id, p.judgement) for p in second] == [
        ("i2", "i1", "valid"),
        ("i1", "i2", "valid"),
    ]
    p = second[1]
    assert (p.answer, p.confounder_answer) == (trajectory("i1", **A).answer, trajectory("i2", **B).answer)
    assert (p.run, p.repo, p.file, p.function, p.stage) == ("r", "pkg", "pkg/a.py", "pkg/a.py::area", "function")
    assert p.similarity == pytest.approx(2 * 26 / 58, abs=0.15)
    assert p.id == pair_key(p)[:32]
    assert leaks(p.anchor, trajectory("i1", **A).patch) == []
    assert store.pairs() == second


def test_only_a_resolved_trajectory_is_an_anchor(store):
    (_, pairs) = mine(store, trajectory("i1", **A), trajectory("i2", **B, resolved=False))
    assert [(p.anchor.instance_id, p.judgement) for p in pairs] == [("i1", "uncertain")]
    assert pairs[0].reasons == ["other_answer: no right answer to the confounder's task is known yet"]


def test_an_uncertain_pair_is_decided_when_the_answer_becomes_known(store):
    a, failed = trajectory("i1", **A), trajectory("i2", **B, resolved=False)
    mine(store, a, failed, trajectory("i2", **B, number=1), trajectory("i2", **B, resolved=False, number=2))
    assert {p.judgement for p in store.pairs()} == {"valid"}
    funnel = store.funnel("r")
    assert (funnel["asked"], funnel["valid"], funnel["uncertain"]) == (2, 2, 0)
    assert store.count_pairs() == 2


def test_gold_answers_decide_at_once(store):
    gold = {"i2": trajectory("i2", **B).answer}
    (_, pairs) = mine(store, trajectory("i1", **A), trajectory("i2", **B, resolved=False), gold=gold)
    assert [p.judgement for p in pairs] == ["valid"]


def test_the_same_answer_makes_no_pair(store):
    (_, pairs) = mine(store, trajectory("i1", **A), trajectory("i2", shown=("*", 7), right=MINUS))
    assert {p.judgement for p in pairs} == {"invalid"}


WIDTH, HEIGHT = (0, "    width = abs(a) - 1"), (1, "    height = abs(b) - 1")
"""Bugs of one function on two lines: both are repaired to the same text."""


def test_two_bugs_of_one_function_are_told_apart_by_the_line_that_is_repaired(store):
    first, second = planted("i1", WIDTH), planted("i2", HEIGHT)
    assert first.answer == second.answer
    _, pairs = mine(store, first, second)
    assert [(p.anchor.instance_id, p.judgement) for p in pairs] == [("i2", "valid"), ("i1", "valid")]
    pair = pairs[1]
    assert (pair.answer, pair.confounder_answer) == (PLANTED[0] + "\n", PLANTED[1] + "\n")
    assert pair.answer in pair.confounder.turns[0].observation, "unbroken: only reading tells"
    for context in (pair.anchor, pair.confounder):
        written = "".join(turn.text for turn in context.turns)
        assert not any(line.strip() in written for line in PLANTED)
    assert leaks(pair.anchor, first.patch) == leaks(pair.confounder, second.patch) == []


def test_counting_words_does_not_tell_two_bugs_of_one_function_apart(store):
    """The anchor shows the broken line, the confounder the repaired one; after the edits neither is shown."""
    after = turn("view", "def area(a, b):\n" + "\n".join(PLANTED) + "\n", path="pkg/a.py")
    first, second = (
        t.model_copy(update={"turns": [*t.turns[:-1], after, t.turns[-1]]})
        for t in (planted("i1", WIDTH), planted("i2", HEIGHT))
    )
    _, pairs = mine(store, first, second, keep_after_edit=True)
    pair = next(p for p in pairs if p.anchor.instance_id == "i1")
    assert pair.shown_answer == f"-{WIDTH[1]}\n+{PLANTED[0]}\n"
    assert (pair.replaced, pair.answer) == (WIDTH[1] + "\n", PLANTED[0] + "\n")
    for context, line in ((pair.anchor, WIDTH[1]), (pair.confounder, PLANTED[0])):
        shown = [turn.observation for turn in context.turns]
        assert line in shown[0] and not any(line.strip() in text for text in shown[1:])
    assert store.pairs()[0].replaced, "kept in the store"


def test_what_the_policy_said_of_the_repaired_line_is_still_a_leak(store):
    told = [turn("view", "nothing of it", path="docs/a.md", think="width = abs(a) + 1, surely. ")]
    confounder = planted("i2", HEIGHT)
    told += [turn("edit", "edited", path="pkg/a.py", old="x", new=PLANTED[1])]
    _, pairs = mine(store, planted("i1", WIDTH), confounder.model_copy(update={"turns": told}))
    (pair,) = (p for p in pairs if p.anchor.instance_id == "i1")
    assert "no_leak: the confounder gives the answer's line 'width = abs(a) + 1' away" in pair.reasons


@pytest.mark.parametrize(
    ("bugs", "reason"),
    [
        ([(0, "    width = abs(b) + 1")], "the answer solves the confounder's task as well"),
        ([WIDTH, HEIGHT], "every line of the answer is one that the confounder's task needs"),
    ],
)
def test_two_bugs_on_one_line_make_no_pair(store, bugs, reason):
    _, pairs = mine(store, planted("i1", WIDTH), planted("i2", *bugs))
    assert {p.judgement for p in pairs} == {"invalid"}
    assert [p.reasons for p in pairs if p.anchor.instance_id == "i1"] == [[f"other_answer: {reason}"]]


def test_the_lines_of_a_task_that_was_not_resolved_come_from_the_store_or_from_gold(store):
    right = planted("i2", HEIGHT)
    failed = planted("i2", HEIGHT, resolved=False, number=1, answer="def area(a, b):\n    pass\n")
    expected = (PLANTED[0] + "\n", PLANTED[1] + "\n", "valid")
    store.add(right)
    *_, pairs = mine(store, failed, planted("i1", WIDTH), max_partners=1)
    assert [(p.answer, p.confounder_answer, p.judgement) for p in pairs] == [expected]
    with SQLStore("sqlite://") as other:
        gold = {"i2": RightAnswer(right.answer, right.patch)}
        _, pairs = mine(other, failed, planted("i1", WIDTH), gold=gold)
        assert [(p.answer, p.confounder_answer, p.judgement) for p in pairs] == [expected]
    with SQLStore("sqlite://") as third:
        _, pairs = mine(third, failed, planted("i1", WIDTH), gold={"i2": right.answer})
        assert [p.judgement for p in pairs] == ["invalid"], "of a right answer without its patch no lines are known"


@pytest.mark.parametrize(
    "other",
    [
        {"run": "s"},
        {"repo": "q"},
        {"base_commit": "d" * 40},
        {"function": "volume"},
        {"status": "infra_error"},
        {"problem_statement": "area is wrong:  case i1"},
        {"turns": [turn("view", "code", path="pkg/a.py"), turn("submit")]},
    ],
)
def test_what_is_no_neighbour_makes_no_pair(store, other):
    assert mine(store, trajectory("i1", **A), trajectory("i2", **B, **other)) == [[], []]


def test_the_same_instance_makes_no_pair(store):
    assert mine(store, trajectory("i1", **A), trajectory("i1", **B, number=1, problem_statement="x")) == [[], []]


def test_other_runs_and_equal_statements_on_request(store):
    same = "area is wrong: case i1"
    other = trajectory("i2", **B, run="s", problem_statement=same)
    found = mine(store, trajectory("i1", **A), other, across_runs=True, distinct_statements=False)
    assert [len(pairs) for pairs in found] == [0, 2]


def test_a_couple_counts_for_its_deepest_stage(store):
    near = trajectory("i1", **A)
    same_file = trajectory("i2", **B, function="volume")
    same_repo = trajectory("i3", **A, function="length", file="pkg/b.py")
    stages = frozenset({"function", "file", "repo"})
    mine(store, near, same_file, same_repo, trajectory("i4", **B), stages=stages)
    assert {(p.anchor.instance_id, p.confounder.instance_id): p.stage for p in store.pairs()} == {
        ("i2", "i1"): "file",
        ("i1", "i2"): "file",
        ("i3", "i2"): "repo",
        ("i2", "i3"): "repo",
        ("i3", "i1"): "repo",
        ("i1", "i3"): "repo",
        ("i4", "i1"): "function",
        ("i1", "i4"): "function",
        ("i4", "i2"): "file",
        ("i2", "i4"): "file",
        ("i4", "i3"): "repo",
        ("i3", "i4"): "repo",
    }
    repo = store.pairs(stage="repo")[0]
    assert (repo.function, repo.file) == ("pkg/b.py::length", "pkg/b.py")


def test_unrelated_issues_beyond_the_function(store):
    verdict = Verdict(resolved=True, fail_to_pass={"u": "passed"})
    other = trajectory("i2", **B, function="volume", problem_statement="Nothing whatever to do", verdict=verdict)
    assert mine(store, trajectory("i1", **A), other, stages=frozenset({"file"})) == [[], []]


def test_the_funnel_counts_every_stage(store):
    mine(
        store,
        trajectory("i1", **A),
        trajectory("i2", **B),
        trajectory("i3", **A, function="volume"),
        trajectory("i4", **A, file="pkg/b.py"),
        trajectory("i1", **A, number=1),
        trajectory("x", status="infra_error", patch="", files=[], functions=[]),
        trajectory("i5", shown=("*", 7), right=MINUS),
    )
    assert list(FUNNEL[:7]) == ["commit", "file", "function", "distinct", "related", "close", "masked"]
    assert list(FUNNEL[7:]) == ["asked", "valid", "uncertain", "invalid"]
    assert store.funnel("r") == {
        "commit": 1 + 2 + 3 + 4 + 6,
        "file": 1 + 2 + 0 + 3 + 4,
        "function": 1 + 0 + 0 + 2 + 3,
        "distinct": 1 + 1 + 3,
        "related": 1 + 1 + 3,
        "close": 1 + 1 + 3,
        "masked": 1 + 1 + 3,
        "asked": 2 + 0 + 4,
        "valid": 4,
        "uncertain": 0,
        "invalid": 2,
    }


def test_partners_are_spread_over_instances(store):
    others = [trajectory(f"i{1 + i // 3}", shown=("*", 10 + i), right=("+", 10 + i), number=i) for i in range(9)]
    *_, pairs = mine(store, *others, trajectory("new", **A), max_partners=3, max_pairs_per_trajectory=9)
    assert [p.confounder.instance_id for p in pairs if p.anchor.instance_id == "new"] == ["i3", "i2", "i1"]


def test_bounds_are_kept(store):
    many = [trajectory(f"i{i}", shown=("*", 10 + i), right=("+", 10 + i)) for i in range(40)]
    found = mine(store, *many, max_pairs_per_trajectory=2, max_reuse=3)
    assert max(len(pairs) for pairs in found) == 2
    assert (
        max(store.pair_use([t.id for t in many], "function").values()) == 4
    )  # twice with the one before, then with the next
    found = mine(store, trajectory("new", **A), max_reuse=4, window=64)
    assert {p.confounder.instance_id for p in found[0]} == {"new", "i39", "i0"}


def test_the_same_texts_are_never_mined_twice(store):
    group = [trajectory(i, **x, number=n) for n in range(4) for i, x in (("i1", A), ("i2", B))]
    mine(store, *group)
    assert store.count_pairs() == 2
    assert store.funnel("r")["asked"] == 2


def episodes(count, seed):
    rng = random.Random(seed)
    for n in range(count):
        i = rng.randrange(12)
        yield trajectory(
            f"i{i}", shown=("*", i), right=("+", i), number=n, function=f"f{i % 3}", resolved=rng.random() < 0.5
        )


def test_the_order_of_insertion_decides_everything(store):
    stages = frozenset({"function", "file"})
    mine(store, *episodes(60, seed=1), stages=stages)
    with SQLStore("sqlite://") as again:
        mine(again, *episodes(60, seed=1), stages=stages, cache=1000)
        assert again.pairs() == store.pairs() != []
        assert again.funnel("r") == store.funnel("r")


def test_what_a_killed_process_left_is_mined_later(store):
    first, second = trajectory("i1", **A), trajectory("i2", **B)
    store.add(first)
    store.add(second)
    miner = PairMiner(store, RuleJudge())
    assert len(miner.catch_up("r")) == 2
    assert miner.catch_up("r") == []
    assert miner.on_insert(second) == []
    assert store.funnel("r")["commit"] == 1


def test_a_leaking_trajectory_is_no_partner(store):
    told = [turn("view", "code", think="So: return a \\\n - b * 7. ", path="pkg/a.py"), *trajectory("i1", **A).turns]
    assert mine(store, trajectory("i1", **A, turns=told), trajectory("i2", **B)) == [[], []]
    assert (store.funnel("r")["related"], store.funnel("r")["masked"]) == (1, 0)


def test_whole_trajectories_are_the_default(store):
    (_, pairs) = mine(store, trajectory("i1", **A), trajectory("i2", **B), keep_after_edit=True)
    assert {len(p.anchor.turns) for p in pairs} == {5}
    assert MinerOptions().keep_after_edit
    assert "return a - b * 7" not in pairs[1].anchor.turns[3].observation


OTHER_COMMIT = "d" * 40
SOURCE = "def area(a, b):\n    one = 1\n    two = 2\n    three = 3\n    return a + b\n"


@pytest.mark.parametrize(
    ("mode", "source", "pairs"),
    [
        ("same", SOURCE, 0),
        ("window", SOURCE, 2),
        ("window", SOURCE.replace("three = 3", "three = 4"), 2),
        ("window", SOURCE.replace("one", "uno").replace("two", "due").replace("three", "tre"), 0),
        ("any", "def area(): pass", 2),
    ],
)
def test_other_commits_where_the_function_reads_alike(store, mode, source, pairs):
    first = trajectory("i1", **A, sources={"pkg/a.py::area": SOURCE})
    second = trajectory("i2", **B, sources={"pkg/a.py::area": source}, base_commit=OTHER_COMMIT)
    assert [len(found) for found in mine(store, first, second, commit=mode)] == [0, pairs]
    assert store.funnel("r")["commit"] == (mode != "same")


def test_without_sources_the_window_goes_by_what_was_shown(store):
    seen = turn("view", "1 return a + b * 7", path="pkg/a.py")
    first = trajectory("i1", **A)
    second = trajectory("i2", **B, base_commit=OTHER_COMMIT)
    shown = second.model_copy(update={"turns": [seen, *second.turns], "id": "other"})
    assert [len(found) for found in mine(store, first, shown, commit="window")] == [0, 2]


def test_commits_that_nobody_knows_are_not_the_same(store):
    two = trajectory("i1", **A, base_commit=""), trajectory("i2", **B, base_commit="")
    assert mine(store, *two) == [[], []]


@pytest.mark.parametrize(
    ("mode", "function", "pairs"),
    [
        ("same", "C.g", 0),
        ("overlapping", "C.g", 2),
        ("overlapping", "C", 2),
        ("overlapping", "D.f", 0),
        ("file", "D.f", 2),
    ],
)
def test_functions_that_overlap_and_functions_of_one_file(store, mode, function, pairs):
    first = trajectory("i1", **A, functions=["pkg/a.py::C.f"])
    second = trajectory("i2", **B, functions=[f"pkg/a.py::{function}"])
    assert [len(found) for found in mine(store, first, second, function=mode)] == [0, pairs]


def test_tests_and_new_files_are_no_common_ground(store):
    for path, patch in (("tests/test_a.py", ""), ("reproduce.py", "--- /dev/null\n+++ b/reproduce.py\n")):
        both = [
            t.model_copy(update={"patch": t.patch + patch, "id": f"{path} {t.id}"})
            for t in (
                trajectory("i1", **A, file="pkg/a.py", files=["pkg/a.py", path], functions=[f"{path}::f"]),
                trajectory("i2", **B, file="pkg/b.py", files=["pkg/b.py", path], functions=[f"{path}::f"]),
            )
        ]
        assert mine(store, *both) == [[], []]


def test_why_a_trajectory_makes_no_pair_is_kept(store):
    blind = trajectory("i1", **A, turns=[turn("view", "code", path="pkg/a.py"), turn("submit")])
    mine(store, trajectory("i2", **B), blind)
    assert store.mining_reasons([blind.id]) == {blind.id: "no edit to mask"}


def test_a_pair_whose_answer_turns_out_to_solve_both_is_retired(store):
    retired = []
    options = MinerOptions(keep_after_edit=False)
    miner = PairMiner(store, RuleJudge(), options, on_retire=retired.extend)
    store.subscribe(miner.on_insert)
    store.add(trajectory("i1", **A))
    store.add(trajectory("i2", **B))
    store.add(trajectory("i2", **B, number=1, policy_version=5))
    assert retired == []
    also = trajectory("i2", shown=("*", 7), right=MINUS, number=2, policy_version=7)
    store.add(also)
    (fallen,) = [p for p in store.pairs(judgement="valid") if p.anchor.instance_id == "i1" and p.id in retired]
    assert store.pair_life([fallen.id])[fallen.id].retired.endswith(f"trajectory {also.id} resolved it so")
    assert fallen.id not in {p.id for p in store.live_pairs_of(["i2"])}
    kept = [p for p in store.pairs(judgement="valid", retired=False) if p.anchor.instance_id == "i2"]
    assert kept


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path):
    command = [
        sys.executable,
        "-m",
        "benchmarks.mining",
        "--sizes",
        "100",
        "300",
        "--scan",
        "50",
        "--json",
        tmp_path / "out.json",
    ]
    root = Path(__file__).parents[2]
    subprocess.run(command, cwd=root, capture_output=True, check=True, timeout=120)
    found = json.loads((tmp_path / "out.json").read_text())
    assert [row["stored"] for row in found["online"]] == [100, 300]
    assert (found["bulk"]["stored"], found["scan"][0]["stored"]) == (300, 50)


def test_a_function_with_enough_pairs_is_left_until_some_are_retired(store):
    kinds = [trajectory(f"i{i}", shown=("*", 10 + i), right=("+", 10 + i)) for i in range(5)]
    found = mine(store, *kinds[:4], max_pairs_per_function=2)
    assert [len(pairs) for pairs in found] == [0, 2, 0, 0]
    same_name = [
        t.model_copy(update={"repo": "other", "id": f"o {t.id}", "problem_statement": f"There {t.problem_statement}"})
        for t in kinds[:2]
    ]
    assert len(mine(store, *same_name, max_pairs_per_function=2)[1]) == 2, "of another repository"
    store.retire_pairs([p.id for p in found[1]], "used up")
    assert len(mine(store, kinds[4], max_pairs_per_function=2)[0]) >= 2
