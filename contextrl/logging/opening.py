"""Which sinks a run writes to beside its folder and the store.

Invariant: what a sink needs and is not there is told before anything starts; its package is imported only in its own
thread, and only where a recipe asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from contextrl.config import LoggingConfig, Recipe
from contextrl.logging.sinks import Aside, Sink, flat
from contextrl.logging.wandb import key_is_known
from contextrl.recipe_file import RecipeError, dump_recipe

if TYPE_CHECKING:
    from contextrl.checkpoint import RunFolder

PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow"}
"""Sink, which is also the extra that installs it -> the package that is imported."""


def check_sinks(config: LoggingConfig) -> None:
    """Raises `RecipeError` if a sink is asked for that cannot be opened here."""
    for sink, package in PACKAGES.items():
        if getattr(config, sink) and find_spec(package) is None:
            raise RecipeError(
                f"logging.{sink} needs {package}, which is not installed: pip install 'contextrl[{sink}]', "
                f"or leave logging.{sink} out"
            )
    if config.wandb and config.wandb.mode == "online" and not key_is_known():
        raise RecipeError(
            "logging.wandb.mode=online needs a key and none is here: run `wandb login`, set WANDB_API_KEY, "
            "or take logging.wandb.mode=offline and send the run later with `wandb sync`"
        )


class Sinks:
    """All sinks of a run."""

    def __init__(self, sinks: list[Aside]) -> None:
        self._sinks = sinks

    def row(self, row: Mapping[str, Any]) -> None:
        """Give a row of `metrics.jsonl` to all of them; returns at once."""
        for sink in self._sinks:
            sink.row(row["iteration"], flat(row))

    def close(self) -> None:
        """Wait for them, not for long."""
        for sink in self._sinks:
            sink.end()
        for sink in self._sinks:
            sink.close()


@contextmanager
def open_sinks(
    recipe: Recipe, folder: RunFolder, name: str, iteration: int, warn: Callable[[str], object]
) -> Iterator[Sinks]:
    """Open what the recipe asks for. `name`: the run's; `iteration`: where it begins or goes on."""
    sinks = Sinks([Aside(called, opener, warn) for called, opener in _openers(recipe, folder, name, iteration)])
    try:
        yield sinks
    finally:
        sinks.close()


def _openers(recipe: Recipe, folder: RunFolder, name: str, iteration: int) -> Iterator[tuple[str, Callable[[], Sink]]]:
    config, told = recipe.logging, recipe.model_dump(mode="json")
    if config.tensorboard:
        from contextrl.logging.tensorboard import TensorBoard

        yield "TensorBoard", lambda: TensorBoard(folder.path / "tensorboard", dump_recipe(recipe), iteration)
    if (asked := config.wandb) is not None:
        from contextrl.logging.wandb import Wandb

        yield "Weights & Biases", lambda: Wandb(folder, name, asked.project, asked.mode, told)
    if (place := config.mlflow) is not None:
        from contextrl.logging.mlflow import MLflow

        yield "MLflow", lambda: MLflow(folder, name, place.uri, place.experiment, told)
