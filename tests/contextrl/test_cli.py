import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from contextrl.cli import Told, app, first_cause, sentence, stopped
from contextrl.cli.policy import parameters, tiny_folder
from sandbox import BackendUnavailable
from trajectories.records import ContextPair, ContextTurn, MaskedContext, ToolCall, Trajectory, Turn, Verdict
from trajectories.store import SQLStore


def contextrl(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"NO_COLOR": "1", **env})


def refused(*arguments: str, **env: str) -> str:
    result = contextrl(*arguments, **env)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "trajectories.db"
    turn = Turn(
        prompt_ids=[1],
        completion_ids=[2],
        logprobs=[-0.5],
        text="view",
        tool_call=ToolCall(name="view", arguments={"path": "a.py"}),
        observation="\x1b[2Jevil def f(): ...",
        exit_code=0,
    )
    verdict = Verdict(resolved=True, fail_to_pass={"t.T.test_f": "passed"})
    kept = Trajectory(
        id="abc" + "0" * 29,
        run="quick",
        instance_id="a__f-1",
        repo="a",
        base_commit="0" * 40,
        problem_statement="f is wrong",
        turns=[turn],
        patch="--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x\n+y\n",
        verdict=verdict,
        reward=1.0,
    )
    other = kept.model_copy(update={"id": "def" + "0" * 29, "verdict": None, "reward": 0.0})

    def context(trajectory: Trajectory) -> MaskedContext:
        turns = [ContextTurn(text="view a.py", observation="def f(): ...")]
        return MaskedContext(trajectory_id=trajectory.id, problem_statement="f is wrong", turns=turns)

    pair = ContextPair(
        id="pair" + "0" * 28,
        run="quick",
        repo="a",
        base_commit="0" * 40,
        file="a.py",
        function="a.py::f",
        answer="return y",
        anchor=context(kept),
        confounder=context(other),
        judgement="valid",
    )
    with SQLStore(path) as opened:
        opened.add(kept)
        opened.add(other)
        opened.add_pairs([pair])
        opened.add_funnel("quick", {"commit": 9, "valid": 1})
    return path


def test_a_dry_run_prints_the_resolved_recipe_and_starts_nothing(tmp_path: Path) -> None:
    result = contextrl("train", "recipes/quickstart.yaml", "rollout.group_size=4", f"runs={tmp_path}/runs", "--dry-run")
    assert result.exit_code == 0
    assert "group_size: 4" in result.stdout
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_of_the_8b_recipe_notes_what_it_cannot_know() -> None:
    result = contextrl("train", "recipes/qwen3-8b-swegym.yaml", "--dry-run")
    assert result.exit_code == 0
    assert "note: policy=Qwen/Qwen3-8B: a name on the model hub" in result.stderr


def test_a_dry_run_needs_no_torch() -> None:
    code = (
        "import sys; sys.argv[1:] = ['train', 'recipes/quickstart.yaml', '--dry-run']\n"
        "from contextrl.cli import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "recipes/nothing.yaml"], "no such recipe; there are"),
        (["train", "recipes/quickstart.yaml", "trian.iterations=3"], "did you mean `train`?"),
        (["train", "recipes/quickstart.yaml", "policy=/nowhere"], "there is no such folder"),
        (["train", "recipes/quickstart.yaml", "train.min_free_gb=1e9"], "make room"),
        (["train", "recipes/quickstart.yaml", "repositories.0.source='pypi:'"], "is no package"),
        (["repo", "add", "/nowhere/at/all"], "there is no folder"),
        (["repo", "add", ""], "no repository is given"),
        (
            ["train", "recipes/quickstart.yaml", "runs=/dev/null/x", "train.min_free_gb=0"],
            "/dev/null/x: not a",
        ),
        (["repo", "show", "nothing"], "there is no repository 'nothing'"),
        (["tasks", "show", "nothing"], "there is no task instance 'nothing'"),
        (["tasks", "ls", "nothing"], "is no task set"),
        (["report", "nothing"], "does not exist"),
        (["traj", "ls", "--store", "/nowhere/t.db"], "/nowhere/t.db"),
        (["policy", "show", "/nowhere"], "has no config.json"),
        (["policy", "make", "sed=1"], "unknown key `sed`; did you mean `seed`?"),
    ],
)
def test_a_mistake_is_one_sentence(home: Path, arguments: list[str], told: str) -> None:
    assert told in refused(*arguments)


