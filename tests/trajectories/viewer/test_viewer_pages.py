"""Pages as they are sent: tables that the database pages and filters, and sentences where something is not there."""

import re
import sys

import pytest
from trajectory_builders import pair, trajectory

from trajectories.store import SQLStore

SHOWN = re.compile(r'id="t-([^"]*)"')


def listed(client, query=""):
    answer = client.get(f"/trajectories?{query}")
    assert answer.status_code == 200, answer.text
    return SHOWN.findall(answer.text)


def test_from_the_runs_to_a_trajectory(store, client):
    for i in range(51):
        store.add(trajectory(f"i{i}", run="a run & more"))
    store.add(trajectory("other", run="", resolved=False))
    runs = client.get("/").text
    (link,) = re.findall(r'href="(/trajectories[^"]*)">51<', runs)
    first, second = listed(client, link.partition("?")[2]), listed(client, link.partition("?")[2] + "&page=2")
    assert len(first) == 50 and first[0] == "i50-0" and second == ["i0-0"]
    shown = client.get("/trajectory?id=i7-0").text
    assert "area gives a - b times 7" in shown and "1 of 1 test passed" in shown


def test_who_was_not_judged_is_not_called_failed_and_a_time_that_is_none_is_shown(store, client):
    store.add_many([trajectory("a"), trajectory("b", resolved=False), trajectory("c", verdict=None, reward=None)])
    store.add(trajectory("late", run="far", created_at=1.76e12))
    runs = client.get("/").text
    assert re.findall(r'<td class="n">(\d+%|-|\d+)</td>', runs) == ["100%", "0", "50%", "1"] and "1.76e+12" in runs
    assert listed(client, "outcome=resolved&run=r") == ["a-0"]
    assert listed(client, "outcome=failed&run=r") == ["b-0"]
    assert listed(client, "outcome=not+graded&run=r") == ["c-0"]
    assert "not graded" in client.get("/trajectory?id=c-0").text


FIELDS = {
    "a": {"repo": "x", "agent": "one", "policy_version": 1, "iteration": 2, "group": "g", "reward": 0.25},
    "b": {"run": "s", "status": "truncated", "reward": 0.5, "verdict": {"resolved": False, "tampered": True}},
    "c": {"problem_statement": "A zebra crosses.", "reward": 0.75},
}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("repo=x", "a"), ("agent=one", "a"), ("policy=1", "a"), ("iteration=2", "a"), ("group=g", "a"), ("run=s", "b"),
        ("status=truncated", "b"), ("instance=c", "c"), ("min_reward=0.6", "c"), ("max_reward=0.3", "a"),
        ("min_reward=0.3&max_reward=0.6", "b"), ("tampered=yes", "b"), ("tampered=no", "ca"), ("filtered=yes", "a"),
        ("filtered=no", "cb"), ("text=zebra+cro", "c"), ("text=zebra+unicorn", ""), ("run=s&agent=one", ""),
    ],
)  # fmt: skip
def test_every_filter_is_asked_of_the_database(store, client, query, found):
    store.add_many(trajectory(name, **fields) for name, fields in FIELDS.items())
    store.mark_filtered(["a-0"], "no signal")
    assert listed(client, query) == [f"{name}-0" for name in found]
    page = client.get(f"/trajectories?{query}").text
    assert ("No trajectory passes these filters." in page) == (not found)


@pytest.mark.parametrize("column", ["instance_id", "reward", "turns", "tokens", "created_at", "position", "resolved"])
def test_columns_sort_both_ways(store, client, column):
    store.add_many(
        trajectory(f"i{i}", reward=i * 7 % 5 / 4, created_at=float(i * 3 % 5), resolved=i % 2 == 0) for i in range(5)
    )
    for order, down in (("down", True), ("up", False)):
        wanted = [t.id for t in store.page(sort=column, descending=down)]
        assert listed(client, f"sort={column}&order={order}") == wanted


def test_a_snippet_leads_to_its_turn(store, client):
    store.add(trajectory("i1"))
    page = client.get("/trajectories?text=b+times").text
    assert "<mark>b times</mark>" in page and re.search(r'href="/trajectory\?id=i1-0[^"]*#turn-2"', page)


def test_a_search_says_what_is_not_indexed_yet(store, client, monkeypatch):
    store.add_many(trajectory(f"i{i}") for i in range(300))
    module = sys.modules["trajectories.viewer.pages.trajectories"]  # the package has a function of that name
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    first, second = (client.get("/trajectories?text=times").text for _ in range(2))
    assert "The words of 100 trajectories are not indexed yet" in first and "data-live" in first
    assert "300 trajectories" in second


@pytest.mark.parametrize(
    "path",
    [
        "/nothing", "/trajectory?id=none", "/trajectory", "/trajectories?page=x", "/trajectories?page=0", "/pair?id=x",
        "/trajectories?page=" + "9" * 30, "/trajectories?sort=colour", "/trajectories?status=fine", "/run?name=none",
        "/trajectories?min_reward=much", "/trajectories?text=%2B%2B", "/group?run=none&group=none", "/group", "/pair",
        "/funnel?name=none", "/compare", "/compare?run=none", "/compare?trajectory=none", "/pairs?stage=deep",
        "/compare?run=r&trajectory=i1-0", "/run?name=r&against=none",
    ],
)  # fmt: skip
def test_what_is_not_there_is_a_sentence(store, client, path):
    store.add(trajectory("i1"))
    answer = client.get(path)
    assert answer.status_code == 404 and "That cannot be shown" in answer.text
    assert re.search(r'<p class="card message words">[A-Z][^<]*\.</p>', answer.text)


