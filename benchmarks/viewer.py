"""How long the viewer lets a person wait, in Chromium.

Run it: python -m benchmarks.viewer [--rows 100000] [--times 7] [--store FILE] [--json out.json]. A new store is filled
with trajectories of 2 turns that are as large as real ones (`benchmarks.realistic`) and with one of 200 turns, each
with its diff; `--store` keeps it, or uses one that was kept. `cold` is the first page of a new server process, `warm`
the same page again and again, both in a browser that was open before. Medians of milliseconds from the start of the
navigation, on an otherwise idle machine: until something is painted, and until the last row or turn is there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Page, sync_playwright

from benchmarks.realistic import Episodes
from trajectories.records import Trajectory
from trajectories.store import SQLStore

LONG = "two-hundred-turns"
TURNS = 200
BATCH = 500
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PAGES = {
    "table, first page": ("trajectories", "main tbody tr", 50),
    "table, sorted by reward": ("trajectories?sort=reward&order=down", "main tbody tr", 50),
    "table, page in the middle": ("trajectories?page={middle}", "main tbody tr", 50),
    "table, filtered": ("trajectories?outcome=resolved&min_reward=1", "main tbody tr", 50),
    "table, two words searched": ("trajectories?text={words}", "main tbody tr", 1),
    "runs": ("", "main tbody tr", 1),
    "groups": ("groups", "main tbody tr", 50),
    "trajectory of 200 turns": (f"trajectory?id={LONG}", "article.turn", TURNS),
}
"""Name -> address, what is counted on it, and how many there must be."""
TIMES = """what => new Promise((done) => {
  const look = () => {
    const painted = performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
    const page = performance.getEntriesByType("navigation")[0];
    if (!painted || !page.domContentLoadedEventEnd) return void setTimeout(look, 10);
    const count = document.querySelectorAll(what).length;
    done({ painted, whole: Math.max(painted, page.domContentLoadedEventEnd), kB: page.decodedBodySize / 1000, count });
  };
  look();
})"""
MUST = {"table, first page": ("painted", 1000.0), "trajectory of 200 turns": ("whole", 500.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=7, help="how often each page is opened")
    parser.add_argument("--store", type=Path, help="where the store is, or is made and kept")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("There is no Chromium here: scripts/install_browser.sh installs it.")
    with tempfile.TemporaryDirectory() as folder:
        path = options.store or Path(folder) / "store.db"
        if not path.exists():
            fill(path, options.rows)
        result = measured(path, options.times)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


def fill(path: Path, rows: int) -> None:
    """A store of so many trajectories, one of them long."""
    started, episodes = time.perf_counter(), Episodes(seed=0, turns=2)
    with SQLStore(path) as store:
        for done in range(0, rows - 1, BATCH):
            some = min(BATCH, rows - 1 - done)
            store.add_many(episodes.next(f"run {(done + i) // 8192}") for i in range(some))
            if sys.stderr.isatty():
                print(f"\r{done + some:,} of {rows:,}", end="\r", file=sys.stderr)
        store.add(long())
        begun = time.perf_counter()
        store.index_words()
    print(f"words indexed in {time.perf_counter() - begun:.0f} s")
    size = path.stat().st_size / 2**20
    print(f"{rows:,} trajectories, {size:,.0f} MiB, filled in {time.perf_counter() - started:.0f} s")


def long() -> Trajectory:
    """An episode of 200 turns, whose every second turn changes a line."""
    episode = Episodes(seed=1, turns=TURNS).next("long")
    turns = [turn.model_copy(update={"diff": diff(i // 2), "cpu_seconds": 0.4}) for i, turn in enumerate(episode.turns)]
    return episode.model_copy(update={"id": LONG, "turns": turns})


def diff(lines: int) -> str:
    """So many changed lines in one file."""
    changed = "".join(f"@@ -{10 * i + 1},3 +{10 * i + 1},3 @@\n a\n-old {i}\n+new {i}\n b\n" for i in range(lines))
    return f"--- a/pkg/module.py\n+++ b/pkg/module.py\n{changed}" if lines else ""


def measured(path: Path, times: int) -> list[dict[str, object]]:
    """The table."""
    rows: list[dict[str, object]] = []
    with SQLStore(path, create=False) as store:
        words = " ".join(store.get(LONG).turns[7].text.split()[:2])
        middle = max(1, store.count() // 100)
    print(f"\n{'page':28} {'':5} {'painted ms':>11} {'whole ms':>9} {'kB':>6}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        next(warm(page, path, "groups", "tr"))  # the browser is not what is measured
        for name, (address, what, least) in PAGES.items():
            there = address.format(words=quote(words), middle=middle)
            for kind, opened in (
                ("cold", cold(page, path, there, what)),
                ("warm", warm(page, path, there, what)),
            ):
                found = [next(opened) for _ in range(times if kind == "warm" else max(3, times // 2))]
                opened.close()
                assert all(one["count"] >= least for one in found), (name, found)
                medians = {key: statistics.median(one[key] for one in found) for key in ("painted", "whole", "kB")}
                rows.append({"page": name, "server": kind, **medians})
                print("{page:28} {server:5} {painted:11.0f} {whole:9.0f} {kB:6.0f}".format(**rows[-1]))
        browser.close()
    for name, (key, most) in MUST.items():
        worst = max(float(str(row[key])) for row in rows if row["page"] == name)
        print(f"{name}: {key} within {most:.0f} ms: {'yes' if worst <= most else 'NO'} ({worst:.0f} ms)")
    return rows


def cold(page: Page, path: Path, address: str, what: str) -> Iterator[dict[str, float]]:
    """Each time the first page of a new server."""
    while True:
        with server(path) as url:
            yield opened(page, url + address, what)


def warm(page: Page, path: Path, address: str, what: str) -> Iterator[dict[str, float]]:
    """One server; its first page is not counted."""
    with server(path) as url:
        opened(page, url + address, what)
        while True:
            yield opened(page, url + address, what)


def opened(page: Page, address: str, what: str) -> dict[str, float]:
    """Milliseconds since the navigation began, as the browser itself counts them."""
    page.goto(address, wait_until="load")
    found: dict[str, float] = page.evaluate(TIMES, what)
    return found


@contextmanager
def server(path: Path) -> Iterator[str]:
    """A viewer in a process of its own."""
    command = [sys.executable, "-m", "trajectories.viewer", "--store", str(path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
