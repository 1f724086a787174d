import math
import statistics

import pytest
import torch
from learning_toys import DoubleModel, directional_difference, gradient, tiny_qwen3, trajectory

from contextrl.batching import Sample
from contextrl.config import GRPOConfig
from contextrl.objectives.advantages import EPSILON, advantages
from contextrl.objectives.credit import credits_of
from contextrl.objectives.grpo import GRPO, recompute
from contextrl.scoring import Scorer, k3

CPU = torch.device("cpu")


def total_loss(grpo, policy, samples, max_tokens=10_000):
    return sum(grpo.loss(policy, b).loss for b in grpo.batches(samples, max_tokens, CPU))


def random_samples(vocabulary=7, count=6, reference=True):
    generator = torch.Generator().manual_seed(5)
    samples = []
    for i in range(count):
        length = 4 + 3 * (i % 4)
        mask = [t >= 2 and (t + i) % 3 != 0 for t in range(length)]
        logprobs = (-3 * torch.rand(length, generator=generator)).tolist()
        samples.append(
            Sample(
                ids=torch.randint(vocabulary, (length,), generator=generator).tolist(),
                mask=mask,
                logprobs=[p if m else 0.0 for p, m in zip(logprobs, mask, strict=True)],
                advantage=float(torch.randn((), generator=generator)),
                reference=[p - 0.3 * i for p in logprobs] if reference else None,
            )
        )
    return samples


@pytest.mark.parametrize(("std", "scale"), [("none", 1.0), ("group", math.sqrt(1 / 3)), ("batch", math.sqrt(3 / 10))])
def test_advantages_are_relative_to_the_group(std, scale):
    groups = [[1.0, 0.0, 0.0, 1.0], [1.0, None, 1.0]]
    expected = 0.5 / (scale if std == "none" else scale + EPSILON)
    if std == "batch":
        expected = 0.5 / (statistics.stdev([1, 0, 0, 1, 1, 1]) + EPSILON)
    assert advantages(groups, std) == [pytest.approx([expected, -expected, -expected, expected]), [None] * 3]


def test_infra_failures_never_move_the_baseline():
    (with_failures,) = advantages([[1.0, None, 0.0, None, 0.0]])
    assert [[a for a in with_failures if a is not None]] == advantages([[1.0, 0.0, 0.0]])
    assert with_failures[1] is None and with_failures[3] is None


@pytest.mark.parametrize("rewards", [[1.0, 1.0], [0.0, None, 0.0], [1.0], [None, None], []])
def test_groups_without_variance_say_nothing(rewards):
    for std in ("group", "batch", "none"):
        assert advantages([rewards], std) == [[None] * len(rewards)]


def test_samples_count_what_is_dropped():
    turn = ([1, 2], [3, 4], [-0.5, -0.25])
    data = [
        trajectory(1.0, [turn], "mixed"),
        trajectory(0.0, [turn, ([5], [6, 0], [-1.0, -2.0])], "mixed"),
        trajectory(None, [turn], "mixed"),
        trajectory(0.0, [([1], [], [])], "mixed"),
        trajectory(1.0, [turn], "solved"),
        trajectory(1.0, [turn], "solved"),
        trajectory(None, [], "broken"),
    ]
    config = GRPOConfig(kl=0, advantage_std="none")
    found = credits_of(data, config)
    samples, metrics = GRPO(config).samples(found)
    said = {one.trajectory.id: one.why for one in found}
    assert [said.get(t.id, "")[:11] for t in data] == [
        "", "", "died for a ", "nothing was", "all rewards", "all rewards", "died for a ",
    ]  # fmt: skip
    assert [s.advantage for s in samples] == pytest.approx([2 / 3, -1 / 3])
    assert samples[1].ids == [1, 2, 3, 4, 5, 6, 0]
    assert samples[1].mask == [False, False, True, True, False, True, True]
    assert samples[1].logprobs == [0, 0, -0.5, -0.25, 0, -1, -2]
    assert metrics == {
        "groups": 3,
        "groups_without_variance": 1,
        "trajectories": 5,
        "trajectories_kept": 2,
        "infra_failures": 2,
        "reward": 0.6,
    }
    assert samples[0].weight == pytest.approx(6 / (6 + 4)), "6 tokens kept, 4 in the solved group, 0 in the empty one"
    by_sequence, _ = GRPO(GRPOConfig(kl=0, aggregation="seq-mean-token-mean")).samples(found)
    assert by_sequence[0].weight == pytest.approx(2 / 5)
    dapo, _ = GRPO(GRPOConfig(kl=0, flat_groups="leave_out")).samples(found)
    assert dapo[0].weight == 1.0


