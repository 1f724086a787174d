"""Pairs of a run or a file: every one is probed, or counted with the reason."""

import gzip

import pytest
from probe_toys import pair, write_pairs

from contextrl.probe.selector import ProbeError
from contextrl.probe.sets import chosen, judged, load_set
from contextrl.progress import Silent
from trajectories.store import SQLStore

PAIRS = [pair(i, judgement=("valid", "valid", "uncertain", "invalid")[i % 4]) for i in range(8)]


def load(name, store="nowhere.db"):
    return load_set(str(name), str(store), Silent())


def test_a_file_compressed_or_not(tmp_path):
    plain = tmp_path / "pairs.jsonl"
    write_pairs(plain, PAIRS)
    packed = tmp_path / "pairs.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes() + b"\n"))
    assert load(plain).pairs == load(packed).pairs == PAIRS


def test_a_run_of_a_store(tmp_path):
    with SQLStore(tmp_path / "s.db") as store:
        store.add_pairs(p.model_copy(update={"run": "mine"}) for p in PAIRS)
    found = load("mine", tmp_path / "s.db")
    assert [p.id for p in found.pairs] == [p.id for p in PAIRS]
    with pytest.raises(ProbeError, match=r"no such file, and no pair of such a run or set in .*s\.db"):
        load("other", tmp_path / "s.db")


def test_the_sets_that_have_pairs_are_named_whether_runs_mined_or_imported(tmp_path):
    with SQLStore(tmp_path / "s.db") as store:
        store.add_pairs(p.model_copy(update={"run": "a set"}) for p in PAIRS)
        store.add_funnel("nothing came of it", {"commit": 3})
    with pytest.raises(ProbeError, match=r"in .*s\.db; there are pairs of a set$"):
        load("other", tmp_path / "s.db")
    with SQLStore(tmp_path / "s.db") as store:
        for i in range(24):
            store.add_pairs([PAIRS[0].model_copy(update={"run": f"m{i}", "id": f"m{i}"})])
    with pytest.raises(ProbeError, match=r"there are pairs of .*, 5 others$"):
        load("other", tmp_path / "s.db")


def test_what_cannot_be_read_is_said_with_its_line(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(PAIRS[0].model_dump_json() + "\n\n{}\n")
    with pytest.raises(ProbeError, match=r"pairs.jsonl, line 3: not a context pair \(repo: Field required\)"):
        load(path)
    path.write_text("")
    with pytest.raises(ProbeError, match="no pairs in it"):
        load(path)
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(PAIRS[0].model_dump_json().encode())[:-12])
    with pytest.raises(ProbeError, match="cut off"):
        load(cut)
    with pytest.raises(ProbeError, match=r"no such file, and no store nowhere.db"):
        load("pairs.jsnl")


def test_a_pair_that_is_there_twice(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, [*PAIRS[:2], PAIRS[0]])
    found = load(path)
    assert (found.pairs, dict(found.left_out)) == (PAIRS[:2], {"there twice": 1})
    write_pairs(path, [PAIRS[0], PAIRS[0].model_copy(update={"answer": "other"})])
    with pytest.raises(ProbeError, match="two pairs with the id p0 that are not alike"):
        load(path)


def test_judgement_and_limit_count_what_they_leave_out(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, PAIRS)
    whole = load(path)
    valid = chosen(whole, "valid", None, 0)
    assert [p.id for p in valid.pairs] == ["p0", "p1", "p4", "p5"]
    assert valid.left_out == {"judged uncertain": 2, "judged invalid": 2}
    assert chosen(whole, "any", None, 0).pairs == PAIRS
    some = chosen(whole, "any", 3, 5)
    assert len(some.pairs) == 3 and some.left_out == {"beyond --limit": 5}
    assert some.pairs == chosen(whole, "any", 3, 5).pairs
    assert len({tuple(p.id for p in chosen(whole, "any", 3, seed).pairs) for seed in range(9)}) > 3
    assert chosen(whole, "any", 8, 0).left_out == {}
    with pytest.raises(ProbeError, match="none of 8 pairs is judged valid"):
        chosen(
            load(write_pairs(path, [p.model_copy(update={"judgement": "invalid"}) for p in PAIRS])), "valid", None, 0
        )


class Strict:
    def judge(self, judged_pair):
        number = int(judged_pair.id[1:])
        return ("invalid" if number % 2 else "uncertain"), []


def test_a_judge_leaves_out_what_it_finds_invalid(tmp_path):
    whole = chosen(load(write_pairs(tmp_path / "p.jsonl", PAIRS)), "any", None, 0)
    told = []
    found = judged(whole, Strict(), "strict", lambda done, total: told.append((done, total)))
    assert [p.id for p in found.pairs] == ["p0", "p2", "p4", "p6"]
    assert found.left_out == {"found invalid by strict": 4}
    assert told[-1] == (8, 8)
    only = chosen(load(write_pairs(tmp_path / "p.jsonl", [PAIRS[1]])), "any", None, 0)
    with pytest.raises(ProbeError, match="the judge strict finds all 1 pairs invalid"):
        judged(only, Strict(), "strict", lambda *_: None)
