"""Results of many runs that nobody executed: as large as real ones, each text different."""

from __future__ import annotations

import json
import random
from pathlib import Path

from pytest_scylla.results import RunFailure
from pytest_scylla.store import write_json
from tests.support.examples import write_files, write_result

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("", "n", "r", "st", "lk")]
ITEMS = 8
SLOTS = 3
TURNS = 12


def write_many_runs(root: Path, *, runs: int, subtests: int = 100, tiers: int = 5) -> Path:
    """`runs` runs in all, a fiftieth of them without a verdict; returns the results directory."""
    results = root / "2026-01-01T00-00-00-many"
    names = [f"T{place % tiers}" for place in range(tiers)]
    write_json(results / "config" / "experiment.json", {"experiment_id": "many",
               "tiers_to_run": names, "models": ["some-model"], "plugin_version": "0"})  # fmt: skip
    chance = random.Random(1)
    for place in range(runs):
        subtest, number = place % subtests, place // subtests + 1
        tier = names[subtest % tiers]
        run = results / tier / f"{subtest // tiers:02d}-subtest" / f"run_{number:02d}"
        _write_run(run, number, subtest / subtests, chance, place)
    return results


def _text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(WORDS, k=words))


def _write_run(run: Path, number: int, skill: float, chance: random.Random, place: int) -> None:
    minute, second = divmod(place, 60)
    at = f"2026-01-{1 + minute // 1440:02d}T{minute // 60 % 24:02d}:{minute % 60:02d}:{second:02d}"
    turns = [
        {"number": n, "text": _text(chance, 40),
         "tools": [{"name": "Bash", "input": _text(chance, 10), "output": _text(chance, 60)}]}
        for n in range(TURNS)
    ]  # fmt: skip
    files = {
        "agent/prompt.md": "Write answer.txt.\n",
        "agent/output.txt": _text(chance, 100),
        "agent/changes.patch": "\n".join(f"+{_text(chance, 8)}" for _ in range(60)),
        "agent/transcript.jsonl": "\n".join(map(json.dumps, turns)),
        "agent/timing.json": json.dumps({"measured_at": at}),
        "report.md": "",
    }
    write_files(run, files)
    if place % 50 == 7:
        failure = RunFailure(kind="no_quorum", message=_text(chance, 20), stage="judge", at=at)
        write_json(run / "error.json", failure)
        return
    score = round(min(1.0, max(0.0, chance.gauss(0.3 + 0.6 * skill, 0.2))), 4)
    votes = [_vote(slot, min(1.0, score + slot / 100), chance) for slot in range(1, SLOTS + 1)]
    cost = round(chance.uniform(0.05, 0.2) * (1 + skill), 6)
    write_result(run, score, tokens=chance.randrange(10_000, 90_000), cost_usd=cost,
                 judges=votes, criteria_scores=votes[0]["criteria_scores"])  # fmt: skip


def _vote(slot: int, score: float, chance: random.Random) -> dict[str, object]:
    items = {
        f"R{n}": {"achieved": round(score, 2), "max": 1, "reason": _text(chance, 15)}
        for n in range(ITEMS)
    }
    category = {"achieved": score * ITEMS, "max": ITEMS, "score": score, "items": items}
    return {
        "model": f"judge-{slot}",
        "judge_number": slot,
        "score": score,
        "passed": score >= 0.6,
        "grade": "B",
        "reasoning": _text(chance, 40),
        "cost_usd": 0.01,
        "criteria_scores": {"work": category},
    }
