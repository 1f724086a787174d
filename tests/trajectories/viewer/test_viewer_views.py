"""Every view in a browser, with what it must show; and a picture of each.

Pictures go into the folder that CONTEXTRL_SCREENSHOTS names, else into a temporary one:
`CONTEXTRL_SCREENSHOTS=docs/images/viewer python -m pytest tests/trajectories/viewer/test_viewer_views.py`.
"""

import os
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from demo_store import TASKS, TOTAL, first_of
from PIL import Image

LARGEST = 250_000
"""Bytes of a picture."""
HEIGHT = 1_300


@pytest.fixture
def view(serve, demo_file, page, tmp_path):
    """Opens a view of the demo; `view.shot(name)` keeps a picture."""
    url = serve(demo_file)
    folder = Path(os.environ.get("CONTEXTRL_SCREENSHOTS") or tmp_path)
    page.set_viewport_size({"width": 1280, "height": HEIGHT})

    class View:
        def __call__(self, path, **asked):
            page.goto(f"{url}{path}?{urlencode(asked, doseq=True)}")
            return page

        def shot(self, name):
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{name}.png"
            height = min(HEIGHT, page.evaluate("document.documentElement.scrollHeight"))
            page.screenshot(path=file, clip={"x": 0, "y": 0, "width": 1280, "height": height}, animations="disabled")
            with Image.open(file) as image:
                image.convert("RGB").quantize(96, dither=Image.Dither.NONE).save(file, optimize=True)
            assert 5_000 < file.stat().st_size < LARGEST

    return View()


def test_runs_over_each_other(view):
    page = view("", run=["context-aware", "grpo-only"])
    for title in (
        "Resolve rate", "Reward", "Selection accuracy", "L_GRPO", "L_CA", "KL", "Entropy", "Clip fractions, L_GRPO",
        "Clip fractions, L_CA", "Mismatch KL", "Gradient norm", "Staleness", "Speed", "Sandboxes alive",
        "Time split, context-aware", "Time split, grpo-only",
    ):  # fmt: skip
        assert page.get_by_role("heading", name=title, exact=True).count() == 1, title
    assert page.locator("#figure-1 polyline:not(.faint)").count() == 2
    assert page.locator("#figure-1 .legend span").all_inner_texts() == ["grpo-only", "context-aware"][::-1]
    dot = page.locator("#figure-1 circle.hover title").first
    assert re.fullmatch(r"context-aware, iteration 0: \d+%", dot.text_content())
    rows = page.locator("table.list tbody tr")
    assert rows.count() == 2 and rows.first.inner_text().split()[:3] == ["grpo-only", "96", "69%"]
    view.shot("runs")


def test_boxes_choose_the_curves(view):
    page = view("")
    assert page.locator("#figure-1 .legend").count() == 0
    page.get_by_label("show the curves of context-aware").check()
    page.get_by_role("button", name="Show curves").click()
    assert page.locator("#figure-1 .legend span").count() == 2
    page.get_by_role("button", name="Compare with configurations").click()
    assert page.locator("tr.differs th").first.inner_text() == "recipe.name"


def test_one_run_and_how_its_configuration_differs(view):
    page = view("run", name="context-aware")
    assert page.locator(".config tbody tr").count() > 10 and page.locator(".differs").count() == 0
    page.get_by_label("compare with").select_option("grpo-only")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**against=grpo-only")
    different = page.locator(".config").first.locator("tbody tr")
    assert different.locator("th").all_inner_texts() == ["recipe.name", "recipe.objective.ca_weight"]
    assert different.last.locator("td").all_inner_texts() == ["0.005", "0.0"]
    page.locator("h2", has_text="Configuration").scroll_into_view_if_needed()
    view.shot("run")


def test_trajectories_are_filtered_searched_and_sorted(view):
    page = view("trajectories")
    assert page.locator("#total").inner_text() == f"{TOTAL} trajectories"
    assert page.locator("main tbody tr").count() == 50
    page.locator("select[name=run]").select_option("context-aware")
    page.get_by_label("tampered").select_option("yes")
    page.get_by_role("button", name="Filter").click()
    assert page.locator("#total").inner_text() == f"6 trajectories of {TOTAL}"
    assert page.locator("main tbody tr").first.locator(".pill").inner_text() == "tampered"
    page.get_by_role("link", name="show all").click()
    page.get_by_label("words").fill("limit of 50")
    page.get_by_label("words").press("Enter")
    assert page.locator("#total").inner_text() == f"48 trajectories of {TOTAL}"
    assert page.locator("mark").all_inner_texts() == ["limit of 50"] * 48
    page.get_by_role("link", name="tokens").click()
    sizes = [int(cell.replace(",", "")) for cell in page.locator("main tbody tr td:nth-child(11)").all_inner_texts()]
    assert sizes == sorted(sizes, reverse=True)
    page.get_by_role("link", name="tokens").click()
    sizes = [int(cell.replace(",", "")) for cell in page.locator("main tbody tr td:nth-child(11)").all_inner_texts()]
    assert sizes == sorted(sizes)
    view.shot("trajectories")


