"""What may be compared."""

from contextrl.evaluation import Measured, comparison


def test_what_was_measured_on_one_side_only_is_left_out_on_both():
    before = Measured(resolved={"a": 0.0, "b": 0.0, "lost after": 1.0}, selected={"p": 0.5})
    after = Measured(resolved={"a": 1.0, "b": 0.0, "lost before": 1.0}, selected={"p": 1.0})
    found = comparison(before, after, 0.95)
    assert (found["tasks"], found["pairs"]) == (2, 1)
    assert (found["resolve_rate_before"], found["resolve_rate_after"], found["resolve_rate_change"]) == (0.0, 0.5, 0.5)
    nothing = comparison(before, Measured(), 0.95)
    assert nothing["tasks"] == 0 and nothing["resolve_rate_before"] is None and nothing["resolve_rate_change"] is None
