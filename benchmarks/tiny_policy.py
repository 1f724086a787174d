"""What the quickstart does to the tiny policy, over seeds and with and without the context-awareness term.

    python -m benchmarks.tiny_policy [--seeds 3 4 5 6 7] [--tasks 300] [--pairs 150] [KEY=VALUE ...]

Runs `recipes/quickstart.yaml` once per seed and arm, with all of its iterations however long they take, prints the
table of `docs/tiny-policy.md` and writes it to `runs/tiny-policy/table.json`. Finished runs are taken as they are: it
can be interrupted, and several processes may each play some seeds or arms before one of them prints everything. The
recipe was chosen on seeds 0 to 2, so the default seeds are others.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from contextrl.loop import train
from contextrl.progress import open_progress
from contextrl.recipe_file import load_recipe
from contextrl.report import read_report

ARMS = {"GRPO + CA": "ca.enabled=true", "GRPO": "ca.enabled=false"}
GENERATED = "generated"
WHOLE = ("train.max_minutes=null", "train.expert_minutes=null", "evaluation.mutation_tasks=0")
"""A slow machine gives the same table; only functions that were never trained on are measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/quickstart.yaml"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5, 6, 7])
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    options = parser.parse_args()
    folder = Path("runs/tiny-policy")
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        for arm in options.arms:
            name = f"{arm.lower().replace(' + ', '-')}-seed{seed}"
            told = [f"seed={seed}", f"name={name}", f"runs={folder}", ARMS[arm], *WHOLE]
            told += [f"evaluation.tasks={options.tasks}", f"evaluation.pairs={options.pairs}", *options.overrides]
            with open_progress() as progress:
                progress.log(f"{arm}, seed {seed}")
                run_dir = train(load_recipe(options.recipe, told), progress=progress)
            rows.append({"arm": arm, "seed": seed, **_figures(read_report(run_dir))})
            print(_line(rows[-1]), flush=True)
    (folder / "table.json").write_text(json.dumps(rows, indent=1) + "\n")
    print("\n".join(_table(rows)))


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    generated = report["kinds"][GENERATED]
    others = {kind: found for kind, found in report["kinds"].items() if kind != GENERATED}
    return {**generated, "wall_seconds": report["wall_seconds"], "pairs_mined": report["pairs_mined"], "others": others}


def _line(row: dict[str, Any]) -> str:
    low, high = row["resolve_rate_change_interval"]
    return (
        f"| {row['arm']} | {row['seed']} | {row['resolve_rate_before']:.3f} | {row['resolve_rate_after']:.3f} | "
        f"{row['resolve_rate_change']:+.3f} [{low:+.3f}, {high:+.3f}] | {row['selection_accuracy_before']:.3f} | "
        f"{row['selection_accuracy_after']:.3f} | {row['pairs_mined']} | {row['wall_seconds'] / 60:.1f} |"
    )


def _table(rows: list[dict[str, Any]]) -> list[str]:
    head = (
        f"{rows[0]['tasks']} held-out tasks, {rows[0]['pairs']} held-out pairs in both letter orders\n\n"
        "| arm | seed | resolved before | after | change, paired 95% interval | selection before | after "
        "| pairs mined | minutes |\n|---|---|---|---|---|---|---|---|---|"
    )
    lines = [head, *map(_line, rows)]
    for row in rows:
        for kind, found in row["others"].items():
            lines.append(
                f"{kind}, {row['arm']}, seed {row['seed']}: resolved {found['resolve_rate_before']:.3f} -> "
                f"{found['resolve_rate_after']:.3f} of {found['tasks']} tasks"
            )
    return lines


if __name__ == "__main__":
    main()