def test_pages_are_turned(view):
    page = view("trajectories", sort="created_at")
    first = page.locator("main tbody tr").first.get_attribute("id")
    page.get_by_role("link", name="next").click()
    assert page.locator("main tbody tr").count() == 50
    page.keyboard.press("h")
    page.wait_for_url("**/trajectories?sort=created_at")
    assert page.locator("main tbody tr").first.get_attribute("id") == first


def test_a_trajectory_turn_by_turn(view, demo):
    found = first_of(demo, "context-aware")
    page = view("trajectory", id=found.id)
    assert page.locator("svg.timeline a").count() == len(found.turns) == page.locator("article.turn").count()
    assert "exit 1" in page.locator("svg.timeline title").first.text_content()
    first = page.locator("#turn-1")
    assert first.locator(".f1.a-bold, .f1").first.inner_text() == "FAIL" and "exit 1" in first.inner_text()
    assert "\x1b" not in page.content()
    edit = page.locator("#turn-3")
    assert edit.locator(".does .diff .del").inner_text().strip() == "-    taxed = total - total * rate"
    assert edit.locator(".stepdiff summary").inner_text() == "this step: +1 \N{MINUS SIGN}1"
    edit.locator(".stepdiff summary").click()
    action, diff = edit.locator(".does").bounding_box(), edit.locator(".stepdiff").bounding_box()
    assert diff["x"] >= action["x"] + action["width"] and diff["y"] <= action["y"] + 5
    edit.get_by_role("button", name="all that differs after it").click()
    assert edit.locator("[data-fetched] .add").inner_text().strip() == "+    taxed = total + total * rate"
    paints = edit.locator(".stepdiff .add").evaluate_all("all => all.map(e => getComputedStyle(e).backgroundColor)")
    assert len(paints) == 2 and len(set(paints)) == 1 and paints[0] != "rgba(0, 0, 0, 0)"
    edit.evaluate("e => e.scrollIntoView()")
    view.shot("step")
    patches = page.locator(".sides").first
    assert patches.locator(".add").all_inner_texts()[0] == patches.locator(".add").all_inner_texts()[1]
    tests = page.locator("table.list tbody tr").first.locator("td").all_inner_texts()
    assert tests == ["passed", "failed", "FAIL_TO_PASS", f"test_settle.{TASKS[0].test}"]
    assert "diverged at step 4" in page.locator(".replay").inner_text()
    page.locator(".replay details.fold").first.wait_for()
    assert "observation, exit_code differs" in page.locator(".replay").inner_text()
    page.mouse.move(0, 0)
    page.evaluate("window.scrollTo(0, 0)")
    view.shot("trajectory")
    page.locator(".replay").scroll_into_view_if_needed()
    view.shot("replay")


def test_what_was_tampered_with_is_told_first(view, demo):
    (summary, *_) = demo.summaries(run="grpo-only", tampered=True)
    page = view("trajectory", id=summary.id)
    assert "Tampered." in page.locator(".alarm").inner_text() and "canary" in page.locator(".alarm").inner_text()
    assert "conftest.py" in page.locator(".about").inner_text()
    view.shot("tampered")


