"""The bugs that can be made in a function or a class: every place, every kind.

Invariant: a modifier is a generator from a node and its surroundings to what may stand in its place; it knows nothing
of text, so that all formatting survives, and nothing of chance, so that the same source always gives the same changes.
"""

from envs.synthesis.modifiers import classes, context, control, operators, removal
from envs.synthesis.modifiers.registry import CLASS_MODIFIERS, FUNCTION_MODIFIERS, Change, Modifier, changes

__all__ = ["CLASS_MODIFIERS", "FUNCTION_MODIFIERS", "Change", "Modifier", "changes"]
_ = (classes, context, control, operators, removal)  # their modifiers enter the registry
