"""Where a replay diverged, shown however long the texts are; and every text of which a page has the ends only."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trajectory_builders import pair, trajectory

from trajectories.touching.diffs import apply, parse
from trajectories.viewer.differing import differing
from trajectories.viewer.replays import MOST_STEPS

LINES = [f"line {i}" for i in range(500)]
OTHER = ["\n".join(LINES), "\n".join("DIFFERENT" if line == "line 250" else line for line in LINES)]
lines = st.lists(st.sampled_from(["a", "b", "", "-- c", "@@ d"]), max_size=30).map("\n".join)


@given(lines, lines)
def test_a_difference_is_a_diff_that_leads_from_one_to_the_other(old, new):
    if old != new:
        found = differing(old, new)
        (file,) = parse(f"--- a/x\n+++ b/x\n{found.text}")
        assert apply(f"{old}\n", file.hunks) == f"{new}\n"


@pytest.mark.parametrize(
    ("old", "new", "place", "shown"),
    [
        (*OTHER, "line 251", ("line 250", "DIFFERENT")),
        ("a\nbcd", "a\nbxd", "line 2, after 1 character", ("bcd", "bxd")),
        ("a", "a\nb", "line 2", ("", "b")),
        ("x" * 5_000_000 + "y" * 999, "x" * 5_000_001, "line 1, after 5,000,000 characters", ("y" * 120 + "…", "x")),
        ("a\n" * 900_000 + "x", "a\n" * 900_000 + "y", "line 900,001", ("x", "y")),
    ],
)
def test_the_first_difference_is_told(old, new, place, shown):
    started = time.perf_counter()
    found = differing(old, new)
    assert (
        found.place == place
        and (found.recorded.removeprefix("…" + "x" * 60), found.replayed[-len(shown[1]) :]) == shown
    )
    assert time.perf_counter() - started < 2


def test_texts_that_differ_everywhere_are_compared_at_once():
    old, new = ("".join(f"{sign}{i % 7}\n" * 2 for i in range(40_000)) for sign in "ab")
    started = time.perf_counter()
    found = differing(f"same\n{old}", f"same\n{new}").text.splitlines()
    assert found[1:3] == [" same", "-a0"] and time.perf_counter() - started < 2


def replay(*steps, **more):
    return {"trajectory_id": "i1-0", "backend": "docker", "steps": list(steps), **more}


def step(number, old, new):
    return {"number": number, "same": False, "action": "x", "differs": ["observation"], "expected": old, "got": new}


def test_a_divergence_in_the_middle_is_shown(store, client):
    store.add(trajectory())
    store.add_finding("replay", "i1-0", replay(step(2, *OTHER), diverged_at=2))
    page = client.get("/trajectory?id=i1-0").text
    assert "first difference in line 251" in page
    assert '<span class="del">-line 250\n' in page and '<span class="add">+DIFFERENT\n' in page
    assert "line 200\n" not in page.partition('id="replays"')[2]


def test_another_diff_patch_and_reward_are_shown(store, client):
    store.add(trajectory())
    diffs = [f"--- a/x\n+++ b/x\n@@ -1,1 +1,1 @@\n-a\n+{new}\n" for new in ("then", "now")]
    same = {"action": "x", "same": False, "expected": "", "got": "", "expected_diff": diffs[0]}
    steps = [
        {**same, "number": 1, "differs": ["diff"], "diff": diffs[1]},
        {**same, "number": 2, "differs": ["patch"], "diff": None},
    ]
    more = {"verdict": None, "verdict_same": False, "verdict_differs": ["reward: 1 then, 0 now"], "diverged_at": 1}
    store.add_finding("replay", "i1-0", replay(*steps, **more))
    shown = client.get("/trajectory?id=i1-0").text.partition('id="replays"')[2]
    assert ": diff differs" in shown and ": patch differs" in shown
    assert "the verdict or the reward is another" in shown and "reward: 1 then, 0 now" in shown
    assert shown.count("all that differs in the repository: first difference in") == 1, "a diff that was not kept"
    assert "<code>+then</code>" in shown and "<code>+now</code>" in shown


def test_all_of_a_long_difference_can_be_fetched(store, client):
    store.add(trajectory())
    other = "\n".join(f"new {i}" for i in range(500))
    store.add_finding("replay", "i1-0", replay(step(1, OTHER[0], other), diverged_at=1))
    store.add_finding("replay", "i1-0", replay(step(1, "a", "b"), diverged_at=1))
    page = client.get("/trajectory?id=i1-0").text
    assert "-line 400" not in page
    (link,) = [
        part.partition('"')[0] for part in page.split('data-load="')[1:] if "part=replay" in part.partition('"')[0]
    ]
    assert "-line 400" in client.get(link.replace("&amp;", "&")).text


def test_of_many_steps_that_differ_the_first_to_diverge_is_among_those_shown(store, client):
    store.add(trajectory())
    steps = [step(i, f"a{i}", f"b{i}") for i in range(1, 1_001)]
    store.add_finding("replay", "i1-0", replay(*steps, diverged_at=700))
    page = client.get("/trajectory?id=i1-0").text
    assert page.count("first difference") == MOST_STEPS and "-a700\n" in page
    assert f"{1_000 - MOST_STEPS} more steps differed" in page


def test_all_of_a_pair_s_answers_can_be_read(store, client):
    a, b = trajectory("i1"), trajectory("i2")
    store.add_many([a, b])
    long = "".join(f"answer {i}\n" for i in range(200))
    z = pair(a, b, answer=long, confounder_answer=long.replace("answer", "other"))
    store.add_pairs([z])
    page = client.get(f"/pair?id={z.id}").text
    assert "answer 100\n" not in page
    for word in ("answer", "other"):
        link = next(
            p for p in page.split('data-load="')[1:] if ("confounder" in p.partition('"')[0]) == (word == "other")
        )
        assert f"{word} 100\n" in client.get(link.partition('"')[0].replace("&amp;", "&")).text