def test_tokens_are_coloured_when_asked_for(view, demo):
    found = first_of(demo, "context-aware")
    page = view("trajectory", id=found.id)
    assert page.locator(".k").count() == 0
    first = page.locator("#turn-1")
    first.get_by_role("button", name="tokens").click()
    first.locator(".tokens").wait_for()
    assert first.locator(".k").count() == len(found.turns[0].completion_ids)
    assert "".join(first.locator(".k").all_text_contents()) == found.turns[0].text
    value = float(first.locator(".k").nth(3).get_attribute("title").partition(": ")[2])
    assert value == pytest.approx(found.turns[0].logprobs[3], abs=1e-3)
    view.shot("tokens")
    first.get_by_role("button", name="trainer less sampler").click()
    first.locator(".tokens [aria-pressed]", has_text="trainer").wait_for()
    lesson = demo.lessons([found.id])[found.id]
    value = float(first.locator(".k").nth(3).get_attribute("title").partition(": ")[2])
    assert value == pytest.approx(lesson.logprobs[3] - found.turns[0].logprobs[3], abs=1e-3)
    paints = {
        k: page.evaluate(f"getComputedStyle(document.querySelector('.scale .{k}')).backgroundColor")
        for k in ("v0", "v9", "v19")
    }
    assert len(set(paints.values())) == 3
    first.get_by_role("button", name="advantage").click()
    first.locator(".tokens [aria-pressed]", has_text="advantage").wait_for()
    assert first.locator(".k").first.get_attribute("title").endswith(f"{lesson.advantage:.4f}")
    assert first.locator(".k.v12, .k.v13").count() == len(found.turns[0].completion_ids)


def test_a_group_side_by_side(view):
    page = view("groups", run="context-aware")
    assert page.locator("#total").inner_text() == "24 groups"
    view.shot("groups")
    page.get_by_role("link", name="context-aware/0").click()
    rows = page.locator("table.aligned tbody tr")
    assert [rows.nth(i).get_attribute("class") for i in range(3)] == ["same", "first", ""]
    assert rows.nth(1).get_attribute("id") == "step-2" and "first to differ" in rows.nth(1).inner_text()
    heads = page.locator("table.aligned thead tr")
    assert heads.nth(2).locator("td").all_inner_texts() == ["1", "1", "1", "0"]
    assert heads.nth(3).locator("td").all_inner_texts() == ["+0.577", "+0.577", "+0.577", "-1.73"]
    assert "log p" in rows.first.inner_text()
    view.shot("group")


def test_pairs_and_what_tells_their_contexts_apart(view, demo):
    page = view("pairs", judgement="valid", retired="no")
    count = demo.count_pairs(judgement="valid", retired=False)
    assert page.locator("main tbody tr").count() == count > 5
    view.shot("pairs")
    page.locator("main tbody tr a.open").first.click()
    assert page.locator(".contrast.heads").inner_text().split("\n")[0] == "C+ anchor: supports the answer"
    assert page.locator(".decisive").count() >= 1 and page.locator(".decisive .own").count() >= 2
    assert page.locator("#main mark.mask").count() > 1
    assert "learned from 3 times, last at policy version 21" in page.locator(".about").inner_text()
    assert page.locator("svg polyline").count() == 2 and page.locator("svg .mark").count() == 1
    page.locator("#rules summary").click()
    rules = page.locator("#rules tbody tr")
    assert rules.count() == 9 and all("holds" in rules.nth(i).inner_text() for i in range(9))
    assert "times as long, at most 1.8" in page.locator("#rules").inner_text()
    page.locator("#rules summary").click()
    view.shot("pair")


def test_the_mining_funnel_and_the_audit(view, demo):
    page = view("funnel", name="context-aware")
    stages, counts = (page.locator(f".funnel {cell}").all_inner_texts() for cell in ("th", "td:nth-child(3)"))
    shown = {stage: int(count.replace(",", "")) for stage, count in zip(stages, counts, strict=True)}
    assert shown == demo.funnel("context-aware")
    view.shot("funnel")
    page.get_by_role("link", name="shortcut audit").click()
    assert page.locator("main tbody tr").count() == len(demo.findings("audit", "context-aware")[0].document["findings"])
    view.shot("audit")
    view("audit", name="grpo-only")
    assert "contextrl pairs audit --run grpo-only" in page.locator("main").inner_text()


def test_trajectories_are_compared(view, demo):
    page = view("trajectories")
    boxes = page.locator("tbody input[type=checkbox]")
    for place in (0, 5, 9):
        boxes.nth(place).check()
    page.get_by_role("button", name="Compare those chosen").click()
    assert page.locator("table.aligned thead tr").first.locator("th").count() == 4
    assert (
        "of 2 task instances" in page.locator("main").inner_text()
        or "of 3 task instances" in page.locator("main").inner_text()
    )
    view.shot("compare")


def test_it_can_be_read_in_the_dark(serve, demo_file, demo, open_page):
    page = open_page(color_scheme="dark")
    page.goto(f"{serve(demo_file)}trajectory?id={first_of(demo, 'grpo-only').id}")
    colours = page.evaluate("(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))")
    ink, paper = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert ink > 600 and paper < 100
