"""Runs and groups with no name, a long one, or one that cannot be seen: each can be told from all others and opened."""

import re
from html import unescape

import pytest
from trajectory_builders import pair, trajectory

LONG = "x" * 500


@pytest.fixture
def nameless(store):
    a, b = trajectory("i1", run="", group="g"), trajectory("i2", run="", shown=("-", 7), right=("+", 7))
    store.add_many([a, b, trajectory("other", run="r", group="g")])
    store.add_pairs([pair(a, b, run="")])
    store.add_metrics("", 0, {"iteration": 0, "kl": 0.5})
    store.add_metrics("r", 0, {"iteration": 0, "kl": 0.7})
    store.add_funnel("", {"commit": 3})


def links(page, start):
    return [unescape(found) for found in re.findall(rf'href="({start}[^"]*)"', page.partition("<main")[2])]


def test_the_run_without_a_name_leads_to_what_is_its_own(nameless, client):
    (path,) = [one for one in links(client.get("/").text, "/run") if "without" in one]
    page = client.get(path).text
    assert "Run (without a name)" in page
    for name, shown in (("trajectories", "2 trajectories of 3"), ("pairs", ">1 pair"), ("groups", "also 1 group")):
        (first, *_) = links(page, f"/{name}")
        assert shown in client.get(first).text, first
    assert client.get(links(page, "/funnel")[0]).status_code == 200
    assert client.get(links(page, "/audit")[0]).status_code == 200


def test_it_can_be_charted_compared_and_chosen(nameless, client):
    page = client.get("/").text
    (value,) = re.findall(r'name="run" value="(\([^"]*)"', page)
    asked = {"run": [value, "r"]}
    for path in ("/", "/compare"):
        shown = client.get(path, params=asked).text
        assert "iteration 0: 0.5<" in shown and "iteration 0: 0.7<" in shown, path
    shown = client.get("/trajectories", params={"run": value}).text
    assert f'<option value="{value}" selected>' in shown and shown.count("<tr id=") == 2
    (group,) = links(client.get("/groups", params={"run": value, "single": "yes"}).text, "/group\\?")
    assert "i1" in client.get(group).text and "other" not in client.get(group).text


def test_a_name_that_cannot_be_seen_can_be_opened(store, client):
    store.add_many(trajectory("i", number=i, group=" ") for i in range(2))
    store.add_many(trajectory("j", number=i, group="\u2800") for i in range(2))
    page = client.get("/groups").text
    assert re.search(r'href="/group\?run=r&amp;group=\+"[^>]*>␣</a>', page) and ">⟨U+2800⟩</a>" in page


def test_a_repository_that_is_not_known_is_no_choice(store, client):
    store.add(trajectory(repo=""))
    assert '<option value="" selected>' not in client.get("/trajectories").text


@pytest.mark.parametrize("path", ["/pairs?order=zzz", "/?run=nope", "/audit?name=nope", "/run?name=r&against=nope"])
def test_what_means_nothing_is_said(store, client, path):
    store.add(trajectory())
    answer = client.get(path)
    assert answer.status_code == 404 and "That cannot be shown" in answer.text


def test_what_was_not_kept_is_no_difference(store, client):
    store.claim_run("a", {"recipe": {"seed": 1}})
    store.add_many(trajectory(f"i{run}", run=run) for run in "ab")
    page = client.get("/run?name=a&against=b").text
    assert "The configuration of b was not kept, so how it differs is not known." in page
    assert "difference" not in page and 'differs"' not in page and "not known</span>" in page
    page = client.get("/compare?run=a&run=b").text
    assert "Not kept of b: how it differs is not known." in page and "difference" not in page


def test_the_search_above_keeps_the_tables_filters(store, client):
    store.add(trajectory())
    bar = client.get("/trajectories?run=r&outcome=failed&sort=reward&order=up").text.partition("<main")[0]
    assert re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', bar) == [
        ("run", "r"),
        ("outcome", "failed"),
        ("sort", "reward"),
        ("order", "up"),
    ]
    assert "hidden" not in client.get("/pairs?run=r").text.partition('<p class="banner"')[0]


def test_a_page_without_scripts_says_what_it_cannot_do(client):
    assert "Without scripts" in client.get("/").text.partition("<noscript>")[2].partition("</noscript>")[0]


@pytest.mark.parametrize("path", ["", "trajectories", "groups", "trajectory?id=i-0", "trajectory?id=j-0"])
@pytest.mark.parametrize("width", [1280, 380])
def test_no_name_pushes_the_rest_out_of_sight(serve, store, place, page, path, width):
    for instance, name in (("i", LONG), ("j", "n" + "\u0301" * 500)):
        store.add_many(trajectory(instance, number=i, run=name, agent=name, group=name) for i in range(2))
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(serve(place) + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 1280:
        wider = page.locator(".scroll").evaluate_all("all => all.map(e => e.scrollWidth - e.clientWidth)")
        assert max([0, *wider]) < 120
