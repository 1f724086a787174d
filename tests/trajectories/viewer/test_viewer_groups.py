"""Rollouts side by side: what tells them apart is shown, and however many there are, all can be seen."""

import re

import pytest
from trajectory_builders import trajectory, turn

from trajectories.records import ToolCall
from trajectories.viewer.aligning import aligned
from trajectories.viewer.calls import short

HEAD = re.compile(r'href="/trajectory\?id=([^"&#]*)">')


def test_groups_of_one_rollout_are_listed_when_asked_for(store, client):
    store.add_many([trajectory("a", number=i, group="two") for i in range(2)])
    store.add_many([trajectory(f"e{i}", group=f"one{i}") for i in range(3)])
    page = client.get("/groups?run=r").text
    assert ">1 group<" in page.replace(" ·", "<") and "one0" not in page
    (more,) = re.findall(r'href="(\?[^"]*single=yes[^"]*)">also 3 groups of one rollout<', page)
    page = client.get("/groups" + more.replace("&amp;", "&")).text
    assert all(name in page for name in (">two<", ">one0<", ">one2<", "4 groups", "without those of one"))
    assert client.get("/groups?single=perhaps").status_code == 404


def test_all_of_a_large_group_can_be_seen_and_its_mean_is_that_of_all(store, client):
    store.add_many(trajectory("i", number=i, group="g", reward=float(i < 10)) for i in range(40))
    first, second = (client.get(f"/group?run=r&group=g&page={n}").text for n in (1, 2))
    assert HEAD.findall(first) == [f"i-{i}" for i in range(32)] and HEAD.findall(second) == [
        f"i-{i}" for i in range(32, 40)
    ]
    assert "1 to 32 of 40" in first and "33 to 40 of 40" in second and "the mean of all 40" in second
    assert "+0.75" in first and "-0.25" in second and "i #33<" in second
    assert "Those shown here do the same in every step" in first
    assert client.get("/group?run=r&group=g&page=3").status_code == 404


@pytest.mark.parametrize("what", ["run", "trajectory"])
def test_any_number_is_compared_a_page_at_a_time(store, client, what):
    for i in range(70):
        store.claim_run(f"run{i}", {"recipe": {"seed": i}})
    store.add_many(trajectory(f"i{i}", run=f"run{i}") for i in range(70))
    asked = "&".join(f"{what}={'run' if what == 'run' else 'i'}{i}{'' if what == 'run' else '-0'}" for i in range(70))
    pages = [client.get(f"/compare?{asked}&page={n}") for n in (1, 2, 3, 4)]
    assert [page.status_code for page in pages] == [200, 200, 200, 404]
    shown = [re.findall(r"<th>run(\d+)</th>" if what == "run" else r"#(\d+)</a>", page.text) for page in pages[:3]]
    assert [int(i) for page in shown for i in dict.fromkeys(page)] == [i + (what == "trajectory") for i in range(70)]


def test_cells_of_a_step_that_differs_show_what_differs():
    same = {"path": "a.py", "old": "x = 1\ny = 2\nz = 3"}
    news = ["x = 1\ny = 3\nz = 3", "x = 1\ny = 4\nz = 3", "x = 1\ny = 3\nz = 3"]
    found = aligned([trajectory(new, turns=[turn("view", path="a.py"), turn("edit", **same, new=new)]) for new in news])
    assert all(cell.differs == () for cell in found[0].cells)
    assert [cell.differs for cell in found[1].cells] == [
        (("new", "…\ny = 3\nz = 3"),),
        (("new", "…\ny = 4\nz = 3"),),
        (("new", "…\ny = 3\nz = 3"),),
    ]


def test_later_steps_show_it_where_their_lines_are_alike():
    long = "echo " + "x" * 200
    turns = [[turn("view", path=p), turn("bash", command=f"{long}{p}{long}"), turn("bash", command=p)] for p in "ab"]
    rows = aligned([trajectory(f"i{n}", turns=each) for n, each in enumerate(turns)])
    assert rows[0].cells[0].differs == ()  # its line has it
    assert rows[1].cells[0].short == rows[1].cells[1].short
    for cell, name in zip(rows[1].cells, "ab", strict=True):
        assert cell.differs[0][0] == "command" and cell.differs[0][1].startswith(f"…{'x' * 30}{name}echo")
    assert rows[2].cells[0].differs == ()


def spoken(text):
    return turn("x").model_copy(update={"tool_call": ToolCall(name=""), "text": text})


def test_actions_are_the_same_only_where_every_argument_is():
    a, b = turn("x", x="1 y=2"), turn("x", x="1", y="2")
    assert not aligned([trajectory("a", turns=[a]), trajectory("b", turns=[b])])[0].same
    one, other = (
        turn("x").model_copy(update={"tool_call": ToolCall(name=""), "text": text}) for text in ("I wait", "I go")
    )
    (row,) = aligned([trajectory("a", turns=[one]), trajectory("b", turns=[other])])
    assert row.first and [cell.differs for cell in row.cells] == [(("text", "I wait"),), (("text", "I go"),)]
    assert aligned([trajectory("a", turns=[one]), trajectory("b", turns=[one])])[0].same


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"command": "view", "path": "/testbed/a.py", "view_range": "[1, 2]"}, "view /testbed/a.py"),
        ({"command": "ls -l", "path": "/testbed"}, "ls -l"),
        ({"path": "a.py", "old": "x"}, "a.py"),
        ({"command": "make"}, "make"),
    ],
)
def test_an_editor_says_where_it_does_what(arguments, said):
    assert short(ToolCall(name="editor", arguments=arguments)) == said


def test_a_group_that_differs_at_once_says_so(store, client):
    store.add_many(trajectory("i", number=i, group="g", turns=[turn("view", path=str(i))]) for i in range(2))
    page = client.get("/group?run=r&group=g").text
    assert 'They differ from the <a href="#step-1">first step</a> on.\n' in page and ".No advantage" not in page
