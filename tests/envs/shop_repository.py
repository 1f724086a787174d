"""The sources of a small repository, whole and with one bug."""

MONEY = '''\
"""Sums of money."""


def total(prices, tax):
    """All prices with tax, in cents."""
    return sum(prices) + tax


def change(paid, price):
    return paid - price


class Cart:
    def __init__(self):
        self.prices = []

    def add(self, price):
        self.prices.append(price)

    def total(self):
        return total(self.prices, 0)
'''
BROKEN = MONEY.replace("sum(prices) + tax", "sum(prices) - tax")
TESTS = """\
import unittest

from shop.money import Cart, change, total


class Money(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1, 2], 4), 7)

    def test_change(self):
        self.assertEqual(change(9, 4), 5)

    def test_cart(self):
        cart = Cart()
        cart.add(3)
        self.assertEqual(cart.total(), 3)
"""
HIDDEN = TESTS + "\n    def test_no_prices(self):\n        self.assertEqual(total([], 5), 5)\n"
FILES = {
    "README.md": "# shop\n",
    "shop/__init__.py": "",
    "shop/money.py": MONEY,
    "shop/text.py": "def shout(word):\n    return word.upper()\n",
    "tests/__init__.py": "",
    "tests/test_money.py": TESTS,
    "tests/test_text.py": "import unittest\n\nfrom shop.text import shout\n\n\nclass Text(unittest.TestCase):\n"
    "    def test_shout(self):\n        self.assertEqual(shout('a'), 'A')\n",
}
PREFIX = "tests.test_money.Money.test_"
