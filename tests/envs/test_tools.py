"""What actions say and do in a real sandbox, and what they answer to nonsense."""

import pytest
from shop_repository import BROKEN, MONEY, PREFIX

from envs.runtime import visible_targets
from envs.toolbox import Toolbox
from envs.tools import TOOLS, Action, ActionError, check_action
from envs.workspace import open_workspace
from sandbox.protocol import ExecResult


@pytest.fixture
async def place(backend, profile, task, limits):
    workspace = await open_workspace(backend, task, profile, limits)
    yield workspace
    await workspace.close()


@pytest.fixture
def box(place, profile, task):
    return Toolbox(place.sandbox, profile, visible_targets(task, profile))


async def say(box, name, **arguments):
    return (await box.call(Action(name, arguments))).text


async def test_view_gives_the_file_to_the_letter(box):
    assert await say(box, "view", path="shop/money.py") == BROKEN
    assert await say(box, "view", path="/testbed/shop/../shop/text.py") == "def shout(word):\n    return word.upper()\n"
    assert await say(box, "view", path="shop/money.py", start="4", end="5") == "".join(
        BROKEN.splitlines(keepends=True)[3:5]
    )
    assert await say(box, "view", path="shop/__init__.py") == ""


async def test_view_says_what_it_left_out(box):
    await box.sandbox.write({"long.txt": b"".join(b"line %03d\n" % i for i in range(1, 801)), "wide.txt": b"x" * 5000})
    text = await say(box, "view", path="long.txt")
    assert len(text) < 4100 and text.startswith("line 001\n")
    assert text.endswith("line 444\n[lines 445 to 800 left out; view with start and end]\n")
    text = await say(box, "view", path="long.txt", start="700")
    assert text.startswith("line 700\n") and text.endswith("line 800\n")
    assert (
        await say(box, "view", path="wide.txt") == "x" * 4000 + "\n[lines 1 to 1 left out; view with start and end]\n"
    )


async def test_view_of_a_folder_lists_its_entries(box):
    assert await say(box, "view", path="/testbed") == "README.md\nshop/\ntests/\n"
    assert await say(box, "view", path="shop/") == "__init__.py\nmoney.py\ntext.py\n"


async def test_search_finds_text_then_expressions(box):
    assert await say(box, "search", pattern="sum(prices)") == "shop/money.py:6:    return sum(prices) - tax"
    assert await say(box, "search", pattern=r"^def \w+\(p.*\):$", path="shop") == (
        "shop/money.py:4:def total(prices, tax):\nshop/money.py:9:def change(paid, price):"
    )
    assert await say(box, "search", pattern="-x; touch /testbed/evil $(id)") == (
        'no match for "-x; touch /testbed/evil $(id)"'
    )
    everything = await say(box, "search", pattern="s")
    files = [line.split(":")[0] for line in everything.splitlines()]
    assert files == sorted(files) and len(set(files)) == 5


async def test_edits(box):
    assert await say(box, "edit", path="shop/money.py", old="- tax", new="+ tax") == "edited shop/money.py"
    assert await box.read("shop/money.py") == MONEY
    assert (
        await say(box, "edit", path="shop/money.py", new="def change(a, b):\n    return a - b")
        == "edited shop/money.py"
    )
    assert "\n\ndef change(a, b):\n    return a - b\n\n\nclass Cart:" in await box.read("shop/money.py")
    assert (
        await say(box, "edit", path="shop/money.py", new="def add(self, price):\n    pass\n") == "edited shop/money.py"
    )
    assert "    def add(self, price):\n        pass\n\n    def total(self)" in await box.read("shop/money.py")
    assert await say(box, "edit", path="docs/new.md", new="hello") == "edited docs/new.md"
    assert await box.read("docs/new.md") == "hello"


