"""What all sections are, and the kinds of numbers that they hold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Stage = Literal["repo", "file", "function"]


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys are refused, the text under a field describes it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )
