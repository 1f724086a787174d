"""The viewer with the keyboard alone, in a browser."""

import pytest
from demo_store import first_of


@pytest.fixture
def url(serve, demo_file):
    return serve(demo_file)


def focused(page):
    return page.evaluate("document.activeElement.id")


def test_j_and_k_go_from_turn_to_turn_and_o_and_d_unfold(url, demo, page):
    found = first_of(demo, "context-aware")
    page.goto(f"{url}trajectory?id={found.id}")
    for _ in range(3):
        page.keyboard.press("j")
    assert focused(page) == "turn-3"
    assert 0 <= page.locator("#turn-3").bounding_box()["y"] < 120
    page.keyboard.press("k")
    assert focused(page) == "turn-2"
    page.keyboard.press("j")
    assert not page.locator("#turn-3 .stepdiff").evaluate("e => e.open")
    page.keyboard.press("d")
    assert page.locator("#turn-3 .stepdiff").evaluate("e => e.open")
    assert focused(page) == "turn-3"
    page.keyboard.press("o")
    assert not page.locator("#turn-3 .fold").first.evaluate("e => e.open")
    assert page.locator("#turn-2 .fold").first.evaluate("e => e.open")
    page.keyboard.press("o")
    assert page.locator("#turn-3 .fold").first.evaluate("e => e.open")
    for _ in range(20):
        page.keyboard.press("k")
    assert focused(page) == "turn-1"


def test_focus_can_be_seen(url, page):
    page.goto(f"{url}trajectories")
    page.keyboard.press("j")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_h_and_l_go_through_the_list_that_it_was_opened_from(url, demo, page):
    page.goto(f"{url}trajectories?run=grpo-only&outcome=failed&sort=created_at&order=up")
    wanted = [t.id for t in demo.page(run="grpo-only", resolved=False, sort="created_at", descending=False)]
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    seen = []
    for key in ("l", "l", "h", "h", "h"):
        page.wait_for_selector("article.turn")
        seen.append(page.locator(".about code").first.inner_text())
        with page.expect_navigation():
            page.keyboard.press(key)
    assert seen == [wanted[1], wanted[2], wanted[3], wanted[2], wanted[1]]
    assert page.locator(".about code").first.inner_text() == wanted[0]
    page.keyboard.press("h")  # nothing before the first
    assert page.locator(".about code").first.inner_text() == wanted[0]
    page.get_by_role("link", name="back to the list").click()
    assert page.url.endswith("trajectories?run=grpo-only&outcome=failed&sort=created_at&order=up")


def test_a_slash_searches_and_a_question_mark_helps(url, page):
    page.goto(url)
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("?")
    assert not page.get_by_role("dialog").is_visible()
    page.keyboard.press("/")
    page.keyboard.type("settling jk?")
    assert not page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("?")
    page.keyboard.press("/")
    page.keyboard.type("canary")
    page.keyboard.press("Enter")
    page.wait_for_url("**/trajectories?text=canary")
    assert "No trajectory passes these filters." in page.locator("main").inner_text()


def test_enter_opens_a_row_of_a_group_and_keys_rest_while_help_is_open(url, demo, page):
    found = first_of(demo, "context-aware")
    page.goto(f"{url}group?run={found.run}&group={found.group}")
    page.keyboard.press("j")
    page.keyboard.press("?")
    page.keyboard.press("j")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("?")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/trajectory?id=*#turn-*")