async def test_run_tests_counts_and_names(box):
    failure = f"FAILED {PREFIX}total: AssertionError: -1 != 7\n1 failed, 2 passed"
    first = await box.call(Action("run_tests"))
    assert (first.text, first.exit_code) == (failure, 1)
    assert (
        await say(box, "run_tests", tests="tests/test_text.py tests.test_money.Money.test_cart") == "0 failed, 2 passed"
    )
    await say(box, "edit", path="shop/money.py", old="- tax", new="+ tax")
    assert (await box.call(Action("run_tests"))).exit_code == 0
    await say(box, "edit", path="shop/money.py", old="- price", new="-")
    assert await say(box, "run_tests") == "error: the tests did not run: SyntaxError: invalid syntax"


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("shell", {}, 'unknown tool "shell"; the tools are view, search, edit, run_tests, submit'),
        ("view", {}, "view needs the argument path"),
        ("view", {"path": "a", "line": "3"}, 'view has no argument "line"'),
        ("view", {"path": "shop/none.py"}, "no such file shop/none.py"),
        ("view", {"path": "../etc/passwd"}, '"../etc/passwd" is not a path inside the repository'),
        ("view", {"path": "/etc/passwd"}, '"/etc/passwd" is not a path inside the repository'),
        ("view", {"path": "\0"}, '"\\u0000" is not a path inside the repository'),
        ("view", {"path": "shop/text.py", "start": "3"}, "shop/text.py has the lines 1 to 2"),
        (
            "view",
            {"path": "shop/text.py", "start": "2", "end": "1"},
            "shop/text.py has the lines 1 to 2, and 2 comes after 1",
        ),
        ("view", {"path": "shop/text.py", "start": "x"}, 'start must be a number, not "x"'),
        ("view", {"path": "\ud800"}, "path is not valid Unicode"),
        ("view", {"path": "x" * 5000}, "path is longer than 4000 characters"),
        ("view", {"path": "x" * 300}, f"no such file {'x' * 300}"),
        ("search", {"pattern": "x" * 200_000}, "pattern is longer than 4000 characters"),
        ("search", {"pattern": ""}, "pattern must be one line of text"),
        ("search", {"pattern": "x", "path": "none"}, "no such file or folder none"),
        ("edit", {"path": "shop/none.py", "old": "x", "new": "y"}, "no such file shop/none.py"),
        ("edit", {"path": "shop", "new": "y"}, "shop is a folder"),
        ("edit", {"path": "shop/text.py", "old": "z", "new": "y"}, "old does not occur in shop/text.py"),
        ("edit", {"path": "shop/text.py", "old": "o", "new": "y"}, "old occurs 3 times in shop/text.py"),
        ("edit", {"path": "shop/text.py", "new": "def g():\n    pass"}, "no function g in shop/text.py"),
        ("edit", {"path": "shop/text.py/x.py", "new": "y"}, "cannot write shop/text.py/x.py"),
        ("edit", {"path": "x.txt", "new": "\ud800"}, "new is not valid Unicode"),
        ("run_tests", {"tests": "--help"}, '"--help" is not a test file or test id'),
        ("run_tests", {"tests": "a;id"}, '"a;id" is not a test file or test id'),
    ],
)
async def test_mistakes_are_one_line_and_change_nothing(box, place, name, arguments, message):
    assert await say(box, name, **arguments) == f"error: {message}"
    changes = await place.changes()
    assert (changes.before, changes.after, changes.left_out) == ({}, {}, [])


async def test_a_file_that_is_no_text(box):
    await box.sandbox.write({"i.png": b"\x89PNG\xff"})
    assert await say(box, "view", path="i.png") == "error: i.png is not a text file"


@pytest.mark.parametrize("text", ["", "view", "[]", '{"name": 3}', '{"name": "view", "arguments": [1]}', "[" * 10**5])
def test_text_that_is_no_action(text):
    with pytest.raises(ActionError):
        Action.from_json(text)


def test_actions_as_text():
    action = Action("view", {"path": "é.py", "start": "3"})
    assert Action.from_json(action.to_json()) == action
    assert Action.from_json('{"name": "view", "arguments": {"path": "é.py", "start": 3, "end": null}}') == action


def test_the_specification_is_what_is_checked():
    for tool in TOOLS:
        schema = tool["function"]["parameters"]
        arguments = dict.fromkeys(schema["properties"], "1")
        check_action(Action(tool["function"]["name"], arguments))
        for key in schema["required"]:
            with pytest.raises(ActionError, match=f"needs the argument {key}"):
                check_action(Action(tool["function"]["name"], {k: "1" for k in arguments if k != key}))


def test_hidden_test_files_are_not_run_by_the_agent(task, profile):
    assert visible_targets(task, profile) == ("tests/test_money.py",)
    hidden = task.model_copy(
        update={
            "tests": {"tests/test_new.py": ""},
            "test_targets": (
                "tests/test_new.py",
                "tests.test_new.T.test_a",
                "tests.test_money",
                "tests/test_new.py::a",
            ),
        }
    )
    assert visible_targets(hidden, profile) == ("tests.test_money",)
    shown = hidden.model_copy(update={"setup": {"tests/test_new.py": "the agent sees another version"}})
    assert visible_targets(shown, profile) == hidden.test_targets


async def test_an_action_costs_what_its_commands_cost(box, monkeypatch):
    run, costs = box.sandbox.run, []

    async def run_and_note(*command, **options):
        result = await run(*command, **options)
        costs.append(result.cpu_seconds)
        return result

    monkeypatch.setattr(box.sandbox, "run", run_and_note)
    for action, commands in (
        (Action("view", {"path": "shop/money.py"}), 0),
        (Action("view", {"path": "."}), 2),
        (Action("search", {"pattern": "sum"}), 1),
        (Action("search", {"pattern": "x", "path": "none"}), 1),
        (Action("run_tests"), 1),
        (Action("shell"), 0),
    ):
        costs.clear()
        observation = await box.call(action)
        assert len(costs) == commands
        assert observation.cpu_seconds == (sum(costs) if costs else None)
    assert (await box.call(Action("run_tests"))).cpu_seconds > 0.02


async def test_one_command_that_was_not_measured_leaves_the_action_unmeasured(box, monkeypatch):
    async def run(command, **_):
        return ExecResult(0, "", "", 0.1, cpu_seconds=None if command[0] == "test" else 0.1)

    monkeypatch.setattr(box.sandbox, "run", run)
    assert (await box.call(Action("view", {"path": "."}))).cpu_seconds is None
    assert (await box.call(Action("search", {"pattern": "x"}))).cpu_seconds == 0.1
