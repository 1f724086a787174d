"""Many turns come in pages; what a turn is sampled from, and what its record does not say, is told or left out."""

import re

from trajectory_builders import pair, trajectory, turn

from trajectories.viewer.steps import MOST_TURNS


def shown(text):
    return [int(number) for number in re.findall(r'<article [^>]*id="turn-(\d+)"', text)]


def test_turns_come_in_pages_and_links_lead_to_the_right_one(store, client):
    turns = [turn("view", f"seen {i}", path="a.py") for i in range(1, 2 * MOST_TURNS + 8)]
    store.add(trajectory(turns=turns))
    last = 2 * MOST_TURNS + 7
    first = client.get("/trajectory?id=i1-0").text
    assert shown(first) == list(range(1, MOST_TURNS + 1)) and f"turns 1 to {MOST_TURNS} of {last}" in first
    assert f"turn={MOST_TURNS + 1}#turn-{MOST_TURNS + 1}" in first and "earlier turns" not in first
    for asked in (2 * MOST_TURNS + 1, last, last + 500):
        page = client.get(f"/trajectory?id=i1-0&turn={asked}").text
        assert shown(page) == (list(range(2 * MOST_TURNS + 1, last + 1)) if asked <= last else [])
    found = client.get("/trajectories?text=seen+407").text
    assert f"turn={last}#turn-{last}" in found


def test_a_page_of_ten_thousand_turns_is_bounded(store, client):
    store.add(trajectory(turns=[turn("view", f"seen {i}", path="a.py") for i in range(10_000)]))
    assert len(client.get("/trajectory?id=i1-0").text) < 1_000_000


def test_the_tokens_of_each_turn_are_counted(store, client):
    one = turn("view", path="a.py")
    stale = one.model_copy(update={"policy_version": 3})
    store.add(trajectory(turns=[one, stale], policy_version=0))
    page = client.get("/trajectory?id=i1-0").text
    assert page.count(f"{len(one.completion_ids)} tokens") == 2 and page.count("· policy version 3") == 1


def test_what_another_program_says_and_does_not_say(store, client):
    bare = turn("view").model_copy(update={"completion_ids": [], "prompt_ids": [], "logprobs": []})
    extra = {"system_prompt": "You are <b>careful</b>.", "user_prompt": "Mend it.", "model": "a-model"}
    plain = {"repo": "", "base_commit": "", "agent": "swe-agent", "backend": "", "seconds": 0.0, "extra": extra}
    store.add(trajectory(turns=[bare], **plain))
    page = client.get("/trajectory?id=i1-0").text
    assert "swe-agent with a-model, 1 turn" in page and "policy version" not in page and " at <code>" not in page
    assert "You are &lt;b&gt;careful" in page and "Mend it." in page
    long = trajectory("i2", turns=[bare], extra={"user_prompt": "word\n" * 5_000})
    store.add(long)
    assert "show more" in client.get("/trajectory?id=i2-0").text
    part = client.get("/text?id=i2-0&part=user_prompt&start=0&end=25000").text
    assert part.count("word") == 5_000


def test_a_pair_with_very_long_texts_is_bounded_and_its_ends_are_there(store, client):
    long = "".join(f"line {i}\n" for i in range(600_000))
    wide = "x" * 5_000_000
    a, b = trajectory("i1", turns=[turn("view", long)]), trajectory("i2", turns=[turn("view", f"{wide}\nend")])
    store.add_many([a, b])
    (kept,) = store.add_pairs([pair(a, b)])
    page = client.get(f"/pair?id={kept.id}").text
    assert len(page) < 500_000 and "line 0\n" in page and "line 599999" in page and "lines are left out here" in page
    assert "4,998,000 characters" in page and "end" in page
