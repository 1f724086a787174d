"""From a recipe file and `key=value` overrides to a checked `Recipe`, and back to text.

Invariant: whatever is wrong with a recipe is said in one sentence that names the file, the key and what to
write instead; the first mistake is told, and how many there are.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from contextrl.config import Recipe

M = TypeVar("M", bound=BaseModel)


class RecipeError(ValueError):
    """A recipe that cannot be used; the message is one sentence for the user."""


class _Loader(yaml.SafeLoader):
    """YAML as people expect it: a key given twice is a mistake, and 1e-3 is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be one word", problem_mark=key_node.start_mark)
            if key_node.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"`{key_node.value}` is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe; `overrides` are `dotted.key=YAML value`. Raises `RecipeError`."""
    return _checked(Recipe, _read(path), overrides, f"{path}: ")


def from_overrides(model: type[M], overrides: Sequence[str]) -> M:
    """A configuration of defaults and `key=value`s alone. Raises `RecipeError`."""
    return _checked(model, {}, overrides, "")


def _checked(model: type[M], data: dict[str, Any], overrides: Sequence[str], where: str) -> M:
    for override in overrides:
        _override(data, override)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise RecipeError(where + _explain(error, model)) from None


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML; loading it again gives an equal recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise RecipeError(_missing(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: {_yaml_problem(error)}") from None
    if not isinstance(data, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of keys to values, with at least `name` and `repositories`")
    return data


def _missing(path: Path) -> str:
    others = sorted(str(p) for p in path.parent.glob("*.yaml")) or sorted(
        str(p) for p in Path("recipes").glob("*.yaml")
    )
    hint = f"; there are {', '.join(others)}" if others else ""
    return f"{path}: no such recipe{hint}"


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"line {mark.line + 1}: {problem}" if mark else problem


def _override(data: dict[str, Any], override: str) -> None:
    """Set one dotted key in the recipe's data; a number in the key is a place in a list."""
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise RecipeError(f"`{override}` is not an override; write key=value, e.g. rollout.group_size=4")
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise RecipeError(f"{override}: the value is not YAML ({_yaml_problem(error)})") from None
    *parents, last = key.split(".")
    place: Any = data
    for part in parents:
        place = _enter(place, part, key)
    if isinstance(place, list):
        place[_index(place, last, key)] = value
    else:
        place[last] = value


def _enter(place: Any, part: str, key: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, part, key)]
    inner = place.get(part)
    if inner is None:
        inner = place[part] = {}
    if not isinstance(inner, dict | list):
        raise RecipeError(f"unknown key `{key}`: `{part}` holds a value, not a section")
    return inner


def _index(place: list[Any], part: str, key: str) -> int:
    if not part.isdigit() or int(part) >= len(place):
        raise RecipeError(f"`{key}`: `{part}` must be a number from 0 to {len(place) - 1}, a place in a list")
    return int(part)


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    errors = error.errors()
    # An unknown key is often the cause of a missing one, so it is told first.
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return _sentence(first, model) + more


def _sentence(error: ErrorDetails, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown key `{key}`; did you mean `{_nearest(key, model)}`?"
    if error["type"] == "missing":
        return f"`{key}` is missing"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"`{key}`: {message}, but it is {error['input']!r}"


def _nearest(key: str, model: type[BaseModel]) -> str:
    """The valid key that looks most like this one; the same section's keys come first."""
    place = re.search(r"\.(\d+)\.", key)
    valid = [k.replace(".0.", f".{place[1]}.") if place else k for k in keys(model)]
    parent, _, last = key.rpartition(".")
    names = {k: k.rpartition(".")[2] for k in valid}
    siblings = [k for k in valid if k.rpartition(".")[0] == parent]
    for pool, cutoff in ((siblings, 0.75), (valid, 0.75), (siblings, 0.0), (valid, 0.0)):
        near = difflib.get_close_matches(last, [names[k] for k in pool], 1, cutoff)
        if near:
            return next(k for k in pool if names[k] == near[0])
    return key


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """All dotted keys of a recipe, sections included; list elements as `.0.`."""
    for name, info in model.model_fields.items():
        yield prefix + name
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys(inner, f"{prefix}{name}.")
        place = "0." if get_origin(inner) is tuple else ""
        for arg in get_args(inner):
            if isinstance(arg, type) and issubclass(arg, BaseModel):
                yield from keys(arg, f"{prefix}{name}.{place}")
