import copy
import io
import math

import pytest
import torch
from learning_toys import gradient, tiny_qwen3, trajectory

from contextrl.choice import ChoicePrompt
from contextrl.config import ContextConfig, GRPOConfig, LearnerConfig
from contextrl.learner import Learner, Term
from contextrl.objectives.context_awareness import ContextAwareness
from contextrl.objectives.grpo import GRPO
from contextrl.objectives.protocol import Prepared, Terms
from contextrl.packing import pack
from contextrl.scoring import Scorer

LAMBDA = 0.5


def data(seed=0, groups=3, size=4):
    generator = torch.Generator().manual_seed(seed)

    def ids(n):
        return torch.randint(16, (n,), generator=generator).tolist()

    return [
        trajectory(
            float(i % 3 == g % 3), [(ids(3), ids(2 + i), [-2.5] * (2 + i)), (ids(1), ids(2), [-2.5] * 2)], f"g{g}"
        )
        for g in range(groups)
        for i in range(size)
    ]


def pairs(count=6):
    return [ChoicePrompt(f"p{i}", (i, 3 + i, 5, 2), *((1, 2) if i % 2 else (2, 1)), bool(i % 2)) for i in range(count)]


def terms(kl=0.0, **kwargs):
    return [
        Term(GRPO(GRPOConfig(kl=kl, **kwargs))),
        Term(ContextAwareness(ContextConfig()), LAMBDA),
    ]


def learner(model=None, config=None, **kwargs):
    kwargs.setdefault("terms", terms())
    options = {"lr": 1e-3, "warmup_steps": 0, **(config or {})}
    return Learner(model or tiny_qwen3(16), kwargs.pop("reference", None), LearnerConfig(**options), **kwargs)


def weights(model):
    return torch.cat([p.detach().flatten().clone() for p in model.parameters()])


def test_one_step_is_adamw_on_the_weighted_sum():
    ours = learner(config={"grad_clip": 0.05, "microbatch_tokens": 40})
    model = copy.deepcopy(ours.policy.model)
    update = ours.step(data(), pairs())
    other = learner(model, config={"microbatch_tokens": 10_000})
    for term, feed in zip(terms(), (data(), pairs()), strict=True):
        items = term.objective.prepare(feed, other.policy, None, 10_000).items
        (batch,) = term.objective.batches(items, 10_000, torch.device("cpu"))
        (term.weight * term.objective.loss(other.policy, batch).loss).backward()
    norm = float(gradient(model).norm())
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.05)
    torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0).step()
    assert norm > 0.05
    assert update.metrics["learner/grad_norm"] == pytest.approx(norm, rel=1e-3)
    torch.testing.assert_close(weights(ours.policy.model), weights(model), rtol=1e-3, atol=1e-5)


def test_metrics_and_results():
    ours = learner(reference=tiny_qwen3(16, seed=5), terms=terms(kl=0.1))
    update = ours.step(data(), pairs())
    for key in ("grpo/loss", "grpo/kl", "grpo/entropy", "grpo/reward", "ca/loss", "ca/selection_accuracy", "ca/p_a"):
        assert math.isfinite(update.metrics[key])
    assert update.metrics["learner/steps"] == 1 and update.metrics["learner/skipped"] == 0
    assert sorted(r.pair_id for r in update.results) == [f"p{i}" for i in range(6)]
    assert len(update.steps) == 1


def test_minibatches_and_passes():
    ours = learner(config={"minibatch_trajectories": 5, "steps_per_iteration": 2})
    assert ours.optimizer_steps(12) == 6
    seen = []
    for term in ours.terms:
        batches = term.objective.batches

        def spy(items, *rest, batches=batches, name=term.objective.name):
            seen.append((name, items))
            return batches(items, *rest)

        term.objective.batches = spy
    update = ours.step(data(), pairs())
    assert len(update.steps) == 6 and ours.steps_done == 6
    trained = [tuple(s.ids) for name, items in seen if name == "grpo" for s in items]
    assert len(trained) == 24 and len(set(trained)) == 12, "every trajectory once in each pass"
    assert [len(items) for name, items in seen if name == "ca"] == [1] * 6
    assert update.steps[0]["grpo/ratio"] != update.steps[-1]["grpo/ratio"]


