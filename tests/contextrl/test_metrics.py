"""A row of metrics holds what was measured, and only that."""

from types import SimpleNamespace

import pytest

from contextrl.learner import Update
from contextrl.metrics import metrics_row, told
from trajectories.queries import Lesson
from trajectories.records import ToolCall, Trajectory, Turn

SECONDS = {"a": 1.0, "b": 3.0}
"""What each episode took."""


def row(taken=(), too_long=None, steps=(), iteration=0, sandboxes=None, lessons=(), paired=None):
    call = ToolCall(name="submit")
    turn = Turn(prompt_ids=[1], completion_ids=[2, 3], logprobs=[-1.0, -1.0], tool_call=call)
    played = [
        Trajectory(
            id=name,
            instance_id="i",
            repo="r",
            base_commit="c",
            problem_statement="",
            reward=0.0,
            turns=[turn],
            seconds=spent,
        )
        for name, spent in SECONDS.items()
    ]
    feed = SimpleNamespace(mined=0, frontier=0, accuracy={}, too_long=too_long, paired=paired)
    means = {key: sum(s[key] for s in steps) / len(steps) for key in (steps[0] if steps else {})}
    seconds = {"rollout": 2.0, "learning": 1.0}
    return metrics_row(
        iteration, played, set(taken), Update(means, list(steps), lessons=list(lessons)), feed, seconds, sandboxes or {}
    )


def test_mismatch_is_that_of_unchanged_weights_and_other_columns_are_means():
    steps = [{"grpo/mismatch_kl": 0.001, "grpo/entropy": 1.0}, {"grpo/mismatch_kl": 0.5, "grpo/entropy": 2.0}]
    found = row(steps=steps)
    assert found["mismatch_kl"] == 0.001 and found["entropy"] == 1.5
    assert "mismatch_kl" not in row(steps=[{"ca/loss": 1.0}])


def test_pairs_that_were_too_long_are_in_the_row_where_pairs_were_drawn():
    assert row(too_long=3)["pairs_too_long"] == 3 and row(too_long=0)["pairs_too_long"] == 0
    assert "pairs_too_long" not in row()


def test_speed_is_that_of_what_this_session_sampled():
    assert row()["tokens_per_second"] == pytest.approx(2.0)
    assert row(taken=["a"])["tokens_per_second"] == pytest.approx(1.0)
    assert "tokens_per_second" not in row(taken=["a", "b"])


def test_staleness_is_how_many_updates_ago_a_turn_was_sampled():
    assert row(iteration=3)["staleness"] == 3.0, "these turns are of version 0"


def test_sandboxes_are_in_the_row_where_they_were_counted():
    assert row(sandboxes={"mean": 2.5, "most": 4})["sandboxes"] == {"mean": 2.5, "most": 4}
    assert "sandboxes" not in row()


def test_what_both_terms_clipped():
    found = row(steps=[{"grpo/clipped_low": 0.1, "ca/clipped_low": 0.2, "ca/clipped_high": 0.3}])
    assert (found["clip_low"], found["ca_clip_low"], found["ca_clip_high"]) == (0.1, 0.2, 0.3)


def test_how_the_terms_pull_is_a_mean_over_the_steps_that_were_looked_into():
    looked = {"grpo/grad_norm": 0.5, "ca/grad_norm": 0.25, "learner/cosine_grpo_ca": -0.1, "ca/weight": 0.005}
    found = row(steps=[looked])
    assert [found[k] for k in ("grad_norm_grpo", "grad_norm_ca", "cosine_grpo_ca", "ca_weight")] == [*looked.values()]


def test_tokens_that_were_shared():
    assert row(steps=[{"grpo/computed_tokens": 60.0, "grpo/sequence_tokens": 100.0}])["tokens_shared"] == 0.4
    assert "tokens_shared" not in row(steps=[{"ca/loss": 1.0}])


def test_the_line_that_is_looked_at():
    found = {"resolve_rate": 0.25, "pairs_mined": 14, "selection_accuracy": {"level 0": 0.625}}
    assert told(found | {"tokens_per_second": 812.4}) == "resolved 25%, 14 pairs, level 0 62%, 812 tokens/s"
    assert told(found | {"selection_accuracy": {}}) == "resolved 25%, 14 pairs", "as when nothing was sampled anew"


def test_sandbox_time_that_teaches_is_that_of_advantages_and_of_pairs():
    lessons = [Lesson("a", 0.5, []), Lesson("b", 0.0, [])]
    assert row(lessons=lessons, paired={"b", "older"})["salvage"] == {"policy": 0.25, "all": 1.0}
    assert row(lessons=lessons, paired={"a"})["salvage"] == {"policy": 0.25, "all": 0.25}
    assert row(paired=set())["salvage"] == {"policy": 0.0, "all": 0.0}
    assert row(lessons=lessons)["salvage"] == {"policy": 0.25}, "where pairs are not learned from"
