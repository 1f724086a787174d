"""A disk that is full: the sentence is true, and what stood there stands."""

from __future__ import annotations

import resource
from contextlib import contextmanager

import pytest
from test_reading import small

from trajectories.formats import FormatError, find, formats
from trajectories.records import Verdict


@contextmanager
def files_of_at_most(size: int):
    """The kernel takes no more than so many bytes into a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("as_folder", [False, True])
@pytest.mark.parametrize("name", [*formats()])
def test_nothing_half_written_gets_the_name(name, as_folder, before, tmp_path):
    form = find(name)
    if as_folder and not getattr(form, "alone", False):
        return
    out = tmp_path / ("out" if as_folder else f"out{form.suffixes[0]}")
    large = small(2, verdict=Verdict(resolved=True), extra={"noise": [str(i * 7919 % 10007) for i in range(9000)]})
    if before:
        form.write([small(1)], out)
    kept = contents(tmp_path)
    with files_of_at_most(8192), pytest.raises(FormatError) as error:
        form.write([large], out)
    said = str(error.value)
    assert said.startswith(str(tmp_path / "out")) and "cannot be written (file too large)" in said
    assert "nothing of it is kept" in said and "the same command starts anew" in said
    assert contents(tmp_path) == kept and not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert form.write([large], out) == 1 and contents(tmp_path) != kept
