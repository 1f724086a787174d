import json
from collections import Counter

import pytest
from learning_toys import pair

from contextrl.choice import PairResult
from contextrl.config import ContextConfig
from contextrl.curriculum import PairSampler


def pool(prefix: str, count: int, stage: str = "function", similarity: float = 1.0):
    return [pair(f"{prefix}{i}", stage, similarity) for i in range(count)]


def filled(counts=(20, 20, 20, 20), **kwargs) -> PairSampler:
    """Levels: r repository, f file, c coarse, h hard."""
    sampler = PairSampler(ContextConfig(**kwargs.pop("config", {})), **kwargs)
    sampler.add(pool("r", counts[0], "repo"))
    sampler.add(pool("f", counts[1], "file"))
    sampler.add(pool("c", counts[2], similarity=0.5))
    sampler.add(pool("h", counts[3], similarity=0.95))
    return sampler


def results(pairs, correct: bool):
    return [PairResult(p.id, True, 1.0 if correct else -1.0) for p in pairs]


def levels(pairs) -> Counter:
    return Counter(p.id[0] for p in pairs)


def test_levels_by_stage_and_similarity():
    sampler = PairSampler(ContextConfig(), thresholds=(0.5, 0.9))
    given = [("repo", 1.0), ("file", 1.0), ("function", 0.4), ("function", 0.5), ("function", 0.9), ("function", 1.0)]
    assert [sampler.level(pair("p", s, x)) for s, x in given] == [0, 1, 2, 3, 4, 4]
    assert filled((1, 2, 3, 4)).sizes == [1, 2, 3, 4]


def test_nothing_harder_than_the_frontier_is_drawn():
    sampler = filled()
    assert levels(sampler.draw(50)) == {"r": 20}


def test_frontier_moves_only_on_measured_accuracy():
    sampler = filled()
    for _ in range(100):
        sampler.update(results(sampler.draw(2), correct=False))
    assert sampler.frontier == 0
    wins = 0
    while sampler.frontier == 0:
        assert sampler.accuracy[0] <= 0.8
        sampler.update(results(sampler.draw(1), correct=True))
        wins += 1
    assert 60 < wins < 120 and sampler.frontier == 1
    assert sampler.accuracy[1] == 0.5, "nothing was measured there"
    sampler.update(results(pool("r", 20), correct=True))
    assert sampler.frontier == 1


def test_a_tie_and_unknown_pairs_do_not_promote():
    sampler = filled()
    sampler.update([PairResult("nobody", True, 1.0)] * 500)
    sampler.update([PairResult("r0", True, 0.0)] * 500)
    assert sampler.frontier == 0 and sampler.accuracy[0] == pytest.approx(0.5)


def test_most_from_the_frontier_the_others_uniformly_from_below():
    sampler = filled((200,) * 4)
    sampler.frontier = 2
    drawn = levels([p for _ in range(100) for p in sampler.draw(10)])
    assert set(drawn) == {"r", "f", "c"}
    assert 650 < drawn["c"] < 750
    assert abs(drawn["r"] - drawn["f"]) < 60


def test_empty_levels_are_passed_over():
    sampler = filled((0, 5, 0, 5))
    assert set(levels(sampler.draw(3))) == {"f"}
    sampler.update(results(pool("f", 5), correct=True) * 50)
    assert sampler.frontier == 3
    assert "h" in levels(sampler.draw(10))
    late = filled((0, 0, 0, 5))
    assert set(levels(late.draw(3))) == {"h"}, "only hard pairs are there"
    late.add(pool("r", 5, "repo"))
    assert set(levels(late.draw(3))) == {"r"}, "easier ones came later and go first"
    assert PairSampler(ContextConfig()).draw(3) == []


def test_exhausted_frontier_falls_back_to_below_never_above():
    sampler = filled((4, 2, 9, 9))
    sampler.frontier = 1
    assert levels(sampler.draw(50)) == {"r": 4, "f": 2}


def test_least_used_first_and_no_pair_twice_in_a_draw():
    sampler = filled((9, 0, 0, 0))
    uses = Counter(p.id for _ in range(4) for p in sampler.draw(7))
    assert max(uses.values()) - min(uses.values()) <= 1
    assert all(len({p.id for p in sampler.draw(9)}) == 9 for _ in range(3))


