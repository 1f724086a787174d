"""Objectives over pairs beside the paper's: values by hand, gradients by finite differences."""

import math
from dataclasses import replace

import pytest
import torch
from learning_toys import DoubleModel, directional_difference, gradient, tiny_qwen3
from test_ca import CPU, fixed, prompts

from contextrl.config import GRPOConfig, LearnerConfig
from contextrl.learner import Learner, Term
from contextrl.objectives.imitation import Imitation
from contextrl.objectives.language import Language
from contextrl.objectives.pairs import select
from contextrl.objectives.reinforce import Reinforce
from contextrl.scoring import Scorer

OBJECTIVES = [Imitation(), Language(), Reinforce(GRPOConfig(), 6)]
MARGINS = (-7.0, -2.0, 0.5, 6.0)


def seeded(data):
    return [replace(prompt, seed=100 + i) for i, prompt in enumerate(data)]


def run(objective, policy, data, max_tokens=10_000):
    items = objective.prepare(seeded(data), policy, None, max_tokens).items
    return [objective.loss(policy, b) for b in objective.batches(items, max_tokens, CPU)]


def total(terms):
    return sum(float(t.loss.detach()) for t in terms)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
def test_gradient_by_finite_differences(objective):
    """In float64, off-policy: the answers were drawn from other weights than those that learn from them."""
    model = DoubleModel()
    policy, data = Scorer(model, temperature=0.7), prompts(both=True)
    items = objective.prepare(seeded(data), policy, None, 10_000).items
    with torch.no_grad():
        model.mix.mul_(1.05)

    def loss():
        return sum(objective.loss(policy, b).loss for b in objective.batches(items, 10_000, CPU))

    exact, numeric = directional_difference(loss, model)
    assert abs(exact) > 1e-3
    assert exact == pytest.approx(numeric, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
def test_micro_batches_do_not_change_gradient_or_metrics(objective):
    model = tiny_qwen3(vocabulary=7)
    policy = Scorer(model)
    outcomes = []
    for max_tokens in (1, 12, 10_000):
        model.zero_grad()
        terms = run(objective, policy, prompts(both=True), max_tokens)
        for t in terms:
            t.loss.backward()
        outcomes.append((gradient(model), {k: sum(t.metrics[k] for t in terms) for k in terms[0].metrics}))
    for other, sums in outcomes[1:]:
        torch.testing.assert_close(other, outcomes[0][0], rtol=1e-3, atol=1e-6)
        assert sums == pytest.approx(outcomes[0][1], rel=1e-3)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
def test_selection_is_measured_as_the_probe_does(objective):
    policy, data = Scorer(tiny_qwen3(vocabulary=7)), prompts(both=True)
    probed = {(r.pair_id, r.anchor_first): r for r in select(policy, data, 10_000)}
    (terms,) = run(objective, policy, data)
    assert {(r.pair_id, r.anchor_first): r.margin for r in terms.results} == pytest.approx(
        {key: r.margin for key, r in probed.items()}, abs=1e-5
    )
    assert terms.metrics["selection_accuracy"] == pytest.approx(sum(r.correct for r in probed.values()) / len(probed))
    assert terms.metrics["margin"] == pytest.approx(sum(r.margin for r in probed.values()) / len(probed), abs=1e-5)


def test_imitation_by_hand():
    """Among all tokens, not among the two letters; no clip on either side."""
    policy, data = fixed(*MARGINS)
    (terms,) = run(Imitation(), policy, data)
    mass = [1 + math.exp(1 + d / 2) + math.exp(1 - d / 2) for d in MARGINS]
    by_hand = sum(math.log(m) - (1 + d / 2) for m, d in zip(mass, MARGINS, strict=True)) / 4
    assert total([terms]) == pytest.approx(by_hand, rel=1e-5)
    terms.loss.backward()
    slope = [(math.exp(1 + d / 2) / m - 1) / 4 for m, d in zip(mass, MARGINS, strict=True)]
    assert policy.table.grad[:, 1].tolist() == pytest.approx(slope, abs=1e-6)


def test_language_by_hand():
    """Each prompt's mean over all of its tokens but the first, without the letter; letters do not matter."""
    model, data = tiny_qwen3(vocabulary=7), prompts(both=True)
    by_hand = []
    for prompt in data:
        logprobs = model(torch.tensor([prompt.ids])).logits[0, :-1].log_softmax(-1).detach()
        by_hand.append(-logprobs.gather(1, torch.tensor(prompt.ids[1:])[:, None]).mean().item())
    assert total(run(Language(), Scorer(model), data)) == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-4)
    swapped = [replace(p, anchor_letter=p.confounder_letter, confounder_letter=p.anchor_letter) for p in data]
    assert total(run(Language(), Scorer(model), swapped)) == total(run(Language(), Scorer(model), data))


