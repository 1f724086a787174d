"""Sequences in one row: every token is there, what is shared is there once, and places see their own sequence only."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contextrl.packing import cut, pack

CPU = torch.device("cpu")
SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=9)


def trie(sequences) -> int:
    """How many different beginnings there are."""
    return len({tuple(ids[: i + 1]) for ids in sequences for i in range(len(ids))})


@given(SEQUENCES)
def test_each_sequence_can_be_read_off_the_row(sequences):
    row = pack(sequences, CPU)
    assert len(row) == trie(sequences)
    for ids, path in zip(sequences, row.paths, strict=True):
        assert row.ids[path].tolist() == ids
        assert row.positions[path].tolist() == list(range(len(ids)))
        assert row.parents[path].tolist() == [-1, *path[:-1].tolist()]
        assert path.tolist() == sorted(path.tolist())


@given(SEQUENCES)
def test_a_place_sees_its_own_sequence_up_to_itself(sequences):
    row = pack(sequences, CPU)
    assert [run.start for run in row.runs] == [0, *(run.end for run in row.runs[:-1])] and row.runs[-1].end == len(row)
    before = {place: set(path[: i + 1].tolist()) for path in row.paths for i, place in enumerate(path.tolist())}
    for run in row.runs:
        seen = {place for start, end in run.before for place in range(start, end)}
        for place in range(run.start, run.end):
            assert seen | set(range(run.start, place + 1)) == before[place]


@given(SEQUENCES, st.integers(1, 40))
def test_batches_hold_every_sequence_once_within_the_budget(sequences, budget):
    batches = list(cut(sequences, budget))
    assert sorted(i for batch in batches for i in batch) == list(range(len(sequences)))
    sizes = [trie([sequences[i] for i in batch]) for batch in batches]
    assert sizes == sorted(sizes, reverse=True)
    assert all(
        size <= budget or len({tuple(sequences[i]) for i in b}) == 1 for size, b in zip(sizes, batches, strict=True)
    )


def test_what_begins_alike_comes_together():
    prompts = [[9] * 50, [8] * 50, [7] * 50]
    sequences = [[*prompts[i % 3], i] for i in range(12)]
    assert sorted(sorted(batch) for batch in cut(sequences, 54)) == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    with pytest.raises(ValueError, match="at least one"):
        pack([], CPU)
