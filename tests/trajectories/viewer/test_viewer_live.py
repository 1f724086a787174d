"""What a page does while the store under it changes, in a browser."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from trajectory_builders import pair, trajectory

from trajectories.queries import Margin
from trajectories.store import SQLStore

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
WRITER = """
import sys, time
sys.path[:0] = {paths!r}
from trajectory_builders import trajectory
from trajectories.store import SQLStore
with SQLStore(sys.argv[1]) as store:
    for i in range(10_000):
        store.add(trajectory(f"late{{i}}", run="mine"))
        store.add_metrics("mine", i, {{"iteration": i, "resolve_rate": 0.5}})
        time.sleep(0.1)
"""


@pytest.fixture
def writer(place):
    """Starts a process that goes on adding trajectories."""
    started = []

    def start():
        paths = [str(HERE.parents[2]), str(HERE.parent)]
        command = [sys.executable, "-c", WRITER.format(paths=paths), place]
        started.append(subprocess.Popen(command))

    yield start
    for process in started:
        process.kill()
        process.wait()


def fill(place, count=60):
    with SQLStore(place) as store:
        store.add_many(trajectory(f"early{i}", run="mine") for i in range(count))


def total(page):
    return int(page.locator("#total").inner_text().split()[0].replace(",", ""))


def wait_until(page, true, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)


def test_a_table_grows_and_leaves_the_reader_in_peace(serve, place, page, writer):
    fill(place)
    page.goto(f"{serve(place)}trajectories")
    assert total(page) == 60
    row = page.locator('[id="t-early40-0"]')
    row.locator("input").check()
    page.get_by_label("agent").fill("half a wo")
    row.locator("a.open").focus()
    row.scroll_into_view_if_needed()
    page.mouse.wheel(0, 40)
    page.wait_for_timeout(200)
    page.evaluate("""() => { const range = document.createRange();
      range.selectNodeContents(document.querySelector('[id="t-early40-0"] td:nth-child(8)'));
      getSelection().removeAllRanges(); getSelection().addRange(range); }""")
    before = row.bounding_box()["y"]
    writer()
    wait_until(page, lambda: total(page) > 62)
    assert row.locator("input").is_checked()
    assert page.evaluate("document.activeElement.closest('tr').id") == "t-early40-0"
    assert page.get_by_label("agent").input_value() == "half a wo"
    assert page.evaluate("getSelection().toString()").strip() == "yes"
    assert abs(row.bounding_box()["y"] - before) < 3
    assert page.locator("main tbody tr").first.get_attribute("id").startswith("t-late")


def test_curves_grow_and_folds_stay_open(serve, place, page, writer):
    fill(place, 4)
    with SQLStore(place) as store:
        store.claim_run("other", {"recipe": {"seed": 0}})
        store.add_metrics("mine", 0, {"iteration": 0, "resolve_rate": 0.5})
    url = serve(place)
    page.goto(f"{url}run?name=other")
    assert page.locator("#configuration").evaluate("e => e.open")
    page.locator("#configuration summary").click()
    writer()
    page.wait_for_timeout(2500)
    assert not page.locator("#configuration").evaluate("e => e.open")
    page.goto(f"{url}?run=mine")
    dots = page.locator("#figure-1 circle")
    first = dots.count()
    wait_until(page, lambda: dots.count() > first + 3)


def test_what_was_fetched_stays(serve, place, page):
    long = "".join(f"line {i}\n" for i in range(9_000))
    with SQLStore(place) as store:
        store.add_many(trajectory("i1", number=i, group="g", problem_statement=long) for i in range(2))
        page.goto(f"{serve(place)}group?run=r&group=g")
        page.locator("#issue summary").click()
        page.locator("#issue").get_by_role("button", name="show more").click()
        page.locator("#issue [data-fetched]").wait_for()
        store.add(trajectory("i1", number=2, group="g", problem_statement=long))
        heads = page.locator("table.aligned thead tr").first.locator("th")
        wait_until(page, lambda: heads.count() == 4)
    assert "line 3000\n" in page.locator("#issue [data-fetched]").inner_text()
    assert page.locator("#issue").evaluate("e => e.open")


def test_an_empty_store_is_a_sentence_and_fills(serve, place, page):
    url = serve(place)
    page.goto(url)
    assert "Nothing is stored yet" in page.locator("main").inner_text()
    assert page.locator("#banner").is_hidden()
    store = SQLStore(place)
    store.add_finding("audit", "nothing", {})  # the file of a store is made with the first thing in it
    wait_until(page, lambda: "The store has no trajectories yet" in page.locator("main").inner_text())
    for path in ("trajectories", "groups", "pairs"):
        other = page.context.new_page()
        other.goto(url + path)
        assert other.locator(".message").inner_text()
        other.close()
    store.add(trajectory(run="mine"))
    wait_until(page, lambda: page.locator("main tbody tr").count() == 1)
    store.close()


def test_a_store_that_vanishes_is_told_and_its_return_too(serve, place, page):
    fill(place)
    page.goto(f"{serve(place)}trajectories")
    Path(place).rename(f"{place}.away")
    wait_until(page, lambda: page.locator("#banner").is_visible(), 5)
    assert "There is no trajectory store at" in page.locator("#banner").inner_text()
    assert total(page) == 60 and page.locator("main tbody tr").count() == 50
    Path(f"{place}.away").rename(place)
    wait_until(page, lambda: page.locator("#banner").is_hidden(), 5)
    with SQLStore(place) as store:
        store.add(trajectory("back", run="mine"))
    wait_until(page, lambda: total(page) == 61)


def test_a_viewer_that_ends_is_told(serve, place, page, open_page):
    from trajectories.viewer.serving import Viewer

    fill(place)
    with Viewer(place, port=0) as viewer:
        page.goto(viewer.url)
    wait_until(page, lambda: page.locator("#banner").is_visible(), 6)
    assert "The viewer does not answer" in page.locator("#banner").inner_text()
    page.close()
    page.problems.clear()  # the browser itself says that nobody answers


def test_a_pair_shows_margins_that_were_measured_since(serve, place, page):
    a, b = trajectory("i1"), trajectory("i2", shown=("-", 7), right=("+", 7))
    with SQLStore(place) as store:
        store.add_many([a, b])
        (kept,) = store.add_pairs([pair(a, b)])
        page.goto(f"{serve(place)}pair?id={kept.id}")
        assert "No policy has learned from it yet" in page.locator("main").inner_text()
        store.add_margins(Margin(kept.id, version, True, 0.1 * version) for version in range(5))
        wait_until(page, lambda: page.locator("circle.hover").count() == 5)
        store.retire_pairs([kept.id], "its label fell")
        wait_until(page, lambda: "retired: its label fell" in page.locator(".about").inner_text())


def test_a_trajectory_shows_what_was_found_out_since_and_keeps_what_was_fetched(serve, place, page):
    with SQLStore(place) as store:
        store.add(trajectory("i1"))
        page.goto(f"{serve(place)}trajectory?id=i1-0")
        page.locator("#turn-1").get_by_role("button", name="tokens").click()
        page.locator("#turn-1 .tokens").wait_for()
        store.mark_filtered(["i1-0"], "its group is all alike")
        wait_until(page, lambda: "its group is all alike" in page.locator(".about").inner_text())
        store.add_finding("replay", "i1-0", {"steps": [], "backend": "docker", "diverged_at": None})
        wait_until(page, lambda: page.locator(".replay").count() == 1)
    assert page.locator("#turn-1 .tokens").count() == 1
    assert page.locator("#turn-1").get_by_role("button", name="tokens", exact=True).count() == 0


def test_another_store_at_the_same_place_is_shown(serve, place, page):
    fill(place, 3)
    with SQLStore(f"{place}.other") as other:
        other.add_many(trajectory(f"other{i}", run="mine") for i in range(3))
    page.goto(f"{serve(place)}trajectories")
    Path(f"{place}.other").replace(place)
    wait_until(page, lambda: page.locator("main tbody tr").first.get_attribute("id") == "t-other2-0")