def test_reinforce_by_hand():
    """What was drawn, its rewards and advantages, and the clipped surrogate after the policy has moved."""
    policy, data = fixed(-1.0, 0.0, 3.0)
    config = GRPOConfig(clip_low=0.1, clip_high=0.2)
    objective = Reinforce(config, 8)
    prepared = objective.prepare(seeded(data), policy, None, 1000)
    answers = [answered for orders in prepared.items for answered in orders]
    before = policy.table.detach().log_softmax(-1)
    for i, a in enumerate(answers):
        assert a.logprobs == pytest.approx([float(before[i, t]) for t in a.tokens])
        rewards = [float(t == 1) for t in a.tokens]
        mean, spread = sum(rewards) / 8, torch.tensor(rewards).std().item() + 1e-4
        assert a.advantages == pytest.approx([(r - mean) / spread for r in rewards] if 0 < mean < 1 else [0.0] * 8)
    assert prepared.metrics["reward"] == pytest.approx(sum(a.reward for a in answers) / 3)
    assert 0 < prepared.metrics["reward"] < 1

    with torch.no_grad():
        policy.table[:, 1] += 0.4
    after, by_hand = policy.table.detach().log_softmax(-1), 0.0
    for i, a in enumerate(answers):
        for token, old, advantage in zip(a.tokens, a.logprobs, a.advantages, strict=True):
            ratio = math.exp(float(after[i, token]) - old)
            by_hand -= min(ratio * advantage, min(max(ratio, 0.9), 1.2) * advantage) / (3 * 8)
    (batch,) = objective.batches(prepared.items, 1000, CPU)
    assert total([objective.loss(policy, batch)]) == pytest.approx(by_hand, rel=1e-4)


def test_answers_are_drawn_from_the_tempered_policy_and_fixed_by_the_seed():
    policy, data = fixed(1.0)
    policy._temperature = 2.0
    objective = Reinforce(GRPOConfig(), 4000)
    (((one,),), ((other,),), ((again,),)) = (
        objective.prepare([replace(data[0], seed=seed)], policy, None, 1000).items for seed in (1, 2, 1)
    )
    assert one.tokens == again.tokens != other.tokens
    expected = (policy.table.detach() / 2.0).softmax(-1)[0]
    shares = torch.tensor(one.tokens).bincount(minlength=3) / 4000
    assert shares.tolist() == pytest.approx(expected.tolist(), abs=0.03)
    assert one.reward == pytest.approx(float(shares[1]))


def test_a_group_without_variance_has_no_gradient():
    policy, data = fixed(30.0, 0.0)
    with torch.no_grad():
        policy.table[1, 0] = 40.0  # never a letter: whatever token is drawn is an answer, and a wrong one
    objective = Reinforce(GRPOConfig(), 8)
    prepared = objective.prepare(seeded(data), policy, None, 1000)
    assert prepared.metrics["groups_without_variance"] == 2 and prepared.metrics["reward"] == 0.5
    (batch,) = objective.batches(prepared.items, 1000, CPU)
    terms = objective.loss(policy, batch)
    terms.loss.backward()
    assert float(terms.loss.detach()) == 0.0 and not policy.table.grad.any()
    assert terms.metrics["selection_accuracy"] == 0.75, "they are measured all the same"


@pytest.mark.parametrize("objective", [Imitation(), Reinforce(GRPOConfig(), 32)], ids=lambda o: type(o).__name__)
def test_a_learner_learns_to_choose(objective):
    """Toy pairs: the context (two tokens) that holds the answer's token."""
    model = tiny_qwen3(vocabulary=16)
    learner = Learner(model, None, LearnerConfig(lr=3e-3, warmup_steps=0, probe_every=0), [Term(objective)])
    data = []
    for i, answer in enumerate(range(4, 8)):
        for first in (True, False):
            contexts, letters = ((answer, 9), (1, 2)) if first else ((9, answer), (2, 1))
            data.append(replace(prompts(1)[0], pair_id=f"p{i}", ids=(answer, *contexts, 3), anchor_first=first))
            data[-1] = replace(data[-1], anchor_letter=letters[0], confounder_letter=letters[1])
    for step in range(150):
        update = learner.step([], [replace(p, seed=step * 100 + i) for i, p in enumerate(data)])
    assert all(r.correct == 1.0 for r in select(Scorer(model), data, 1000))
    assert update.metrics["ca/selection_accuracy"] == 1.0 and update.metrics["ca/letter_mass"] > 0.9
