"""`contextrl replay` on a real store: what it prints, keeps and returns, step by step, and forks."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import contextrl, refused

from agents.policy import load_policy
from contextrl.forking import encoded, wrote
from contextrl.introduction import task_document
from contextrl.start import policy_source
from sandbox import open_backend
from trajectories.records import ToolCall, Turn
from trajectories.replay.report import ReplayReport
from trajectories.store import SQLStore

sys.path.insert(0, str(Path(__file__).parents[1] / "trajectories" / "replay"))
from replay_ground import SCRIPT, profile_of, record, task_of, with_turn, write_tree
from scaffold_runs import foreign_run

GOOD, OTHER, EMPTY, FOREIGN, UNKNOWN, ENCODED, ODD = (letter * 32 for letter in "abcdef0")
LAST = len(SCRIPT)


@pytest.fixture(scope="module")
def chat():
    return load_policy(policy_source("tiny")).chat


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    profile = profile_of(write_tree(tmp_path_factory.mktemp("lengths") / "tree"))
    return profile, task_of(profile)


@pytest.fixture(scope="module")
def episode(ground, chat):
    async def play():
        backend = await open_backend("local")
        try:
            return await record(backend, *ground, chat=chat)
        finally:
            await backend.close()

    return asyncio.run(play())


@pytest.fixture
def store(tmp_path, ground, episode, monkeypatch):
    """A good episode, one whose third turn came out otherwise, and odd ones."""
    profile, task = ground
    path = tmp_path / "store.db"
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONTEXTRL_STORE", str(path))
    with SQLStore(path) as opened:
        opened.add_tasks("recorded", {task.instance_id: task_document(task, profile)})
        opened.add(episode.model_copy(update={"id": GOOD}))
        opened.add(with_turn(episode, 3, observation="1 failed, 9 passed").model_copy(update={"id": OTHER}))
        opened.add(episode.model_copy(update={"id": EMPTY, "turns": []}))
        shell = Turn(tool_call=ToolCall(name="bash", arguments={"command": "ls"}), observation="README.md")
        opened.add(episode.model_copy(update={"id": FOREIGN, "turns": [shell], "agent": "swe-agent"}))
        opened.add(episode.model_copy(update={"id": UNKNOWN, "instance_id": "nobody's"}))
    return path


def findings(store, subject):
    with SQLStore(store) as opened:
        return [ReplayReport.model_validate(found.document) for found in opened.findings("replay", subject)]


def forks(store):
    with SQLStore(store) as opened:
        return opened.query(run="recorded.forks")


def test_no_divergence(store):
    result = contextrl("replay", "aa", "--backend", "local")
    assert result.exit_code == 0, result.output
    assert f"{LAST} steps, no divergence" in result.stdout and "verdict: resolved, as recorded" in result.stdout
    assert len([line for line in result.stdout.splitlines() if line.split()[1:2] == ["same"]]) == LAST
    (report,) = findings(store, GOOD)
    assert report.agrees and len(report.steps) == LAST and report.verdict.resolved


def test_a_divergence_is_shown_and_is_exit_code_1(store):
    result = contextrl("replay", OTHER, "--backend", "local")
    assert result.exit_code == 1
    assert "divergence at 1 of 8 steps, first at step 3" in result.stdout
    assert "-1 failed, 9 passed" in result.stdout and "+1 failed, 2 passed" in result.stdout
    assert findings(store, OTHER)[0].diverged_at == 3


def test_stopping(store):
    result = contextrl("replay", OTHER, "--stop-at-divergence", "--backend", "local", "--no-keep")
    assert result.exit_code == 1 and "stopped after step 3" in result.stdout and "verdict" not in result.stdout
    result = contextrl("replay", OTHER, "--to", "2", "--backend", "local", "--no-keep")
    assert result.exit_code == 0 and "stopped after step 2" in result.stdout
    assert findings(store, OTHER) == []


@pytest.mark.docker
def test_as_json_in_the_other_backend(store):
    result = contextrl("replay", GOOD, "--json", "--backend", "docker")
    report = ReplayReport.model_validate_json(result.stdout)
    assert result.exit_code == 0 and report.backend == "docker" and report.agrees


def test_mistakes(store, ground, tmp_path):
    assert "there is no id that starts with 'zz'" in refused("replay", "zz")
    assert "--to is 9, and the trajectory has 8 turns" in refused("replay", GOOD, "--to", "9")
    assert "has no turns: there is nothing to replay" in refused("replay", EMPTY)
    assert "there is no agent 'cat'" in refused("replay", GOOD, "--fork", "2", "--agent", "cat")
    assert "--fork goes without" in refused("replay", GOOD, "--fork", "2", "--to", "1")
    assert "--interactive goes without --json" in refused("replay", GOOD, "--interactive", "--json")
    assert "there is no task nobody's" in refused("replay", UNKNOWN)
    assert "is no task set" in refused("replay", GOOD, "--tasks", "none")
    assert "--repo is for trajectories of other programs" in refused("replay", GOOD, "--repo", str(tmp_path))
    assert "there is no sandbox backend" in refused("replay", GOOD, "--backend", "moon")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--agent", "gold"], "--agent is for --fork only"),
        (["--policy", "tiny"], "--policy is for --fork only"),
        (["--policy", "tiny", "--fork", "2"], "--policy is for --agent tools only"),
        (["--anyway"], "--anyway is for --fork or --interactive only"),
        (["--interactive", "--to", "2"], "--interactive goes without --to"),
        (["--interactive", "--stop-at-divergence"], "--interactive goes without --stop-at-divergence"),
        (["--fork", "2", "--no-keep"], "--fork goes without --no-keep"),
        (["--tasks", "nope", "--repo", "/tmp"], "--repo goes without --tasks"),
    ],
    ids=" ".join,
)
def test_an_option_without_effect_is_refused(options, told, store):
    assert told in refused("replay", GOOD, *options)


@pytest.mark.parametrize("name", ["nosuch", "remote"])
def test_a_backend_that_cannot_be_had_is_said(name, store, episode, monkeypatch):
    monkeypatch.delenv("CONTEXTRL_SANDBOX_SERVICES", raising=False)
    with SQLStore(store) as opened:
        opened.add(episode.model_copy(update={"id": ODD, "backend": name}))
    result = contextrl("replay", ODD, "--to", "1", "--no-keep")
    said = " ".join(result.stdout.split())
    why = "is none" if name == "nosuch" else "does not work here"
    assert result.exit_code == 0 and f"The record names the backend '{name}', which {why}: it is replayed in" in said
    assert "The record names" not in contextrl("replay", ODD, "--to", "1", "--no-keep", "--backend", "local").stdout


def test_the_newest_reports_stay(store):
    for number in (1, 2, 3, 4, 5):
        contextrl("replay", GOOD, "--to", str(number), "--backend", "local")
    assert [report.stopped_at for report in findings(store, GOOD)] == [5, 4, 3]


def test_settings_that_make_no_sense(store, episode):
    """A fork, too, may have as many turns as ever where the record says nonsense."""
    odd = {"environment": {"max_turns": "many", "limits": [1, 2]}}
    with SQLStore(store) as opened:
        opened.add(episode.model_copy(update={"id": ODD, "extra": odd}))
    result = contextrl("replay", ODD, "--fork", "3", "--agent", "gold", "--backend", "local")
    assert result.exit_code == 0 and "submitted, resolved" in result.stdout, result.output


def test_a_report_that_cannot_be_kept_is_said_and_shown_all_the_same(store, monkeypatch):
    from trajectories.protocol import StoreError

    def refuses(*_, **__):
        raise StoreError("The store is full.")

    monkeypatch.setattr(SQLStore, "add_finding", refuses)
    result = contextrl("replay", GOOD, "--backend", "local")
    assert result.exit_code == 0 and "the report is not kept in the store: The store is full." in result.stderr
    assert "no divergence" in result.stdout


def stepped(store, keys, *arguments, identity=GOOD):
    """A session whose keys come from a pipe."""
    command = [sys.executable, "-m", "contextrl", "replay", identity, "--backend", "local", *arguments]
    env = os.environ | {"NO_COLOR": "1", "COLUMNS": "200", "EDITOR": ""}
    return subprocess.run(command, input=keys, capture_output=True, text=True, env=env, check=False)


def test_step_by_step(store):
    ran = stepped(store, "h\n\nn\no\nd\n5\nd\n3\nx\nc\n\nq\n", "--interactive")
    assert ran.returncode == 0, ran.stderr
    out = ran.stdout
    assert "a shell in the sandbox" in out and "there is no such key" in out
    assert "nothing differs from what the agent was given" in out and "+    return metres / 0.3048" in out
    assert "step 3 is done; a replay goes on only" in out and "all steps are done" in out
    assert out.index("1  same  view") < out.index("\nrecorded\n") < out.index("5  same  edit")
    assert "8 steps, no divergence" in out and "Traceback" not in ran.stderr
    assert findings(store, GOOD)[0].stopped_at is None


def test_leaving_early(store):
    ran = stepped(store, "2\nq\n", "--interactive")
    assert ran.returncode == 0 and "stopped after step 2" in ran.stdout and findings(store, GOOD)[0].stopped_at == 2
    assert stepped(store, "", "--interactive", "--no-keep").returncode == 0


def test_a_divergence_is_shown_when_it_comes(store):
    ran = stepped(store, "2\nn\nq\n", "--interactive", identity=OTHER)
    assert ran.returncode == 1 and "step 3: another output" in ran.stdout


def test_a_shell_in_the_sandbox(store):
    ran = stepped(store, "1\ns\npwd; echo hello >made.txt\nexit\n2\nd\nq\n", "--interactive", "--no-keep")
    assert "/testbed" in ran.stdout and "+hello" in ran.stdout
    assert ran.returncode == 1  # what was made there is no part of the record


def by_hand(store, typed, step=4, *arguments, identity=GOOD):
    ran = stepped(store, typed, "--fork", str(step), "--agent", "human", *arguments, identity=identity)
    return ran, forks(store)


EDIT = "edit lengths/units.py\nmetres * 0.3048\n.\nmetres / 0.3048\n.\n"


def test_a_person_goes_on(store, episode):
    typed = f"help\nview lengths/units.py 7 9\nsearch 'def feet'\nfly\nview\n{EDIT}run_tests\nsubmit\n"
    ran, (fork,) = by_hand(store, typed)
    assert ran.returncode == 0, ran.stderr
    assert "feet(3.048) gives 0.93" in ran.stdout and "there is no command 'fly'" in ran.stdout
    assert "usage: view PATH" in ran.stdout and "0 failed, 3 passed" in ran.stdout
    assert fork.extra["forked_from"] == {"trajectory": GOOD, "step": 4} and fork.agent == "human"
    assert fork.resolved and fork.reward == 1.0 and fork.status == "submitted"
    assert [turn.tool_call for turn in fork.turns[:4]] == [turn.tool_call for turn in episode.turns[:4]]
    assert [turn.tool_call.name for turn in fork.turns[4:]] == ["view", "search", "edit", "run_tests", "submit"]
    assert [turn.extra.get("replayed") for turn in fork.turns] == [True] * 4 + [None] * 5


def test_what_was_replayed_is_not_learned_from_again(store, episode):
    _, (fork,) = by_hand(store, "quit\n")
    assert fork.status == "truncated" and fork.verdict is None
    ids = [token for turn in episode.turns[:4] for token in (*turn.prompt_ids, *turn.completion_ids)]
    assert fork.token_ids() == ids and not any(fork.loss_mask()) and any(episode.loss_mask())


def test_a_new_file_by_hand_and_the_end_of_the_input(store):
    ran, (fork,) = by_hand(store, "edit notes/new.txt\n.\nfirst line\n.\nrun_tests tests/test_units.py\n")
    assert ran.returncode == 0 and fork.turns[4].observation == "edited notes/new.txt"
    assert "notes/new.txt" in fork.patch and fork.status == "truncated"


def test_an_editor(store, tmp_path, monkeypatch):
    """What a person leaves in the editor becomes one edit, wherever it is."""
    from contextrl.human import Typo, edited

    before = "a\nb\na\nb\nc\n"
    for after in ("a\nb\na\nx\nc\n", "a\nb\na\nb\nc\nd\n", "new\na\nb\na\nb\nc\n", "a\na\nb\nc\n", "", "a\nb\na\nb\nc"):
        action = edited("f", before, after)
        old, new = action.arguments["old"], action.arguments["new"]
        assert before.count(old) == 1 and before.replace(old, new) == after
    assert edited("f", None, "x\n").arguments == {"path": "f", "new": "x\n"}
    with pytest.raises(Typo, match="f is as it was"):
        edited("f", before, before)


def test_forking_in_the_middle_of_a_walk(store):
    ran = stepped(store, f"4\nf\n{EDIT}submit\n", "--interactive")
    (fork,) = forks(store)
    assert fork.resolved and fork.extra["forked_from"]["step"] == 4 and "stopped after step 4" in ran.stdout


def test_no_fork_after_a_divergence_unless_it_is_wanted(store):
    said = refused_fork(OTHER, "5")
    assert "the replay diverges at step 3, so that step 3 is not what it was" in said and forks(store) == []
    result = contextrl("replay", OTHER, "--fork", "5", "--agent", "gold", "--anyway", "--backend", "local")
    assert result.exit_code == 0 and len(forks(store)) == 1


def refused_fork(identity, step):
    result = contextrl("replay", identity, "--fork", step, "--agent", "gold", "--backend", "local")
    assert result.exit_code == 2, result.output
    return result.stderr


def test_what_cannot_be_forked(store):
    assert "an episode of swe-agent cannot be forked" in refused_fork(FOREIGN, "1")
    assert "the episode is over after step 8: fork at an earlier one" in refused_fork(GOOD, str(LAST))


def test_the_gold_agent_goes_on(store):
    result = contextrl("replay", GOOD, "--fork", "3", "--agent", "gold", "--backend", "local")
    (fork,) = forks(store)
    assert result.exit_code == 0 and "submitted, resolved" in result.stdout and fork.id in result.stdout
    assert fork.resolved and fork.agent == "gold" and fork.turns[-1].tool_call.name == "submit"


def test_a_fork_replays_like_any_other_episode(store):
    contextrl("replay", GOOD, "--fork", "3", "--agent", "gold", "--backend", "local")
    (fork,) = forks(store)
    result = contextrl("replay", fork.id, "--backend", "local")
    assert result.exit_code == 0, result.output


def test_a_policy_goes_on_from_the_recorded_tokens(store, episode):
    result = contextrl("replay", GOOD, "--fork", "4", "--agent", "tools", "--backend", "local")
    assert result.exit_code == 0, result.output
    (fork,) = forks(store)
    own = fork.turns[4:]
    assert own and all(turn.completion_ids and turn.logprobs for turn in own) and fork.agent == "tools"
    assert own[0].prompt_ids == episode.turns[4].prompt_ids
    whole = [token for turn in episode.turns[:4] for token in (*turn.prompt_ids, *turn.completion_ids)]
    assert fork.token_ids()[: len(whole)] == whole
    assert sum(fork.loss_mask()) == sum(len(turn.completion_ids) for turn in own)


def test_a_history_that_another_tokenizer_wrote_is_encoded_anew(store, episode, chat):
    statement, turns = episode.problem_statement, episode.turns[:4]
    assert wrote(chat, statement, turns)
    shifted = [turn.model_copy(update={"completion_ids": [t + 1 for t in turn.completion_ids]}) for turn in turns]
    silent = [turn.model_copy(update={"completion_ids": [], "prompt_ids": [], "logprobs": []}) for turn in turns]
    other = [turns[0].completion_ids[0] + 1, *turns[0].completion_ids[1:]]
    assert not wrote(chat, statement, [turns[0].model_copy(update={"completion_ids": other})])
    assert not wrote(chat, statement, shifted) and not wrote(chat, statement, silent)
    assert not wrote(chat, statement + "!", turns)
    assert encoded(chat, statement, silent) == [
        token for turn in turns for token in (*turn.prompt_ids, *turn.completion_ids)
    ]
    whole = episode.model_copy(update={"id": ENCODED, "turns": [*silent, *episode.turns[4:]]})
    with SQLStore(store) as opened:
        opened.add(whole)
    result = contextrl("replay", ENCODED, "--fork", "4", "--agent", "tools", "--backend", "local")
    assert result.exit_code == 0, result.output
    (fork,) = forks(store)
    assert fork.token_ids()[: len(fork.turns[0].prompt_ids)] == encoded(chat, statement, silent)
    assert fork.turns[4].prompt_ids == episode.turns[4].prompt_ids


def test_a_policy_that_breaks_leaves_a_record_without_a_reward(store, monkeypatch):
    from agents.engine import TransformersEngine
    from agents.protocol import EngineError

    async def breaks(*_):
        raise EngineError("no memory")

    monkeypatch.setattr(TransformersEngine, "generate", breaks)
    result = contextrl("replay", GOOD, "--fork", "4", "--agent", "tools", "--backend", "local")
    (fork,) = forks(store)
    assert result.exit_code == 1 and fork.status == "infra_error" and fork.reward is None
    assert "infra_error (no memory)" in result.stdout and fork.extra["forked_from"]["step"] == 4


def test_the_document_is_the_one_that_was_agreed(store):
    result = contextrl("replay", GOOD, "--json", "--backend", "local", "--no-keep")
    document = json.loads(result.stdout)
    agreed = {
        "trajectory_id",
        "backend",
        "image",
        "steps",
        "diverged_at",
        "verdict",
        "verdict_same",
        "stopped_at",
        "note",
    }
    assert agreed <= document.keys()
    step = {"number", "action", "same", "differs", "expected", "got", "expected_exit", "exit", "expected_tree", "tree"}
    assert step | {"diff", "seconds", "cpu_seconds"} <= document["steps"][0].keys()


@pytest.fixture
def imported(store, ground, tmp_path):
    """A run of another program, imported by the command line."""

    async def play():
        backend = await open_backend("local")
        try:
            return await foreign_run("openhands", backend, *ground, tmp_path)
        finally:
            await backend.close()

    run = asyncio.run(play())
    result = contextrl("traj", "import", str(tmp_path / "output.jsonl"), "--run", "theirs")
    assert result.exit_code == 0, result.output
    with SQLStore(store) as opened:
        (found,) = opened.query(run="theirs")
    assert found.turns == run.turns
    return found


def test_an_imported_run(store, imported, ground):
    """The store knows its task by its id, as it does where `traj import` was given `--tasks`."""
    result = contextrl("replay", imported.id, "--backend", "local")
    assert result.exit_code == 0, result.output
    assert "1 step not replayed" in result.stdout and "no divergence" in result.stdout
    assert "verdict: resolved; none was recorded" in result.stdout


def test_an_imported_run_on_a_folder(store, imported, ground, tmp_path):
    _, task = ground
    folder = write_tree(tmp_path / "folder")
    (folder / "lengths/units.py").write_text(task.setup["lengths/units.py"])
    result = contextrl("replay", imported.id, "--backend", "local", "--repo", str(folder))
    assert result.exit_code == 0, result.output
    assert "its files are taken as they are" in result.stdout and "verdict" not in result.stdout
    (folder / "lengths/units.py").write_text("")
    result = contextrl("replay", imported.id, "--backend", "local", "--repo", str(folder), "--stop-at-divergence")
    assert result.exit_code == 1 and "stopped after step 1" in result.stdout
    assert "an episode of openhands cannot be forked" in refused_fork(imported.id, "1")
