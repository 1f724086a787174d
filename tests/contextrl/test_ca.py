import math

import pytest
import torch
from learning_toys import DoubleModel, directional_difference, gradient, tiny_qwen3

from contextrl.choice import ChoicePrompt
from contextrl.config import ContextConfig
from contextrl.objectives.context_awareness import ContextAwareness
from contextrl.objectives.pairs import select
from contextrl.scoring import Scorer

CPU = torch.device("cpu")


def prompts(count=5, vocabulary=7, both=False):
    generator = torch.Generator().manual_seed(2)
    made = []
    for i in range(count):
        ids = tuple(torch.randint(vocabulary, (3 + 2 * (i % 3),), generator=generator).tolist())
        for first in (True, False) if both else (i % 2 == 0,):
            letters = (1, 2) if first else (2, 1)
            made.append(ChoicePrompt(f"p{i}", (*ids, int(first)), *letters, first))
    return made


def run(ca, policy, data, max_tokens=10_000):
    items = ca.prepare(data, policy, None, max_tokens).items
    return [ca.loss(policy, b) for b in ca.batches(items, max_tokens, CPU)]


class Fixed(Scorer):
    """A policy whose letter logits are given: prompt ids end in an index into `table`."""

    table: torch.Tensor

    def next_logits(self, row):
        return self.table[torch.stack([row.ids[path[-1]] for path in row.paths])]


def fixed(*margins, order="A"):
    """One prompt for each margin, all with the anchor as A (or B); logits 1 + margin / 2 and 1 - margin / 2."""
    policy = Fixed(tiny_qwen3())
    d = torch.tensor(margins)
    a, b = (1 + d / 2, 1 - d / 2) if order == "A" else (1 - d / 2, 1 + d / 2)
    policy.table = torch.stack([torch.zeros(len(d)), a, b], 1).requires_grad_()
    letters = (1, 2) if order == "A" else (2, 1)
    return policy, [ChoicePrompt(f"p{i}", (0, i), *letters, order == "A") for i in range(len(d))]


@pytest.mark.parametrize(("form", "low"), [("clip", 5.0), ("linear", 7.0)])
def test_loss_and_gradient_by_hand(form, low):
    margins = (-7.0, -2.0, 0.5, 6.0)
    policy, data = fixed(*margins)
    (terms,) = run(ContextAwareness(ContextConfig(clip=5.0, low_side=form)), policy, data)
    seen = [-low, -2.0, 0.5, 5.0]
    assert float(terms.loss.detach()) == pytest.approx(sum(math.log1p(math.exp(-d)) for d in seen) / 4, rel=1e-5)
    terms.loss.backward()
    slope = [-1 / (1 + math.exp(d)) / 4 for d in margins]
    slope[3] = 0.0
    if form == "clip":
        slope[0] = 0.0
    assert policy.table.grad[:, 1].tolist() == pytest.approx(slope, abs=1e-6)
    assert policy.table.grad[:, 2].tolist() == pytest.approx([-s for s in slope], abs=1e-6)


@pytest.mark.parametrize("order", ["A", "B"])
def test_metrics_by_hand(order):
    margins = (-7.0, -2.0, 0.0, 6.0)
    policy, data = fixed(*margins, order=order)
    (terms,) = run(ContextAwareness(ContextConfig()), policy, data)
    right = [1 / (1 + math.exp(-d)) for d in margins]
    mass = [
        (math.exp(1 + d / 2) + math.exp(1 - d / 2)) / (1 + math.exp(1 + d / 2) + math.exp(1 - d / 2)) for d in margins
    ]
    assert terms.metrics == pytest.approx(
        {
            "selection_accuracy": 1.5 / 4,
            "margin": -3 / 4,
            "clipped_low": 1 / 4,
            "clipped_high": 1 / 4,
            "p_a": sum(p if order == "A" else 1 - p for p in right) / 4,
            "letter_mass": sum(mass) / 4,
        },
        rel=1e-5,
    )
    assert [r.margin for r in terms.results] == pytest.approx(margins)
    assert [r.pair_id for r in terms.results] == ["p0", "p1", "p2", "p3"]


