"""A private package of the tests: two modules, a suite, one test that depends on the order."""

NUMBERS = '''"""Numbers."""


def clamp(value, low, high):
    """Keep a value between two bounds."""
    if value < low:
        return low  # the floor
    if value > high:
        return high
    return value


def mean(values):
    total = 0
    for value in values:
        total += value
    return total / len(values)


def countdown(start):
    while start > 0:
        yield start
        start -= 1


class Box:
    def __init__(self, limit=3):
        self.items = []
        self.limit = limit

    def put(self, item):
        if len(self.items) >= self.limit:
            raise OverflowError("the box is full")
        self.items.append(item)
        return len(self.items)
'''

TEST_NUMBERS = """import unittest

from small import numbers
from small.numbers import Box, clamp, countdown, mean

seen = []


class ClampTest(unittest.TestCase):
    def test_low(self):
        self.assertEqual(clamp(-5, 0, 9), 0)

    def test_high(self):
        self.assertEqual(clamp(50, 0, 9), 9)

    def test_inside(self):
        self.assertEqual(clamp(5, 0, 9), 5)


class MeanTest(unittest.TestCase):
    def test_mean(self):
        self.assertEqual(mean([1, 2, 6]), 3)


class CountdownTest(unittest.TestCase):
    def test_countdown(self):
        self.assertEqual(list(countdown(3)), [3, 2, 1])

    def test_nothing(self):
        self.assertEqual(list(countdown(0)), [])


class BoxTest(unittest.TestCase):
    def test_put(self):
        self.assertEqual(Box().put("a"), 1)

    def test_full(self):
        box = Box(1)
        box.put("a")
        with self.assertRaises(OverflowError):
            box.put("b")


class OrderTest(unittest.TestCase):
    def test_a_first(self):
        seen.append(1)

    def test_b_second(self):
        self.assertTrue(seen)
"""

FILES = {
    "small/__init__.py": "",
    "small/numbers.py": NUMBERS,
    "tests/__init__.py": "",
    "tests/test_numbers.py": TEST_NUMBERS,
    "README.md": "A small package.\n",
}
FLAKY = "tests.test_numbers.OrderTest.test_b_second"
PREFIX = "tests.test_numbers."


def write(folder, files=FILES):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder
