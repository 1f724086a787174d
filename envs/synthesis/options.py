"""What is asked of a task set.

Invariant: with the repository and our code, the options decide the tasks; nothing else does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from envs.synthesis.llm.client import ChatModel, ModelConfig
from envs.synthesis.statement import STYLES, Style
from envs.task import RepoProfile

Strategy = Literal["procedural", "modify", "rewrite", "mirror", "combine"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
"""Where bugs come from, in the order in which they are made: what is combined has to be there."""
_OF_A_MODEL = ("modify", "rewrite")
_DECIDING = {"model", "temperature", "max_tokens"}


@dataclass(frozen=True)
class TaskOptions:
    """What decides a task set, beside the repository."""

    bugs: int = 200
    """Tasks to make; fewer when the repository has no more."""
    per_function: int = 6
    """Different bugs of one function, by each strategy: what confounder pairs are made of."""
    seed: int = 0
    suite: Literal["full", "near"] = "full"
    """full: every bug is run against all tests once, and graded by all. near: against a few test classes near the
    function, which also are what it is graded by; much faster. Generated repositories bring tests of their own."""
    style: Style | Literal["mixed"] = "terse"
    """Of problem statements; mixed: one of all styles for each task, by hash."""
    heldout_mutation: float = 0.1
    heldout_function: float = 0.1
    repeats: int = 2
    """Runs of the near tests that FAIL_TO_PASS and PASS_TO_PASS must agree in (suite near); generated functions, which
    are pure, are run once."""
    max_test_s: float = 1.0
    """Seconds that the tests which run first (full), or all tests of a task (near), may take."""
    test_units: int = 3
    """Suite near: test classes (or pytest functions) that call the function; one more that does not is run beside
    them."""
    hidden: bool = True
    """Whether functions get hidden calls: answers that only the grader asks for."""

    strategies: tuple[Strategy, ...] = ("procedural",)
    """Each makes its share of the bugs; what one falls short of, the others make."""
    model: ModelConfig | None = None
    """The language model that is asked: for modify and rewrite, for statements, and to mirror what does not apply."""
    describe: bool = False
    """Whether the model writes the problem statements."""
    history: Path | None = None
    """A checkout with the commits to mirror."""
    commits: tuple[str, ...] = ()
    """Their hashes, in the order in which they are tried."""

    def told(self) -> dict[str, Any]:
        """The options as a task set tells them: no address, no place on this machine."""
        model = self.model.model_dump(include=_DECIDING) if self.model else None
        data = asdict(replace(self, model=None)) | {"model": model, "commits": len(self.commits)}
        data["strategies"] = [name for name in STRATEGIES if name in self.strategies]
        return {name: value for name, value in data.items() if name != "history"}

    def deciding(self) -> dict[str, Any]:
        """What of the options decides the tasks: not how patiently and at what price a model is asked."""
        return self.told() | {"commits": self.commits, "base_url": self.model.base_url if self.model else ""}

    def check(self, generated: bool = False) -> None:
        """Raises `ValueError` for what is out of range, and for what a `generated` repository does not do."""
        if self.bugs < 1 or self.per_function < 1 or self.repeats < 1 or self.test_units < 1:
            raise ValueError("bugs, per_function, repeats and test_units of a task set must be at least 1")
        if self.suite not in ("full", "near"):
            raise ValueError(f"there is no suite {self.suite!r} to validate bugs by: full or near")
        if self.style not in (*STYLES, "mixed"):
            raise ValueError(f"there is no style {self.style!r} of problem statements: {', '.join(STYLES)} or mixed")
        if unknown := [name for name in self.strategies if name not in STRATEGIES]:
            raise ValueError(f"there is no strategy {unknown[0]!r} to make bugs by: {', '.join(STRATEGIES)}")
        if generated and (self.strategies != ("procedural",) or self.describe):
            raise ValueError(
                "a generated repository brings its own bugs and statements: ask for no strategy and no model"
            )
        self._check_model()
        if "mirror" in self.strategies and not (self.history and self.commits):
            raise ValueError("the strategy mirror takes back commits: say which (--commits GIT_FOLDER@RANGE)")
        if not set(self.strategies) - {"combine"}:
            raise ValueError("there is nothing to combine: ask for another strategy too, such as procedural")

    def _check_model(self) -> None:
        asking = [f"the strategy {name}" for name in self.strategies if name in _OF_A_MODEL]
        asking += ["describing bugs"] if self.describe else []
        if self.model is None:
            if asking:
                raise ValueError(f"{asking[0]} takes a language model: say which and where (--model, --model-url)")
            return
        ChatModel(self.model)
        if not asking and "mirror" not in self.strategies:
            raise ValueError(
                "no one would ask the language model: choose the strategy modify, rewrite or mirror, or --describe"
            )


def is_generated(profile: RepoProfile) -> bool:
    """Whether a repository is one of ours, whose candidates bring tests of their own."""
    return profile.source.startswith("generated:")
