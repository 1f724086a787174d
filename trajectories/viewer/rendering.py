"""Templates into HTML.

Invariant: whatever a template is given is text: it is escaped and made visible (`trajectories.viewer.texts`) unless
this package made it as HTML. There is no style attribute, no inline script and no handler in any template.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from trajectories.queries import OUTCOMES
from trajectories.records import MASK
from trajectories.times import written
from trajectories.touching.marking import sizes
from trajectories.viewer import ansi, parts, tokens, words
from trajectories.viewer.asking import address
from trajectories.viewer.bars import small_interval
from trajectories.viewer.steps import MOST_TURNS
from trajectories.viewer.texts import visible

_TURN = re.compile(r"turn-(\d+)")
STATIC = {"viewer.css": "text/css", "viewer.js": "text/javascript", "colours.css": "text/css"}
Go = Callable[..., str | None]
"""Path and values -> the address, or None where that cannot be gone to."""


@cache
def asset(name: str) -> str:
    """The text of a stylesheet or script."""
    if name == "colours.css":
        return ansi.stylesheet() + tokens.stylesheet()
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")


@cache
def _asset_address(name: str) -> str:
    return f"/static/{name}?v={hashlib.sha256(asset(name).encode()).hexdigest()[:12]}"


def environment(layout: str, go: Go, limits: parts.Limits) -> Environment:
    """Templates in a layout. `go`: where links lead. `limits`: what is shown of a text at first."""
    jinja = Environment(
        loader=PackageLoader("trajectories.viewer"),
        autoescape=True,
        finalize=_final,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.globals |= {
        "layout": layout,
        "exported": layout != "layout.html",
        "static": _asset_address,
        "asset": lambda name: Markup(asset(name)),
        "link": _linking(go),
        "address": address,
        "shown": lambda text, form: parts.shown(text, form, limits),
        "diff_sizes": sizes,
        "outcomes": OUTCOMES,
        "count": words.count,
        "share": words.share,
        "interval": lambda low, value, high: Markup(small_interval(low, value, high)),
    }
    filters: dict[str, Callable[..., object]] = {
        "when": written,
        "lasted": words.lasted,
        "number": words.number,
        "named": words.named,
        "signed": words.signed,
        "grouped": lambda amount: f"{amount:,}",
        "masked": masked,
        "brief": words.brief,
        "plain": ansi.plain,
    }
    jinja.filters |= filters
    return jinja


def masked(text: str) -> Markup:
    """A text in which what is masked stands out."""
    parts = [escape(visible(part)) for part in text.split(MASK)]
    return Markup('<mark class="mask">{}</mark>').format(MASK).join(parts)


def render(jinja: Environment, template: str, values: Mapping[str, Any]) -> str:
    """A template with its values."""
    return jinja.get_template(template).render(values)


def _final(value: object) -> object:
    if isinstance(value, Markup):
        return value
    return "" if value is None else visible(value) if isinstance(value, str) else value


def _linking(go: Go) -> Callable[..., Markup]:
    def link(text: object, path: str, *, css: str = "", fragment: str = "", **values: object) -> Markup:
        """A link, or its text where it leads nowhere. `fragment`: the place on the page."""
        shown = escape(_final(text))
        if not shown.strip():
            shown = Markup("␣") * max(1, len(shown))  # there is something to click
        turn = _TURN.fullmatch(fragment)
        if turn and path == "/trajectory" and int(turn[1]) > MOST_TURNS:
            values["turn"] = turn[1]
        if (there := go(path, **values)) is None:
            return shown
        more = Markup(' class="{}"').format(css) if css else Markup()
        if fragment:  # in a file the place is one of its own, which a prefix tells from the others
            there = there.removesuffix("top") + fragment if there.startswith("#") else f"{there}#{fragment}"
        return Markup('<a href="{}"{}>{}</a>').format(there, more, shown)

    return link
