"""What the user writes: experiment.yaml and the task it names, as frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from .errors import InputError
from .reading import read_bytes
from .rubric import Rubric, load_rubric
from .yamlfile import Shared, Strict, accept_unknown, parse, read_mapping

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""What may name an experiment, a tier or a subtest: it becomes a directory and a node id."""


RESERVED = ("config", "completed", "in_progress", "judge", "agent")
"""What may not name an agent: other directories of results have these names."""


class AdapterConfig(Strict):
    """An agent or judge: which adapter, and the adapter's own options beside it."""

    model_config = ConfigDict(extra="allow")

    adapter: str
    """Name of the adapter: a built-in one, or one that a plugin or conftest.py registers."""

    @property
    def options(self) -> dict[str, Any]:
        """The adapter's own options; the adapter checks them."""
        return dict(self.model_extra or {})


class JudgeConfig(AdapterConfig):
    """A judge slot: which adapter, the adapter's own options, and who steps in for it."""

    fallback: AdapterConfig | None = None
    """The judge that is asked where this one gives no valid judgment. Its judgment is kept and
    marked, so that the slot is not asked again by itself; it counts with `count_fallback` alone."""


class AgentConfig(AdapterConfig):
    """One of several agents that an experiment compares."""

    name: str | None = Field(default=None, pattern=NAME)
    """Names its directory and its nodes; default: the adapter."""


class WorkspaceConfig(Strict):
    """How workspaces are made and kept."""

    scope: Literal["run", "subtest"] = "run"
    """`run`: a git worktree for every run. `subtest`: one, reset between the subtest's runs."""
    retention: Literal["all", "failed", "none"] = "all"
    """Which workspaces stay after the verdict (the patch always stays)."""


class IsolationConfig(Strict):
    """What keeps an agent in its place."""

    kind: Literal["none", "bubblewrap", "container"] = "none"
    """`none`: the agent may do whatever the user may. `bubblewrap`: namespaces of its own, with the
    workspace to write and the system to read. `container`: the same places in a container."""
    network: str = "on"
    """`on`, `off`, `provider` (the address of the model's API and no other), or the URL of that
    address."""
    disk_mb: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Megabytes that the agent may store in workspace and HOME; over that it is ended, and judged
    on what it left."""
    read: tuple[str, ...] = ()
    """Further files or directories that the agent may read, relative to experiment.yaml."""
    image: str | None = None
    """Image of the container; it holds what the agent needs, and is never downloaded."""
    engine: Literal["podman", "docker"] | None = None
    """The program that runs the container; default: the one that is there."""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @field_validator("network", mode="before")
    @classmethod
    def _on_or_off(cls, value: Any) -> Any:
        value = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
        if value not in ("on", "off", "provider") and "://" not in str(value):
            raise ValueError("expected on, off, provider, or a URL")
        return value

    @model_validator(mode="after")
    def _container(self) -> IsolationConfig:
        if self.kind == "container" and not self.image:
            raise ValueError("a container needs an `image`")
        if self.kind == "container" and self.network not in ("on", "off"):
            raise ValueError("the network of a container is `on` or `off`")
        return self

    @property
    def disk_bytes(self) -> int | None:
        """What the agent may store."""
        return None if self.disk_mb is None else int(self.disk_mb * 1_000_000)


class StepConfig(Strict):
    """One step of the pipeline that runs before any agent and after each."""

    name: str = Field(pattern=NAME)
    """Names the step in reports."""
    run: str = Field(min_length=1)
    """Shell command; exit status 0 = passed."""
    needs: tuple[str, ...] = ()
    """Programs without which the step is not applicable; default: the first word of `run`."""
    when: str | None = Field(default=None, min_length=1)
    """Shell command; unless its exit status is 0, the step is not applicable."""
    timeout: float = Field(default=300.0, gt=0, allow_inf_nan=False)
    """Seconds."""


class Rates(Strict):
    """USD per million tokens."""

    input: float = Field(ge=0, allow_inf_nan=False)
    """Of the prompt, what is in neither cache."""
    output: float = Field(ge=0, allow_inf_nan=False)
    """Of the answer, with what the model thought."""
    cache_read: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Default: as input."""
    cache_write: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Into the cache, for five minutes. Default: as input."""
    cache_write_1h: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Into the cache, for an hour. Default: as cache_write."""


