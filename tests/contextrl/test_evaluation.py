"""What may be compared."""

from contextrl.evaluation import Measured, by_split, comparison, together


def test_what_was_measured_on_one_side_only_is_left_out_on_both():
    before = Measured(resolved={"a": 0.0, "b": 0.0, "lost after": 1.0}, selected={"p": 0.5})
    after = Measured(resolved={"a": 1.0, "b": 0.0, "lost before": 1.0}, selected={"p": 1.0})
    found = comparison(before, after, 0.95)
    assert (found["tasks"], found["pairs"]) == (2, 1)
    assert (found["resolve_rate_before"], found["resolve_rate_after"], found["resolve_rate_change"]) == (0.0, 0.5, 0.5)
    nothing = comparison(before, Measured(), 0.95)
    assert nothing["tasks"] == 0 and nothing["resolve_rate_before"] is None and nothing["resolve_rate_change"] is None


def test_tasks_of_one_function_are_one_observation():
    tasks = {f"{place}-{i}": float(place == "f") for place in "fghi" for i in range(5)}
    before = Measured(resolved=dict.fromkeys(tasks, 0.0))
    apart = comparison(before, Measured(resolved=tasks), 0.95)
    places = {key: key[0] for key in tasks}
    clustered = comparison(before, Measured(resolved=tasks, functions=places), 0.95)
    assert apart["resolve_rate_change"] == clustered["resolve_rate_change"] == 0.25
    assert apart["resolve_rate_change_interval"][0] > 0.05, "twenty observations"
    assert clustered["resolve_rate_change_interval"][0] == 0.0, "four observations"
    assert clustered["resolve_rate_after_interval"][1] > apart["resolve_rate_after_interval"][1] + 0.1


def test_splits_are_told_apart():
    splits = {"a": "heldout_function", "b": "heldout_mutation", "p": "heldout_mutation"}
    before = Measured(resolved={"a": 0.0, "b": 1.0}, selected={"p": 0.5}, splits=splits)
    after = Measured(resolved={"a": 1.0, "b": 1.0}, selected={"p": 1.0}, splits=splits)
    found = by_split(before, after, 0.95)
    assert [(k, f["tasks"], f["pairs"], f["resolve_rate_change"]) for k, f in found.items()] == [
        ("heldout_function", 1, 0, 1.0),
        ("heldout_mutation", 1, 1, 0.0),
    ]
    assert by_split(before, after.of_split("heldout_function"), 0.95), "what was planned is reported, also where empty"
    assert by_split(before, after.model_copy(update={"splits": {"a": "heldout_function"}}), 0.95) == {}


def test_kinds_together():
    whole = together([Measured(resolved={"a": 1.0}, splits={"a": "x"}), Measured(resolved={"b": 0.0})])
    assert whole == Measured(resolved={"a": 1.0, "b": 0.0}, splits={"a": "x"})
