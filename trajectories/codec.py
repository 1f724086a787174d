"""A trajectory as bytes and back.

Invariant: `decode(*encode(t)[:2]) == t`, token ids and log-probabilities bit for bit. Token arrays lie apart from the
text as packed little-endian numbers (int32 ids, float64 log-probabilities), so that text can be read without them.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from itertools import chain

from trajectories.protocol import StoreError
from trajectories.records import Trajectory

_LEVEL = 1
"""Of zlib: the fastest; rollout processes write while others wait for the GPU."""
_ARRAYS = ("prompt_ids", "completion_ids", "logprobs")


def encode(trajectory: Trajectory) -> tuple[bytes, bytes, str]:
    """The compressed document, the compressed token arrays, and a digest of the contents (64 hex digits).

    Raises `StoreError` for text that is not Unicode.
    """
    try:
        document = trajectory.model_dump_json(exclude={"turns": {"__all__": set(_ARRAYS)}}).encode()
    except ValueError as error:
        raise StoreError(
            f"Trajectory {trajectory.id} holds text that is not Unicode ({error}): decode it with errors='replace'."
        ) from error
    tokens = _pack_tokens(trajectory)
    digest = hashlib.sha256(document + tokens).hexdigest()
    return zlib.compress(document, _LEVEL), zlib.compress(tokens, _LEVEL), digest


def decode(document: bytes, tokens: bytes | None) -> Trajectory:
    """The trajectory; without token ids and log-probabilities if `tokens` is None. Raises `StoreError`."""
    try:
        data = json.loads(zlib.decompress(document))
        if tokens is not None:
            _unpack_tokens(zlib.decompress(tokens), data["turns"])
        return Trajectory.model_validate(data)
    except (zlib.error, ValueError, KeyError, struct.error) as error:
        raise StoreError(f"A stored trajectory cannot be read ({error}): the file is damaged.") from error


def _pack_tokens(trajectory: Trajectory) -> bytes:
    turns = trajectory.turns
    sizes = [len(getattr(turn, name)) for turn in turns for name in _ARRAYS]
    ids = [i for turn in turns for i in chain(turn.prompt_ids, turn.completion_ids)]
    logprobs = [p for turn in turns for p in turn.logprobs]
    shape = f"<{len(sizes)}I{len(ids)}i{len(logprobs)}d"
    return struct.pack(shape, *sizes, *ids, *logprobs)


def _unpack_tokens(data: bytes, turns: list[dict[str, object]]) -> None:
    header = 3 * len(turns)
    sizes = struct.unpack_from(f"<{header}I", data)
    n_ids = sum(sizes[0::3]) + sum(sizes[1::3])
    ids = struct.unpack_from(f"<{n_ids}i", data, 4 * header)
    logprobs = struct.unpack_from(f"<{sum(sizes[2::3])}d", data, 4 * (header + n_ids))
    at = logprob_at = 0
    for i, turn in enumerate(turns):
        n_prompt, n_completion, n_logprobs = sizes[3 * i : 3 * i + 3]
        turn["prompt_ids"] = list(ids[at : at + n_prompt])
        turn["completion_ids"] = list(ids[at + n_prompt : at + n_prompt + n_completion])
        turn["logprobs"] = list(logprobs[logprob_at : logprob_at + n_logprobs])
        at += n_prompt + n_completion
        logprob_at += n_logprobs
