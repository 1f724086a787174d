"""What is far too long neither fills a page nor stops it."""

import time

import pytest
from trajectory_builders import trajectory, turn

from trajectories.viewer.asking import address

HUGE = "".join(
    f"\x1b[3{i % 8}mline {i} of a very long observation, as a build prints it\x1b[0m\n" for i in range(75_000)
)
"""5 MB."""


@pytest.fixture
def huge(store):
    """A trajectory with 5 MB in one observation, and in one line of another."""
    assert len(HUGE) > 5_000_000
    turns = [turn("bash", HUGE, command="make"), turn("bash", "x" * 5_000_000, command="cat"), turn("submit", "done")]
    store.add(trajectory("huge", turns=turns))
    return "huge-0"


def test_a_page_holds_the_ends_only_and_fetches_pieces(client, huge):
    page = client.get(address("/trajectory", id=huge)).text
    assert len(page) < 60_000
    assert "line 0 of" in page and "line 74999 of" in page and "line 1000 of" not in page
    piece = client.get(address("/text", id=huge, turn=1, part="observation", form="ansi", start=0)).text
    assert len(piece) < 250_000


def test_the_pieces_are_the_whole(client, huge):
    from html.parser import HTMLParser

    class Text(HTMLParser):
        def __init__(self):
            super().__init__()
            self.inside, self.found, self.next = False, [], None

        def handle_starttag(self, tag, attributes):
            self.inside = self.inside or tag == "pre"
            self.next = dict(attributes).get("data-load", self.next)

        def handle_endtag(self, tag):
            self.inside = self.inside and tag != "pre"

        def handle_data(self, data):
            if self.inside:
                self.found.append(data)

    path, said, times = address("/text", id=huge, turn=1, part="observation", form="plain"), "", 0
    while path:
        parser = Text()
        parser.feed(client.get(path).text)
        assert parser.found[-1].endswith("\n")
        said, path, times = said + "".join(parser.found), parser.next, times + 1
    assert said == HUGE.replace("\x1b", "\u241b") and 75 < times < 90


def test_it_can_be_used_within_a_second(serve, place, huge, page):
    url = serve(place)
    page.goto(url)

    def seconds():
        started = time.perf_counter()
        page.goto(url.rstrip("/") + address("/trajectory", id=huge), wait_until="domcontentloaded")
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.id") == "turn-1"
        return time.perf_counter() - started

    assert min(seconds() for _ in range(3)) < 1  # others may be at work on this machine
    more = page.locator("#turn-1").get_by_role("button", name="show more")
    more.click()
    page.locator("#turn-1 [data-fetched]").wait_for()
    assert "line 800 of" in page.locator("#turn-1 [data-fetched]").inner_text()
    assert page.locator("#turn-1 [data-fetched] .f3").count() > 50
    page.locator("#turn-2").scroll_into_view_if_needed()
    assert len(page.locator("#turn-2").inner_text()) < 10_000


def test_many_turns_and_long_diffs_are_bounded(store, client):
    long = "--- a/x\n+++ b/x\n@@ -0,0 +1,40000 @@\n" + "".join(f"+line {i}\n" for i in range(40_000))
    turns = [turn("bash", "x").model_copy(update={"diff": long * (i % 2)}) for i in range(200)]
    store.add(trajectory("long", turns=turns, patch=long))
    started = time.perf_counter()
    page = client.get(address("/trajectory", id="long-0"))
    assert page.status_code == 200 and len(page.text) < 1_500_000
    assert time.perf_counter() - started < 5
    piece = client.get(address("/text", id="long-0", turn=2, part="changed", form="diff"))
    assert "+line 1\n" in piece.text
