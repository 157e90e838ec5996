"""Judges: what an adapter must offer. A judge grades items; the program computes the score.

An adapter is a class made from its options in experiment.yaml, registered by the hook
`pytest_scylla_judges`. One entry of `judges:` is one slot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..errors import RunError
from ..experiment import Task
from ..judge_answer import JudgeAnswer, asked_items, read_answer
from ..judge_prompt import Exhibits, Prompt, Template
from ..prices import PriceList
from ..providers import Turn, no_turn
from ..results import AgentResult, ItemScore, PipelineResult, TokenStats
from ..rubric import Rubric
from ..store import write_text

NO_TOKENS = TokenStats()

MOST_EVIDENCE = 400_000
"""Characters of a run's evidence in a prompt, unless an adapter's option says otherwise."""


@dataclass(frozen=True)
class Evidence:
    """What a judge may look at."""

    task: Task
    answer: str
    """What the agent said at the end."""
    patch: str
    """What the agent changed, as a git patch."""
    agent: AgentResult
    pipeline: PipelineResult
    baseline: PipelineResult
    left: Callable[[], tuple[Path | None, str]]
    """Where `copy` is, or why there is none; it is made when this is first called."""
    slot: Path
    """The judge slot's directory, for logs."""
    template: Template
    """What all runs' prompts share, and where the evidence goes."""
    experiment: Path
    """The directory of experiment.yaml."""
    executed: Mapping[str, ItemScore]
    """The items that commands have decided; they win over what a judge says of them."""
    prices: PriceList
    saved: str | None = None
    """The prompt that a judge of this run was asked before, as it was saved; used without files."""

    @property
    def files(self) -> Path | None:
        """`copy`, or None where the workspace is gone and cannot be made again."""
        return self.left()[0]

    @property
    def copy(self) -> Path:
        """A copy of the workspace, for this judge alone; it may be changed.

        Raises RunError where the workspace is gone and cannot be made again.
        """
        files, lost = self.left()
        if files is None:
            raise RunError.of("workspace", f"this judge needs the workspace: {_first(lost)}")
        return files

    def cost_usd(self, model: str, tokens: TokenStats) -> float | None:
        """What one request to a model costs, by the price list; None where it has no price."""
        return self.prices.cost_usd(model, tokens) if self.prices.known(model) else None

    turn: Turn = no_turn
    """A place among all who ask a model's provider."""
    max_wait: float = 60.0
    """Seconds that a judge waits for a provider that takes no requests, in all."""

    def prompt(self, most: int = MOST_EVIDENCE) -> Prompt:
        """The prompt with the evidence in it (`most` characters of it), saved as prompt.md.

        Without files it is the prompt that was saved before, or made of answer and patch alone.
        Raises RunError where there is neither.
        """
        if self.saved is not None and self.files is None:
            return self._saved(self.template.again(self.saved))
        return self._saved(self.template.inline(self._exhibits(), most))

    def prompt_by_paths(self, place: Path) -> Prompt:
        """The prompt with paths of the workspace's copy and of files written to `place`, saved as
        prompt.md."""
        return self._saved(self.template.by_paths(self._exhibits(), place))

    def _exhibits(self) -> Exhibits:
        files, lost = self.left()
        if files is None and not self.patch:
            raise RunError.of("workspace", f"nothing is left to be judged: {_first(lost)}")
        return Exhibits(self.answer, self.patch, files, self.pipeline, self.baseline)

    def _saved(self, prompt: Prompt) -> Prompt:
        write_text(self.slot / "prompt.md", prompt.text)
        return prompt


def _first(text: str) -> str:
    return text.partition("\n")[0]


@dataclass(frozen=True)
class Grading:
    """A judge's answer: a score for each rubric item, and why."""

    items: Mapping[str, ItemScore]
    reasoning: str
    response: str
    """The raw answer, kept as response.txt."""
    model: str
    tokens: TokenStats = field(default_factory=TokenStats)
    cost_usd: float | None = 0.0
    """USD; None where it is not known."""
    passed: bool | None = None
    """The judge's own vote, where it gave one; kept as data: the threshold decides."""
    own_score: float | None = None
    """The judge's own total, 0 to 1; kept as data."""


class NotGraded(RunError):
    """A judge gave no valid answer; what it said and what that cost is kept all the same."""

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        response: str = "",
        log: str = "",
        tokens: TokenStats = NO_TOKENS,
        cost_usd: float | None = 0.0,
    ) -> None:
        super().__init__(kind, message)
        self.response = response
        """The raw answers, for response.txt."""
        self.log = log
        """What was wrong in every round, for error.log."""
        self.tokens, self.cost_usd = tokens, cost_usd


class Judge(Protocol):
    """A judge adapter with its options.

    An adapter that asks by `evidence.prompt` also has `prompted = True`: its judgments become
    stale with the prompt's template and the task's text. One that knows its cost by itself has
    `tells_cost = True`: its model needs no price. One that grades by the rubric's commands alone
    has `by_commands = True`. One whose options name files has `depends_on(at)`, digests of these.
    """

    @property
    def model(self) -> str:
        """The name that reports show for this judge."""

    @property
    def paid(self) -> bool:
        """Whether a judgment costs money."""

    def identity(self) -> Mapping[str, Any]:
        """What distinguishes this judge from another; its digest goes into results."""

    def unready(self) -> str | None:
        """Why this judge cannot be used here: the runs are skipped with it."""

    def grade(self, evidence: Evidence) -> Grading:
        """Grade every item. Raises RunError or ValueError: the slot is then not valid."""


def idle(judge: Judge, rubric: Rubric) -> str | None:
    """Why there is nothing in a rubric that a judge can grade; None where there is."""
    items, asked = rubric.items(), asked_items(rubric)
    if getattr(judge, "prompted", False) and not asked:
        return (
            "every item of the rubric is decided by a command: there is nothing to ask a model\n"
            "  next: use rubric-checks alone, or add items without `run:`"
        )
    if getattr(judge, "by_commands", False) and len(asked) == len(items):
        return (
            f"{judge.model}: no item of the rubric has a `run:` command\n"
            "  next: add `run:` to items of the rubric, or use a judge with a model"
        )
    return None


# -- a conversation with a model -------------------------------------------------------------------


class BadAnswer(ValueError):
    """A model answered, but not what was asked for: the message says what is wrong with `text`.

    It is asked once more, in the same conversation.
    """

    def __init__(self, problem: str, text: str = "") -> None:
        super().__init__(problem)
        self.text = text


@dataclass
class Account:
    """What a conversation has used so far: all attempts and rounds of it."""

    tokens: TokenStats = field(default_factory=TokenStats)
    cost_usd: float | None = 0.0
    """USD; None once any part of it is not known."""

    def add(self, tokens: TokenStats, cost_usd: float | None) -> None:
        """Count one request."""
        self.tokens += tokens
        known = self.cost_usd is not None and cost_usd is not None
        self.cost_usd = (self.cost_usd or 0.0) + (cost_usd or 0.0) if known else None


Ask = Callable[[str | None, Account], str]
"""Say something to a model and return its text: None begins with the prompt, a text goes on in the
same conversation. Counts what it uses. Raises BadAnswer for an answer that is none, and RunError
where there is no use in asking again."""


def converse(evidence: Evidence, model: str, ask: Ask, structured: bool = False) -> Grading:
    """A grading from a model: one question and, where the answer is bad, one repair round that
    says what was wrong. `structured`: the provider holds the model to the answer's schema.

    Raises NotGraded where there is no valid answer then.
    """
    account, rounds = Account(), _Rounds(evidence.slot)
    for _ in range(2):
        try:
            rounds.add(ask(_complaint(rounds.last.problem) if rounds.all else None, account))
        except BadAnswer as error:
            rounds.add(error.text, str(error))
            continue
        except RunError as error:
            rounds.add("", str(error))
            raise rounds.failure(error.kind, str(error), account) from None
        try:
            written = (evidence.answer, evidence.patch)
            answer = read_answer(rounds.last.text, evidence.task.rubric, written, structured)
        except ValueError as error:
            rounds.last.problem = str(error)
        else:
            return _grading(evidence, answer, rounds.response, model, account)
    said = f"no valid answer, asked twice: {rounds.last.problem}"
    raise rounds.failure(
        "bad_answer", f"{said}\n  next: read error.log in {evidence.slot}", account
    )


def _complaint(problem: str) -> str:
    return (
        "That answer cannot be used:\n\n"
        + "".join(f"- {line}\n" for line in problem.splitlines())
        + "\nNothing else has changed: the rubric, the evidence and the form of the answer are as "
        "they were. Answer again, whole, with one JSON object and nothing else."
    )


def _grading(
    evidence: Evidence, answer: JudgeAnswer, response: str, model: str, account: Account
) -> Grading:
    executed = ItemScore(achieved="N/A", max="N/A", reason="a command decides this item")
    items = {item.id: executed for item in evidence.task.rubric.items()}
    return Grading(
        items={**items, **answer.items},
        reasoning=answer.reasoning,
        response=response,
        model=model,
        tokens=account.tokens,
        cost_usd=account.cost_usd,
        passed=answer.passed,
        own_score=answer.score,
    )


@dataclass
class _Round:
    text: str
    problem: str = ""


class _Rounds:
    """What a model said; kept in the slot as it comes, for it was paid for."""

    def __init__(self, slot: Path) -> None:
        self.slot = slot
        self.all: list[_Round] = []

    @property
    def last(self) -> _Round:
        return self.all[-1]

    def add(self, text: str, problem: str = "") -> None:
        self.all.append(_Round(text, problem))
        write_text(self.slot / "response.txt", self.response, sync=True)

    @property
    def response(self) -> str:
        """The raw text; that of several rounds with a line before each."""
        if len(self.all) == 1:
            return self.last.text
        return "\n".join(f"--- round {n} ---\n{r.text}" for n, r in enumerate(self.all, 1))

    def failure(self, kind: str, message: str, account: Account) -> NotGraded:
        parts = [
            f"--- round {number}: what was wrong ---\n{one.problem}\n"
            f"--- round {number}: the answer, raw ---\n{one.text or '(nothing)'}"
            for number, one in enumerate(self.all, 1)
        ]
        return NotGraded(
            kind,
            message,
            response=self.response,
            log="\n".join(parts),
            tokens=account.tokens,
            cost_usd=account.cost_usd,
        )
