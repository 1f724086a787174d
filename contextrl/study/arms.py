"""The arms of a study: a name, and what is overridden.

Invariant: an arm applies to any recipe and changes only what makes it that arm; whatever it does not name is the same
in all of them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from contextrl.recipe_file import RecipeError

Overrides = tuple[str, ...]

ARMS: dict[str, Overrides] = {
    "base": ("train.iterations=0", "ca.enabled=false"),
    "grpo": ("ca.enabled=false",),
    "da-rl": ("ca.enabled=true", "ca.objective=reinforce", "ca.weight=1"),
    "da-sft": ("ca.enabled=true", "ca.objective=imitation", "ca.weight=1", "ca.before=auto", "ca.during=false"),
    "contextrl": ("ca.enabled=true", "ca.objective=contrast", "ca.low_side=clip"),
    "contextrl-linear": ("ca.enabled=true", "ca.objective=contrast", "ca.low_side=linear"),
    "language": ("ca.enabled=true", "ca.objective=language"),
}
"""Those of the paper's Figure 5, and two more: `contextrl-linear` keeps the gradient of pairs that are very wrong,
`language` learns the same pairs' tokens as plain text. lambda is the recipe's but where an arm is no weighted term:
rewarded pairs count as other prompts do, and supervised learning is alone."""
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
_OURS = {"name", "seed", "runs", "store", "study"}
"""What a study sets itself, alike in all arms."""


def parse_arm(text: str) -> tuple[str, Overrides]:
    """`NAME key=value ...`, quoted as in a shell. Raises `RecipeError`."""
    try:
        name, *overrides = shlex.split(text)
    except ValueError:
        raise RecipeError(f"--arm {text!r}: write NAME key=value ..., e.g. --arm 'half ca.weight=0.5'") from None
    return name, tuple(overrides)


def check_arms(arms: Mapping[str, Overrides]) -> None:
    """Raises `RecipeError` for a name that names no folder, and for an override that is not an arm's."""
    for name, overrides in arms.items():
        if not _NAME.match(name):
            raise RecipeError(f"arm {name!r}: a name has letters, digits, `.`, `_` and `-`, since it names folders")
        for override in overrides:
            key = override.partition("=")[0].partition(".")[0]
            if key in _OURS:
                raise RecipeError(f"arm {name}: `{key}` is the same in all arms; give it to the study")


def chosen(names: Sequence[str], own: Mapping[str, Overrides]) -> dict[str, Overrides]:
    """The arms by their names, in that order. Raises `RecipeError` for one that is not known, or named twice."""
    check_arms(own)
    known = ARMS | dict(own)
    for name in names:
        if name not in known:
            raise RecipeError(
                f"there is no arm {name!r}; there are {', '.join(known)}, and --arm 'NAME key=value' makes one"
            )
        if names.count(name) > 1:
            raise RecipeError(f"arm {name!r} is named twice")
    return {name: known[name] for name in names}
