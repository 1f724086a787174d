"""`contextrl policy`: the tiny policy, and a look at any checkpoint without loading it."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Annotated, Any

import typer

from contextrl.cli import show

policy = typer.Typer(no_args_is_help=True, help="Policies: make the tiny one, look at any.")


@policy.command("make")
def make_policy(
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="E.g. seed=1 out=/tmp/policy; keys: contextrl/warmstart/config.py."
        ),
    ] = None,
) -> None:
    """Make the tiny policy: demonstrations in real sandboxes, then supervised training on them."""
    from contextrl.progress import open_progress
    from contextrl.recipe_file import from_overrides
    from contextrl.warmstart.config import WarmStart

    config = from_overrides(WarmStart, settings or ())
    from contextrl.warmstart.make import make_tiny_policy

    with open_progress() as progress:
        folder = make_tiny_policy(config, progress)
    typer.echo(f"{folder} is ready: contextrl policy show {folder}")


@policy.command("show")
def show_policy(
    path: Annotated[str, typer.Argument(help="A folder in Hugging Face format, or `tiny`.")] = "tiny",
) -> None:
    """Show what a checkpoint is, and whether it can be trained here."""
    folder = tiny_folder() if path == "tiny" else Path(path).expanduser()
    config = _json(folder, "config.json")
    template, letters = _tokenizer(folder)
    rows = [
        ("folder", folder),
        ("architecture", ", ".join(config.get("architectures") or ["?"])),
        ("parameters", f"{parameters(folder):,}"),
        ("layers", config.get("num_hidden_layers", "?")),
        ("hidden size", config.get("hidden_size", "?")),
        ("vocabulary", config.get("vocab_size", "?")),
        ("context, tokens", config.get("max_position_embeddings", "?")),
        ("chat template", "yes" if template else "no: it cannot be used as an agent"),
        ('"A" and "B" are one token each', "yes" if letters else "no: it cannot be shown context pairs"),
    ]
    show.facts(rows)


def tiny_folder() -> Path:
    """Where the shipped policy lies."""
    from importlib.resources import files

    return Path(str(files("agents.tiny"))) / "policy"


def parameters(folder: Path) -> int:
    """Numbers in the safetensors files of a folder, from their headers alone. Raises `ValueError`."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ValueError(f"{folder} has no .safetensors file; save the model with save_pretrained")
    return sum(math.prod(tensor["shape"]) for path in weights for tensor in _tensors(path))


def _tensors(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, path.stat().st_size)))
        return [tensor for name, tensor in header.items() if name != "__metadata__"]
    except (struct.error, ValueError, AttributeError):
        raise ValueError(f"{path} is damaged: its header cannot be read; copy it again") from None


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder} has no {name}; give a folder in Hugging Face format") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder / name} is damaged: {error}") from None
    return found


def _tokenizer(folder: Path) -> tuple[bool, bool]:
    """Whether there is a chat template, and whether "A" and "B" are single tokens."""
    from tokenizers import Tokenizer

    if not (folder / "tokenizer.json").is_file():
        raise ValueError(f"{folder} has no tokenizer.json; save the tokenizer with save_pretrained")
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # it raises nothing more special
        raise ValueError(f"{folder / 'tokenizer.json'} is damaged: {error}") from None
    a, b = (tokenizer.encode(letter, add_special_tokens=False).ids for letter in "AB")
    single = len(a) == len(b) == 1 and a != b
    template = (folder / "chat_template.jinja").is_file() or "chat_template" in _json(folder, "tokenizer_config.json")
    return template, single
