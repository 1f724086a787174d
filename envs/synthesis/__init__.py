"""Bugs without a language model: made, validated by running tests, described by what failed.

Invariant: nothing becomes a task that has not been run, broken and repaired.
"""

from envs.synthesis.mutations import Mutation, mutate_class, mutate_function
from envs.synthesis.options import TaskOptions
from envs.synthesis.tasks import make_tasks
from envs.synthesis.validate import Validation, validate

__all__ = ["Mutation", "TaskOptions", "Validation", "make_tasks", "mutate_class", "mutate_function", "validate"]
