"""`contextrl pairs audit`, from a store and from a file."""

import json
import random
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contextrl.cli import app
from contextrl.cli.judging import tell
from trajectories.auditing.report import AuditReport, Trial, findings
from trajectories.endpoints import posting
from trajectories.intervals import wilson
from trajectories.store import SQLStore

sys.path.insert(0, str(Path(__file__).parents[1] / "trajectories"))
from model_server import Bad, model_server
from test_audit import pair_set
from trajectory_builders import trajectory


def contextrl(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"NO_COLOR": "1", "COLUMNS": "200"})


def stored(path, pairs, newer=0.5):
    """A store with the pairs and their trajectories; the anchor was added last in this share of the pairs."""
    rng = random.Random(0)
    with SQLStore(path) as store:
        for pair in pairs:
            sides = [pair.anchor, pair.confounder]
            for side in sides[:: -1 if rng.random() < newer else 1]:
                store.add(trajectory(side.instance_id, id=side.trajectory_id, created_at=1.0))
        store.add_pairs(pair.model_copy(update={"run": "mined", "judgement": "valid"}) for pair in pairs)
    return path


def test_a_shortcut_is_told_and_strict_fails(tmp_path):
    store = stored(tmp_path / "s.db", pair_set(1, pairs=150, dashes=99))
    result = contextrl("pairs", "audit", "--store", store, "--run", "mined")
    assert result.exit_code == 0, result.output
    assert "The set is flagged: length." in result.stdout
    assert "Marked where p is below 0.05 and the interval excludes 0.5 as well." in result.stdout
    assert re.search(r"length selects \d\d\.\d points better than chance", result.stdout)
    assert "150 pairs of 60 functions" in result.stdout
    assert contextrl("pairs", "audit", "--store", store, "--strict").exit_code == 1


def test_an_audit_of_a_store_is_kept_beside_its_pairs(tmp_path):
    path = stored(tmp_path / "s.db", pair_set(1, pairs=20))
    told = contextrl("pairs", "audit", "--store", path, "--run", "mined", "--stage", "function", "--json")
    with SQLStore(path) as store:
        (found,) = store.findings("audit", "mined")
        assert store.findings("audit", "") == []
    assert found.document == json.loads(told.stdout) | {"of": "--judgement valid --stage function"}


def test_what_is_below_chance_is_said_and_flags_nothing(capsys):
    def trial(name, right, p):
        return Trial(name, "what it looks at", [frozenset("f")] * 200, wilson(right, 200), p)

    tell(
        AuditReport(200, 200, 50, findings([trial("style", 101, 0.9), trial("length", 60, 0.001)], 0.05), (), 0.7, 0.05)
    )
    said = capsys.readouterr().out
    (row,) = (line for line in said.splitlines() if line.startswith("length  "))
    assert "below chance" in row and "0.002" in row
    assert "length selects 20.0 points worse than chance" in said and "Nothing beats chance" in said


def test_what_the_store_knows_is_tried_as_well(tmp_path):
    store = stored(tmp_path / "s.db", pair_set(2, pairs=120), newer=0.85)
    result = contextrl("pairs", "audit", "--store", store, "--json", "--strict")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["flagged"], report["skipped"]) == (1, ["newer"], [])


