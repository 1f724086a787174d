"""A package of the tests in a `src` layout: generators, methods of every sort, mutation, functions as values."""

CORE = '''\
import datetime
import threading
import time
from functools import lru_cache

_MISSING = object()


def weigh(values, factor=2, *, default=_MISSING):
    """The sum of the values times the factor; of nothing it is the default."""
    values = list(values)
    if not values:
        if default is _MISSING:
            raise ValueError("nothing to weigh")
        return default
    return sum(values) * factor


def pairs(items):
    previous = None
    for item in items:
        yield previous, item
        previous = item


def apply(function, *values, **names):
    return [function(value) for value in values], sorted(names)


def drop_first(items):
    del items[0]


@lru_cache(maxsize=None)
def double(n):
    return 2 * n


def noise(n):
    return hash(str(n)) % 2, n


def leave(code):
    raise SystemExit(code)


class Pile:
    unit = "kg"

    def __init__(self, *weights):
        self.weights = list(weights)

    def add(self, weight):
        self.weights.append(weight)
        return self

    @property
    def top(self):
        return self.weights[-1]

    @classmethod
    def of(cls, count):
        return cls(*range(count))

    @staticmethod
    def heavier(a, b):
        return a if a > b else b


class Tape:
    """An iterator with a generator in it: nothing that can be pickled."""

    def __init__(self, items, step=1):
        self._items = self._every(items, step)
        self._read = 0

    def _every(self, items, step):
        return (item for index, item in enumerate(items) if index % step == 0)

    def __iter__(self):
        return self

    def __next__(self):
        self._read += 1
        return next(self._items)

    def rest(self):
        return list(self), self._read


def stamp(word):
    return f"{word}@{time.time():.0f} {datetime.date.today()}"


def guarded(n):
    return _under(threading.Lock(), n)


def _under(lock, n):
    with lock:
        return 3 * n


class Book:
    def page(self, number):
        with self.lock:
            return self.pages[number]


def bind(*pages):
    """A book that no call of its class makes."""
    book = Book.__new__(Book)
    book.pages, book.lock = list(pages), threading.Lock()
    return book
'''
TESTS = """\
import unittest

from odd import core


def shorter(word):
    return word[:-1]


class Core(unittest.TestCase):
    def test_weigh(self):
        self.assertEqual(core.weigh([1, 2], 3), 9)
        self.assertEqual(core.weigh(iter([5, 1])), 12)
        self.assertEqual(core.weigh((4, 4, 1)), 18)
        self.assertEqual(core.weigh([], default=0), 0)
        with self.assertRaises(ValueError):
            core.weigh([])

    def test_pairs(self):
        self.assertEqual(list(core.pairs("ab")), [(None, "a"), ("a", "b")])
        self.assertEqual(list(core.pairs(n for n in range(2))), [(None, 0), (0, 1)])

    def test_apply(self):
        two = 2
        self.assertEqual(core.apply(lambda n: n + two, 1, 2, x=0), ([3, 4], ["x"]))
        self.assertEqual(core.apply(lambda word: shorter(word), "ab"), (["a"], []))
        self.assertEqual(core.apply(shorter, "ab"), (["a"], []))
        self.assertEqual(core.apply(len, "ab"), ([2], []))

    def test_drop_first(self):
        items = [1, 2, 3]
        core.drop_first(items)
        self.assertEqual(items, [2, 3])

    def test_double(self):
        self.assertEqual(core.double(4), 8)

    def test_noise(self):
        self.assertEqual(core.noise(4)[1], 4)

    def test_leave(self):
        self.assertRaises(SystemExit, core.leave, 3)

    def test_pile(self):
        pile = core.Pile.of(3).add(7)
        self.assertEqual((pile.top, pile.heavier(1, 2)), (7, 2))

    def test_tape(self):
        tape = core.Tape("abcdef", step=2)
        self.assertEqual(next(tape), "a")
        self.assertEqual(tape.rest(), (["c", "e"], 3 + 1))
        self.assertEqual(core.Tape([n, n] for n in range(1)).rest(), ([[0, 0]], 2))

    def test_stamp(self):
        self.assertTrue(core.stamp("a").startswith("a@"))

    def test_locks(self):
        self.assertEqual(([core.guarded(n) for n in (2, 5)], core.bind("a", "b").page(1)), ([6, 15], "b"))
"""
FILES = {
    "src/odd/__init__.py": "",
    "src/odd/core.py": CORE,
    "tests/__init__.py": "",
    "tests/test_core.py": TESTS,
}
PATH = "src/odd/core.py"
TEST = "tests.test_core.Core.test_"
