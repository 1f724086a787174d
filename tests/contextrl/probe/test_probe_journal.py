"""A probe that was interrupted goes on; one that is there is not written over."""

import json
import multiprocessing
from pathlib import Path

import pytest
from probe_toys import pair, write_pairs

from contextrl.probe.journal import read_predictions
from contextrl.probe.options import ProbeOptions
from contextrl.probe.probe import probe
from contextrl.probe.result import Result
from contextrl.probe.selector import Choice, ProbeError, SelectorOptions
from contextrl.progress import Silent

PAIRS = [pair(i) for i in range(6)]


class Scripted:
    """Names the anchor; is stopped after so many answers."""

    asked: list = []  # noqa: RUF012 - reset by each test

    def __init__(self, name, options, stop_after=None):
        self.name, self._stop = name, stop_after

    def answer(self, questions):
        for i, question in enumerate(questions):
            if i == self._stop:
                raise KeyboardInterrupt
            Scripted.asked.append((self.name, question.pair.id, question.anchor_first))
            yield Choice(question, margin=1.0 + i)

    def close(self):
        pass


@pytest.fixture(autouse=True)
def nothing_asked():
    Scripted.asked = []


def run(tmp_path, *models, pairs=PAIRS, stop_after=None, **options) -> Result:
    source = write_pairs(tmp_path / "pairs.jsonl", pairs)
    options = {"out": tmp_path / "out", "store": ""} | options
    asked = ProbeOptions(models=models or ("tiny",), sets=(source,), **options)
    return probe(asked, Silent(), lambda name, how: Scripted(name, how, stop_after))


def test_what_was_answered_is_not_asked_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=5)
    assert not (tmp_path / "out/probe.json").exists()
    result = run(tmp_path)
    assert len(Scripted.asked) == len(set(Scripted.asked)) == 12
    assert result.results[0].accuracy.pairs == 6
    again = run(tmp_path)
    assert len(Scripted.asked) == 12
    assert again.results == result.results


def test_a_line_that_a_kill_cut_off_is_asked_again(tmp_path):
    run(tmp_path)
    path = tmp_path / "out/predictions.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    run(tmp_path)
    assert len(Scripted.asked) == 13
    assert len(read_predictions(path)) == path.read_text().count("\n") == 12


def test_a_damaged_line_is_named(tmp_path):
    run(tmp_path)
    path = tmp_path / "out/predictions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], '{"model": "tiny"}\n', *lines[2:]]))
    with pytest.raises(ProbeError, match=r"predictions.jsonl, line 3 is no prediction \(pair: Field required\)"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"orders": "balanced"}, "sets`, `orders"),
        ({"seed": 1}, "seed"),
        ({"pairs": PAIRS[:4]}, "sets"),
        ({"selector": SelectorOptions(max_tokens=99)}, "max_tokens"),
    ],
)
def test_another_probe_is_not_written_over(tmp_path, change, field):
    run(tmp_path)
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    with pytest.raises(ProbeError, match=f"holds another probe .`{field}` differ"):
        run(tmp_path, **change)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    run(tmp_path, replace=True, **change)
    assert len(Scripted.asked) > 12


def test_another_model_in_the_same_folder_is_another_probe(tmp_path):
    run(tmp_path)
    with pytest.raises(ProbeError, match="`models` differ"):
        run(tmp_path, "tiny", "replay:x")


def test_a_model_that_was_trained_on_is_another_model(tmp_path):
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy/config.json").write_text("{}")
    run(tmp_path, str(tmp_path / "policy"))
    (tmp_path / "policy/config.json").write_text("{ }")
    with pytest.raises(ProbeError, match="`models` differ"):
        run(tmp_path, str(tmp_path / "policy"))


def test_a_folder_in_which_nothing_was_answered_is_free(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=0)
    assert run(tmp_path, seed=1).asked.seed == 1


def test_a_probe_without_an_answer_leaves_nothing_and_one_with_answers_them(tmp_path):
    (tmp_path / "runs").mkdir()
    out = tmp_path / "runs/deep/er"
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=0, out=out)
    assert list((tmp_path / "runs").iterdir()) == []
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=1, out=out)
    assert {path.name for path in out.iterdir()} == {"asked.json", "predictions.jsonl"}
    (tmp_path / "mine").mkdir()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=0, out=tmp_path / "mine")
    assert (tmp_path / "mine").is_dir()  # it was there before