class PriceStep(Rates):
    """Other rates for long prompts: for all tokens of such a request."""

    above: int = Field(gt=0)
    """Tokens of the prompt; a request with more costs this."""


class Price(Rates):
    """What a model costs: USD per million tokens."""

    aliases: tuple[str, ...] = ()
    """Other names of the model. Days (`-20251001`), providers (`anthropic/`) and windows (`[1m]`)
    in a name need none."""
    steps: tuple[PriceStep, ...] = ()
    """Other rates for long prompts."""


class Sequential(Strict):
    """Two judges are asked first, and the others only where these two do not agree."""

    margin: float = Field(default=0.2, ge=0, le=1)
    """Two scores that lie further apart than this do not agree."""


Rule = Literal["mean", "median", "majority", "min"]
"""How the slots' scores become one."""

COMMANDS = "commands"
"""The input of a verdict that says whether slots which only repeat commands have a vote."""

Totals = Literal["computed", "own"]
"""Whose sum is a slot's score: the program's or the judge's."""


class PanelRules(Strict):
    """How the judge slots come to one verdict: the keys of experiment.yaml that decide it."""

    slots: int
    """Judges of the experiment."""
    consensus: Rule = "mean"
    scores: Totals = "computed"
    quorum: int | None = None
    sequential: bool | Sequential = False
    count_fallback: bool = False
    mixed: bool = False
    """Some slots only take over what the rubric's commands decided, others grade the rest: the
    first have no vote, or what commands decide would count twice."""

    @classmethod
    def of(cls, settings: Mapping[str, Any], slots: int) -> PanelRules:
        """From the settings of an experiment, as config/experiment.json keeps them."""
        known = {name: settings[name] for name in cls.model_fields if name in settings}
        return cls.model_validate({**known, "slots": slots})

    @property
    def margin(self) -> float | None:
        """The margin of a sequential panel; None where all slots are asked at once."""
        if isinstance(self.sequential, Sequential):
            return self.sequential.margin
        return Sequential().margin if self.sequential else None

    def needed(self, asked: int) -> int:
        """How many of `asked` slots must have valid judgments for a verdict."""
        return self.quorum or asked // 2 + 1

    @property
    def inputs(self) -> dict[str, str]:
        """What the verdict is made from, beside the judgments."""
        return {
            "consensus": self.consensus,
            "scores": self.scores,
            "quorum": str(self.needed(self.slots)),
            "sequential": "no" if self.margin is None else f"margin {self.margin:g}",
            "fallback": "counted" if self.count_fallback else "left out",
            **({COMMANDS: "no vote"} if self.mixed else {}),
        }