def test_loss_by_hand():
    """Two trajectories, three sampled tokens; ratio inside, clipped from above, and below with A > 0 (not clipped)."""
    model = tiny_qwen3()
    policy = Scorer(model)
    ids_a, ids_b = [1, 2, 3, 4], [5, 6, 7]
    with torch.no_grad():
        a = torch.log_softmax(model(torch.tensor([ids_a])).logits[0], -1)
        b = torch.log_softmax(model(torch.tensor([ids_b])).logits[0], -1)
    now = [float(a[1, 3]), float(a[2, 4]), float(b[1, 7])]
    ratios, advantages, kls = [1.1, 1.5, 0.5], [2.0, 2.0, -1.0], [0.2, -0.1, 0.4]
    old = [p - math.log(r) for p, r in zip(now, ratios, strict=True)]
    ref = [p + x for p, x in zip(now, kls, strict=True)]
    samples = [
        Sample(ids_a, [False, False, True, True], [0, 0, *old[:2]], 2.0, reference=[0, 0, *ref[:2]]),
        Sample(ids_b, [False, False, True], [0, 0, old[2]], -1.0, reference=[0, 0, ref[2]]),
    ]
    surrogate = [-1.1 * 2.0, -1.2 * 2.0, 0.8 * 1.0]
    penalty = [math.exp(x) - x - 1 for x in kls]
    tokens = [s + 0.1 * p for s, p in zip(surrogate, penalty, strict=True)]
    expected = {
        "token-mean": sum(tokens) / 3,
        "seq-mean-token-mean": ((tokens[0] + tokens[1]) / 2 + tokens[2]) / 2,
        "seq-mean-token-sum-norm": sum(tokens) / (2 * 10),
    }
    for aggregation, value in expected.items():
        grpo = GRPO(GRPOConfig(kl=0.1, aggregation=aggregation, norm_tokens=10))
        assert float(total_loss(grpo, policy, samples).detach()) == pytest.approx(value, rel=1e-4)
    metrics = grpo.loss(policy, next(iter(grpo.batches(samples, 100, CPU)))).metrics
    assert metrics["clipped_high"] == pytest.approx(1 / 3) and metrics["clipped_low"] == pytest.approx(1 / 3)
    assert metrics["ratio"] == pytest.approx(sum(ratios) / 3, rel=1e-4)
    assert metrics["kl"] == pytest.approx(sum(penalty) / 3, rel=1e-3)
    assert metrics["grad_tokens"] == 3
    rows = torch.stack([a[1], a[2], b[1]])
    assert metrics["entropy"] == pytest.approx(float(-(rows.exp() * rows).sum(-1).mean()), rel=1e-4)
    mismatch = [math.exp(math.log(r)) - math.log(r) - 1 for r in ratios]
    assert metrics["mismatch_kl"] == pytest.approx(sum(mismatch) / 3, rel=1e-3)
    assert advantages[0] == samples[0].advantage


@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum-norm"])
def test_gradient_by_finite_differences(aggregation):
    model = DoubleModel()
    policy = Scorer(model, temperature=0.7)
    grpo = GRPO(GRPOConfig(kl=0.3, aggregation=aggregation))
    samples = random_samples()
    exact, numeric = directional_difference(lambda: total_loss(grpo, policy, samples), model)
    assert abs(exact) > 1e-3
    assert exact == pytest.approx(numeric, rel=1e-6, abs=1e-8)


def test_a_clipped_ratio_has_no_gradient():
    model = tiny_qwen3()
    policy = Scorer(model)
    ids = [1, 2, 3]
    now = float(torch.log_softmax(model(torch.tensor([ids])).logits[0].detach(), -1)[1, 3])
    grpo = GRPO(GRPOConfig(kl=0))
    for ratio, advantage, moves in [(1.3, 1.0, False), (1.3, -1.0, True), (0.7, -1.0, False), (0.7, 1.0, True)]:
        model.zero_grad()
        sample = Sample(ids, [False, False, True], [0, 0, now - math.log(ratio)], advantage)
        total_loss(grpo, policy, [sample]).backward()
        assert (float(gradient(model).norm()) > 1e-6) == moves


