"""`contextrl image`: the images that Docker sandboxes start from."""

from __future__ import annotations

import asyncio
import difflib
import itertools
import time
from typing import TYPE_CHECKING, Annotated

import typer

from contextrl.cli import show
from contextrl.progress import duration, open_progress

if TYPE_CHECKING:
    from envs.task import RepoProfile

image = typer.Typer(no_args_is_help=True, help="Images of Docker sandboxes: list them, build one, remove old ones.")


@image.command("ls")
def ls() -> None:
    """List the images that were built for sandboxes, the latest first."""
    from sandbox.engine_api import Engine, engine_socket
    from sandbox.image_store import list_images

    rows = [
        (i.name, i.tag, _size(i.size), f"{duration(time.time() - i.made)} ago", "yes" if i.in_use else "-")
        for i in asyncio.run(list_images(Engine(engine_socket())))
    ]
    show.table(("image", "tag", "size", "made", "in use"), rows, "No image yet; they are built when they are needed.")


@image.command("build")
def build(
    repository: Annotated[str, typer.Argument(help="A name from `contextrl repo ls`.")],
    base: Annotated[str | None, typer.Option(help="Base image; by default as for `contextrl train`.")] = None,
) -> None:
    """Build a repository's image now, so that its first sandbox need not wait for it."""
    from envs.runtime import image_of
    from sandbox import BackendOptions
    from sandbox.image_store import build_image

    wanted = image_of(_profile(repository))
    count = itertools.count(1)
    with open_progress() as progress:
        progress.stage(f"Building the image of {repository}")
        tag = asyncio.run(
            build_image(
                wanted,
                BackendOptions(docker_base=base),
                lambda line: progress.update(next(count), None, show.plain(line)[:100]),
            )
        )
    typer.echo(f"{wanted.name} is ready: {tag}")


@image.command("prune")
def prune(
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that known repositories need, and what makes builds fast.")
    ] = False,
) -> None:
    """Remove images that no known repository needs, and the local backend's unused copies of trees.

    Images in use stay. All of it can be made again.
    """
    removed, freed = asyncio.run(_prune(everything))
    show.table(("image", "tag"), removed, "No image was left over.")
    typer.echo(f"{_size(freed)} came free.")


async def _prune(everything: bool) -> tuple[list[tuple[str, str]], int]:
    from envs.repos import list_profiles
    from envs.runtime import image_of
    from sandbox import BackendUnavailable
    from sandbox.engine_api import Engine, engine_socket
    from sandbox.image_store import bytes_of_images, prune_images, prune_trees

    freed = await prune_trees()
    needed = [] if everything else [image_of(profile) for profile in list_profiles()]
    stages = not any(image.requirements for image in needed)
    try:
        engine = Engine(engine_socket())
        before = await bytes_of_images(engine)
        removed = await prune_images(engine, {image.name for image in needed}, stages=stages, young=everything)
        freed += max(0, before - await bytes_of_images(engine))
    except BackendUnavailable:  # then there are no images
        removed = []
    return [(image.name, image.tag) for image in removed], freed


def _profile(name: str) -> RepoProfile:
    """Raises `ValueError` with the nearest names."""
    from envs.repos import list_profiles, load_profile

    names = [profile.name for profile in list_profiles()]
    if name not in names and (near := difflib.get_close_matches(name, names)):
        raise ValueError(f"there is no repository {name!r} here: did you mean {' or '.join(near)}?")
    return load_profile(name)


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"
