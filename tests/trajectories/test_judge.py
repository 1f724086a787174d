"""Each rule rejects what it is for, and a clean pair passes all of them."""

import pytest
from trajectory_builders import trajectory

from trajectories.judge import RULES, RuleJudge, RuleLimits
from trajectories.masking import mask_trajectory
from trajectories.records import MASK, ContextPair, ContextTurn

ANCHOR = trajectory("i1")
CROSSED = trajectory("i2", shown=("-", 7), right=("+", 7))
"""Shows the anchor's answer as its broken line."""
CLEAN = ContextPair(
    repo="pkg",
    base_commit="c",
    file="pkg/a.py",
    function="pkg/a.py::area",
    answer=ANCHOR.answer,
    confounder_answer=CROSSED.answer,
    anchor=mask_trajectory(ANCHOR),
    confounder=mask_trajectory(CROSSED),
)


def changed(context, **edits):
    """The context with some turns replaced by index (`t2=...`) or all of them (`turns=...`)."""
    turns = list(edits.get("turns", context.turns))
    for name, value in edits.items():
        if name != "turns":
            turns[int(name[1:])] = value
    return context.model_copy(update={"turns": turns})


def with_confounder(**edits):
    return CLEAN.model_copy(update={"confounder": changed(CLEAN.confounder, **edits)})


TURNS = CLEAN.confounder.turns
SAME_BUT_ISSUE = CLEAN.anchor.model_copy(update={"problem_statement": "another"})
SPOILED = {
    "has_answer": ("invalid", CLEAN.model_copy(update={"answer": " "})),
    "no_leak": (
        "invalid",
        with_confounder(t3=TURNS[3].model_copy(update={"text": f"return a-b*8? no: return a - b * 7 {MASK}"})),
    ),
    "masked_alike": ("invalid", with_confounder(t3=TURNS[3].model_copy(update={"text": "edit", "edits": False}))),
    "like_length": ("invalid", with_confounder(t0=TURNS[0].model_copy(update={"observation": "x " * 500}))),
    "like_tools": ("invalid", with_confounder(t1=TURNS[1].model_copy(update={"tool": "search"}))),
    "like_format": (
        "invalid",
        with_confounder(t1=TURNS[1].model_copy(update={"text": "<think>hm</think>" + TURNS[1].text})),
    ),
    "read_evidence": (
        "invalid",
        with_confounder(turns=[t.model_copy(update={"observation": ""}) for t in TURNS]),
    ),
    "decisive_line": ("uncertain", CLEAN.model_copy(update={"confounder": SAME_BUT_ISSUE})),
    "other_answer": ("invalid", CLEAN.model_copy(update={"confounder_answer": CLEAN.answer.replace("    ", "\t")})),
}


def test_a_clean_crossed_pair_is_valid():
    assert "return a - b * 7" in CLEAN.confounder.turns[2].observation
    assert RuleJudge().judge(CLEAN) == ("valid", [])


@pytest.mark.parametrize("rule", SPOILED)
def test_each_rule_objects_to_its_own_case(rule):
    expected, pair = SPOILED[rule]
    if rule == "no_leak":  # the answer's line must not be one that the confounder showed
        pair = pair.model_copy(update={"confounder": without_view(pair.confounder)})
    finding = RULES[rule](pair, RuleLimits())
    assert finding is not None
    assert finding[0] == expected
    judgement, reasons = RuleJudge().judge(pair)
    assert judgement == expected
    assert any(reason.startswith(f"{rule}: ") for reason in reasons)
    rest = {name: r for name, r in RULES.items() if name != rule}
    assert RuleJudge(rules=rest).judge(pair) == ("valid", [])


def without_view(context):
    return changed(context, t2=context.turns[2].model_copy(update={"observation": "     2\t    return a + b * 9\n"}))


def test_every_rule_is_tried():
    assert set(SPOILED) == set(RULES)
    assert all(rule.__doc__ for rule in RULES.values())


def test_identical_contexts_are_invalid():
    judgement, reasons = RuleJudge().judge(CLEAN.model_copy(update={"confounder": CLEAN.anchor}))
    assert judgement == "invalid"
    assert "decisive_line: the two contexts show the same" in reasons


def test_an_unknown_answer_is_uncertain_and_a_shortcut_weighs_more():
    unknown = CLEAN.model_copy(update={"confounder_answer": ""})
    assert RuleJudge().judge(unknown)[0] == "uncertain"
    spoiled = unknown.model_copy(update={"answer": ""})
    judgement, reasons = RuleJudge().judge(spoiled)
    assert (judgement, len(reasons)) == ("invalid", 2)


@pytest.mark.parametrize(
    ("answer", "other", "reason"),
    [
        ("    a = 1\n", "b = 2\na = 1\n", "every line of the answer is one that the confounder's task needs"),
        ("b = 2\na = 1\n", "a = 1\n", "the answer has every line that the confounder's task needs"),
    ],
)
def test_an_answer_in_part_is_no_other_answer(answer, other, reason):
    part = CLEAN.model_copy(update={"answer": answer, "confounder_answer": other})
    assert RuleJudge().judge(part) == ("invalid", [f"other_answer: {reason}"])
    apart = part.model_copy(update={"confounder_answer": "a = 10\n"})
    assert RuleJudge().judge(apart) == ("valid", [])


def test_limits_are_the_callers():
    longer = with_confounder(t0=TURNS[0].model_copy(update={"observation": "x" * 900}))
    assert RuleJudge().judge(longer)[0] == "invalid"
    assert RuleJudge(RuleLimits(max_length_ratio=10)).judge(longer)[0] == "valid"


def test_masks_in_different_numbers_of_turns():
    more = with_confounder(t0=ContextTurn(text=f"I will write {MASK}", observation="x", tool="test"))
    finding = RULES["masked_alike"](more, RuleLimits())
    assert finding == ("invalid", "the patch is masked in 1 turns of the anchor, 2 of the confounder")


def test_tool_counts_matter_beyond_kinds():
    twice = with_confounder(turns=[TURNS[0]] * 12 + TURNS)
    finding = RULES["like_tools"](twice, RuleLimits())
    assert finding == ("invalid", "the contexts share only 40% of their tool calls")