def test_pairs_are_forgotten_by_use_and_by_age():
    used = filled((4, 0, 0, 0), max_uses=2)
    assert [len(used.draw(4)) for _ in range(3)] == [4, 4, 0]
    assert used.add(pool("r", 4, "repo")) == 0, "a forgotten pair does not come back"
    aged = PairSampler(ContextConfig(), max_age=3)
    aged.add(pool("a", 2), iteration=0)
    aged.add(pool("b", 2), iteration=2)
    assert levels(aged.draw(9, iteration=3)) == {"a": 2, "b": 2}
    assert levels(aged.draw(9, iteration=4)) == {"b": 2}


def test_only_configured_stages_are_taken_in():
    sampler = filled((5, 5, 5, 5), config={"stages": ("function",)})
    assert sampler.sizes == [0, 0, 5, 5]
    assert sampler.add(pool("h", 5)) == 0, "known already"


def test_uniform_draws_from_all():
    sampler = filled((100,) * 4, config={"curriculum": "uniform"})
    drawn = levels([p for _ in range(10) for p in sampler.draw(40)])
    assert drawn == {"r": 100, "f": 100, "c": 100, "h": 100}
    assert len(levels(filled(config={"curriculum": "uniform"}).draw(12))) > 2


def test_deterministic_in_the_seed():
    def ids(seed):
        sampler = filled(seed=seed)
        return [p.id for _ in range(5) for p in sampler.draw(6)]

    assert ids(1) == ids(1) != ids(2)


def test_goes_on_where_it_was():
    def play(sampler, rounds):
        out = []
        for i in range(rounds):
            drawn = sampler.draw(8, iteration=i)
            sampler.update(results(drawn, correct=True))
            out.append([p.id for p in drawn])
        return out

    whole = play(filled(max_uses=9), 24)
    first = filled(max_uses=9)
    play(first, 12)
    state = json.loads(json.dumps(first.state_dict()))
    second = PairSampler(ContextConfig(), seed=99, max_uses=9)
    pairs = [
        e
        for p, s, x in (("r", "repo", 1), ("f", "file", 1), ("c", "function", 0.5), ("h", "function", 0.95))
        for e in pool(p, 20, s, x)
    ]
    second.load_state_dict(state, pairs)
    assert (second.frontier, second.accuracy) == (first.frontier, first.accuracy)
    rest = []
    for i in range(12, 24):
        drawn = second.draw(8, iteration=i)
        second.update(results(drawn, correct=True))
        rest.append([p.id for p in drawn])
    assert rest == whole[12:]


def test_pairs_gone_from_the_store_are_told(caplog):
    sampler = filled((3, 0, 0, 0))
    fresh = PairSampler(ContextConfig())
    fresh.load_state_dict(sampler.state_dict(), pool("r", 2, "repo"))
    assert "1 pairs" in caplog.text and fresh.sizes[0] == 2


def test_an_average_that_has_seen_nothing_is_told_apart():
    sampler = filled()
    sampler.update(results(sampler.draw(5), correct=True))
    assert sampler.measured == [5, 0, 0, 0]
    again = PairSampler(ContextConfig())
    again.load_state_dict(sampler.state_dict(), [])
    assert again.measured == sampler.measured


def test_functions_and_repositories_take_turns():
    sampler = PairSampler(ContextConfig(curriculum="uniform"))
    places = [("r1", "f")] * 20 + [("r1", "g")] * 3 + [("r2", "h")] * 3
    sampler.add(pair(str(i)).model_copy(update={"repo": r, "function": f}) for i, (r, f) in enumerate(places))
    first = [(p.repo, p.function) for p in sampler.draw(3)]
    assert sorted(first) == [("r1", "f"), ("r1", "g"), ("r2", "h")]
    assert first.index(("r2", "h")) < 2, "a repository with one function does not wait for all of another"
    counts = Counter(p.function for p in sampler.draw(6))
    assert counts == {"f": 2, "g": 2, "h": 2}
