"""A trajectory as bytes and back.

Invariant: `decode` gives back what `encode` was given, token ids and log-probabilities bit for bit. Large texts lie
apart, each under the SHA-256 of what it says, so that many trajectories share one; token arrays lie apart as packed
numbers, so that text can be read without them. This format belongs to the schema's version: a change of it is a
migration.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from array import array
from collections.abc import Mapping
from typing import Any, NamedTuple

import zstandard

from trajectories.queries import RightAnswer, StoreError
from trajectories.records import Trajectory

LARGE = 1024
"""Characters from which on an observation or a diff lies apart. The problem statement always does."""
_LEVEL = 1
_ARRAYS = ("prompt_ids", "completion_ids", "logprobs")
_LONG = ("observation", "diff")
"""Fields of a turn whose text lies apart where it is large."""
_APART: Any = {"problem_statement": True, "turns": {"__all__": {*_ARRAYS, *_LONG}}}
KEY_BYTES = 32
_own = threading.local()


class Encoded(NamedTuple):
    """What is stored of a trajectory besides what is asked by."""

    digest: str
    """Of all contents, 64 hexadecimal digits."""
    statement: str
    """Key of the problem statement."""
    blobs: bytes
    """Keys of the texts that lie apart, the problem statement first."""
    document: bytes
    tokens: bytes
    texts: dict[str, bytes]
    """The texts that lie apart, compressed, by key."""


def encode(trajectory: Trajectory) -> Encoded:
    """Raises `StoreError` for text that is not Unicode and for token ids that are none."""
    try:
        apart: dict[str, tuple[int, bytes]] = {}
        _lay_apart(trajectory.problem_statement, apart)
        lines = [trajectory.model_dump_json(exclude=_APART)]
        for name in _LONG:
            texts = [getattr(turn, name) for turn in trajectory.turns]
            shown = [t if t is None or len(t) < LARGE else _lay_apart(t, apart) for t in texts]
            lines.append(json.dumps(shown, ensure_ascii=False, separators=(",", ":")))
        document = "\n".join(lines).encode()
        tokens = _pack_tokens(trajectory)
    except ValueError as error:
        raise StoreError(
            f"Trajectory {trajectory.id} holds text that is not Unicode ({error}): decode it with errors='replace'."
        ) from error
    except OverflowError as error:
        raise StoreError(
            f"Trajectory {trajectory.id} holds a token id beyond 32 bits: give the policy's own."
        ) from error
    blobs = b"".join(bytes.fromhex(key) for key in apart)
    digest = hashlib.sha256(document + blobs + tokens).hexdigest()
    texts_apart = {key: pack(text) for key, (_, text) in apart.items()}
    return Encoded(digest, next(iter(apart)), blobs, pack(document), pack(tokens), texts_apart)


def _lay_apart(text: str, apart: dict[str, tuple[int, bytes]]) -> int:
    """Which of the texts that lie apart it is, from 0; its number stands in its place."""
    data = text.encode()
    return apart.setdefault(hashlib.sha256(data).hexdigest(), (len(apart), data))[0]


def keys_of(blobs: bytes) -> list[str]:
    """The keys in a body's column `blobs`."""
    return [blobs[i : i + KEY_BYTES].hex() for i in range(0, len(blobs), KEY_BYTES)]


def decode(document: bytes, tokens: bytes | None, blobs: bytes, texts: Mapping[str, str]) -> Trajectory:
    """The trajectory; without token ids and log-probabilities if `tokens` is None. Raises `StoreError`.

    `texts`: the texts that lie apart, by key.
    """
    try:
        keys = keys_of(blobs)
        data, *lines = map(json.loads, unpack(document).split(b"\n"))
        for name, line in zip(_LONG, lines, strict=False):  # before schema 4 there were no diffs
            for turn, shown in zip(data["turns"], line, strict=True):
                turn[name] = texts[keys[shown]] if isinstance(shown, int) else shown
        if tokens is not None:
            _unpack_tokens(unpack(tokens), data["turns"])
        return Trajectory.model_validate(data | {"problem_statement": texts[keys[0]]})
    except (ValueError, LookupError) as error:
        raise _damaged(error) from error


def decode_answer(document: bytes) -> RightAnswer:
    """What `decode` would give as answer and patch."""
    try:
        data = json.loads(unpack(document).split(b"\n", 1)[0])
        return RightAnswer(data["answer"], data["patch"])
    except (ValueError, LookupError) as error:
        raise _damaged(error) from error


def pack(data: bytes) -> bytes:
    """Compressed, with a checksum."""
    if not hasattr(_own, "compressor"):  # one for each thread, which it must not share
        _own.compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    packed: bytes = _own.compressor.compress(data)
    return packed


def unpack(data: bytes) -> bytes:
    """What was packed. Raises `StoreError`."""
    if not hasattr(_own, "decompressor"):
        _own.decompressor = zstandard.ZstdDecompressor()
    try:
        unpacked: bytes = _own.decompressor.decompress(data)
    except zstandard.ZstdError as error:
        raise _damaged(error) from error
    return unpacked


def _damaged(error: Exception) -> StoreError:
    return StoreError(f"A stored trajectory cannot be read ({error}): the store is damaged; restore a copy.")


def _pack_tokens(trajectory: Trajectory) -> bytes:
    """Lengths, then all ids, then all log-probabilities; of the numbers first all lowest bytes, and so on up.

    So bytes that are alike lie together, which halves what compression leaves.
    """
    sizes, ids, logprobs = array("I"), array("i"), array("d")
    for turn in trajectory.turns:
        sizes.fromlist([len(turn.prompt_ids), len(turn.completion_ids), len(turn.logprobs)])
        ids.fromlist(turn.prompt_ids)
        ids.fromlist(turn.completion_ids)
        logprobs.fromlist(turn.logprobs)
    return b"".join(_planes(numbers) for numbers in (sizes, ids, logprobs))


def _planes(numbers: array[Any]) -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    raw, size = numbers.tobytes(), numbers.itemsize
    return b"".join(raw[i::size] for i in range(size))


def _numbers(data: bytes, kind: str, at: int, count: int) -> list[Any]:
    """`count` numbers that `_planes` wrote at a place."""
    numbers = array(kind)
    size = numbers.itemsize
    raw = bytearray(count * size)
    for i in range(size):
        raw[i::size] = data[at + i * count : at + (i + 1) * count]
    numbers.frombytes(raw)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def _unpack_tokens(data: bytes, turns: list[dict[str, Any]]) -> None:
    sizes = _numbers(data, "I", 0, 3 * len(turns))
    n_ids, at_ids = sum(sizes[0::3]) + sum(sizes[1::3]), 4 * len(sizes)
    ids = _numbers(data, "i", at_ids, n_ids)
    logprobs = _numbers(data, "d", at_ids + 4 * n_ids, sum(sizes[2::3]))
    at = logprob_at = 0
    for i, turn in enumerate(turns):
        n_prompt, n_completion, n_logprobs = sizes[3 * i : 3 * i + 3]
        turn["prompt_ids"] = ids[at : at + n_prompt]
        turn["completion_ids"] = ids[at + n_prompt : at + n_prompt + n_completion]
        turn["logprobs"] = logprobs[logprob_at : logprob_at + n_logprobs]
        at += n_prompt + n_completion
        logprob_at += n_logprobs
