"""The vocabulary of generated packages.

Invariant: every name is four letters, consonant-vowel twice, is no word of Python, and stands for nothing: what a
function does cannot be guessed from what it is called.
"""

from __future__ import annotations

import random

PACKAGE = "arith"
"""Name of the import package that holds the generated modules."""


def _make(count: int) -> tuple[str, ...]:
    consonants, vowels = "bcdfgklmnprstvz", "aeiou"
    words = [a + b + c + d for a in consonants for b in vowels for c in consonants for d in vowels]
    random.Random(1234).shuffle(words)
    return tuple(words[:count])


IDENTIFIERS: tuple[str, ...] = _make(300)
"""Names of modules, functions and parameters."""
CONSTANTS: tuple[int, ...] = tuple(range(2, 100))
"""Literals that appear in expressions."""
