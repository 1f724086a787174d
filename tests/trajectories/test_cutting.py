"""A pair is cut by whole turns, both contexts alike, and says so."""

from hypothesis import given
from hypothesis import strategies as st

from trajectories.mining.cutting import cut_pair
from trajectories.records import ContextPair, ContextTurn, MaskedContext


def context(name: str, sizes: list[int], evidence: tuple[int, ...] = ()) -> MaskedContext:
    turns = [
        ContextTurn(text=f"{name}{i}", observation="x" * size, evidence="seen" if i in evidence else "")
        for i, size in enumerate(sizes)
    ]
    turns[-1] = turns[-1].model_copy(update={"edits": True})
    return MaskedContext(trajectory_id=name, problem_statement="", turns=turns)


def pair(anchor: MaskedContext, confounder: MaskedContext) -> ContextPair:
    return ContextPair(
        repo="r", base_commit="c", file="f", function="f::g", answer="a", anchor=anchor, confounder=confounder
    )


def size(pair: ContextPair) -> int:
    return sum(len(t.text) + len(t.observation) for c in (pair.anchor, pair.confounder) for t in c.turns)


def test_a_pair_that_fits_is_left_alone():
    whole = pair(context("a", [10] * 4), context("b", [10] * 4))
    assert cut_pair(whole, size(whole), len) is whole


def test_the_middle_goes_first_and_evidence_last():
    whole = pair(context("a", [100] * 7, evidence=(3,)), context("b", [100] * 5))
    cut = cut_pair(whole, 900, len)
    assert cut is not None
    assert [t.text for t in cut.anchor.turns] == [
        "a0",
        "a1",
        "[1 turn left out]",
        "a3",
        "[1 turn left out]",
        "a5",
        "a6",
    ]
    assert [t.text for t in cut.confounder.turns] == ["b0", "[2 turns left out]", "b3", "b4"]
    assert cut.anchor.cut == "2 of 7 turns"
    assert cut.confounder.cut == "2 of 5 turns"


def test_evidence_that_had_to_go_is_told():
    whole = pair(context("a", [100] * 3, evidence=(1,)), context("b", [100] * 3))
    cut = cut_pair(whole, 450, len)
    assert cut is not None
    assert cut.anchor.cut == "1 of 3 turns, 1 of them with evidence"


def test_what_cannot_be_cut_enough_is_no_pair():
    assert cut_pair(pair(context("a", [100] * 3), context("b", [100, 100])), 250, len) is None


sizes = st.lists(st.integers(1, 200), min_size=2, max_size=12)


@given(sizes, sizes, st.integers(0, 3000), st.sets(st.integers(0, 11)))
def test_both_lose_as_many_turns_and_the_result_fits(a, b, budget, evidence):
    whole = pair(context("a", a, tuple(evidence)), context("b", b, tuple(evidence)))
    cut = cut_pair(whole, budget, len)
    if cut is None:
        return
    assert size(cut) <= budget
    gone = []
    for before, after in ((whole.anchor, cut.anchor), (whole.confounder, cut.confounder)):
        kept = [t for t in after.turns if not t.text.startswith("[")]
        assert kept == [t for t in before.turns if t in kept]
        assert (kept[0], kept[-1]) == (before.turns[0], before.turns[-1])
        gone.append(len(before.turns) - len(kept))
    assert gone[0] == gone[1]
