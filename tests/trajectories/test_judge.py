"""Each rule rejects what it is for, and a clean pair passes all of them."""

import gc

import pytest
from trajectory_builders import trajectory

from trajectories.judge import RULES, RuleJudge, RuleLimits
from trajectories.judging import views
from trajectories.judging.measures import measures
from trajectories.judging.rules import outcomes
from trajectories.mining.masking import mask_trajectory
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


def test_far_more_masks_in_as_many_turns():
    more = with_confounder(t3=TURNS[3].model_copy(update={"text": MASK * 60}))
    assert RULES["masked_alike"](more, RuleLimits(max_marks_ratio=60)) is None
    finding = RULES["masked_alike"](more, RuleLimits())
    assert finding is not None and finding[1].startswith("there are ") and "in the confounder" in finding[1]


def test_masks_in_far_more_turns():
    more = with_confounder(turns=[ContextTurn(text=f"I will write {MASK}", observation="x", tool="test")] * 6 + TURNS)
    finding = RULES["masked_alike"](more, RuleLimits())
    assert finding == ("invalid", "the patch is masked in 1 turns of the anchor, 7 of the confounder")
    assert RULES["masked_alike"](more, RuleLimits(max_mask_ratio=4)) is None


def test_shares_of_tools_matter_beyond_kinds():
    twice = with_confounder(turns=[TURNS[0]] * 12 + TURNS)
    finding = RULES["like_tools"](twice, RuleLimits())
    assert finding == ("invalid", "the contexts share only 44% of their tool calls")
    unread = with_confounder(t1=TURNS[1].model_copy(update={"tool": ""}))
    assert RULES["like_tools"](unread, RuleLimits()) == ("invalid", "only one context uses an unreadable call")
    thrice = CLEAN.model_copy(update={"confounder": changed(CLEAN.confounder, turns=TURNS * 3)})
    assert RULES["like_tools"](thrice, RuleLimits()) is None


def test_a_tool_that_is_hardly_used_is_no_odd_one():
    turns = [*TURNS] * 3 + [ContextTurn(text="find", tool="search")]
    assert RULES["like_tools"](with_confounder(turns=turns), RuleLimits()) is None


NEW = "return a - b * 7"


@pytest.mark.parametrize(
    ("said", "judgement"),
    [
        (f"so {NEW}", "invalid"),
        ("so return  a -\tb*7", "invalid"),
        (r"\"new\": \"\\treturn a - b * 7\\n\"", "invalid"),
        ("\x1b[32m+    return a - b \x1b[0m* 7", "invalid"),
        ("it returns a minus b times seven", "valid"),
    ],
)
def test_the_answer_in_other_guises(said, judgement):
    """In what the policy says, and in what is shown after the edit."""
    anchor = CLEAN.anchor
    words = changed(anchor, t3=anchor.turns[3].model_copy(update={"text": said + anchor.turns[3].text}))
    after = changed(anchor, turns=[*anchor.turns, ContextTurn(text="view", observation=said, tool="view")])
    before = changed(anchor, t1=anchor.turns[1].model_copy(update={"observation": said}))
    for context in (words, after):
        assert RuleJudge().judge(CLEAN.model_copy(update={"anchor": context}))[0] == judgement
    assert RULES["no_leak"](CLEAN.model_copy(update={"anchor": before}), RuleLimits()) is None


PART = CLEAN.model_copy(
    update={"answer": "    total = sum_of(prices, rounding=HALF_EVEN) if prices else EmptyBasket\n", "similarity": 0.5}
)


@pytest.mark.parametrize(
    ("said", "judgement", "told"),
    [
        ("use sum_of(prices, rounding=HALF_EVEN)", "invalid", "sum_of(prices,rounding=HALF_EVEN)"),
        ("call sum_of(prices, and more", "uncertain", "sum_of(prices,"),
        ("there is `HALF_EVEN`", "uncertain", "HALF_EVEN"),
        ("or: if prices else EmptyBasket", "uncertain", "ifpriceselseEmptyBasket"),
        ("sum the prices, rounding if there are prices", "valid", ""),
        ("total = 3 if x else y", "valid", ""),
    ],
)
def test_a_part_of_a_line(said, judgement, told):
    anchor = changed(PART.anchor, t3=PART.anchor.turns[3].model_copy(update={"text": said + PART.anchor.turns[3].text}))
    found, reasons = RuleJudge().judge(PART.model_copy(update={"anchor": anchor}))
    assert found == judgement
    assert told in "".join(reasons)


def test_a_name_that_was_shown_is_no_leak():
    anchor = changed(PART.anchor, t3=PART.anchor.turns[3].model_copy(update={"text": f"`HALF_EVEN` {MASK}"}))
    seen = changed(anchor, t1=anchor.turns[1].model_copy(update={"observation": "decimal.HALF_EVEN rounds so"}))
    assert RULES["no_leak"](PART.model_copy(update={"anchor": anchor}), RuleLimits()) is not None
    assert RULES["no_leak"](PART.model_copy(update={"anchor": seen}), RuleLimits()) is None


def test_the_confounder_must_not_give_its_own_patch_away():
    own = changed(CLEAN.confounder, t3=TURNS[3].model_copy(update={"text": f"return a + b * 7 {MASK}"}))
    finding = RULES["no_leak"](CLEAN.model_copy(update={"confounder": own}), RuleLimits())
    assert finding == ("invalid", "the confounder gives its own patch's line 'return a + b * 7' away")


