"""One file that opens from disk with the network off."""

import re

import pytest
from demo_store import first_of
from trajectory_builders import pair, trajectory, turn
from typer.testing import CliRunner

from contextrl.cli import app
from trajectories.queries import Margin
from trajectories.viewer.export import MOST_BYTES


@pytest.fixture
def run(tmp_path):
    """Runs `contextrl export html WHAT -o out.html`."""

    def call(store, *arguments):
        words = ["export", "html", *arguments, "-o", str(tmp_path / "out.html"), "--store", str(store)]
        return CliRunner().invoke(app, words)

    return call


@pytest.fixture
def offline(open_page, tmp_path):
    """Opens the file."""
    asked = []
    page = open_page(offline=True)
    page.on("request", lambda request: asked.append(request.url))

    def go():
        page.goto((tmp_path / "out.html").as_uri())
        assert all(url.startswith(("file:", "data:")) for url in asked)
        return page

    return go


def test_a_trajectory(run, demo_file, demo, tmp_path, offline):
    found = first_of(demo, "context-aware")
    result = run(demo_file, found.id[:6])
    assert result.exit_code == 0 and re.search(rf"trajectory {found.id}, \d+ kB: ", result.output)
    text = (tmp_path / "out.html").read_text()
    assert "<script" not in text and not re.search(r"https?://|url\(|@import", text)
    page = offline()
    assert page.locator("article.turn").count() == len(found.turns)
    assert page.locator("#turn-1 .f1").first.inner_text() == "FAIL"
    paint = page.evaluate("getComputedStyle(document.querySelector('#turn-1 .f1')).color")
    assert paint != page.evaluate("getComputedStyle(document.querySelector('#turn-1 pre')).color")
    page.locator("#turn-3 .stepdiff summary").click()
    assert page.locator("#turn-3 .stepdiff .add").inner_text().startswith("+    taxed")
    assert page.locator("button").count() == 0 and "gold patch" in page.locator("main").inner_text()
    assert "diverged at step 4" in page.locator(".replay").inner_text()


def test_a_group(run, demo_file, demo, offline):
    found = first_of(demo, "grpo-only")
    assert run(demo_file, found.group).exit_code == 0
    page = offline()
    assert page.locator("table.aligned tbody tr.first").count() == 1
    page.locator("table.aligned thead a").nth(1).click()
    assert page.url.endswith("#t2-top") and page.locator('[id="t2-turn-1"]').is_visible(), "the fold is open by itself"
    page.locator("table.aligned tbody a").last.click()
    place = page.url.partition("#")[2]
    assert "-turn-" in place and page.locator(f"[id='{place}']").is_visible()


def test_a_run(run, demo_file, offline):
    assert run(demo_file, "context-aware").exit_code == 0
    page = offline()
    assert page.locator("figure").count() == 21
    assert page.locator(".funnel").count() == 3 and "Shortcut audit" in page.locator("main").inner_text()
    assert page.locator("main > details > [id$=top]").count() == 5
    assert page.locator("#configuration .config tbody tr").count() > 10


def test_a_run_lists_its_groups_and_pairs(run, demo_file, demo, offline):
    assert run(demo_file, "context-aware").exit_code == 0
    page = offline()
    for head, rows in (
        ("Groups", [g.group for g in demo.page_groups(run="context-aware")]),
        ("Pairs", [p.function for p in demo.page_pairs(run="context-aware", sort="judgement")]),
    ):
        names = page.locator(f"h2:text-is('{head}') ~ div >> nth=0 >> tbody tr th").all_inner_texts()
        assert rows and [name.partition("\n")[0] for name in names] == rows, head


