"""Whose an episode is, how it ended, and what a record may not make git do."""

import subprocess

import pytest
from replay_ground import SCRIPT, record, replayed, with_turn

from contextrl.forking import as_context
from trajectories.records import ToolCall, Turn
from trajectories.replay.calls import lists
from trajectories.replay.folders import TaskMissing, kept_tree
from trajectories.replay.report import ReplayReport, ReplayStep
from trajectories.replay.scaffolds import scaffold_of


async def test_ours_are_known_by_what_the_environment_wrote(episode):
    wrong = ToolCall(name="edit", arguments={"path": "a.py"})  # SWE-agent has a tool of that name
    turns = [*as_context(episode.turns[:2]), Turn(tool_call=wrong, observation="error: edit needs the argument new")]
    assert scaffold_of(episode.model_copy(update={"turns": turns})) == "own"
    assert scaffold_of(episode.model_copy(update={"turns": turns, "extra": {}})) == "swe-agent"


async def test_an_end_that_was_another_is_named_at_the_last_step(backend, episode, profile, task):
    truncated = episode.model_copy(update={"status": "truncated"})
    report = await replayed(truncated, backend, profile, task)
    assert [(s.number, s.differs) for s in report.divergences] == [(len(SCRIPT), ["end"])] and not report.agrees


async def test_turns_behind_the_end_are_no_replay(backend, episode, profile, task):
    early = with_turn(episode, 3, tool_call=ToolCall(name="submit"))
    report = await replayed(early, backend, profile, task)
    assert report.diverged_at == 3
    assert all("end" in step.differs and step.not_replayed for step in report.steps[3:])


async def test_an_episode_that_its_agent_gave_up_has_no_end_to_compare(backend, profile, task):
    given_up = await record(backend, profile, task, SCRIPT[:4])
    assert given_up.status == "truncated"
    assert (await replayed(given_up, backend, profile, task)).agrees


SETTINGS = [
    {},
    7,
    [1],
    {"max_turns": "many", "limits": 3},
    {"max_turns": True, "limits": [1, 2]},
    {"limits": ["ab"], "max_observation_chars": "x"},
    {"limits": {"memory_mb": -1}},
    {"limits": {"memory_mb": "much"}},
]


@pytest.mark.parametrize("settings", SETTINGS)
async def test_settings_that_make_no_sense_are_left_alone(settings, backend, episode, profile, task):
    odd = episode.model_copy(update={"extra": {"environment": settings}})
    assert (await replayed(odd, backend, profile, task)).agrees


def test_a_replay_in_which_nothing_was_done_again_agrees_with_nothing():
    step = ReplayStep(number=1, action="browse", same=True, not_replayed="an unknown tool")
    report = ReplayReport(trajectory_id="t", backend="local", image="i", steps=[step])
    assert not report.agrees and report.model_copy(update={"steps": []}).agrees


@pytest.mark.parametrize("commit", ["--output={victim}", "-o{victim}", "HEAD", "main~1", "abc"])
def test_what_is_no_commit_never_reaches_git(commit, tmp_path):
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    with pytest.raises(TaskMissing, match="hexadecimal"):
        kept_tree(tmp_path / "repo", commit.format(victim=victim))
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    ("command", "any_order"),
    [
        ("find . -name '*.py'", True),
        ("cd src && grep -rn total .", True),
        ("grep total -r .", True),
        ("(rg total)", True),
        ("pytest -n 4 tests", True),
        ("python3 -c 'print(1); print(2)'", False),
        ("cat a.py", False),
        ("grep -n total a.py", False),
        ("ls -la", False),
        ("git log", False),
        ("pytest -q tests", False),
    ],
)
def test_only_listings_may_come_in_another_order(command, any_order):
    assert lists(command) == any_order


def git(folder, *words):
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("bare", [False, True])
def test_all_files_of_a_commit_are_taken_and_the_repository_is_only_read(bare, tmp_path):
    repo = tmp_path / "repo"
    repo.mkdir()
    git(repo, "init", "-q")
    (repo / ".gitattributes").write_text("secret.py export-ignore\nversion.py export-subst\n")
    (repo / "secret.py").write_text("x = 1\n")
    (repo / "version.py").write_text("v = '$Format:%H$'\n")
    git(repo, "add", ".")
    git(repo, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "all")
    commit = git(repo, "rev-parse", "HEAD")
    (repo / "secret.py").write_text("x = 2\n")
    if bare:
        git(tmp_path, "clone", "-q", "--bare", "repo", "bare.git")
        repo = tmp_path / "bare.git"
    before = "" if bare else git(repo, "status", "--short")
    tree, note = kept_tree(repo, commit)
    assert (tree / "secret.py").read_text() == "x = 1\n" and "$Format" in (tree / "version.py").read_text() and not note
    assert bare or git(repo, "status", "--short") == before
    with pytest.raises(TaskMissing, match="has no commit"):
        kept_tree(repo, "f" * 40)


def test_a_folder_that_differs_by_what_may_be_executed_is_another(tmp_path):
    (tmp_path / "repo").mkdir()
    program = tmp_path / "repo" / "run.py"
    program.write_text("x = 1\n")
    plain, _ = kept_tree(tmp_path / "repo", "")
    program.chmod(0o755)
    other, _ = kept_tree(tmp_path / "repo", "")
    assert other != plain and (other / "run.py").stat().st_mode & 0o100
    assert not (plain / "run.py").stat().st_mode & 0o100


async def test_a_repository_that_was_another_from_the_start_is_said_so(backend, episode, profile, task):
    turns = [t.model_copy(update={"tree": f"{i:064}"}) for i, t in enumerate(episode.turns)]
    report = await replayed(episode.model_copy(update={"turns": turns}), backend, profile, task)
    assert report.diverged_at == 1 and "another one from the start" in report.note
