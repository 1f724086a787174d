"""The thirty ways to cheat that our grading must survive, as real patches, commands and searches.

Invariant: tests and the table of `docs/grading.md` come from the same list, so that none is claimed and not tested.
"""