@pytest.mark.parametrize(
    "bare",
    [
        ContextTurn(text="<parameter=command>sed -i 's/a/b/' pkg/a.py</parameter>", tool="bash"),
        ContextTurn(text="```bash\ncat > pkg/a.py <<'EOF'\nx = 1\nEOF\n```", tool="bash"),
        ContextTurn(text="<parameter=path>pkg/a.py</parameter><parameter=new_str>x</parameter>", tool="editor"),
        ContextTurn(text="edit pkg/a.py", tool="edit"),
        ContextTurn(text="I write it elsewhere", tool="bash", edits=True),
    ],
)
def test_an_edit_without_a_mask(bare):
    finding = RULES["masked_alike"](with_confounder(turns=[*TURNS, bare]), RuleLimits())
    assert finding is not None and "is not masked" in finding[1]
    read = ContextTurn(text="```bash\nsed -i x pkg/a.py\n```\nNo:\n```bash\ncat pkg/a.py\n```", tool="bash")
    assert RULES["masked_alike"](with_confounder(turns=[*TURNS, read]), RuleLimits()) is None


def test_whole_turns_masked_in_one_context_only():
    whole = with_confounder(t3=TURNS[3].model_copy(update={"text": f" {MASK}\n"}))
    finding = RULES["masked_alike"](whole, RuleLimits())
    assert finding is not None and "whole turns" in finding[1]


@pytest.mark.parametrize(
    "other",
    [
        "def area(a, b):  # of a rectangle\n    return a-b*7\n",
        'def area(a, b):\n    """Area."""\n    return (a - (b * 7))\n',
        "def area(a, b):\n    return (\n        a - b * 7\n    )\n",
    ],
)
def test_the_same_answer_in_other_words(other):
    judgement, reasons = RuleJudge().judge(CLEAN.model_copy(update={"confounder_answer": other}))
    assert (judgement, reasons) == ("invalid", ["other_answer: the answer solves the confounder's task as well"])


def test_contexts_of_other_lengths_or_with_many_other_rows_differ():
    """Also where all that is left of the other rows is what differs from run to run."""

    def showing(rows):
        said = "\n".join(f"0x{abs(hash(str(row))):012x}"[:14] for row in rows)
        return changed(CLEAN.anchor, t1=CLEAN.anchor.turns[1].model_copy(update={"observation": said}))

    def told(here, there):
        pair = CLEAN.model_copy(update={"anchor": showing(here), "confounder": showing(there)})
        return RULES["decisive_line"](pair, RuleLimits()) is not None

    assert told(range(10), range(10, 20))
    assert not told(range(100), range(100, 300))
    assert not told(range(201), range(201, 402))


@pytest.mark.parametrize(
    ("here", "there", "same"),
    [
        ("3 passed in 0.12s", "3 passed in 1.07s", True),
        ("<f at 0x7f11>  /testbed/pkg/a.py:3", "<f at 0x9a42>  /tmp/x1/pkg/a.py:3", True),
        ("return a + b * 7", "return a + b * 9", False),
        ("3 passed in 0.12s", "4 passed in 0.12s", False),
    ],
)
def test_what_differs_from_run_to_run_is_no_evidence(here, there, same):
    def showing(text):
        return changed(CLEAN.anchor, t1=CLEAN.anchor.turns[1].model_copy(update={"observation": text}))

    pair = CLEAN.model_copy(update={"anchor": showing(here), "confounder": showing(there)})
    assert (RULES["decisive_line"](pair, RuleLimits()) is not None) == same


def test_turns_that_begin_and_end_otherwise():
    long = [*CLEAN.anchor.turns[:3]] * 3 + [CLEAN.anchor.turns[3]]
    framed = [t.model_copy(update={"observation": f"[12:00] {t.observation}\n[done]"}) for t in long]
    anchor, confounder = (changed(CLEAN.anchor, turns=turns) for turns in (long, framed))
    finding = RULES["like_format"](CLEAN.model_copy(update={"anchor": anchor, "confounder": confounder}), RuleLimits())
    assert finding is not None and finding[0] == "invalid" and "[12" in finding[1]
    for turns, told in ((5, True), (4, False)):  # fewer say nothing of a habit
        short = {"anchor": changed(anchor, turns=long[:turns]), "confounder": changed(anchor, turns=framed[:turns])}
        assert (RULES["like_format"](CLEAN.model_copy(update=short), RuleLimits()) is not None) == told


def test_views_go_with_their_contexts():
    gc.collect()
    before = len(views._views)
    pair = CLEAN.model_copy(update={"anchor": CLEAN.anchor.model_copy(), "confounder": CLEAN.confounder.model_copy()})
    RuleJudge().judge(pair)
    assert len(views._views) == before + 2
    assert views.view(pair.anchor) is views.view(pair.anchor)
    del pair
    gc.collect()
    assert len(views._views) == before


@pytest.mark.parametrize("rule", SPOILED)
def test_what_each_rule_says_is_what_the_judge_goes_by(rule):
    pair = SPOILED[rule][1]
    found = outcomes(pair)
    assert [o.rule for o in found] == list(RULES) and all(o.holds.endswith(".") for o in found)
    objections = [f"{o.rule}: {o.finding[1]}" for o in found if o.finding]
    assert objections == RuleJudge().judge(pair)[1] and (rule == "no_leak" or objections[0].startswith(rule))


def test_measures_are_those_that_the_limits_are_held_against():
    longer = SPOILED["like_length"][1]
    ratio = float(measures(longer)["like_length"].partition(" ")[0])
    below, above = (RuleLimits(max_length_ratio=ratio + d) for d in (-0.02, 0.02))
    said = {limits: {o.rule: o.finding for o in outcomes(longer, limits)}["like_length"] for limits in (below, above)}
    assert said[below] is not None and said[above] is None
    assert "at most 1.5" in measures(CLEAN, RuleLimits(max_length_ratio=1.5))["like_length"]
