"""`contextrl pairs`: mining a store, moving sets, and what a user may get wrong."""

import gzip
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from contextrl.cli import app
from trajectories.records import ContextPair
from trajectories.store import SQLStore

sys.path.insert(0, str(Path(__file__).parents[1] / "trajectories"))
from model_server import model_server
from trajectory_builders import trajectory


def contextrl(*arguments: str) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"NO_COLOR": "1", "COLUMNS": "200"})


def refused(*arguments: str) -> str:
    result = contextrl(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1 and "Traceback" not in result.output
    return result.stderr


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    with SQLStore(path) as opened:
        for f in range(4):
            for i in range(3):
                name = f"f{f}"
                opened.add(trajectory(f"{name}-{i}", shown=("*", i), right=("+", i), function=name, run="r"))
    return path


@pytest.fixture
def mined(store: Path) -> Path:
    result = contextrl("pairs", "mine", "--store", store, "--cut-at-edit", "--processes", "1")
    assert result.exit_code == 0, result.output
    return store


def test_mine_prints_the_funnel_and_keeps_it(store):
    result = contextrl("pairs", "mine", "--store", store, "--cut-at-edit", "--set", "mine")
    assert result.exit_code == 0, result.output
    assert "24 valid pairs in the set 'mine'" in result.stdout
    funnel = contextrl("pairs", "funnel", "--run", "mine", "--store", store).stdout
    assert [line.split()[:2] for line in funnel.splitlines()[1:5]] == [
        ["commit", "66"],
        ["file", "66"],
        ["function", "12"],
        ["distinct", "12"],
    ]
    assert funnel.splitlines()[1:] == result.stdout.splitlines()[1:12]


def test_a_set_is_mined_in_one_way(mined):
    again = ("pairs", "mine", "--store", str(mined), "--processes", "1")
    assert "was mined with --per-function 8" in refused(*again, "--cut-at-edit", "--per-function", "3")
    funnel = contextrl("pairs", "funnel", "--run", "mined", "--store", mined).stdout
    assert "'mined' was mined with --cut-at-edit: give the same" in refused(*again)
    assert "was mined with no --repo, --commit same" in refused(
        *again, "--cut-at-edit", "--repo", "pkg", "--commit", "any"
    )
    assert "'r' is the name of a run" in refused(*again, "--set", "r")
    with SQLStore(mined) as opened:
        opened.add_pairs([opened.pairs(limit=1)[0].model_copy(update={"id": "f" * 32, "run": "r"})])
    assert "pairs already under the name 'r'" in refused(*again, "--set", "r")
    assert contextrl("pairs", "funnel", "--run", "mined", "--store", mined).stdout == funnel


def test_a_set_that_is_being_mined_is_left_alone(store):
    with SQLStore(store) as opened:
        opened.claim_set("s", {"--commit": "any"})
        asked = ("pairs", "mine", "--store", str(store), "--set", "s", "--processes", "1")
        assert "being mined right now by process" in refused(*asked)
        opened.release_run("s")
    assert contextrl(*asked).exit_code == 0


def test_what_is_imported_is_not_mixed_with_what_was_mined(mined, tmp_path):
    out = tmp_path / "p.jsonl"
    assert contextrl("pairs", "export", "-o", out, "--store", mined).exit_code == 0
    assert "all of 'mined' was mined here" in refused(
        "pairs", "import", str(out), "--set", "mined", "--store", str(mined)
    )
    assert "0 new pairs, 24 that were there" in contextrl("pairs", "import", out, "--store", mined).stdout


def test_a_set_without_pairs_may_be_mined_in_another_way(store):
    for more in (("--repo", "pkg", "--commit", "window", "--function", "file"), ("--cut-at-edit",)):
        result = contextrl("pairs", "mine", "--store", store, "--min-related", "1", "--processes", "1", *more)
        assert result.exit_code == 0 and "\n0 valid pairs" in result.stdout, result.output
    assert contextrl("pairs", "mine", "--store", store, "--cut-at-edit", "--processes", "1").exit_code == 0


def test_what_training_held_out_is_left_out_and_said(store):
    with SQLStore(store) as opened:
        t = opened.query(limit=1)[0]
        opened.add(t.model_copy(update={"id": "e" * 32, "run": f"{t.run}.before"}))
    result = contextrl("pairs", "mine", "--store", store, "--cut-at-edit", "--processes", "1")
    assert "1 trajectories are left out" in result.output and "24 valid pairs" in result.output


def test_ls_and_show(mined):
    listed = contextrl("pairs", "ls", "--run", "mined", "--store", mined, "--limit", "3").stdout.splitlines()
    assert len(listed) == 4 and "valid" in listed[1]
    shown = contextrl("pairs", "show", listed[1].split()[0], "--store", mined)
    assert shown.exit_code == 0 and "C+ anchor" in shown.stdout
    assert "contextrl pairs ls" in refused("pairs", "show", "zz", "--store", str(mined))


def test_export_and_import_give_the_same_pairs(mined, tmp_path):
    out = tmp_path / "pairs.jsonl.gz"
    assert "24 pairs" in contextrl("pairs", "export", "-o", out, "--store", mined).stdout
    other = tmp_path / "other.db"
    assert "24 new pairs" in contextrl("pairs", "import", out, "--store", other).stdout
    with SQLStore(mined) as a, SQLStore(other) as b:
        assert a.pairs() == b.pairs()
    assert "0 new pairs, 24 that were there" in contextrl("pairs", "import", out, "--store", other).stdout
    assert "24 new pairs" in contextrl("pairs", "import", out, "--store", other, "--set", "again").stdout


def test_a_split_shares_no_function(mined, tmp_path):
    out = tmp_path / "pairs.jsonl"
    result = contextrl("pairs", "export", "-o", out, "--store", mined, "--heldout", "0.25")
    assert result.exit_code == 0, result.output
    found = [
        [ContextPair.model_validate_json(line) for line in path.read_text().splitlines()]
        for path in (out, tmp_path / "pairs.heldout.jsonl")
    ]
    assert [len(pairs) for pairs in found] == [18, 6]
    assert not {p.function for p in found[0]} & {p.function for p in found[1]}


def test_a_truncated_file_says_where_and_keeps_what_stands_before(mined, tmp_path):
    out = tmp_path / "pairs.jsonl"
    contextrl("pairs", "export", "-o", out, "--store", mined)
    out.write_bytes(out.read_bytes()[:-100])
    other = tmp_path / "other.db"
    result = contextrl("pairs", "import", out, "--store", other)
    assert result.exit_code == 2
    assert f"{out}, line 24: not a context pair" in result.stderr
    assert "23 new pairs" in result.stdout
    with SQLStore(other) as opened:
        assert opened.count_pairs() == 23


def test_a_damaged_gzip_file(mined, tmp_path):
    out = tmp_path / "pairs.jsonl.gz"
    contextrl("pairs", "export", "-o", out, "--store", mined)
    whole = out.read_bytes()
    with gzip.open(out, "rt") as file:
        first = file.readline()
    out.write_bytes(gzip.compress(first.encode() * 2)[:-8])
    said = contextrl("pairs", "import", out, "--store", tmp_path / "o.db").stderr
    assert f"{out}, line 3: not a context pair" in said and "damaged or cut off" in said
    out.write_bytes(whole[:100] + bytes(100) + whole[200:])
    assert "damaged or cut off" in contextrl("pairs", "import", out, "--store", tmp_path / "o.db").stderr
    plain = tmp_path / "plain.jsonl.gz"
    plain.write_text(json.dumps({"no": "pair"}))
    assert "damaged or cut off" in contextrl("pairs", "import", plain, "--store", tmp_path / "o.db").stderr
    with gzip.open(tmp_path / "empty.jsonl.gz", "wt"):
        pass
    assert "is empty" in contextrl("pairs", "import", tmp_path / "empty.jsonl.gz", "--store", tmp_path / "o.db").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mine", "--run", "nobody"), "there is no run 'nobody'"),
        (("mine", "--judge", "gpt"), "gpt"),
        (("mine", "--embedding", "words"), "names no endpoint"),
        (("mine", "--verify", "no-such-set"), "no-such-set"),
        (("mine", "--repo", "pkq"), "there is no repository 'pkq'"),
        (("mine", "--set", ""), "--set: the name is empty"),
        (("mine", "--set", "a\nb"), "--set: the name holds a line break"),
        (("mine", "--set", "s" * 201), "--set: the name has 201 characters"),
        (("ls", "--run", "nobody"), "there is no run or set 'nobody' in {tmp}/store.db; there: r"),
        (("ls", "--repo", "pkq"), "there is no repository 'pkq' in {tmp}/store.db; there: pkg"),
        (("ls", "--function", "nope"), "no pair asks about a function called 'nope'"),
        (("funnel", "--run", "R"), "there is no run or set 'R' in {tmp}/store.db; there: r"),
        (("export", "-o", "{tmp}/x.jsonl", "--run", "nobody"), "there is no run or set 'nobody'"),
        (("import", "{tmp}"), "{tmp} is a folder: give the files in it"),
        (("import", "{tmp}/store.db", "--set", " "), "--set: the name is empty"),
        (("import", "{tmp}/missing.jsonl"), "{tmp}/missing.jsonl is not there: check the path"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(store, tmp_path, arguments, said):
    found = refused("pairs", *(a.format(tmp=tmp_path) for a in arguments), "--store", str(store))
    assert said.format(tmp=tmp_path) in found and "runs=FOLDER" not in found


def test_an_empty_store_and_a_file_that_is_there(mined, tmp_path):
    with SQLStore(tmp_path / "empty.db"):
        pass
    assert "holds no trajectories" in refused("pairs", "mine", "--store", str(tmp_path / "empty.db"))
    out = tmp_path / "there.jsonl"
    out.write_text("mine")
    assert "--replace" in refused("pairs", "export", "-o", str(out), "--store", str(mined))
    assert out.read_text() == "mine"
    assert contextrl("pairs", "export", "-o", out, "--store", mined, "--replace").exit_code == 0


def test_a_model_judges_what_the_rules_let_pass_within_its_budget_and_is_asked_once(store, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    said = json.dumps({"verdict": "INVALID", "reasons": ["the longer one is the anchor"]})
    with model_server(lambda body, number: said) as (url, requests):
        judge = ("--judge", f"openai:{url}#m", "--cut-at-edit", "--store", store)
        few = contextrl("pairs", "mine", *judge, "--set", "few", "--judge-requests", "5")
        assert few.exit_code == 0, few.output
        assert len(requests) == 5
        with SQLStore(store) as opened:
            counts = [opened.count_pairs(run="few", judgement=j) for j in ("valid", "uncertain", "invalid")]
        assert counts == [0, 19, 5], "those that were not paid for are uncertain, not lost"
        assert contextrl("pairs", "mine", *judge, "--set", "few").exit_code == 0
        assert len(requests) == 24, "what was answered is not asked again"
        with SQLStore(store) as opened:
            assert opened.count_pairs(run="few", judgement="invalid") == 24
            assert "model: the longer one is the anchor" in opened.pairs(run="few")[0].reasons