def test_the_funnel_of_mining_is_drawn(store, client):
    name = "<i>set & run"
    store.add(trajectory())
    store.add_funnel(name, {"commit": 999, "file": 99, "related": 9, "valid": 0, "other": 1})
    (path,) = re.findall(r'href="(/funnel[^"]*)"', client.get("/").text)
    text = client.get(path.replace("&amp;", "&")).text
    assert "<i>" not in text
    assert re.findall(r'<th>(\w+)</th><td><svg height="14"><rect class="c1" rx="3" width="([\d.]+)%"', text) == [
        ("commit", "100.0"),
        ("file", "66.7"),
        ("related", "100.0"),
        ("valid", "0.0"),
        ("other", "100.0"),
    ]
    heads = ["by what they share", "that were looked at", "<h3>Pairs", "<h3>Others"]
    assert [text.index(head) for head in heads] == sorted(text.index(head) for head in heads)
    assert '<td class="soft">a file that both touched</td>' in text


def test_groups_are_counted_by_the_database(store, client):
    for number in range(3):
        store.add_many(trajectory(f"g{number}", number=i, group=f"g{number}", resolved=i < number) for i in range(2))
    store.add(trajectory("alone"))
    page = client.get("/groups").text
    assert "3 groups" in page and page.index(">g2<") < page.index(">g1<") < page.index(">g0<")
    assert "1 group<" in client.get("/groups?rewards=differ").text
    assert "2 groups" in client.get("/groups?rewards=alike").text
    assert "1 group<" in client.get("/groups?instance=g1").text
    shown = client.get("/group?run=r&group=g1").text
    assert "computed here: reward less the mean" in shown and "+0.5" in shown and "-0.5" in shown


def test_pairs_are_filtered_and_one_is_explained(store, client):
    a, b = trajectory("i1"), trajectory("i2", shown=("-", 7), right=("+", 7))
    store.add_many([a, b])
    good = pair(a, b, confounder_answer=b.answer)
    bad = pair(b, a, id="b" * 32, run="s", judgement="invalid", stage="file", reasons=["like_length: too long"])
    store.add_pairs([good, bad])
    store.retire_pairs([bad.id], "it fell")
    for query, count in (
        ("", 2),
        ("run=s", 1),
        ("judgement=valid", 1),
        ("stage=file", 1),
        ("retired=no", 1),
        ("instance=i1", 2),
        ("repo=none", 0),
    ):
        page = client.get(f"/pairs?{query}").text
        assert len(re.findall(r'id="p-', page)) == count, query
    page = client.get(f"/pair?id={bad.id}").text
    assert "retired: it fell" in page and "Why the judge rejected it" in page and "like_length: too long" in page
    page = client.get(f"/pair?id={good.id}").text
    assert "9 of 9 rules have no objection" in page and page.count('class="good">holds<') == 9
    assert "No policy has learned from it yet." in page


def test_any_number_is_compared(store, client):
    for run in "abc":
        store.claim_run(run, {"recipe": {"seed": ord(run), "same": 1}})
        store.add(trajectory(f"i{run}", run=run))
        store.add_metrics(run, 0, {"iteration": 0, "kl": 0.5})
    page = client.get("/compare?run=a&run=b&run=c").text
    assert "<h3>1 difference</h3>" in page and all(f"<td>{ord(run)}</td>" in page for run in "abc")
    page = client.get("/compare?trajectory=ia-0&trajectory=ib-0&trajectory=ic-0").text
    assert len(re.findall(r'href="/trajectory\?id=i[abc]-0">', page)) == 3


def test_a_page_names_the_trajectories_before_and_behind(store, client):
    store.add_many(trajectory(f"i{i}", reward=i / 10) for i in range(5))
    page = client.get("/trajectory?id=i2-0").text
    assert 'href="/trajectory?id=i3-0" data-key="h"' in page and 'href="/trajectory?id=i1-0" data-key="l"' in page
    page = client.get("/trajectory?id=i2-0&list=sort%3Dreward%26order%3Dup&at=2").text
    assert 'href="/trajectory?id=i1-0&amp;' in page and page.index("i1-0&amp;") < page.index("i3-0&amp;")
    store.add_many(trajectory(f"late{i}", reward=0.0) for i in range(3))  # the list has grown meanwhile
    page = client.get("/trajectory?id=i2-0&list=sort%3Dreward%26order%3Dup&at=2").text
    assert re.findall(r'href="/trajectory\?id=(\w+)-0[^"]*at=(\d)"', page) == [("i1", "4"), ("i3", "6")]


def test_replays_and_tasks_that_were_kept_are_shown(store, client):
    store.add(trajectory("i1"))
    assert "contextrl replay i1-0" in client.get("/trajectory?id=i1-0").text
    store.add_tasks(
        "r", {"i1": {"patch": "--- a/x\n+++ b/x\n+gold\n", "FAIL_TO_PASS": ["t"], "PASS_TO_PASS": ["kept"]}}
    )
    steps = [{"number": i, "same": True, "diff": "", "action": "x"} for i in range(1, 6)]
    store.add_finding(
        "replay", "i1-0", {"trajectory_id": "i1-0", "backend": "docker", "steps": steps, "diverged_at": None}
    )
    page = client.get("/trajectory?id=i1-0").text
    assert "is known from a replay" in page and "no divergence" in page
    assert "+gold" in page and "not run" in page and "kept" in page


def test_nothing_is_written_to_the_store(place, client):
    with SQLStore(place) as store:
        store.add(trajectory("i1", group="g"))
    with open(place, "rb") as file:
        before = file.read()
    for path in (
        "/",
        "/trajectories?text=area",
        "/trajectory?id=i1-0",
        "/groups",
        "/group?run=r&group=g",
        "/pairs",
        "/pulse",
    ):
        assert client.get(path).status_code == 200
    with open(place, "rb") as file:
        assert file.read() == before