class ExperimentFile(Strict):
    """The keys of experiment.yaml."""

    id: str = Field(pattern=NAME)
    """Names the results directory."""
    description: str = ""
    """What the experiment is for; shown nowhere but here."""
    task: str
    """The task directory (holds test.yaml), relative to this file."""
    tiers: str
    """The tier library (holds tiers.yaml), relative to this file."""
    select: tuple[str, ...] | None = None
    """Tier ids to run; default: the tiers that the task's test.yaml lists."""
    runs: int = Field(default=10, ge=1, le=999)
    """Runs per subtest."""
    agent: AdapterConfig
    """The agent adapter and its options."""
    agents: tuple[AgentConfig, ...] = ()
    """In place of `agent`: several, each with all runs, in a directory of its own."""
    judges: tuple[JudgeConfig, ...] = Field(min_length=1)
    """One judge slot each."""
    count_fallback: bool = False
    """Whether a fallback's judgment counts towards the quorum and the score."""
    judge_prompt: str | None = None
    """The template of the judges' prompt, relative to this file; default: judge_prompt.md beside
    this file, else the built-in one."""
    quorum: int | None = Field(default=None, ge=1)
    """Valid judgments that a verdict needs; default: a strict majority of the slots asked."""
    consensus: Rule = "mean"
    """How the slots' scores become the verdict's: their mean, their median, the highest that a
    strict majority of them reaches, or the lowest."""
    scores: Totals = "computed"
    """A slot's score: computed from its items, or the judge's own total where it gives one."""
    sequential: bool | Sequential = False
    """Ask two judges first, and the others only where these do not agree: `true`, or a mapping."""
    budget_usd: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """What one session may spend on this experiment, in USD; the rest stays for the next one."""
    prices: dict[str, Price] = Field(default_factory=dict)
    """Model -> its price, for models that the price list lacks or has otherwise."""
    workspace: WorkspaceConfig = WorkspaceConfig()
    """How workspaces are made and kept."""
    isolation: IsolationConfig = IsolationConfig()
    """What keeps the agent in its place; a word stands for `kind`."""
    pipeline: str | tuple[StepConfig, ...] = ()
    """What runs before any agent and after each: the steps of a language (`python`, or one of the
    hook `pytest_scylla_pipeline`; `auto`: the task's language), or a list of steps."""
    protected: tuple[str, ...] | None = None
    """Patterns of the task's own files: commands and judges get them as the task has them, however
    an agent edited or deleted them. Default: tests (`**/test_*.py`, `**/*_test.py`, `test/**`,
    `tests/**`), for the pipeline's step `test` alone."""

    @model_validator(mode="before")
    @classmethod
    def _one_or_several(cls, values: Any) -> Any:
        """`agent` or `agents`; of several, `agent` is the first until they are told apart."""
        if not isinstance(values, dict) or not values.get("agents"):
            return values
        if "agent" in values:
            raise ValueError("there is both `agent` and `agents`: keep one of them")
        several = values["agents"]
        return {**values, "agent": several[0]} if isinstance(several, (list, tuple)) else values

    @field_validator("runs", "quorum", mode="before")
    @classmethod
    def _no_bool(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("expected a number")
        return value

    @field_validator("pipeline")
    @classmethod
    def _names_of_their_own(cls, value: str | tuple[StepConfig, ...]) -> Any:
        """Results are kept, and compared with the baseline, by the steps' names."""
        names = [] if isinstance(value, str) else [step.name for step in value]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two steps have the name {twice!r}")
        return value


class Source(Shared):
    """Where the task's code comes from."""

    repo: str
    """URL, path of a git repository, a git bundle, or a plain directory of files."""
    hash: str | None = None
    """The commit to start from; default: the tip of `branch`, or HEAD."""
    branch: str | None = None


class _Prompt(Shared):
    prompt_file: str = "prompt.md"
    timeout_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class _Validation(Shared):
    criteria_file: str | None = None
    rubric_file: str = "expected/rubric.yaml"


class _TaskFile(Shared):
    id: str
    name: str = ""
    description: str = ""
    language: str = "python"
    source: Source
    task: _Prompt = _Prompt()
    validation: _Validation = _Validation()
    tiers: tuple[str, ...] = ()


class _TaskLimits(Shared):
    timeout_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_cost_usd: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Task(Shared):
    """A task directory, read whole."""

    id: str
    name: str
    description: str
    language: str
    directory: Path
    source: Source
    prompt: str
    criteria: str
    rubric: Rubric
    rubric_file: Path
    timeout: float | None
    """Seconds an agent may take, where the experiment does not say."""
    max_cost_usd: float | None
    tiers: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class Experiment(Shared):
    """An experiment with its task; paths are absolute."""

    path: Path
    """The experiment.yaml."""
    settings: ExperimentFile
    task: Task
    library: Path
    """The tier library's directory."""
    judge_prompt: Path | None = None
    """The experiment's own template of the judges' prompt."""

    agent_name: str = ""
    """Which of its several agents this is; empty where it has one."""

    @property
    def id(self) -> str:
        """The experiment's name."""
        return self.settings.id

    @property
    def title(self) -> str:
        """The experiment's name, and that of the agent where it has several."""
        return f"{self.id}/{self.agent_name}" if self.agent_name else self.id

    @property
    def variants(self) -> tuple[Experiment, ...]:
        """The experiment with each of its agents alone; just itself where it has one."""
        settings = self.settings
        return tuple(
            self.model_copy(
                update={
                    "settings": settings.model_copy(update={"agent": agent, "agents": ()}),
                    "agent_name": agent.name or agent.adapter,
                }
            )
            for agent in settings.agents
        ) or (self,)

    @property
    def directory(self) -> Path:
        """The directory that holds experiment.yaml."""
        return self.path.parent

    @property
    def panel(self) -> PanelRules:
        """How the judges come to one verdict."""
        settings = self.settings
        return PanelRules.of(dict(settings), len(settings.judges))


def load_experiment(path: Path) -> Experiment:
    """Read experiment.yaml and the task that it names.

    Raises InputError with file, key and next step.
    """
    settings = parse(path, ExperimentFile, read_mapping(path))
    _check_panel(path, settings)
    _check_agents(path, settings)
    task_directory = _directory(path, "task", settings.task, "test.yaml")
    library = _directory(path, "tiers", settings.tiers, "tiers.yaml")
    for place in settings.isolation.read:
        if not (path.parent / place).exists():
            step = "create it or correct the path"
            raise InputError(path, "isolation.read", f"there is no {path.parent / place}", step)
    return Experiment(
        path=path,
        settings=settings,
        task=load_task(task_directory),
        library=library,
        judge_prompt=_judge_prompt(path, settings),
    )


def _judge_prompt(path: Path, settings: ExperimentFile) -> Path | None:
    if settings.judge_prompt is not None:
        return _named(path, "judge_prompt", settings.judge_prompt)
    beside = path.parent / "judge_prompt.md"
    return beside if beside.is_file() else None


def _check_panel(path: Path, settings: ExperimentFile) -> None:
    slots, quorum = len(settings.judges), settings.quorum or 1
    if quorum > slots:
        problem = f"{quorum} of {slots} judge slots can never agree"
        raise InputError(path, "quorum", problem, "lower the quorum or add judges")
    if settings.sequential and slots < 3:
        problem = f"asks two judges first and has only {slots}"
        raise InputError(path, "sequential", problem, "add judges or leave it out")
    if settings.sequential and quorum > 2:
        problem = f"{quorum} are needed, and a sequential panel ends with two that agree"
        raise InputError(path, "quorum", problem, "lower the quorum or leave out `sequential`")


def _check_agents(path: Path, settings: ExperimentFile) -> None:
    """Every agent needs a directory of its own."""
    names = [agent.name or agent.adapter for agent in settings.agents]
    for number, name in enumerate(names):
        if name in names[:number]:
            problem = f"there are two agents {name!r}"
        elif name in RESERVED:
            problem = f"{name!r} is the name of another directory"
        else:
            continue
        raise InputError(path, f"agents.{number}", problem, "give it another `name`")


def _directory(path: Path, key: str, value: str, file: str) -> Path:
    directory = (path.parent / value).resolve()
    if not (directory / file).is_file():
        raise InputError(path, key, f"{directory} holds no {file}", f"name a directory with {file}")
    return directory


def load_task(directory: Path) -> Task:
    """Read a task directory: test.yaml, config.yaml, prompt, criteria and rubric.

    Raises InputError with file, key and next step.
    """
    path = directory / "test.yaml"
    raw = read_mapping(path)
    file = parse(path, _TaskFile, raw)
    warnings = accept_unknown(path, _TaskFile, raw)
    limits, unknown = _limits(directory / "config.yaml")
    rubric_file = _named(path, "validation.rubric_file", file.validation.rubric_file)
    rubric = load_rubric(rubric_file)
    criteria_file = file.validation.criteria_file
    criteria = _text(path, "validation.criteria_file", criteria_file) if criteria_file else ""
    return Task(
        id=file.id,
        name=file.name or file.id,
        description=file.description,
        language=file.language,
        directory=directory,
        source=file.source,
        prompt=_prompt(path, file.task.prompt_file),
        criteria=criteria,
        rubric=rubric,
        rubric_file=rubric_file,
        timeout=limits.timeout_seconds or file.task.timeout_seconds,
        max_cost_usd=limits.max_cost_usd,
        tiers=file.tiers,
        warnings=(*warnings, *unknown, *rubric.warnings),
    )


def _limits(path: Path) -> tuple[_TaskLimits, list[str]]:
    """A task's config.yaml, which may be missing, and warnings."""
    if not path.is_file():
        return _TaskLimits(), []
    raw = read_mapping(path)
    warnings = accept_unknown(path, _TaskLimits, raw)
    return parse(path, _TaskLimits, raw), warnings


def _named(path: Path, key: str, name: str) -> Path:
    named = path.parent / name
    if not named.is_file():
        raise InputError(path, key, f"no such file: {named}", "create it or correct the name")
    return named


def _prompt(path: Path, name: str) -> str:
    prompt = _text(path, "task.prompt_file", name)
    if not prompt.strip():
        step = "write what the agent is to do"
        raise InputError(path, "task.prompt_file", f"{path.parent / name} is empty", step)
    return prompt


def _text(path: Path, key: str, name: str) -> str:
    named = _named(path, key, name)
    try:
        return read_bytes(named).decode()
    except UnicodeDecodeError:
        raise InputError(named, "", "not UTF-8 text", "save it as UTF-8") from None