@pytest.mark.parametrize("form", ["clip", "linear"])
def test_gradient_by_finite_differences(form):
    model = DoubleModel()
    policy, data = Scorer(model), prompts()
    ca = ContextAwareness(ContextConfig(clip=1.5, low_side=form))
    exact, numeric = directional_difference(lambda: sum(t.loss for t in run(ca, policy, data)), model)
    assert abs(exact) > 1e-3
    assert exact == pytest.approx(numeric, rel=1e-6, abs=1e-8)


def test_micro_batches_do_not_change_gradient_or_metrics():
    model = tiny_qwen3(vocabulary=7)
    policy, data = Scorer(model), prompts(both=True)
    ca = ContextAwareness(ContextConfig())
    outcomes = []
    for max_tokens in (1, 12, 10_000):
        model.zero_grad()
        terms = run(ca, policy, data, max_tokens)
        for t in terms:
            t.loss.backward()
        sums = {k: sum(t.metrics[k] for t in terms) for k in terms[0].metrics}
        margins = {(r.pair_id, r.anchor_first): r.margin for t in terms for r in t.results}
        outcomes.append((gradient(model), sums, margins))
    for other, sums, margins in outcomes[1:]:
        torch.testing.assert_close(other, outcomes[0][0], rtol=1e-4, atol=1e-6)
        assert sums == pytest.approx(outcomes[0][1], rel=1e-4)
        assert margins == pytest.approx(outcomes[0][2], rel=1e-3, abs=1e-4)


def test_a_pair_in_both_orders_weighs_as_much_as_one_in_one():
    both, single = prompts(1, both=True), prompts(2)[1:]
    ca = ContextAwareness(ContextConfig())
    items = ca.prepare([both[0], *single, both[1]], Scorer(tiny_qwen3()), None, 100).items
    assert [len(orders) for orders in items] == [2, 1]
    (batch,) = ca.batches(items, 1000, CPU)
    weights = dict(zip([(p.pair_id, p.anchor_first) for p in batch.prompts], batch.weights.tolist(), strict=True))
    assert weights == {("p0", True): 0.25, ("p0", False): 0.25, ("p1", False): 0.5}


def test_a_letter_habit_scores_exactly_chance_in_both_orders():
    """A policy that only knows a letter has mean P(A) far from one half, and accuracy one half."""
    policy = Fixed(tiny_qwen3())
    policy.table = torch.tensor([[0.0, 3.0, 0.0]]).repeat(2, 1)
    data = [ChoicePrompt("p", (0, 0), 1, 2, True), ChoicePrompt("p", (0, 1), 2, 1, False)]
    (terms,) = run(ContextAwareness(ContextConfig()), policy, data)
    assert terms.metrics["selection_accuracy"] == 0.5
    assert terms.metrics["p_a"] == pytest.approx(1 / (1 + math.exp(-3)))


def test_select_agrees_with_the_model():
    model = tiny_qwen3(vocabulary=7)
    for result, prompt in zip(
        select(Scorer(model), prompts(3), 1), sorted(prompts(3), key=lambda p: -len(p.ids)), strict=True
    ):
        logits = model(torch.tensor([prompt.ids])).logits[0, -1].detach()
        assert result.pair_id == prompt.pair_id
        assert result.margin == pytest.approx(
            float(logits[prompt.anchor_letter] - logits[prompt.confounder_letter]), abs=1e-4
        )


def test_learning_moves_the_margin():
    """Toy pairs: the context (two tokens) that holds the answer's token, shown first or second."""
    model = tiny_qwen3(vocabulary=16)
    policy = Scorer(model)
    ca = ContextAwareness(ContextConfig())
    data = []
    for answer in range(4, 8):
        for first in (True, False):
            contexts = (answer, 9) if first else (9, answer)
            letters = (1, 2) if first else (2, 1)
            data.append(ChoicePrompt(f"p{answer}", (answer, *contexts, 3), *letters, first))
    before = select(policy, data, 1000)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        for terms in run(ca, policy, data):
            terms.loss.backward()
        optimizer.step()
    after = select(policy, data, 1000)
    assert sum(r.correct for r in before) / len(before) < 0.8
    assert all(r.correct == 1.0 for r in after)
    assert min(r.margin for r in after) > 2.0
