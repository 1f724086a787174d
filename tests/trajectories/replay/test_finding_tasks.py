"""Where a trajectory's task and repository are found, and what is said where they are not."""

import json
import subprocess

import pytest
from replay_ground import FILES, profile_of, write_tree

from envs.tasksets.folder import save_taskset
from sandbox import BackendUnavailable, open_backend
from sandbox.home import home
from trajectories.records import Trajectory
from trajectories.replay.foreign import ForeignStage
from trajectories.replay.tasks import Ground, TaskMissing, find_ground
from trajectories.store import SQLStore


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path / "home"))
    return home()


@pytest.fixture
def store(tmp_path):
    with SQLStore(tmp_path / "store.db") as opened:
        yield opened


def document(task, profile=None):
    values = json.loads(task.model_dump_json())
    return values | ({"profile_document": json.loads(profile.model_dump_json())} if profile else {})


def of(task, **fields):
    return Trajectory(
        **{
            "instance_id": task.instance_id,
            "repo": "lengths",
            "base_commit": task.base_commit,
            "problem_statement": "",
            "run": "r",
            **fields,
        }
    )


def add(own_home, profile):
    """As if the repository had been added."""
    folder = own_home / "repos" / profile.name
    folder.mkdir(parents=True)
    (folder / "profile.json").write_text(profile.model_dump_json())


def test_from_the_store(own_home, store, task, profile):
    store.add_tasks("another run", {task.instance_id: document(task, profile)})
    found = find_ground(of(task), store=store)
    assert (found.task, found.profile, found.graded) == (task, profile, True)


def test_the_home_folder_s_repository_is_taken_before_the_store_s(own_home, store, task, profile, tmp_path):
    here = profile_of(write_tree(tmp_path / "here"))
    add(own_home, here)
    store.add_tasks("r", {task.instance_id: document(task, profile)})
    assert find_ground(of(task), store=store).profile == here


def test_a_repository_that_is_gone_is_told(own_home, store, task, profile, tmp_path):
    gone = profile.model_copy(update={"tree": tmp_path / "gone", "source": "pypi:lengths", "version": "1.2"})
    store.add_tasks("r", {task.instance_id: document(task, gone)})
    with pytest.raises(
        TaskMissing, match=r"at commit 1e6000000000 is not on this machine: contextrl repo add pypi:len"
    ):
        find_ground(of(task), store=store)


def test_from_a_named_set_and_from_one_of_the_home_folder(own_home, task, profile):
    add(own_home, profile)
    save_taskset([task], own_home / "tasksets" / "mine")
    assert find_ground(of(task)).task == task
    assert find_ground(of(task, instance_id="lengths-1_3")).task == task  # some collections number the runs
    assert find_ground(of(task), tasks="mine").task == task
    with pytest.raises(TaskMissing, match="the task set mine has no task other: give another --tasks"):
        find_ground(of(task, instance_id="other"), tasks="mine")


def test_nothing_is_found(own_home, store, task):
    with pytest.raises(TaskMissing, match=r"no task lengths-1 in the store or in the home folder: give --tasks SET$"):
        find_ground(of(task), store=store)
    with pytest.raises(TaskMissing, match=r"no repository at commit 1e6000000000: give --tasks SET, or --repo FOLDER"):
        find_ground(of(task), store=store, imported=True)


def test_a_task_that_names_nothing_to_start_from(own_home, store, task):
    bare = document(task.model_copy(update={"profile": "", "setup": {}}))
    store.add_tasks("r", {task.instance_id: bare})
    with pytest.raises(TaskMissing, match="names neither a repository nor an image"):
        find_ground(of(task), store=store)


def test_an_image_is_enough(own_home, store, task):
    published = task.model_copy(update={"profile": "", "setup": {}, "image": "some/image:1"})
    store.add_tasks("r", {task.instance_id: document(published)})
    found = find_ground(of(task), store=store)
    assert found.profile is None and found.task.image == "some/image:1"


def test_a_repository_at_the_base_commit_will_do_for_an_imported_one(own_home, task, profile):
    add(own_home, profile)
    found = find_ground(of(task), imported=True)
    assert found.profile == profile and not found.graded and found.task.setup == {}


@pytest.fixture
def git(tmp_path):
    """A git repository with two commits; its folder and the first one."""
    folder = write_tree(tmp_path / "git")

    def run(*words):
        who = ("-c", "user.name=a", "-c", "user.email=b@c")
        return subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True).stdout

    run("init", "--quiet")
    run("add", ".")
    run("commit", "--quiet", "-m", "one")
    first = run("rev-parse", "HEAD").strip()
    (folder / "README.md").write_text("# changed\n")
    run("commit", "--quiet", "-am", "two")
    (folder / "README.md").write_text("# not committed\n")
    return folder, first


def test_a_git_folder_is_taken_at_the_base_commit(own_home, task, git):
    folder, first = git
    found = find_ground(of(task, base_commit=first), repo=folder, imported=True)
    assert (found.profile.tree / "README.md").read_text() == FILES["README.md"]
    assert found.note == (
        f"What lengths needs is not installed: `contextrl repo add {folder} --name lengths` does that first."
    )
    again = find_ground(of(task, base_commit=first), repo=folder, imported=True)
    assert again.profile == found.profile  # kept by its contents, once
    newest = find_ground(of(task, base_commit=""), repo=folder, imported=True)
    assert (newest.profile.tree / "README.md").read_text() == "# changed\n"
    assert newest.profile.base_commit != found.profile.base_commit and "names no base commit" in newest.note
    with pytest.raises(TaskMissing, match=r"has no commit 1e6.*: git fetch it there, or give another --repo"):
        find_ground(of(task), repo=folder, imported=True)


def test_a_folder_runs_with_what_the_repository_of_its_name_needs(own_home, task, profile, tmp_path):
    add(own_home, profile)
    tree = write_tree(tmp_path / "other")
    (tree / "README.md").write_text("# other\n")
    found = find_ground(of(task, repo="o/Lengths"), repo=tree).profile
    assert (found.python, found.test_cmd, found.test_files) == (profile.python, profile.test_cmd, profile.test_files)
    assert found.tree != profile.tree and found.base_commit != profile.base_commit


def test_a_plain_folder_is_taken_as_it_is_and_that_is_said(own_home, task, tmp_path):
    tree = write_tree(tmp_path / "plain")
    found = find_ground(of(task), repo=tree)
    assert "is no git repository: its files are taken as they are" in found.note
    with pytest.raises(TaskMissing, match="is no folder: give --repo the folder"):
        find_ground(of(task), repo=tree / "README.md")


async def test_a_published_image_needs_docker(own_home, task):
    published = task.model_copy(update={"profile": "", "setup": {}, "image": "some/image:1"})
    trajectory = of(task, agent="mini-swe-agent")
    backend = await open_backend("local")
    stage = ForeignStage(trajectory, Ground(published, None), backend)
    with pytest.raises(BackendUnavailable, match="use the Docker backend"):
        await stage.open()
    await backend.close()
