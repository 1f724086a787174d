"""Trouble is told once a level."""

from hypothesis import given
from hypothesis import strategies as st

from contextrl.config import ContextConfig
from contextrl.trouble import BEYOND, MISMATCH, Troubles


def told(column: str, *values: float, **config: str) -> list[bool]:
    """Whether each iteration's value was told of."""
    troubles = Troubles(ContextConfig.model_validate(config))
    return [bool(troubles.new({"iteration": i, column: value})) for i, value in enumerate(values)]


def test_a_trouble_is_told_when_it_begins_and_when_it_gets_worse() -> None:
    assert told("ca_clip_low", 0.0, 0.01, 0.05, 0.0, 0.09, 0.11, 0.2, 0.31, 1.0) == [
        *(False, True, False, False, False, True, False, True, False)
    ]
    assert told("mismatch_kl", 0.05, 0.051, 0.1, 0.3, 2.0, 9.0) == [False, True, False, True, True, False]
    assert told("skipped", 0, 1, 0, 2, 6, 1, 0) == [False, True, False, False, False, True, False], "a sum: 1, 3, 9, 10"


def test_advice_is_not_what_is_done_already() -> None:
    row = {"iteration": 3, "ca_clip_low": 0.25}
    (paper,) = Troubles(ContextConfig()).new(row)
    (linear,) = Troubles(ContextConfig(low_side="linear")).new(row)
    assert "iteration 3" in paper and "25.0%" in paper and "5 logits" in paper
    assert "no gradient" in paper and "no gradient" not in linear


@given(st.lists(st.fixed_dictionaries({}, optional={"ca_clip_low": st.floats(0, 1), "mismatch_kl": st.floats(0, 9)})))
def test_however_it_goes_no_more_is_told_than_there_are_levels(rows: list[dict[str, float]]) -> None:
    troubles = Troubles(ContextConfig())
    said = [text for i, row in enumerate(rows) for text in troubles.new({"iteration": i, **row})]
    assert len(said) <= len(BEYOND) + len(MISMATCH)
    bad = any(row.get("ca_clip_low", 0) > 0 or row.get("mismatch_kl", 0) > MISMATCH[0] for row in rows)
    assert bool(said) == bad