def test_of_each_trajectory_the_first_lesson_is_kept():
    model, played = tiny_qwen3(16), data()
    fresh = Scorer(copy.deepcopy(model))
    made = learner(model, {"minibatch_trajectories": 5, "steps_per_iteration": 2}).step(played, pairs())
    lessons = {lesson.trajectory_id: lesson for lesson in made.lessons}
    assert len(lessons) == len(made.lessons) == len(played)
    rewards = torch.tensor([t.reward for t in played]).view(3, 4)
    expected = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    close = 0
    for t, advantage in zip(played, expected.flatten().tolist(), strict=True):
        assert lessons[t.id].advantage == pytest.approx(advantage, rel=1e-5)
        row = pack([t.token_ids()], torch.device("cpu"))
        exact = fresh.token_logprobs(row, torch.tensor(t.loss_mask()).nonzero()[:, 0])[0].tolist()
        assert len(lessons[t.id].logprobs) == sum(t.loss_mask())
        close += lessons[t.id].logprobs == pytest.approx(exact, abs=1e-5)
    assert close == 4, "those of the first of three steps, before anything was learned"


def test_warm_up_is_linear():
    ours = learner(config={"warmup_steps": 4, "lr": 1e-3})
    rates = [ours.step(data(i), pairs()).metrics["learner/learning_rate"] for i in range(6)]
    assert rates == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3, 1e-3])


def test_only_infra_failures_and_flat_groups_change_nothing():
    ours = learner()
    before = weights(ours.policy.model)
    turn = [([1, 2], [3], [-1.0])]
    flat = [trajectory(1.0, turn, "a"), trajectory(1.0, turn, "a"), trajectory(None, turn, "b")]
    update = ours.step(flat, [])
    assert torch.equal(weights(ours.policy.model), before)
    assert ours.steps_done == 0
    assert update.metrics["grpo/groups_without_variance"] == 1 and update.metrics["grpo/infra_failures"] == 1
    update = ours.step(flat, pairs())
    assert ours.steps_done == 1 and "ca/loss" in update.metrics, "pairs are learned from all the same"


class Broken:
    """An objective whose loss, or gradient, is not a number."""

    name, feed = "broken", "pairs"

    def __init__(self, where):
        self.where = where

    def prepare(self, data, policy, reference, max_tokens):
        return Prepared(list(data))

    def batches(self, items, max_tokens, device):
        return iter([items])

    def loss(self, policy, batch):
        weight = policy.model.lm_head.weight.sum()
        bad = weight * math.nan if self.where == "loss" else torch.sqrt(weight * 0)
        return Terms(bad, {})


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_skipped_and_counted(where, caplog):
    ours = learner(terms=[*terms(), Term(Broken(where))])
    before = weights(ours.policy.model)
    update = ours.step(data(), pairs())
    assert torch.equal(weights(ours.policy.model), before)
    assert update.metrics["learner/skipped"] == 1
    assert (ours.steps_done, ours.steps_skipped) == (0, 1)
    assert f"the {'broken loss' if where == 'loss' else 'gradient'} is not finite" in caplog.text
    ours.terms = ours.terms[:2]
    ours.step(data(), pairs())
    assert ours.steps_done == 1 and bool(torch.isfinite(weights(ours.policy.model)).all())


def test_gradients_of_the_terms_are_compared():
    ours = learner(config={"grad_clip": 1e9, "probe_every": 2})
    first, second, third = (ours.step(data(i), pairs()).metrics for i in range(3))
    assert "learner/cosine_grpo_ca" not in second and "learner/cosine_grpo_ca" in third
    a, b, c = (first[k] for k in ("grpo/grad_norm", "ca/grad_norm", "learner/cosine_grpo_ca"))
    assert first["learner/grad_norm"] == pytest.approx(math.sqrt(a * a + b * b + 2 * a * b * c), rel=1e-4)
    plain = learner(config={"grad_clip": 1e9, "probe_every": 0})
    for i in range(3):
        plain.step(data(i), pairs())
    torch.testing.assert_close(weights(plain.policy.model), weights(ours.policy.model))


