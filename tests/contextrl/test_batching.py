import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contextrl.batching import CPU_TOKENS, Sample, micro_batches, pad, token_batches, token_weights

CPU = torch.device("cpu")


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 120))
def test_micro_batches_hold_every_index_once_within_the_budget(lengths, budget):
    batches = list(micro_batches(lengths, budget, CPU))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert batch
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
    longest = [lengths[i] for batch in batches for i in batch]
    assert longest == sorted(longest, reverse=True)


def test_micro_batches_are_small_on_a_cpu_only():
    lengths = [CPU_TOKENS // 4] * 9
    sizes = {d: [len(b) for b in micro_batches(lengths, 10**6, torch.device(d))] for d in ("cpu", "cuda")}
    assert sizes == {"cpu": [4, 4, 1], "cuda": [9]}


def test_pad_fills_on_the_right():
    assert pad([[1], [2, 3]], 9, torch.int64, CPU).tolist() == [[1, 9], [2, 3]]


def sample(tokens: int, prompt: int = 2, **fields) -> Sample:
    n = prompt + tokens
    return Sample(
        list(range(n)), [i >= prompt for i in range(n)], [-1.0 * (i >= prompt) for i in range(n)], 0.5, **fields
    )


def test_weights_by_hand():
    samples = [sample(1), sample(3, weight=0.5)]
    assert token_weights(samples, "token", 0) == [1 / 4, 0.5 / 4]
    assert token_weights(samples, "sequence", 0) == [1 / 2, 0.5 / 6]
    assert token_weights(samples, "constant", 10) == [1 / 20, 0.5 / 20]


@pytest.mark.parametrize("normalisation", ["token", "sequence"])
def test_weights_add_up_to_one(normalisation):
    samples = [sample(n) for n in (1, 3, 7)]
    batches = token_batches(samples, token_weights(samples, normalisation, 1), 8, CPU)
    assert sum(float(b.weights.sum()) for b in batches) == pytest.approx(1.0)


def test_batch_tensors():
    samples = [sample(1, old=[0, 0, -2.0], reference=[0, 0, -3.0]), sample(2)]
    wide = next(iter(token_batches(samples, [0.1, 0.2], 100, CPU)))
    assert wide.ids.tolist() == [[0, 1, 2, 3], [0, 1, 2, 0]]
    assert wide.mask.tolist() == [[False, False, True, True], [False, False, True, False]]
    assert wide.old.tolist() == [[0, 0, -1, -1], [0, 0, -2, 0]]
    assert wide.sampled.tolist() == [[0, 0, -1, -1], [0, 0, -1, 0]]
    assert wide.weights[0].tolist() == pytest.approx([0, 0, 0.2, 0.2])
    assert wide.advantages.tolist() == [[0, 0, 0.5, 0.5], [0, 0, 0.5, 0]]
    assert wide.total_tokens == 3
    assert wide.reference is None, "a reference for some rows is none"
    narrow = list(token_batches(samples, [0.1, 0.2], 4, CPU))
    assert [b.ids.shape for b in narrow] == [(1, 4), (1, 3)]
    assert narrow[1].reference.tolist() == [[0, 0, -3]]
    assert narrow[0].total_tokens == 3