def test_wrong_usage_is_told_by_the_parser() -> None:
    result = contextrl("train")
    assert (result.exit_code, "name a recipe" in result.stderr) == (2, True)


def test_debug_shows_where_it_went_wrong(home: Path) -> None:
    result = contextrl("repo", "show", "nothing", CONTEXTRL_DEBUG="1")
    assert isinstance(result.exception, ValueError)


def told(error: BaseException) -> Result:
    """What a command that raises this says."""
    broken = typer.Typer(cls=Told, pretty_exceptions_enable=False)

    @broken.command("fail")
    def fail() -> None:
        raise error

    broken.command("other")(lambda: None)
    return CliRunner().invoke(broken, ["fail"])


def test_which_errors_are_told() -> None:
    result = told(ExceptionGroup("group", [BackendUnavailable("no\n engine")]))
    assert (result.exit_code, result.stderr) == (2, "no engine\n")
    assert told(KeyError("a bug")).exit_code == 1
    assert isinstance(told(KeyError("a bug")).exception, KeyError)
    full = told(OSError(errno.ENOSPC, "No space left on device", "/full/x")).stderr
    assert full.startswith("/full/x: no space left on device; make room") and full.count("\n") == 1
    assert "that you may write to" in told(PermissionError(errno.EACCES, "Permission denied", "/x")).stderr
    assert told(OSError("ours")).stderr == "ours\n"
    assert first_cause(ExceptionGroup("", [ExceptionGroup("", [ValueError("x")])])).args == ("x",)
    assert sentence(ValueError()) == "ValueError"


@pytest.mark.parametrize(
    ("command", "error", "said"),
    [
        ("train", OSError(errno.ENOSPC, "Full"), "make room, or choose another place (runs=FOLDER or CONTEXTRL_HOME="),
        ("train", OSError(errno.EACCES, "No", "/x"), "/x: no; choose a place that you may write to (runs=FOLDER)"),
        ("tasks", OSError(errno.ENOSPC, "Full"), "place (CONTEXTRL_HOME=FOLDER); the same command goes on from there"),
        ("tasks", OSError(errno.ENOENT, "Not there", "/x"), "/x: not there; check the path"),
        ("pairs", OSError(errno.ENOSPC, "Full"), "full; make room"),
        ("pairs", OSError(errno.ENOENT, "Not there", "/x"), "/x: not there; check the path"),
        ("traj", OSError(errno.EACCES, "No", "/x"), "/x: no; choose a place that you may write to"),
        ("pairs", OSError(errno.EACCES, "No", "{home}/replies"), "that you may write to (CONTEXTRL_HOME=FOLDER)"),
        ("traj", OSError(errno.EIO, "Broken", "{home}/x"), "CONTEXTRL_HOME=FOLDER chooses where things are kept"),
    ],
)
def test_another_place_is_advised_only_by_the_setting_that_chooses_it(
    home: Path, command: str, error: OSError, said: str
) -> None:
    if error.filename:
        error.filename = error.filename.format(home=home)
    assert sentence(error, command).endswith(said) or (said[-1] == "=" and said in sentence(error, command))


def test_ctrl_c_says_how_to_go_on() -> None:
    assert told(KeyboardInterrupt()).exit_code == 130
    said = stopped(["train", "recipes/a.yaml", "name=b c", "--fresh"])
    assert said.endswith(": contextrl train recipes/a.yaml 'name=b c'")
    assert stopped(["pairs", "mine", "--run", "a"]) == "Stopped. The same command goes on; what was found is kept."
    assert stopped(["pairs", "ls"]) == stopped(["repo", "add", "x"]) == "Stopped."


