"""What is recorded of a run, as frozen records: the fields of the files in the results tree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Number = float | Literal["N/A"]


class Record(BaseModel):
    """A record of the results tree; keys that a later version added are let through."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class SealedRecord(Record):
    """A record that later sessions believe; the session that wrote it has sealed it."""

    seal: str = ""
    """Message authentication code, checked for what appears while a session runs."""


class TokenStats(Record):
    """Tokens of one or more model calls."""

    input_tokens: int = 0
    """Fresh input, read from neither cache."""
    output_tokens: int = 0
    cache_creation_tokens: int = 0
    cache_read_tokens: int = 0
    cache_creation_1h_tokens: int = 0
    """Of `cache_creation_tokens`, those that stay for an hour: they have a price of their own."""

    @property
    def prompt(self) -> int:
        """What the model read, where these are the tokens of one request."""
        return self.tokens_input + self.cache_creation_tokens

    @property
    def total(self) -> int:
        """All four kinds together."""
        return self.tokens_input + self.output_tokens + self.cache_creation_tokens

    @property
    def tokens_input(self) -> int:
        """Input as published: fresh plus read from the cache."""
        return self.input_tokens + self.cache_read_tokens

    def less(self, other: TokenStats) -> TokenStats:
        """What is more than in `other`, of each kind; never below 0."""
        mine, theirs = self.model_dump(), other.model_dump()
        return TokenStats(**{kind: max(0, mine[kind] - theirs[kind]) for kind in mine})

    def __add__(self, other: TokenStats) -> TokenStats:
        return TokenStats(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_creation_tokens=self.cache_creation_tokens + other.cache_creation_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_creation_1h_tokens=self.cache_creation_1h_tokens + other.cache_creation_1h_tokens,
        )


def usd(told: Any) -> float | None:
    """An amount that a program told (USD); None where it is none."""
    if isinstance(told, bool) or not isinstance(told, int | float):
        return None
    try:
        return float(told) if math.isfinite(told) and told >= 0 else None
    except OverflowError:  # an integer that no float can hold
        return None


def count(told: Any) -> int:
    """A number of things that a program told; 0 where it is none."""
    return int(usd(told) or 0)


def token_stats(usage: Mapping[str, Any]) -> TokenStats:
    """Tokens from a usage object, with the long names of the API or the short ones of ours."""

    def told(*names: str) -> int:
        return next((count(usage[name]) for name in names if usage.get(name) is not None), 0)

    return TokenStats(
        input_tokens=told("input_tokens"),
        output_tokens=told("output_tokens"),
        cache_creation_tokens=told("cache_creation_input_tokens", "cache_creation_tokens"),
        cache_read_tokens=told("cache_read_input_tokens", "cache_read_tokens"),
        cache_creation_1h_tokens=_kept_for_an_hour(usage),
    )


def _kept_for_an_hour(usage: Mapping[str, Any]) -> int:
    by_duration = usage.get("cache_creation")
    if not isinstance(by_duration, Mapping):
        return count(usage.get("cache_creation_1h_tokens"))
    return count(by_duration.get("ephemeral_1h_input_tokens"))


Inputs = dict[str, str]
"""What a stage was made from: name of the input -> digest."""

VERSION = "version"
"""The input that is known only where the agent's program is: compared where both sides have it."""


FILE = "file "
"""Begins the name of an input that is a file or directory which an adapter's options name. Results
of earlier versions do not have it: compared where both sides do."""


def changed_inputs(stored: Inputs, asked: Inputs) -> list[str]:
    """The inputs in which what a stage was made from differs from what is asked now."""
    return sorted(
        name
        for name, value in asked.items()
        if stored.get(name) != value and (name in stored or not _may_lack(name))
    )


def same_inputs(one: Inputs, other: Inputs) -> bool:
    """Whether two stages were made from the same, as far as both tell."""
    return not changed_inputs(one, other) and not changed_inputs(other, one)


def _may_lack(name: str) -> bool:
    return name == VERSION or name.startswith(FILE)


def changes(stored: Mapping[str, Inputs], asked: Mapping[str, Inputs]) -> set[str]:
    """The stages of a verdict that were made from other inputs than are asked for now (`judges`: it
    has more slots); of the verdict itself the names of the inputs: `verdict.consensus`."""
    judged = {name for name in stored if name.startswith("judge_")}
    found = {stage: changed_inputs(stored.get(stage, {}), asked[stage]) for stage in asked}
    rules = {f"verdict.{name}" for name in found.pop("verdict")}
    more = {"judges"} if judged - asked.keys() else set()
    return {stage for stage, names in found.items() if names} | rules | more


class AskedInputs(Record):
    """config/asked.json: what verdicts of an experiment must have been made from, as its files
    said when they were last read."""

    stages: dict[str, Inputs]
    """`agent`, `judge_NN`, `verdict` -> inputs; of the agent those that all set-ups share."""
    setups: dict[str, str | None]
    """`<tier>/<subtest>` -> digest of the set-up; None where it rests on other tiers' results."""

    def accepts(self, setup: str, inputs: Mapping[str, Inputs]) -> bool:
        """Whether a verdict of a set-up (`<tier>/<subtest>`) that was made from `inputs` (stage ->
        its inputs) is one of what is asked; one from elsewhere does not say what it was made from.
        """
        if setup not in self.setups:
            return False
        digest = self.setups.get(setup)
        agent = {**self.stages["agent"], **({"tier": digest} if digest else {})}
        return not inputs or not changes(inputs, {**self.stages, "agent": agent})


class AgentResult(SealedRecord):
    """agent/result.json: what an agent did, once it ended by itself or by a limit."""

    exit_code: int
    """The program's exit status; negative: the signal that ended it."""
    stdout: str
    stderr: str
    token_stats: TokenStats
    cost_usd: float | None
    """USD, as the agent says; else by the price list. None where neither knows."""
    list_cost_usd: float | None = None
    """USD by the price list; None where a model has no price, or the agent tells no tokens."""
    api_calls: int
    """Turns, as the agent counts them; 0 where it does not say."""
    timed_out: bool = False
    """It reached a limit of time or turns, and is judged on what it left."""
    stop_reason: str = "completed"
    """`completed`, or the kind of the limit or error that ended it."""
    silent_seconds: float = 0.0
    """Seconds between its last output and its end: a time limit met it at work, or stuck."""
    model: str | None = None
    duration_seconds: float = 0.0
    tampering: tuple[str, ...] = ()
    """Files that appeared outside the workspace while the agent worked; set aside, not read."""
    left_out: tuple[str, ...] = ()
    """Files of the workspace that are too large for the patch; nobody judges them."""
    base_commit: str = ""
    """The commit that the agent started from (the task's files and the tier's)."""
    left: str = ""
    """Digest of answer and patch as they were stored; empty where they were stored without it."""
    inputs: Inputs = Field(default_factory=dict)


class Choice(SealedRecord):
    """The best subtest of a tier, as the workers of a session tell it each other."""

    results: str
    """The results directory."""
    tier: str
    subtest: str


class ToolCall(Record):
    """One call of a tool, and what came back."""

    id: str = ""
    """The program's own name of the call."""
    name: str
    """As the model called it: `Bash`, `exec_command`, `mcp__clock__tell_time`."""
    input: Any = None
    """The arguments; long texts in it are cut."""
    output: str | None = None
    """What the tool gave back, cut where it is long; None where nothing came."""
    failed: bool = False
    """The tool said that it failed."""


class Turn(Record):
    """A line of agent/transcript.jsonl: one message of a model, with the tools it called.

    Where a text is cut, `[… N characters cut …]` stands in its middle.
    """

    number: int
    """Counted from 1, in the order of the output."""
    agent: str | None = None
    """The call that started the sub-agent who speaks; None: the agent itself."""
    model: str | None = None
    text: str = ""
    """What it said, cut where it is long."""
    tools: tuple[ToolCall, ...] = ()
    token_stats: TokenStats | None = None
    """Of this message, as far as the program tells; sums are in result.json."""
    stop_reason: str | None = None
    """Why the model stopped, in the program's words; None where it does not say."""


LONGEST = 10_000
"""Characters of a text in a transcript."""


def cut(value: Any, longest: int = LONGEST) -> Any:
    """A value with its long texts cut in the middle, and a mark that says so."""
    if isinstance(value, str) and len(value) > longest:
        half = longest // 2
        return f"{value[:half]}[… {len(value) - 2 * half} characters cut …]{value[-half:]}"
    if isinstance(value, dict):
        return {str(name): cut(part, longest) for name, part in value.items()}
    if isinstance(value, list):
        return [cut(part, longest) for part in value]
    return value


class StepResult(Record):
    """One step of the pipeline."""

    name: str
    status: Literal["passed", "failed", "not_applicable"]
    exit_code: int
    output: str
    duration_seconds: float
    tests: dict[str, str] = Field(default_factory=dict)
    """Node id -> `passed`, `failed` or `skipped`, where the step ran pytest."""
    timed_out: bool = False
    command: str = ""
    """What was run."""


class PipelineResult(SealedRecord):
    """pipeline.json: the pipeline's steps after the agent (or before it: the baseline)."""

    steps: tuple[StepResult, ...]
    regressions: tuple[str, ...] = ()
    """Steps, and tests as `step: node id`, that passed before the agent and do not now."""
    existing_failures: tuple[str, ...] = ()
    """What failed before the agent, and still does."""
    improvements: tuple[str, ...] = ()
    """What failed before the agent, and passes now."""
    duration_seconds: float = 0.0
    """All of it, with the copy of the agent's files that it works on."""
    inputs: Inputs = Field(default_factory=dict)

    def findings(self, most: int = 10) -> list[str]:
        """How it differs from the baseline, in lines; `most` names in each."""
        kinds = {
            "regressions": self.regressions,
            "failed before too": self.existing_failures,
            "improvements": self.improvements,
        }
        return [
            f"{kind}: {', '.join(names[:most])}"
            + (f", and {len(names) - most} more" if len(names) > most else "")
            for kind, names in kinds.items()
            if names
        ]


class ItemScore(Record):
    """What one rubric item got."""

    achieved: Number
    max: Number
    reason: str = ""


class ExecutedItems(SealedRecord):
    """judge/executed.json: the rubric items that commands have decided, for all slots alike."""

    items: dict[str, ItemScore]
    duration_seconds: float = 0.0
    inputs: Inputs = Field(default_factory=dict)


CHECKS_BASELINE = "checks_baseline.json"
"""The file of `TriedChecks`, in the results directory."""


class TriedItem(Record):
    """How a command of the rubric ended on the task's untouched files."""

    met: bool
    reason: str
    trouble: str = ""
    """Why it cannot work; empty where it can."""


class TriedChecks(SealedRecord):
    """checks_baseline.json: the rubric's commands on the task's untouched files."""

    items: dict[str, TriedItem]
    score: float
    """What an agent that does nothing gets for sure: the items that are met."""
    inputs: Inputs = Field(default_factory=dict)

    @property
    def in_trouble(self) -> bool:
        """Some command cannot work."""
        return any(one.trouble for one in self.items.values())

    @property
    def given(self) -> str:
        """What the untouched task scores, in words; nothing where it scores nothing."""
        met = [id for id, one in self.items.items() if one.met]
        what = f"{'item' if len(met) == 1 else 'items'} {', '.join(met)}"
        return f"the untouched task already scores {self.score:.3f}: {what}" if self.score else ""


class CategoryScore(Record):
    """What one rubric category got; N/A items are left out of all sums."""

    achieved: float
    max: float
    score: Number
    """achieved / max, 0 to 1; "N/A" where every item is."""
    items: dict[str, ItemScore]
    na_items: tuple[str, ...] = ()


class Judgment(SealedRecord):
    """judge/judge_NN/judgment.json: one judge slot."""

    score: float | None
    """0 to 1, computed from the items; None where the judgment is not valid."""
    passed: bool | None
    """score >= the rubric's pass threshold."""
    grade: str | None
    reasoning: str
    is_valid: bool = True
    criteria_scores: dict[str, CategoryScore] = Field(default_factory=dict)
    model: str = ""
    by_commands: bool = False
    """It says what the rubric's commands say, and has graded nothing by itself."""
    error: str | None = None
    """Why the judgment is not valid."""
    asked: bool = True
    """False: the slots before it agreed, and a sequential panel asks no more of them."""
    fallback: bool = False
    """The slot's own judge gave no valid judgment; this is its fallback's, and not valid either."""
    fallback_reason: str | None = None
    """Why the slot's own judge gave none."""
    own_score: float | None = None
    """The judge's own total, 0 to 1, where it gave one; kept as data."""
    own_passed: bool | None = None
    """The judge's own vote, where it gave one; kept as data."""
    token_stats: TokenStats = TokenStats()
    cost_usd: float | None = 0.0
    duration_seconds: float = 0.0
    inputs: Inputs = Field(default_factory=dict)

    @property
    def graded_nothing(self) -> bool:
        """As `by_commands`; records of earlier versions tell it by the judge's name."""
        return self.by_commands or self.model == BY_COMMANDS


BY_COMMANDS = "rubric-checks"
"""The name of the judge that grades nothing by itself."""


class JudgeVote(Record):
    """A judge slot as run_result.json shows it."""

    model: str
    score: float | None
    passed: bool | None
    grade: str | None
    reasoning: str
    judge_number: int
    is_valid: bool = True
    fallback: bool = False
    asked: bool = True
    by_commands: bool = False
    error: str | None = None
    own_score: float | None = None
    own_passed: bool | None = None
    cost_usd: float | None = None
    """USD; None where it is not known."""
    criteria_scores: dict[str, CategoryScore] = Field(default_factory=dict)

    @property
    def graded_nothing(self) -> bool:
        """As that of the judgment."""
        return self.by_commands or self.model == BY_COMMANDS


TOLERANCE = 0.01
"""How far an agent's own figure of its cost may be from the price list's before reports say so."""


class RunResult(SealedRecord):
    """run_result.json: written last; its presence means that the run has a verdict."""

    run_number: int
    exit_code: int
    token_stats: TokenStats
    tokens_input: int
    tokens_output: int
    cost_usd: float | None
    """USD of agent and judges; None where a part is not known."""
    agent_cost_usd: float | None = None
    """USD of the agent alone."""
    agent_list_cost_usd: float | None = None
    """USD of the agent alone, by the price list."""
    duration_seconds: float
    agent_duration_seconds: float
    judge_duration_seconds: float
    judge_score: float
    judge_passed: bool
    judge_grade: str
    judge_reasoning: str
    judges: tuple[JudgeVote, ...]
    workspace_path: str
    logs_path: str
    command_log_path: str
    criteria_scores: dict[str, CategoryScore] = Field(default_factory=dict)
    timed_out: bool = False
    pass_threshold: float | None = None
    tampering: tuple[str, ...] = ()
    inputs: dict[str, Inputs] = Field(default_factory=dict)
    """Of every stage that the verdict rests on."""

    @property
    def list_difference(self) -> float | None:
        """By what part of the agent's own figure the price list says more or less, where that is
        over 1 %; None: it is not, or one of the two is not known."""
        own, listed = self.agent_cost_usd, self.agent_list_cost_usd
        if not own or listed is None or abs(listed / own - 1) <= TOLERANCE:
            return None
        return listed / own - 1


class AgentEnd(SealedRecord):
    """agent/ended.json: how an agent ended; there until what it left is stored."""

    exit_code: int
    duration_seconds: float
    timed_out: bool
    disk_limit: bool = False
    """It was ended because it had filled its share of the disk."""
    silence_seconds: float
    version: str
    """Of the agent's program."""
    own_files: tuple[str, ...]
    """What is in agent/ by our own doing."""
    beside: tuple[str, ...] = ()
    """What was in the run's directory before the agent came: files of a user's, say."""
    replaced: tuple[str, ...] = ()
    """Directories of the run that the agent put links in the place of."""
    inputs: Inputs


class RunFailure(Record):
    """error.json: why a run has no verdict."""

    kind: str
    message: str
    stage: str
    at: str


class ConfigManifest(Record):
    """config_manifest.json: what a subtest puts into its workspaces."""

    tier_id: str
    subtest_id: str
    fixture_config_path: str
    resources: dict[str, Any]
    composed_at: str
    claude_md_hash: str | None
    inherited_from: dict[str, str] | None
    """Tier -> the subtest whose resources were taken."""
    system_prompt_mode: str = "custom"
    agent_teams: bool = False
    files: dict[str, str] = Field(default_factory=dict)
    """Path in the workspace -> digest of the content."""
    not_taken: tuple[str, ...] = ()
    """What of the resources the agent cannot take, in words."""
    digest: str = ""
