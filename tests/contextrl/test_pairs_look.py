"""`contextrl pairs ls|show|funnel|import`: what is said of pairs, and of what cannot be found or taken."""

import json

import pytest
from test_cli import contextrl, refused
from test_pairs_cli import mined, store  # noqa: F401 - fixtures

from contextrl.cli.pairs import funnel_table
from trajectories.records import ContextPair
from trajectories.store import SQLStore


def asked(*arguments) -> str:
    result = contextrl("pairs", *map(str, arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_share_is_printed_only_where_it_is_one(capsys):
    funnel_table({"commit": 100, "function": 50, "close": 89, "asked": 10, "valid": 5, "invalid": 5})
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[2] for row in rows] == ["-", "50.0%", "-", "-", "50.0%", "-"]


def test_ls_finds_a_function_by_how_it_ends_and_prints_json(mined):  # noqa: F811
    lines = [json.loads(line) for line in asked("ls", "--json", "--function", "f1", "--store", mined).splitlines()]
    assert len(lines) == 6 and {line["function"] for line in lines} == {"pkg/a.py::f1"}
    first = lines[0]
    assert (first["judgement"], first["uses"], first["retired"], first["run"]) == ("valid", 0, "", "mined")
    assert first["anchor_instance_id"] != first["confounder_instance_id"] and "answer" not in first
    told = contextrl("pairs", "ls", "--function", "a.py::f1", "--store", str(mined)).stderr
    assert told == "function: pkg/a.py::f1\n"


def test_show_and_funnel_print_json(mined):  # noqa: F811
    with SQLStore(mined) as opened:
        pair, counts = opened.pairs(limit=1)[0], opened.funnel("mined")
    assert ContextPair.model_validate_json(asked("show", pair.id[:8], "--json", "--store", mined)) == pair
    assert json.loads(asked("funnel", "--run", "mined", "--json", "--store", mined)) == counts


def test_what_matches_nothing_is_told_by_what_was_asked(mined):  # noqa: F811
    assert "No pair passes --run mined --judgement uncertain --retired." in asked(
        "ls", "--run", "mined", "--judgement", "uncertain", "--retired", "--store", mined
    )
    assert "No pair passes --run r." in asked("ls", "--run", "r", "--store", mined)
    assert "Nothing was mined in 'r'" in asked("funnel", "--run", "r", "--store", mined)
    with SQLStore(mined) as opened:
        opened.claim_run("new")
    assert "No trajectory passes --run new." in asked("mine", "--run", "new", "--store", mined)


def test_how_many_ids_start_so_is_said_as_far_as_it_is_known(mined):  # noqa: F811
    assert "10 ids or more start with ''" in refused("pairs", "show", "", "--store", str(mined))
    with SQLStore(mined) as opened:
        opened.add_pairs(
            pair.model_copy(update={"id": f"zz{i}", "answer": f"{i}"}) for i, pair in enumerate(opened.pairs(limit=2))
        )
    assert refused("pairs", "show", "zz", "--store", str(mined)).startswith("2 ids start with 'zz'")


def test_the_next_command_can_be_pasted(store):  # noqa: F811
    told = asked("mine", "--set", "it's mine", "--cut-at-edit", "--store", store)
    assert """contextrl pairs ls --run 'it'"'"'s mine'\n""" in told


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"run": ""}, "the name of its run is empty"),
        ({"run": "a\nb"}, "the name of its run holds a line break or a control character"),
        ({"created_at": 1.76e12}, "created_at 1.76e+12 is no time in seconds since the epoch: are these milliseconds?"),
        ({"id": "the first"}, "Pair the first is already stored with other contents"),
    ],
)
def test_a_pair_that_cannot_be_kept_is_named_with_its_line(changed, said, suffix, mined, tmp_path):  # noqa: F811
    with SQLStore(mined) as opened:
        first, second, third, *_ = opened.pairs()
    pairs = [first.model_copy(update={"id": "the first"}), second, third.model_copy(update=changed)]
    path, other = tmp_path / f"pairs{suffix}", tmp_path / "other.db"
    text = "\n".join([pairs[0].model_dump_json(), "", *(pair.model_dump_json() for pair in pairs[1:])])
    if suffix.endswith("gz"):
        import gzip

        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    result = contextrl("pairs", "import", str(path), "--store", str(other))
    assert result.exit_code == 2 and f"{path}, line 4: {said}" in result.stderr
    assert "hat stands before it is imported" in result.stderr and "2 new pairs" in result.stdout
    with SQLStore(other) as opened:
        assert opened.pairs() == pairs[:2]


def test_a_file_that_is_not_there_makes_no_store(tmp_path):
    refused("pairs", "import", str(tmp_path / "none.jsonl"), "--store", str(tmp_path / "new.db"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("", "The trajectory store has no name: give the path of a file, or a URL."),
        ("sqlite://", "A trajectory store in memory begins empty: give the path of a file"),
        ("mysql://me:secret@host/x", "give the path of a file, or postgresql://"),
    ],
)
@pytest.mark.parametrize("command", [("traj", "ls"), ("traj", "stats"), ("pairs", "ls"), ("pairs", "mine"), ("view",)])
def test_a_store_that_can_be_none_is_told(command, where, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = refused(*command, "--store", where)
    assert said in told and "secret" not in told
