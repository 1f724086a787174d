"""Whatever an address asks for that means nothing, or is not there, is said: each page with each parameter it reads."""

import re

import pytest
from trajectory_builders import pair, trajectory

from trajectories.viewer.asking import Asked
from trajectories.viewer.opening import Source
from trajectories.viewer.pages import FRAGMENTS, PAGES

NOPE, PAGE, NUMBER, TURN, PLACE = (
    ("nope",),
    ("0", "x", "9"),
    ("x", "-1", "1.5", "7"),
    ("0", "x", "99"),
    ("x", "-1", "999999"),
)
ORDER = {"sort": NOPE, "order": NOPE, "page": PAGE}
TABLE = [
    ("/", {}, {"run": NOPE}),
    ("/run", {"name": "r"}, {"name": NOPE, "against": NOPE}),
    (
        "/trajectories",
        {},
        dict.fromkeys(("run", "repo", "instance", "group", "agent", "status", "outcome"), NOPE)
        | dict.fromkeys(("policy", "iteration"), NUMBER)
        | {"min_reward": ("x", "nan", "9"), "max_reward": ("x", "inf", "-9"), "text": ("++", "unicorn")}
        | {"tampered": NOPE, "filtered": NOPE, **ORDER},
    ),
    (
        "/trajectory",
        {"id": "i1-0", "list": "sort=reward", "at": "0"},
        {"id": NOPE, "turn": TURN, "list": ("zzz", "sort=colour", "outcome=zzz"), "at": ("x", "-1", "999")},
    ),
    ("/groups", {}, {"run": NOPE, "instance": NOPE, "rewards": NOPE, "single": ("no",), "page": PAGE}),
    ("/group", {"run": "r", "group": "g"}, {"run": NOPE, "group": NOPE, "page": PAGE}),
    (
        "/pairs",
        {},
        dict.fromkeys(("run", "repo", "function", "stage", "judgement", "instance"), NOPE) | {"retired": NOPE, **ORDER},
    ),
    ("/pair", {"id": "PAIR"}, {"id": NOPE}),
    ("/funnel", {"name": "r"}, {"name": NOPE}),
    ("/audit", {"name": "r"}, {"name": NOPE}),
    ("/compare", {"run": "r"}, {"run": NOPE, "page": PAGE}),
    ("/compare", {"trajectory": "i1-0"}, {"trajectory": NOPE, "page": PAGE}),
    (
        "/text",
        {"id": "i1-0", "part": "observation", "turn": "1", "start": "2", "end": "3"},
        {"id": NOPE, "form": NOPE, "part": NOPE, "turn": TURN, "start": PLACE, "end": (*PLACE, "1")},
    ),
    ("/text", {"id": "i1-0", "part": "argument", "turn": "2", "name": "path"}, {"name": NOPE}),
    (
        "/text",
        {"id": "i1-0", "part": "replay", "turn": "1", "name": "observation", "replay": "REPLAY"},
        {"replay": NOPE, "name": ("nope", "diff"), "turn": TURN},
    ),
    ("/text", {"pair": "PAIR", "part": "answer"}, {"pair": NOPE, "part": NOPE}),
    ("/tokens", {"id": "i1-0", "turn": "1"}, {"id": NOPE, "turn": TURN, "start": PLACE, "by": NOPE}),
]
"""Page, an address that is right, and what means nothing in it."""
CASES = [(path, good, name, value) for path, good, wrong in TABLE for name, values in wrong.items() for value in values]
SAID = re.compile(r"No [^<]* passes these filters\.|It is not near that place in the list")
"""What a page says on which nothing is, or not all."""


@pytest.fixture
def known(store):
    """Names in the table that a store chooses -> what it chose."""
    a, b = trajectory("i1", group="g"), trajectory("i2", shown=("-", 7), right=("+", 7))
    store.add_many([a, trajectory("i1", number=1, group="g", resolved=False), b])
    store.add_pairs([pair(a, b, confounder_answer=b.answer)])
    store.add_funnel("r", {"commit": 3})
    step = {"number": 1, "same": False, "expected": "x", "got": "y"}
    store.add_finding("replay", "i1-0", {"trajectory_id": "i1-0", "steps": [step], "diverged_at": 1})
    return {"PAIR": store.pairs()[0].id, "REPLAY": repr(store.findings("replay", "i1-0")[0].created_at)}


def told(known, good):
    return {name: known.get(value, value) for name, value in good.items()}


@pytest.mark.parametrize(("path", "good", "name", "value"), CASES)
def test_what_means_nothing_is_said(known, client, path, good, name, value):
    answer = client.get(path, params={**told(known, good), name: value})
    if answer.status_code == 200:
        assert SAID.search(answer.text), answer.text[-3000:]
    else:
        sentence = r"[A-Z][^<]*\." if path in FRAGMENTS else r'<p class="card message words">[A-Z][^<]*\.</p>'
        assert answer.status_code == 404 and re.search(sentence, answer.text), answer.text[-3000:]


@pytest.mark.parametrize(("path", "good"), [(path, good) for path, good, _ in TABLE])
def test_what_means_something_is_shown(known, client, path, good):
    answer = client.get(path, params=told(known, good))
    assert answer.status_code == 200 and not SAID.search(answer.text)


class Noted(Asked):
    """Notes which parameters are read."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.read = set()

    def all(self, name):
        self.read.add(name)
        return super().all(name)


@pytest.mark.parametrize("path", [*PAGES, *FRAGMENTS])
def test_the_table_has_every_parameter_that_a_page_reads(known, place, path):
    source, read, tried = Source(place), set(), set()
    for page, good, wrong in TABLE:
        if page == path:
            asked = Noted(told(known, good).items())
            {**PAGES, **FRAGMENTS}[path](source, asked)
            read |= asked.read
            tried |= wrong.keys()
    source.close()
    assert read and read == tried