@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum-norm"])
def test_micro_batches_do_not_change_the_gradient(aggregation):
    model = tiny_qwen3(vocabulary=7)
    policy = Scorer(model)
    grpo = GRPO(GRPOConfig(kl=0.1, aggregation=aggregation))
    gradients, metrics = [], []
    for max_tokens in (1, 20, 30, 10_000):
        model.zero_grad()
        sums: dict[str, float] = {}
        for batch in grpo.batches(random_samples(), max_tokens, CPU):
            terms = grpo.loss(policy, batch)
            terms.loss.backward()
            for key, value in terms.metrics.items():
                sums[key] = sums.get(key, 0.0) + value
        del sums["computed_tokens"]  # what is shared within a micro-batch is computed once
        gradients.append(gradient(model))
        metrics.append(sums)
    for other, values in zip(gradients[1:], metrics[1:], strict=True):
        torch.testing.assert_close(other, gradients[0], rtol=1e-4, atol=1e-6)
        assert values == pytest.approx(metrics[0], rel=1e-4)


def test_only_sampled_tokens_get_a_gradient():
    """Of all logits, only those that predict a sampled token move."""
    model = tiny_qwen3()
    logits = model(torch.tensor([[1, 2, 3, 4, 5]])).logits
    logits.retain_grad()

    class Spy(Scorer):
        def _features(self, row, places):
            return logits[0, places]

        def _logits(self, features):
            return features

    sample = Sample([1, 2, 3, 4, 5], [False, False, True, False, True], [0, 0, -1, 0, -1], 1.0)
    total_loss(GRPO(GRPOConfig(kl=0)), Spy(model), [sample]).backward()
    moved = logits.grad[0].abs().sum(-1) > 0
    assert moved.tolist() == [False, True, False, True, False]


def test_prepare_scores_under_reference_and_current_policy():
    policy, reference = Scorer(tiny_qwen3(seed=1)), Scorer(tiny_qwen3(seed=2))
    data = [trajectory(float(i % 2), [([1, 2, 3], [4 + i, 5], [-1.0, -1.0])]) for i in range(4)]
    prepared = GRPO(GRPOConfig(kl=0.1, old="recomputed")).prepare(data, policy, reference, 8)
    for sample in prepared.items:
        for scorer, values in ((policy, sample.old), (reference, sample.reference)):
            logp = torch.log_softmax(scorer.model(torch.tensor([sample.ids])).logits[0].detach(), -1)
            expected = [0, 0, 0, float(logp[2, sample.ids[3]]), float(logp[3, sample.ids[4]])]
            assert values == pytest.approx(expected, abs=1e-5)
    assert recompute(policy, [], 8) == []
    first = GRPO(GRPOConfig(kl=0, old="recomputed"))
    batch = next(iter(first.batches(prepared.items, 1000, CPU)))
    assert first.loss(policy, batch).metrics["ratio"] == pytest.approx(1.0, abs=1e-5)


def test_bad_input_is_one_clear_sentence():
    policy = Scorer(tiny_qwen3())
    good = [trajectory(r, [([1], [2], [-1.0])]) for r in (0.0, 1.0)]
    with pytest.raises(ValueError, match="no reference model"):
        GRPO(GRPOConfig(kl=0.1)).prepare(good, policy, None, 8)
    with pytest.raises(ValueError, match="has 2 tokens but 1 log-probabilities"):
        GRPO(GRPOConfig(kl=0)).prepare([trajectory(1.0, [([1], [2], [])]), trajectory(0.0, [])], policy, None, 8)
    with pytest.raises(ValueError, match="starts with a sampled token"):
        GRPO(GRPOConfig(kl=0)).prepare([trajectory(1.0, [([], [2], [-1.0])]), trajectory(0.0, [])], policy, None, 8)
    with pytest.raises(ValueError, match="temperature"):
        Scorer(tiny_qwen3(), temperature=0.0)


def test_k3_estimates_kl():
    p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.5, 0.3, 0.2])
    assert float((p * k3((q / p).log())).sum()) == pytest.approx(float((p * (p / q).log()).sum()), rel=1e-5)
    assert float(k3(torch.tensor(1e4))) < 1e9