def test_a_probe_gives_way_only_to_one_that_gets_an_answer(tmp_path):
    run(tmp_path)
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=0, seed=1, replace=True)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=1, seed=1, replace=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"asked.json", "predictions.jsonl"}
    assert len(read_predictions(tmp_path / "out/predictions.jsonl")) == 1


def test_files_of_something_else_stay(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "probe.json").write_text("mine too")
    with pytest.raises(ProbeError, match="files of something else"):
        run(tmp_path)
    assert (out / "probe.json").read_text() == "mine too"
    run(tmp_path, replace=True)
    assert (out / "notes.txt").read_text() == "mine"
    Result.model_validate_json((out / "probe.json").read_text())
    (tmp_path / "file").write_text("")
    with pytest.raises(ProbeError, match="is a file"):
        probe(
            ProbeOptions(("tiny",), (str(tmp_path / "pairs.jsonl"),), tmp_path / "file", ""),
            Silent(),
            Scripted,
        )


def probe_and_wait(folder: str, started, leave) -> None:
    class Slow(Scripted):
        def answer(self, questions):
            started.set()
            leave.wait(20)
            yield from super().answer(questions)

    path = Path(folder)
    asked = ProbeOptions(("tiny",), (str(path / "pairs.jsonl"),), path / "out", "")
    probe(asked, Silent(), Slow)


def test_a_folder_is_one_processs_at_a_time(tmp_path):
    write_pairs(tmp_path / "pairs.jsonl", PAIRS)
    context = multiprocessing.get_context("fork")
    started, leave = context.Event(), context.Event()
    other = context.Process(target=probe_and_wait, args=(str(tmp_path), started, leave))
    other.start()
    try:
        assert started.wait(20)
        for replace in (False, True):
            with pytest.raises(ProbeError, match="another process probes into"):
                run(tmp_path, replace=replace)
    finally:
        leave.set()
        other.join(20)
    assert other.exitcode == 0
    assert len(read_predictions(tmp_path / "out/predictions.jsonl")) == 12


def test_models_are_compared_on_pairs_of_each_set(tmp_path):
    first, second = write_pairs(tmp_path / "a.jsonl", PAIRS[:4]), write_pairs(tmp_path / "b.jsonl", PAIRS[2:])
    asked = ProbeOptions(("tiny", "other"), (first, second), tmp_path / "out", "")
    result = probe(asked, Silent(), Scripted)
    assert [(r.set, r.model, r.accuracy.pairs) for r in result.results] == [
        (first, "tiny", 4),
        (first, "other", 4),
        (second, "tiny", 4),
        (second, "other", 4),
    ]
    assert [(d.set, d.model, d.against, d.difference.mean) for d in result.differences] == [
        (first, "other", "tiny", 0.0),
        (second, "other", "tiny", 0.0),
    ]
    assert len(Scripted.asked) == 2 * 12  # pairs of both sets are asked about once
    stored = json.loads((tmp_path / "out/probe.json").read_text())
    assert Result.model_validate(stored) == result
    with pytest.raises(ValueError, match="Extra inputs"):
        Result.model_validate(stored | {"surprise": 1})


def test_one_id_with_two_texts_is_refused(tmp_path):
    first = write_pairs(tmp_path / "a.jsonl", PAIRS[:1])
    second = write_pairs(tmp_path / "b.jsonl", [PAIRS[0].model_copy(update={"answer": "other"})])
    asked = ProbeOptions(("tiny",), (first, second), tmp_path / "out", "")
    with pytest.raises(ProbeError, match="pair p0 reads otherwise in two of the sets"):
        probe(asked, Silent(), Scripted)


class TooShort(Scripted):
    def answer(self, questions):
        yield from (Choice(q, left_out="longer than 8 tokens") for q in questions)


def test_a_model_that_answers_nothing_is_an_error(tmp_path):
    source = write_pairs(tmp_path / "pairs.jsonl", PAIRS)
    asked = ProbeOptions(("tiny",), (source,), tmp_path / "out", "")
    with pytest.raises(ProbeError, match=r"tiny answers no pair of .*: 6 of 6 are longer than 8 tokens"):
        probe(asked, Silent(), TooShort)


@pytest.mark.parametrize(("models", "sets"), [(("tiny", "tiny"), ("a",)), (("tiny",), ("a", "a"))])
def test_what_is_given_twice_is_refused(tmp_path, models, sets):
    with pytest.raises(ProbeError, match="is given twice"):
        probe(ProbeOptions(models, sets, tmp_path, ""), Silent(), Scripted)