def test_a_clean_file_is_called_clean_and_a_small_one_too_small(tmp_path):
    store = stored(tmp_path / "s.db", pair_set(11, pairs=200))
    out = tmp_path / "pairs.jsonl"
    assert contextrl("pairs", "export", "--store", store, "-o", out).exit_code == 0
    result = contextrl("pairs", "audit", "--file", out, "--strict")
    assert result.exit_code == 0, result.output
    assert "Nothing beats chance" in result.stdout
    assert "no store knows the trajectories: newer, agent" in result.stdout
    few = tmp_path / "few.jsonl"
    few.write_text("".join(out.read_text().splitlines(keepends=True)[:9]))
    assert "Too few to say anything" in contextrl("pairs", "audit", "--file", few).stdout
    few.write_text(out.read_text().partition("\n")[0])
    said = contextrl("pairs", "audit", "--file", few).stdout
    assert "1 pairs could not be measured" in said and said.endswith("Too few to say anything. Mine more functions.\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--run", "nobody"], "there is no run or set 'nobody'"),
        (["--repo", "nobody"], "there is no repository 'nobody'"),
        (["--judgement", "invalid"], "there are no pairs to audit in s.db: none passes --judgement invalid\n"),
        (["--file", "three.jsonl"], "give one of them"),
    ],
)
def test_what_cannot_be_audited_is_said(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    stored("s.db", pair_set(1, pairs=3))
    result = contextrl("pairs", "audit", "--store", "s.db", *arguments)
    assert result.exit_code == 2 and said in result.stderr and "Traceback" not in result.output


def test_a_file_that_is_none_or_cut_off_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [pair.model_dump_json() + "\n" for pair in pair_set(1, pairs=3)]
    Path("cut.jsonl").write_text("".join(lines)[:-100])
    Path("whole.jsonl").write_text("".join(lines))

    def said(*arguments):
        result = contextrl("pairs", "audit", "--judgement", "any", "--file", *arguments)
        assert result.exit_code == 2 and "Traceback" not in result.output
        assert "import" not in result.stderr and "HOME" not in result.stderr
        return result.stderr

    assert said("nowhere.jsonl") == "nowhere.jsonl: no such file or directory; check the path\n"
    assert said(tmp_path).endswith(": is a directory; check the path\n")
    assert "cut.jsonl, line 3: not a context pair (Invalid JSON: EOF while parsing" in said("cut.jsonl")
    assert "give one of them" in said("whole.jsonl", "--run", "r")
    assert "there are no pairs to audit in whole.jsonl: none passes --repo other" in said(
        "whole.jsonl", "--repo", "other"
    )


@pytest.mark.parametrize("option", ["--judge", "--embedding"])
def test_an_endpoint_that_is_down_is_said_and_the_same_command_goes_on(tmp_path, monkeypatch, option):
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(posting, "FIRST_WAIT_S", 0.001)
    with SQLStore(tmp_path / "s.db") as store:
        for i in range(2):
            store.add(trajectory(f"f-{i}", shown=("*", i), right=("+", i), function="f", run="r"))
    down = [True]

    def answer(body, number):
        if down[0]:
            return Bad(503, b"starting")
        if "input" in body:
            return {"data": [{"index": i, "embedding": [1.0, 2.0]} for i in range(len(body["input"]))]}
        return json.dumps({"verdict": "VALID", "reasons": ["it takes reading"]})

    with model_server(answer) as (url, _):
        command = ("pairs", "mine", option, f"openai:{url}#m", "--cut-at-edit", "--store", tmp_path / "s.db")
        command += ("--processes", "1")
        result = contextrl(*command)
        assert result.exit_code == 2 and "Traceback" not in result.output
        assert result.stderr.endswith("(5 attempts): starting; when it answers again, the same command goes on\n")
        down[0] = False
        result = contextrl(*command)
    assert result.exit_code == 0 and "2 valid pairs" in result.stdout, result.output


def test_only_some_pairs_are_audited(tmp_path, monkeypatch):
    pairs = [p.model_copy(update={"repo": f"r{n % 3}", "id": f"{n:032}"}) for n, p in enumerate(pair_set(1, pairs=30))]
    store = stored(tmp_path / "s.db", pairs)
    assert contextrl("pairs", "export", "--store", store, "-o", tmp_path / "p.jsonl").exit_code == 0
    monkeypatch.setenv("CONTEXTRL_STORE", str(store))  # a setting is no contradiction of --file
    for where in (["--run", "mined"], ["--file", tmp_path / "p.jsonl"]):
        for filters, count in ((["--repo", "r1"], 10), (["--stage", "function"], 30), ([], 30)):
            result = contextrl("pairs", "audit", "--json", *where, *filters)
            assert json.loads(result.stdout)["pairs"] == count, result.output
        assert contextrl("pairs", "audit", *where, "--stage", "file").exit_code == 2
