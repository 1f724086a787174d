"""Poetry's own tables (`[tool.poetry]`), as pip's requirement lines.

Invariant: a constraint that pip cannot say (a path, an address) becomes the bare name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def fields(table: Mapping[str, Any]) -> dict[str, Any]:
    """Name, version, requires_python, dependencies and extras."""
    given = dict(table.get("dependencies", {}))
    python = given.pop("python", "")
    optional = {name for name, value in given.items() if isinstance(value, dict) and value.get("optional")}
    extras = table.get("extras", {})
    return {
        "name": str(table.get("name", "")),
        "version": str(table.get("version", "")),
        "requires_python": _constraint(python) if isinstance(python, str) else "",
        "dependencies": tuple(_line(name, value) for name, value in given.items() if name not in optional),
        "extras": {
            extra: tuple(_line(name, given.get(name, "*")) for name in names) for extra, names in extras.items()
        },
    }


def groups(table: Mapping[str, Any]) -> dict[str, list[str]]:
    """Dependency groups; the old `dev-dependencies` are `dev`."""
    found = {name: _lines(group.get("dependencies", {})) for name, group in table.get("group", {}).items()}
    if "dev-dependencies" in table:
        found["dev"] = found.get("dev", []) + _lines(table["dev-dependencies"])
    return found


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [_line(name, value) for name, value in table.items() if name != "python"]


def _line(name: str, value: Any) -> str:
    value = value[0] if isinstance(value, list) and value else value
    table = value if isinstance(value, dict) else {"version": value}
    extras = f"[{','.join(table['extras'])}]" if table.get("extras") else ""
    markers = [f"({table['markers']})"] if table.get("markers") else []
    python = _constraint(str(table.get("python", "")))
    markers += [f"python_version {operator} '{version}'" for operator, version in _bounds(python)]
    line = f"{name}{extras}{_constraint(str(table.get('version', '*')))}"
    return f"{line}; {' and '.join(markers)}" if markers else line


def _bounds(constraint: str) -> list[tuple[str, str]]:
    return re.findall(r"(>=|<=|==|!=|<|>)\s*([\d.]+)", constraint)


def _constraint(text: str) -> str:
    """`^1.2` -> `>=1.2,<2`; `~1.2` -> `>=1.2,<1.3`; `1.2` -> `==1.2`; `*` -> nothing; alternatives -> the last."""
    parts = [part.strip() for part in text.rsplit("||", maxsplit=1)[-1].split(",")]
    return ",".join(filter(None, map(_one, parts)))


def _one(text: str) -> str:
    match = re.fullmatch(r"(\^|~(?!=))?\s*v?(\d[\w.]*)(\.\*)?", text)
    if match is None:
        return "" if text in {"*", ""} else text.replace(" ", "")
    sign, version, star = match.groups()
    if sign is None:
        return f"=={version}{star or ''}"
    numbers = [int(n) for n in re.findall(r"\d+", version)][:3]
    kept = next((i for i, n in enumerate(numbers) if n), len(numbers) - 1) if sign == "^" else min(1, len(numbers) - 1)
    upper = [*numbers[:kept], numbers[kept] + 1]
    return f">={version},<{'.'.join(map(str, upper))}"
