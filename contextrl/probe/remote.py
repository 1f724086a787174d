"""Asking an endpoint many questions at a time.

Invariant: what was answered is yielded, also when another question fails: the first error is raised only after those
under way are told. A prompt that the endpoint finds too long leaves its question out; every other refusal is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from contextrl.probe.selector import Choice
from trajectories.endpoints.endpoint import EndpointError

Item = TypeVar("Item")
_LENGTH = re.compile(r"context|too (long|large|many)|maximum|max_tokens|exceed", re.IGNORECASE)


def each(
    items: Iterable[Item], ask: Callable[[Item], Choice], concurrency: int, give_up: Callable[[], object]
) -> Iterator[Choice]:
    """`ask` on each item in threads, as answers come. `give_up` is called when the caller stops early."""
    waiting, under_way, error = iter(items), set[Future[Choice]](), None
    with ThreadPoolExecutor(concurrency, thread_name_prefix="probe") as pool:
        try:
            while True:
                while error is None and len(under_way) < concurrency and (item := next(waiting, None)) is not None:
                    under_way.add(pool.submit(ask, item))
                if not under_way:
                    break
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    problem = future.exception()
                    if problem is None:
                        yield future.result()
                    elif error is None:
                        error = problem
        except BaseException:
            give_up()
            raise
    if error is not None:
        raise error


def too_long(error: EndpointError) -> str:
    """Why a question is left out; empty if the error is about something else than its length."""
    if error.status not in (400, 413, 422) or not _LENGTH.search(str(error)):
        return ""
    return f"too long for the model, its endpoint says (status {error.status})"