def test_a_ratio_of_gradients_is_held():
    def held(ratio=0.25):
        ca = Term(ContextAwareness(ContextConfig(low_side="linear")), 1.0, ratio)
        return learner(terms=[terms()[0], ca], config={"probe_every": 2, "lr": 1e-9})

    ours = held()
    for _ in range(30):
        measured = ours.step(data(), pairs()).metrics
    assert measured["ca/weight"] == ours.weights["ca"] != 1.0 and ours.weights["grpo"] == 1.0
    last = ours.step(data(), pairs()).metrics
    assert last["ca/grad_norm"] / last["grpo/grad_norm"] == pytest.approx(0.25, rel=0.01), "of the weighted gradients"
    resumed = held()
    resumed.load_state_dict(ours.state_dict())
    assert resumed.weights == ours.weights
    far = held(1e9)  # as when a term is learned and has hardly a gradient: that is not blown up without bound
    for _ in range(9):
        far.step(data(), pairs())
    assert far.weights["ca"] == 10.0


def test_lambda_zero_leaves_the_term_out():
    ours = learner(terms=[terms()[0], Term(ContextAwareness(ContextConfig()), 0.0)])
    update = ours.step(data(), pairs())
    assert not any(key.startswith("ca/") for key in update.metrics) and update.results == []


def test_goes_on_where_it_was():
    config = {"minibatch_trajectories": 4, "warmup_steps": 5}
    whole = learner(config=config)
    for i in range(2):
        whole.step(data(i), pairs())
    saved = io.BytesIO()
    torch.save({"model": whole.policy.model.state_dict(), "learner": whole.state_dict()}, saved)
    saved.seek(0)
    state = torch.load(saved, weights_only=True)
    resumed = learner(tiny_qwen3(16, seed=9), config=config, seed=7)
    resumed.policy.model.load_state_dict(state["model"])
    resumed.load_state_dict(state["learner"])
    for ours in (whole, resumed):
        ours.step(data(2), pairs())
    assert resumed.steps_done == whole.steps_done == 9
    torch.testing.assert_close(weights(resumed.policy.model), weights(whole.policy.model), rtol=0, atol=0)


def test_bfloat16_and_checkpointing_learn_the_same():
    exact = learner()
    near = learner(config={"precision": "bfloat16", "gradient_checkpointing": True})
    near.policy.model.eval()  # as an engine does that samples with it
    a, b = (x.step(data(), pairs()).metrics for x in (exact, near))
    assert all(layer.gradient_checkpointing for layer in near.policy.model.model.layers) and near.policy.model.training
    assert b["ca/loss"] == pytest.approx(a["ca/loss"], rel=0.1)
    assert b["learner/grad_norm"] == pytest.approx(a["learner/grad_norm"], rel=0.2)
    assert all(p.dtype == torch.float32 for p in near.policy.model.parameters())


def test_sixteen_bit_weights_are_warned_of(caplog):
    learner(tiny_qwen3(16).bfloat16())
    assert "16 bits" in caplog.text


def test_grpo_learns_a_bandit():
    """Reward for sampling token 7 after the prompt: on-policy GRPO makes it likely."""
    model = tiny_qwen3(16)
    ours = learner(model, terms=[terms()[0]], config={"lr": 3e-3})
    generator = torch.Generator().manual_seed(0)
    prompt = [1, 2, 3]

    def probability():
        with torch.no_grad():
            return model(torch.tensor([prompt])).logits[0, -1].softmax(-1)

    before = float(probability()[7])
    for _ in range(40):
        p = probability()
        actions = torch.multinomial(p, 32, replacement=True, generator=generator).tolist()
        ours.step([trajectory(float(a == 7), [(prompt, [a], [float(p[a].log())])]) for a in actions], [])
    assert before < 0.5 < 0.9 < float(probability()[7])


def test_a_step_on_pairs_alone_and_a_new_beginning():
    ours = learner(config={"warmup_steps": 4, "steps_per_iteration": 2})
    before = weights(ours.policy.model)
    update = ours.step([], pairs(), steps=1)
    assert update.metrics["learner/steps"] == 1 == ours.steps_done and len(update.results) == 6
    assert not torch.equal(before, weights(ours.policy.model))
    assert ours.optimizer.state
    ours.begin_anew()
    assert not ours.optimizer.state
    rate = ours.step(data(), pairs()).steps[0]["learner/learning_rate"]
    assert rate == pytest.approx(1e-3 / 4), "warmed up again"
