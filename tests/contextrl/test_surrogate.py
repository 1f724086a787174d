"""GSPO, CISPO, corrections and DAPO's overlong penalty, against values computed by hand."""

import math

import pytest
import torch
from learning_toys import DoubleModel, directional_difference, trajectory
from test_grpo import random_samples, total_loss

from contextrl.config import GRPOConfig
from contextrl.objectives.credit import credits_of
from contextrl.objectives.grpo import GRPO
from contextrl.objectives.overlong import overlong_penalty
from contextrl.objectives.surrogate import correction, surrogate
from contextrl.scoring import Scorer

OWNER = torch.tensor([0, 0, 1])
"""Two tokens of one trajectory, one of another."""
RATIOS = [1.1, 1.5, 0.5]
ADVANTAGES = torch.tensor([2.0, 2.0, -1.0])


def made(**config):
    logp = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
    old = logp.detach() - torch.tensor(RATIOS).log()
    return logp, surrogate(GRPOConfig(**config), logp, old, ADVANTAGES, OWNER)


def test_a_token_is_clipped_by_itself():
    _, found = made(clip_low=0.2, clip_high=0.28)
    assert found.loss.tolist() == pytest.approx([-2.2, -2.56, 0.8])
    assert (found.low.tolist(), found.high.tolist()) == ([False, False, True], [False, True, False])


def test_gspo_takes_the_geometric_mean_of_a_sequence():
    logp, found = made(ratio="sequence", clip_low=0.5, clip_high=1.0)
    first = math.sqrt(1.1 * 1.5)
    assert found.ratio.tolist() == pytest.approx([first, first, 0.5])
    assert found.loss.tolist() == pytest.approx([-2 * first, -2 * first, 0.5])
    found.loss[0].backward()
    assert logp.grad.tolist() == pytest.approx([-first, -first, 0.0]), "each token moves the ratio of all, by 1 / 2"
    _, clipped = made(ratio="sequence", clip_low=3e-4, clip_high=4e-4)
    assert clipped.loss.tolist() == pytest.approx([-2.0008, -2.0008, 0.9997])
    assert clipped.high.tolist() == [True, True, False] and clipped.low.tolist() == [False, False, True]


def test_cispo_weights_the_log_probability():
    logp, found = made(surrogate="cispo", clip_high=0.2)
    assert found.loss.tolist() == pytest.approx([1.1 * 2 * 1, 1.2 * 2 * 2, -0.5 * 1 * 3])
    found.loss.sum().backward()
    assert logp.grad.tolist() == pytest.approx([-2.2, -2.4, 0.5]), "a clipped token learns too"


@pytest.mark.parametrize(
    ("kind", "level", "expected"),
    [
        ("none", "token", None),
        ("truncate", "token", [1.1, 1.4, 0.5]),
        ("truncate", "sequence", [1.4, 1.4, 0.5]),
        ("mask", "token", [1.1, 0.0, 0.0]),
        ("mask", "sequence", [0.0, 0.0, 0.0]),
    ],
)
def test_corrections(kind, level, expected):
    config = GRPOConfig(correction=kind, correction_level=level, correction_low=0.6, correction_high=1.4)
    found = correction(config, torch.tensor(RATIOS).log(), torch.zeros(3), OWNER)
    assert (found if found is None else found.tolist()) == (expected if expected is None else pytest.approx(expected))


def test_the_overlong_penalty_of_dapo():
    assert [overlong_penalty(n, 100, 20) for n in (1, 80, 85, 90, 100, 101)] == [0, 0, -0.25, -0.5, -1, -1]
    assert overlong_penalty(101, 100, 0) == 0.0


def test_overlong_episodes_lose_reward_or_teach_nothing():
    def played(reward, tokens, status="submitted"):
        t = trajectory(reward, [([1], [2] * (tokens - 1), [-1.0] * (tokens - 1))])
        return t.model_copy(update={"status": status})

    group = [played(1.0, 90), played(1.0, 10), played(0.0, 100, "truncated"), played(None, 10)]
    found = credits_of(group, GRPOConfig(advantage_std="none", overlong_tokens=20), longest=100)
    assert [c.advantage for c in found] == [pytest.approx(a) for a in (0.5 - 1 / 6, 1 - 1 / 6, -1 - 1 / 6)] + [None]
    filtered = credits_of(group, GRPOConfig(advantage_std="none", overlong_filter=True), longest=100)
    assert [c.advantage for c in filtered[:3]] == pytest.approx([1 / 3, 1 / 3, -2 / 3]), "it stays in the mean"
    assert [c.why for c in filtered] == ["", "", "was cut short for its length", "died for a reason of ours: no reward"]


@pytest.mark.parametrize(
    "config",
    [
        {"ratio": "sequence", "clip_low": 0.3, "clip_high": 0.4, "aggregation": "seq-mean-token-mean"},
        {"surrogate": "cispo", "clip_high": 0.3},
        {"surrogate": "cispo", "ratio": "sequence"},
        {"clip_high": 0.28, "flat_groups": "leave_out", "kl": 0.2, "kl_ratio": True},
        {"correction": "truncate", "kl": 0.0},
        {"correction": "mask", "correction_level": "sequence", "correction_low": 0.0, "correction_high": 1e9},
    ],
    ids=str,
)
def test_gradients_by_finite_differences(config, monkeypatch):
    model = DoubleModel()
    policy = Scorer(model, temperature=0.7)
    objective, samples = GRPO(GRPOConfig(**{"kl": 0.3, **config})), random_samples()
    if config.get("surrogate") == "cispo":  # the ratio is a constant to its gradient: it stays what it was at first
        ratios = []

        def frozen(config, logp, old, advantage, owner):
            found = surrogate(config, logp, old, advantage, owner)
            ratios.append(found.ratio.detach().clamp(max=1 + config.clip_high))
            return found._replace(loss=-ratios[0] * advantage * logp)

        monkeypatch.setattr("contextrl.objectives.grpo.surrogate", frozen)
    exact, numeric = directional_difference(lambda: total_loss(objective, policy, samples), model)
    assert abs(exact) > 1e-3
    assert exact == pytest.approx(numeric, rel=1e-5, abs=1e-8)
    monkeypatch.undo()
    again, _ = directional_difference(lambda: total_loss(objective, policy, samples), model)
    assert again == pytest.approx(exact, rel=1e-9), "of the objective itself"