def test_ctrl_c_reaches_a_real_process() -> None:
    code = (
        "import sys, time, typer\nsys.argv[1:] = ['train', 'r.yaml']\n"
        "from contextrl.cli import Told\n"
        "app = typer.Typer(cls=Told)\n"
        "@app.command()\ndef train(r: str):\n    print('on', flush=True); time.sleep(60)\n"
        "app.command('other')(lambda: None)\napp()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "contextrl train r.yaml" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("command", "imported"),
    [
        *itertools.product(["doctor", "--help"], ["contextrl.cli", "typer", "contextrl.cli.doctor"]),
        ("--help", "typer.rich_utils"),  # for which all is there, and nothing runs yet
        ("doctor", "sandbox.backends"),
    ],
)
def test_ctrl_c_while_something_is_imported(command: str, imported: str) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['contextrl', {command!r}]\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {imported!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "runpy.run_module('contextrl', run_name='__main__')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (130, "\nStopped.\n")


def test_the_installed_command_is_the_one_that_listens_at_once() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["scripts"]["contextrl"] == "contextrl.__main__:main"


def test_trajectories_are_listed_and_shown(store: Path) -> None:
    listed = contextrl("traj", "ls", "--store", str(store), "--resolved").stdout
    assert "abc00000" in listed
    assert "def00000" not in listed
    shown = contextrl("traj", "show", "abc", "--store", str(store)).stdout
    for text in ("view", "evil def f()", "+y", "resolved, submitted, reward 1", "1 of 1 tests passed"):
        assert text in shown
    assert "\x1b[2J" not in shown
    assert "no id that starts with 'xyz'" in refused("traj", "show", "xyz", "--store", str(store))


def test_pairs_are_listed_shown_and_counted(store: Path) -> None:
    assert "a.py::f" in contextrl("pairs", "ls", "--store", str(store), "--run", "quick").stdout
    said = contextrl("pairs", "ls", "--store", str(store), "--run", "quick", "--judgement", "invalid").stdout
    assert said == "No pair passes --run quick --judgement invalid.\n"
    shown = contextrl("pairs", "show", "pair", "--store", str(store)).stdout
    assert shown.index("return y") < shown.index("C+ anchor") < shown.index("C- confounder")
    counts = contextrl("pairs", "funnel", "--run", "quick", "--store", str(store)).stdout
    assert [line.split()[:2] for line in counts.splitlines()[1:]] == [["commit", "9"], ["valid", "1"]]


def test_empty_lists_say_what_to_do(home: Path) -> None:
    assert "contextrl repo add" in contextrl("repo", "ls").stdout
    assert "contextrl tasks make" in contextrl("tasks", "ls").stdout


def test_a_home_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = refused("repo", "ls", CONTEXTRL_HOME=str(tmp_path / "file"))
    assert str(tmp_path / "file") in said and "set CONTEXTRL_HOME" in said


def test_damaged_checkpoints_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    shutil.copytree(tiny_folder(), folder)
    (folder / "tokenizer.json").write_text("{")
    assert "tokenizer.json is damaged" in refused("policy", "show", str(folder))
    shutil.copy(tiny_folder() / "tokenizer.json", folder)
    (folder / "model.safetensors").write_bytes(b"no weights at all")
    assert "model.safetensors is damaged" in refused("policy", "show", str(folder))


def test_a_report_of_something_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    assert "is no report of this program" in refused("report", str(tmp_path))


def test_parameters_are_counted_from_headers_alone(tmp_path: Path) -> None:
    header = json.dumps({"a": {"shape": [2, 3]}, "b": {"shape": []}, "__metadata__": {"format": "pt"}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert parameters(tmp_path) == 7


@pytest.mark.slow
def test_a_repository_becomes_tasks(home: Path) -> None:
    assert "generated-5 is ready" in contextrl("repo", "add", "generated:seed=5,modules=4", "--backend", "local").stdout
    assert "generated-5" in contextrl("repo", "ls").stdout
    assert "python -m unittest" in contextrl("repo", "show", "generated-5").stdout
    made = contextrl("tasks", "make", "generated-5", "--bugs", "6", "--backend", "local")
    assert made.stdout.splitlines()[0].split()[:3] == ["tasks", "6", "in"], made.output
    assert "candidates are valid" in made.stdout and "bugs a minute" in made.stdout
    taskset = contextrl("tasks", "ls").stdout.split("\n")[1].split()[0]
    first = contextrl("tasks", "ls", taskset).stdout.split("\n")[1].split()[0]
    assert "FAIL_TO_PASS: 1" in contextrl("tasks", "show", first, "--gold").stdout
