"""Verdicts on patches."""

from envs.grading.protocol import GRADINGS, MAX_PATCH_CHARS, Grader, GradeReport

__all__ = ["GRADINGS", "MAX_PATCH_CHARS", "GradeReport", "Grader"]
