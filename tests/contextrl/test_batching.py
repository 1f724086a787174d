import pytest
import torch

from contextrl.batching import CPU_TOKENS, Sample, most_tokens, token_batches, token_weights

CPU = torch.device("cpu")


def sample(tokens: int, prompt: int = 2, first: int = 0, **fields) -> Sample:
    n = prompt + tokens
    return Sample(
        list(range(first, first + n)),
        [i >= prompt for i in range(n)],
        [-1.0 * (i >= prompt) for i in range(n)],
        0.5,
        **fields,
    )


def test_micro_batches_are_small_on_a_cpu_only():
    assert most_tokens(10**6, CPU) == CPU_TOKENS and most_tokens(10, CPU) == 10
    assert most_tokens(10**6, torch.device("cuda")) == 10**6


def test_weights_by_hand():
    samples = [sample(1), sample(3, weight=0.5)]
    assert token_weights(samples, "token-mean", 0) == [1 / 4, 0.5 / 4]
    assert token_weights(samples, "seq-mean-token-mean", 0) == [1 / 2, 0.5 / 6]
    assert token_weights(samples, "seq-mean-token-sum-norm", 10) == [1 / 20, 0.5 / 20]


@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean-token-mean"])
def test_weights_add_up_to_one(aggregation):
    samples = [sample(n, first=n) for n in (1, 3, 7)]
    batches = token_batches(samples, token_weights(samples, aggregation, 1), 8, CPU)
    assert sum(float(b.weights.sum()) for b in batches) == pytest.approx(1.0)


def test_batch_tensors():
    samples = [sample(1, old=[0, 0, -2.0], reference=[0, 0, -3.0]), sample(2)]
    (both,) = token_batches(samples, [0.1, 0.2], 100, CPU)
    assert both.row.ids.tolist() == [0, 1, 2, 3], "one is the beginning of the other"
    assert both.row.ids[both.places].tolist() == [2, 3]
    assert both.which.tolist() == [0, 0, 1] and both.owner.tolist() == [0, 1, 1]
    assert both.names == ["", ""] and both.counts == [1, 2]
    assert both.old.tolist() == [-2, -1, -1] and both.sampled.tolist() == [-1, -1, -1]
    assert both.weights.tolist() == pytest.approx([0.1, 0.2, 0.2])
    assert both.advantages.tolist() == [0.5, 0.5, 0.5]
    assert both.total_tokens == 3
    assert both.reference is None, "a reference for some rows is none"
    apart = list(token_batches([samples[0], sample(2, first=5)], [0.1, 0.2], 4, CPU))
    assert [len(b.row) for b in apart] == [4, 3]
    assert apart[1].reference.tolist() == [-3]
    assert apart[0].total_tokens == 3
