"""`contextrl probe` from the outside: the table, the files, and one sentence for every mistake."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from probe_toys import chat_answer, pair, server, write_pairs
from typer.testing import CliRunner

from contextrl.cli import app, stopped
from contextrl.probe.options import ProbeOptions, SelectorOptions
from contextrl.probe.result import Result, label

PAIRS = [pair(i) for i in range(6)]


def contextrl(*arguments):
    return CliRunner().invoke(app, ["probe", *map(str, arguments)], env={"NO_COLOR": "1", "COLUMNS": "100"})


@pytest.fixture
def source(tmp_path):
    return write_pairs(tmp_path / "pairs.jsonl", PAIRS)


@pytest.fixture
def tiny(tmp_path, source):
    """A folder in which the tiny policy was probed, and what was printed."""
    done = contextrl("--model", "tiny", "--pairs", source, "--device", "cpu", "--out", tmp_path / "tiny")
    assert done.exit_code == 0, done.stderr
    return tmp_path / "tiny", done.stdout


def test_the_table_and_the_files(tiny):
    folder, printed = tiny
    result = Result.model_validate_json((folder / "probe.json").read_text())
    (found,) = result.results
    assert found.accuracy.pairs == 6 and found.by_margin == 12
    row = next(line for line in printed.splitlines() if line.startswith("  tiny "))
    assert f"{found.accuracy.mean:.1%}" in row and row.split()[-2:] == ["6", "3"]
    assert "the paper, on its own 200 + 200 pairs" in printed
    assert [line.split()[-2:] for line in printed.splitlines() if "GPT-5.4" in line] == [["99.0%", "84.0%"]]
    assert "kind of bug" in printed and "swap" in printed
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert {(line["pair"], line["anchor_first"]) for line in lines} == {(p.id, o) for p in PAIRS for o in (True, False)}


def test_the_plot_shows_what_was_measured(tiny):
    folder, _ = tiny
    (found,) = Result.model_validate_json((folder / "probe.json").read_text()).results
    root = ElementTree.parse(folder / "plot.svg").getroot()
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert any(title.startswith("tiny on ") and f"{found.accuracy.mean:.1%}" in title for title in titles)
    assert len([title for title in titles if title.startswith("agent")]) == 4
    ticks = {e.text: float(e.get("x")) for e in root.iter("{http://www.w3.org/2000/svg}text") if e.text[-1] == "%"}
    dot = float(next(root.iterfind(".//{*}g[@class='ours']/{*}circle")).get("cx"))
    assert (dot - ticks["0%"]) / (ticks["100%"] - ticks["0%"]) == pytest.approx(found.accuracy.mean, abs=0.001)


def test_recorded_predictions_give_the_same(tmp_path, tiny, source):
    folder, _ = tiny
    recorded = folder / "predictions.jsonl"
    done = contextrl("--model", f"replay:{recorded}", "--pairs", source, "--out", tmp_path / "again")
    assert done.exit_code == 0, done.stderr
    first, second = (Result.model_validate_json((f / "probe.json").read_text()) for f in (folder, tmp_path / "again"))
    renamed = first.results[0].model_copy(update={"model": "tiny (replayed)"})
    assert second.results == [renamed]


def test_recorded_predictions_that_do_not_fit(tmp_path, tiny, source):
    folder, _ = tiny
    recorded = folder / "predictions.jsonl"
    lines = recorded.read_text().splitlines(keepends=True)
    some = tmp_path / "some.jsonl"

    def refused(*extra):
        return sentence("--model", f"replay:{some}", "--pairs", source, "--out", tmp_path / "x", *extra)

    some.write_text("".join(lines[:-3]))
    assert "lacks 3 of 12 predictions of tiny, the first is of pair p" in refused()
    other = [line.replace('"tiny"', '"other"') for line in lines]
    some.write_text("".join(lines + other))
    assert "holds 2 models: add #MODEL, one of tiny, other" in refused()
    some.write_text("".join(json.dumps(json.loads(line) | {"question": "0" * 16}) + "\n" for line in lines))
    assert "reads otherwise than when this was predicted" in refused()
    some.write_text("")
    assert "holds no predictions" in refused()
    some.write_text("".join(lines + other))
    fine = contextrl("--model", f"replay:{some}#other", "--pairs", source, "--out", tmp_path / "fine")
    assert fine.exit_code == 0


def sentence(*arguments) -> str:
    done = contextrl(*arguments)
    assert done.exit_code == 2, done.output
    assert done.stdout == "" and "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--model", "tiny", "--pairs", "nowhere"], "there is no such file"),
        (["--model", "tinny:x"], "no scheme 'tinny'"),
        (["--model", "tiny", "--device", "cuda:97"], "cannot use it here"),
        (["--model", "tiny", "--judgement", "invalid"], "none of 6 pairs is judged invalid"),
        (["--model", "tiny", "--max-tokens", "8"], "longer than 8 tokens"),
        (["--model", "tiny", "--tasks", "nowhere"], "is no task set"),
        (["--model", "openai:http://h"], "names no model"),
        (["--model", "vllm:http://127.0.0.1:9#m"], "cannot be asked"),
        (["--model", "replay:nofile"], "there is no file nofile"),
        (["--model", "heldout"], "no such folder"),
        (["--model", "tiny", "--pairs", "heldout:nowhere.yaml"], "no such recipe"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, source, arguments, problem):
    given = arguments if "--pairs" in arguments else [*arguments, "--pairs", source]
    assert problem in sentence(*given, "--out", tmp_path / "runs/probe", "--store", tmp_path / "no.db")
    left = {path.name for path in tmp_path.iterdir()} - {"pairs.jsonl"}
    assert left == ({"runs"} if "longer" in problem else set())  # what was answered stays, and nothing else


def test_an_endpoint_that_fails_before_the_first_answer_leaves_nothing(tmp_path, source):
    answers = iter([(200, chat_answer("A"))])
    with server(lambda path, body: next(answers, (401, {"error": {"message": "who are you?"}}))) as (url, _):
        given = ["--model", f"openai:{url}/v1#m", "--pairs", source, "--concurrency", 1, "--out", tmp_path / "out"]
        assert sentence(*given).endswith("; 1 of 12 answers are kept, and the same command goes on with the rest")
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"asked.json", "predictions.jsonl"}
        given[-1] = tmp_path / "other"
        assert "401" in sentence(*given)
    assert not (tmp_path / "other").exists()


def test_every_option_arrives_where_it_belongs(monkeypatch):
    given: list[ProbeOptions] = []
    monkeypatch.setattr("contextrl.cli.probe._run", given.append)
    numbers = {"--limit": 2, "--seed": 3, "--max-tokens": 4, "--batch-tokens": 5, "--reply-tokens": 6}
    words = {"--judge": "rules", "--device": "d", "--dtype": "bfloat16", "--tokenizer": "t", "--store": "s"}
    words |= {"--orders": "balanced", "--judgement": "any", "--out": "o", "--concurrency": "7"}
    options = [word for pair in {**numbers, **words}.items() for word in pair]
    several = ["--model", "a", "--model", "b", "--pairs", "p", "--pairs", "q", "--tasks", "x", "--tasks", "y"]
    assert contextrl(*several, *options, "--whole", "--replace").exit_code == 0
    how = SelectorOptions(
        device="d",
        dtype="bfloat16",
        max_tokens=4,
        cut=False,
        batch_tokens=5,
        tokenizer="t",
        reply_tokens=6,
        concurrency=7,
    )
    assert given == [
        ProbeOptions(
            models=("a", "b"),
            sets=("p", "q"),
            out=Path("o"),
            store="s",
            judgement="any",
            judge="rules",
            tasks=("x", "y"),
            limit=2,
            seed=3,
            orders="balanced",
            replace=True,
            selector=how,
        )
    ]


def test_rules_judge_first(tmp_path, source):
    bad = write_pairs(tmp_path / "more.jsonl", [*PAIRS, pair(9, answer=" ")])
    done = contextrl(
        "--model", "tiny", "--pairs", bad, "--judge", "rules", "--out", tmp_path / "out", "--device", "cpu"
    )
    assert done.exit_code == 0, done.stderr
    result = Result.model_validate_json((tmp_path / "out/probe.json").read_text())
    assert result.judge == "rules"
    assert result.sets[0].left_out["found invalid by rules"] >= 1
    assert "pairs left out, found invalid by rules" in " ".join(done.stdout.split())


def test_a_model_judges_first(tmp_path, source):
    def respond(path, body):
        invalid = "return 3" in body["messages"][-1]["content"]
        return 200, chat_answer(json.dumps({"verdict": "INVALID" if invalid else "VALID", "supports": ""}))

    with server(respond) as (url, requests):
        judge = f"openai:{url}/v1#j"
        given = ["--model", "tiny", "--pairs", source, "--judge", judge, "--device", "cpu", "--out", tmp_path / "out"]
        done = contextrl(*given)
        assert done.exit_code == 0, done.stderr
        asked = len(requests)
        assert contextrl(*given).exit_code == 0
    result = Result.model_validate_json((tmp_path / "out/probe.json").read_text())
    assert (result.sets[0].pairs, result.sets[0].left_out) == (5, {f"found invalid by {judge}": 1})
    assert asked == len(requests) == 6  # what a judge said is not asked again


def test_names_are_short_in_the_terminal():
    assert label("vllm:http://127.0.0.1:8000#tiny") == "tiny (vllm)"
    assert label("openai:http://h/v1#org/m#2") == "org/m#2 (openai)"
    assert label("/folder/policy") == "/folder/policy"
    assert label("/a/long/way/to/runs/mine/checkpoint") == ".../runs/mine/checkpoint"


def test_ctrl_c_says_how_to_go_on():
    assert "goes on" in stopped(["probe", "--model", "tiny"])