def test_what_a_list_of_a_run_leaves_out_is_said(run, store, place, tmp_path, monkeypatch):
    monkeypatch.setattr("trajectories.viewer.listed.ROWS", 2)
    a, b = trajectory("i1", run="b", group="alone"), trajectory("i2", run="b", shown=("-", 7), right=("+", 7))
    several = [
        trajectory(f"i{g}", number=i, run="b", group=f"g{g}", resolved=i == 7) for g in (3, 4, 5) for i in (7, 8)
    ]
    store.add_many([a, b, *several])
    for name, judgement in (("old", "valid"), ("unsure", "uncertain"), ("new", "valid")):
        fields = {"run": "b", "function": f"f::{name}", "answer": name, "judgement": judgement}
        (kept,) = store.add_pairs([pair(a, b, id=name * 8, **fields)])
    store.add_margins(
        Margin(kept.id, version, first, margin)
        for version, first, margin in ((1, True, 9.0), (3, True, 0.7), (3, False, 0.1))
    )
    assert run(place, "b").exit_code == 0
    text = (tmp_path / "out.html").read_text()
    assert (
        "3 groups of several rollouts; the newest 2 are listed, 1 is left out; "
        "1 group of one rollout, as evaluations make them, is not listed." in text
    )
    assert "3 pairs, the valid first, and of those the newest; the first 2 are listed, 1 is left out." in text
    assert "8 trajectories; the newest 2 are listed, 6 are left out; 2 are in this file whole." in text
    assert re.findall(r"<tr><th>(g\d)<", text) == ["g5", "g4"] and "<td>i5</td>" in text
    assert re.findall(r"<tr><th>f::(\w+)<.*<td class=\"n\">(.*)</td></tr>", text) == [("new", "+0.4"), ("old", "-")]


def test_what_is_too_long_is_cut_and_said(run, store, place, tmp_path):
    turns = [
        turn("bash", "".join(f"line {i} {n}\n" for i in range(40_000)), command="x" * 50_000, path="y" * 50_000)
        for n in range(30)
    ]
    store.add_many(trajectory("long", number=i, group="g", turns=turns) for i in range(4))
    assert run(place, "g").exit_code == 0
    text = (tmp_path / "out.html").read_text()
    assert len(text.encode()) < MOST_BYTES
    assert "lines, " in text and "characters left out" in text and "the middle is left out" in text


def test_nothing_is_left_out_that_fits(run, store, place, tmp_path):
    long = "".join(f"line {i}\n" for i in range(50_000))
    store.add(trajectory("long", turns=[turn("view", long)] * 2))
    assert run(place, "long-0").exit_code == 0
    text = (tmp_path / "out.html").read_text()
    assert text.count("line 25000\n") == 2 and "left out" not in text and len(text.encode()) < MOST_BYTES


def test_very_many_turns_stay_within_the_promise(run, store, place, tmp_path):
    store.add(trajectory("many", turns=[turn("view", f"seen {i} " * 40, path="a.py") for i in range(5_000)]))
    assert run(place, "many-0").exit_code == 0
    text = (tmp_path / "out.html").read_text()
    assert len(text.encode()) <= MOST_BYTES and "of 5,000" in text and "the others are left out of this file" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "there is no trajectory, group or run 'nothing' in"),
        (["i1"], "2 ids or more start with 'i1': give more of one"),
        (["both"], "'both' is a group and a run: say which with --kind"),
        (["shared"], "there is a group 'shared' in several runs (a, b): say which with --run"),
        (["shared", "--run", "c"], "there is no trajectory, group or run 'shared' in"),
        (["b", "--kind", "trajectory"], "there is no trajectory 'b' in"),
    ],
)
def test_a_name_that_is_none_or_several_is_a_sentence(run, store, place, tmp_path, arguments, said):
    store.add_many([trajectory("i1", run="both", group="both"), trajectory("i1", number=1, run="a", group="shared")])
    store.add(trajectory("i2", run="b", group="shared"))
    result = run(place, *arguments)
    assert result.exit_code == 2 and result.output.startswith(said), result.output
    assert not (tmp_path / "out.html").exists()


def test_a_file_that_is_there_stays(run, store, place, tmp_path):
    store.add(trajectory("i1", run="b", group="shared"))
    (tmp_path / "out.html").write_text("mine")
    assert "is there already" in run(place, "b").output and (tmp_path / "out.html").read_text() == "mine"
    assert run(place, "shared", "--run", "b", "--replace").exit_code == 0
    assert (tmp_path / "out.html").read_text() != "mine"


def test_a_folder_that_is_not_there_is_not_made(run, store, place, tmp_path):
    store.add(trajectory("i1", run="b"))
    result = CliRunner().invoke(
        app, ["export", "html", "b", "-o", str(tmp_path / "no" / "out.html"), "--store", str(place)]
    )
    assert result.exit_code == 2 and "is not there" in result.output and not (tmp_path / "no").exists()
