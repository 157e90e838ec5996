"""An experiment in one session, and its runs: what is asked, and what is already there."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import NotRun, RunError
from .experiment import COMMANDS, Experiment, PanelRules, StepConfig
from .history import History, assumed_cost, executions
from .prices import PriceList, built_in_prices
from .results import (
    FILE,
    VERSION,
    AgentResult,
    AskedInputs,
    Choice,
    ConfigManifest,
    Inputs,
    RunResult,
    SealedRecord,
    changed_inputs,
    changes,
    same_inputs,
)
from .source import Private, directory_digest, private, source_digest
from .store import (
    RunDir,
    digest,
    now,
    own_directory,
    read_json,
    read_model,
    text_of,
    write_json,
    write_text,
)
from .tiers import Library, Parent, Resources, Setup, Subtest, compose, placed, unknown_in
from .tree import ResultsTree

if TYPE_CHECKING:
    from .agents import Agent
    from .judge_prompt import Template
    from .judges import Judge
    from .limits import Budget
    from .providers import Patience, Provider
    from .workspace import Checkout, SetupRepository, Sources

log = logging.getLogger("pytest_scylla")

Sealed = TypeVar("Sealed", bound=SealedRecord)

CLOSE = 0.05
"""Two median scores nearer than this are a tie, which the fewer tokens decide."""


@dataclass(frozen=True)
class Cell:
    """A subtest's runs as far as they have verdicts: what a tier's best is chosen from."""

    tier: str
    subtest: str
    results: tuple[RunResult, ...]

    @property
    def median(self) -> float:
        """Median score."""
        return statistics.median(result.judge_score for result in self.results)

    @property
    def tokens(self) -> int:
        """All tokens of the runs."""
        return sum(result.token_stats.total for result in self.results)


def is_close(first: float, second: float) -> bool:
    """Of two median scores, best first: tokens or the id decide between their subtests."""
    return first - second <= CLOSE + 1e-9


def best_cell(cells: Iterable[Cell]) -> Cell | None:
    """The best subtest of a tier: highest median score; if the first two are within 0.05, the
    one with fewer tokens; then the lower id. None where no subtest has a verdict."""
    ranked = sorted((c for c in cells if c.results), key=lambda c: (-c.median, c.tokens, c.subtest))
    if not ranked:
        return None
    first, *others = ranked
    if others and is_close(first.median, others[0].median):
        return min(first, others[0], key=lambda c: (c.tokens, c.subtest))
    return first


@dataclass(frozen=True)
class Evaluation:
    """One experiment in one session; everything that its runs share."""

    experiment: Experiment
    library: Library
    agent: Agent
    judges: tuple[Judge, ...]
    results: Path
    """results/<timestamp>-<id>/, and below it a directory for each agent where it has several."""
    started_at: float
    """When the session began (seconds since the epoch)."""
    outer_timeout: float | None = None
    """Seconds after which something else (pytest-timeout) ends a test."""
    secret: str = ""
    """Seals the results that this session writes."""
    fallbacks: Mapping[int, Judge] = field(default_factory=dict)
    """Slot number -> the judge that steps in where the slot's own gives no valid judgment."""
    languages: Mapping[str, tuple[StepConfig, ...]] = field(default_factory=dict)
    """Language -> the steps of its pipeline."""
    budgets: tuple[Budget, ...] = ()
    """What the session may spend."""
    owner: int | None = None
    """Process id of the session; None: it stands for itself."""
    preflights: Path | None = None
    """The session's folder of checks made before anything is spent; None: none is made."""
    providers: Path | None = None
    """The session's folder of what is known of providers; None: nobody waits for them."""
    choices: Path | None = None
    """Where the workers of the session tell each other the best subtests; None: there are none."""
    max_wait: float = 0.0
    """Seconds that a run waits for a provider that takes no requests, in all."""
    prices: PriceList = field(default_factory=built_in_prices)
    """What models cost: the built-in list, and what the user says."""
    _setups: dict[tuple[str, str], Setup] = field(default_factory=dict)
    _repositories: dict[str, SetupRepository] = field(default_factory=dict)
    _best: dict[str, str] = field(default_factory=dict)

    @property
    def tiers(self) -> tuple[str, ...]:
        """The ids of the tiers that the experiment compares, in the library's order."""
        return selected_tiers(self.experiment, self.library)

    @property
    def all_judges(self) -> tuple[Judge, ...]:
        """The judges of all slots, and their fallbacks."""
        return (*self.judges, *self.fallbacks.values())

    @contextlib.contextmanager
    def turn(self, endpoint: str | None, patience: Patience) -> Iterator[Provider | None]:
        """A place among those who ask the provider behind a URL; None where it is not known.

        Raises RunError where it takes no requests for longer than there is patience.
        """
        if endpoint is None or self.providers is None:
            yield None
            return
        from .providers import Provider, provider_name

        provider = Provider(self.providers, provider_name(endpoint))
        with provider.turn(patience):
            yield provider

    @cached_property
    def sources(self) -> Sources:
        """The clones of this results root."""
        from .workspace import Sources

        return Sources(self.root)

    @cached_property
    def private(self) -> Private:
        """What no agent may see of the experiment, should it lie within the task's source."""
        return private(self.experiment, self.results, self.root)

    @property
    def root(self) -> Path:
        """The results root, which holds the results directories."""
        several = bool(self.experiment.agent_name)
        return self.results.parent.parent if several else self.results.parent

    @cached_property
    def history(self) -> History:
        """What was executed before, when it is first asked for."""
        return History(executions(self.results), [judge.model for judge in self.judges])

    def model_of(self, stage: str) -> str | None:
        """The model of the agent or of a judge slot (`judge_NN`), as far as it is known."""
        return self.agent.model if stage == "agent" else self.judges[int(stage[6:]) - 1].model

    def assumed_cost(self, stage: str) -> float:
        """USD of a paid stage of which there is no history."""
        limit = self.experiment.task.max_cost_usd
        return assumed_cost(stage, self.model_of(stage), self.prices, limit)

    @cached_property
    def task_inputs(self) -> Inputs:
        """Digests of what is the same for all runs of the experiment."""
        task = self.experiment.task
        source = source_digest(task.source, task.directory, self.private)
        return {
            **({"source": source} if source else {}),
            "prompt": digest(task.prompt),
            "agent": digest(dict(self.agent.identity())),
            **self._isolation_input(),
            **self._version_input(),
            **self.files["agent"],
        }

    @cached_property
    def files(self) -> Mapping[str, Inputs]:
        """Of the agent and each judge (`judge_01`), digests of the files that its options name."""
        return {name: self.files_now(name) for name in self._adapters}

    @cached_property
    def _adapters(self) -> Mapping[str, Agent | Judge]:
        slots = {f"judge_{n:02d}": judge for n, judge in enumerate(self.judges, 1)}
        fallbacks = {f"fallback_{n:02d}": judge for n, judge in self.fallbacks.items()}
        return {"agent": self.agent, **slots, **fallbacks}

    def files_now(self, name: str) -> Inputs:
        """The same of one, asked again: what it writes itself has changed."""
        task, tell = self.experiment.task, getattr(self._adapters[name], "depends_on", None)
        if tell is None:
            return {}
        from .named_files import Surroundings

        folder = self.experiment.directory
        found: Inputs = tell(Surroundings(folder, task.directory, self.library.path, self.root))
        return found

    def unspoilt(self, inputs: Inputs, *names: str) -> Inputs:
        """`inputs` without files that have changed since the session began: written by the agent
        or judge itself, or edited while it worked, they say nothing of what it depends on."""
        now: Inputs = {}
        for name in names:
            now |= self.files_now(name)
        changed = [n for n, v in inputs.items() if n.startswith(FILE) and now.get(n) != v]
        if changed:
            log.warning("changed while it was used, and no longer compared: %s", ", ".join(changed))
        return {name: value for name, value in inputs.items() if name not in changed}

    def _version_input(self) -> Inputs:
        """The version of the agent's program, where the program is there and tells it."""
        try:
            version = self.agent.version()
        except RunError:
            return {}
        return {VERSION: digest(version)} if version else {}

    def _isolation_input(self) -> Inputs:
        """What keeps the agent in its place, where something does: it can do less there."""
        isolation = self.experiment.settings.isolation
        return {} if isolation.kind == "none" else {"isolation": digest(isolation.model_dump())}

    @cached_property
    def steps(self) -> tuple[StepConfig, ...]:
        """The steps of the pipeline."""
        asked = self.experiment.settings.pipeline
        if not isinstance(asked, str):
            return asked
        return self.languages[self.experiment.task.language if asked == "auto" else asked]

    @cached_property
    def judge_inputs(self) -> tuple[Inputs, ...]:
        """For every judge slot, the digests of what it judges by."""
        task = self.experiment.task
        from .pipeline import pipeline_inputs

        steps = pipeline_inputs(self.steps, self.experiment.settings.protected)["steps"]
        return tuple(
            {
                "rubric": digest(task.rubric.source),
                "criteria": digest(task.criteria),
                "judge": digest(dict(judge.identity())),
                "checks": self.checks_digest,
                "pipeline": steps,
                **({"prompt": self.template.digest} if getattr(judge, "prompted", False) else {}),
                **self.files[f"judge_{number:02d}"],
            }
            for number, judge in enumerate(self.judges, 1)
        )

    @cached_property
    def checks_digest(self) -> str:
        """The files that `run:` commands may use: those beside the rubric, and below."""
        return self.checks_now()

    def checks_now(self) -> str:
        """The same, asked again: nothing that an agent or its work can reach may have changed."""
        return directory_digest(self.experiment.task.rubric_file.parent)

    @cached_property
    def template(self) -> Template:
        """The template of the judges' prompt."""
        from .judge_prompt import load_template

        return load_template(self.experiment)

    @cached_property
    def verdict_inputs(self) -> Inputs:
        """What decides a verdict, beside the judgments."""
        return self.panel.inputs

    @cached_property
    def panel(self) -> PanelRules:
        """How the judges come to one verdict."""
        by_commands = [bool(getattr(judge, "by_commands", False)) for judge in self.judges]
        undecided = any(item.run is None for item in self.experiment.task.rubric.items())
        mixed = undecided and len(set(by_commands)) > 1
        return self.experiment.panel.model_copy(update={"mixed": mixed})

    @property
    def stage_inputs(self) -> dict[str, Inputs]:
        """Stage -> its inputs that all runs share."""
        judges = {f"judge_{n:02d}": i for n, i in enumerate(self.judge_inputs, 1)}
        return {"agent": self.task_inputs, **judges, "verdict": self.verdict_inputs}

    @cached_property
    def asked(self) -> AskedInputs:
        """What verdicts must have been made from."""
        places = [(tier, subtest) for tier in self.tiers for subtest in self.subtests(tier)]
        setups = {f"{tier}/{subtest.id}": self._digest_of(subtest) for tier, subtest in places}
        return AskedInputs(stages=self.stage_inputs, setups=setups)

    def _digest_of(self, subtest: Subtest) -> str | None:
        if subtest.inherit_best_from:
            return None
        try:
            return self.setup(subtest).digest
        except RunError:
            return None  # its runs are ERRORs

    def remember_asked(self) -> None:
        """Write config/asked.json, where it says something else: reports tell by it which results
        are stale. A tree of ProjectScylla is left as it is."""
        place = self.results / "config"
        if not self.tree.foreign and read_model(place / "asked.json", AskedInputs) != self.asked:
            own_directory(place)
            write_json(place / "asked.json", self.asked)

    def subtests(self, tier: str) -> Sequence[Subtest]:
        """The subtests of a tier."""
        return self.library.tiers[tier].subtests

    @cached_property
    def tree(self) -> ResultsTree:
        """The results directory."""
        return ResultsTree(self.results)

    def cell(self, tier: str, subtest: str) -> Cell:
        """A subtest with the results that count: of each run its first judged attempt, if that is
        not stale."""
        found = [counted_result(run) for run in self.tree.runs(tier, subtest)]
        name = f"{tier}/{subtest}"
        return Cell(
            tier, subtest, tuple(r for r in found if r and self.asked.accepts(name, r.inputs))
        )

    def best(self, tier: str) -> str | None:
        """The best subtest of a tier, of those that this experiment has.

        Found once in a session: a run asks when its parents are through.
        """
        if tier not in self._best:
            found = self._find_best(tier) if self.choices is None else self._shared_best(tier)
            if found is None:
                return None
            self._best[tier] = found
        return self._best[tier]

    def _find_best(self, tier: str) -> str | None:
        best = best_cell(self.cell(tier, subtest.id) for subtest in self.subtests(tier))
        return best.subtest if best else None

    def _shared_best(self, tier: str) -> str | None:
        """As the worker found it that asked first: it takes reading all results of the tier."""
        assert self.choices is not None
        from filelock import FileLock

        path = self.choices / f"{digest([str(self.results), tier])}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            told = read_model(path, Choice)
            if told is not None and self._is_told(told, tier):
                return told.subtest
            best = self._find_best(tier)
            if best is not None:
                choice = Choice(results=str(self.results), tier=tier, subtest=best)
                write_json(path, sealed(choice, self.secret))
            return best

    def _is_told(self, choice: Choice, tier: str) -> bool:
        """A worker of this session has said so, and no agent."""
        same = (choice.results, choice.tier) == (str(self.results), tier)
        return same and hmac.compare_digest(choice.seal, seal(choice, self.secret))

    def setup(self, subtest: Subtest) -> Setup:
        """What `subtest` puts into a workspace, with what it inherits.

        Raises NotRun where a tier it inherits from has no subtest with a verdict, and RunError
        (kind `setup`) where the library lacks something that it names.
        """
        key = (subtest.tier, subtest.id)
        if key not in self._setups:
            if subtest.unknown:
                step = "\n  next: correct the keys, or take them out: what they ask for is missing"
                raise RunError("setup", unknown_in(subtest) + step)
            setup = compose(self.library, subtest, self._parents(subtest))
            if setup.missing:
                raise RunError(
                    "setup",
                    f"{subtest.path}: the library {self.library.path} has no "
                    + "; no ".join(setup.missing)
                    + "\n  next: add it to the library, or take it out of the subtest",
                )
            files, lost = self.agent.files(setup), self.agent.not_taken(setup)
            self._setups[key] = placed(setup, files, lost)
        return self._setups[key]

    def _parents(self, subtest: Subtest) -> list[Parent]:
        parents, lacking = [], []
        for tier in subtest.inherit_best_from:
            best = self.best(tier) if tier in self.library.tiers else None
            manifest = best and read_model(
                self.tree.subtest(tier, best) / "config_manifest.json", ConfigManifest
            )
            if best and manifest:
                resources = Resources.model_validate(manifest.resources)
                parents.append(Parent(tier, best, resources))
            else:
                lacking.append(tier)
        if lacking:
            raise NotRun(
                f"no parent to inherit from: no run of {', '.join(lacking)} has a verdict "
                f"(next: run {' and '.join(lacking)} first)"
            )
        return parents

    def repository(self, subtest: Subtest) -> SetupRepository:
        """The repository that the subtest's workspaces start from."""
        setup = self.setup(subtest)
        if setup.digest not in self._repositories:
            task = self.experiment.task
            pin, hidden = self.results.name, self.private
            base = self.sources.base(task.source, task.directory, pin, hidden)
            self._repositories[setup.digest] = self.sources.setup(base, setup)
        return self._repositories[setup.digest]

    def prepare(self) -> None:
        """Write what is the same for every run, where it is missing or has changed; a tree of
        ProjectScylla has its own."""
        if self.tree.foreign:
            return
        task = self.experiment.task
        self.remember_asked()
        write_if_changed(self.results / "prompt.md", task.prompt)
        write_if_changed(self.results / "criteria.md", task.criteria)
        write_if_changed(self.results / "rubric.yaml", text_of(task.rubric_file))
        write_if_changed(self.results / "judge_prompt.md", self.template.text)
        path = self.results / "config" / "experiment.json"
        kept, config = read_json(path) or {}, self.configuration()
        if {**kept, "created_at": None} != {**config, "created_at": None}:
            own_directory(path.parent)
            write_json(path, {**config, "created_at": kept.get("created_at", now())})

    def configuration(self) -> dict[str, object]:
        """The resolved configuration, for config/experiment.json."""
        from . import __version__

        task = self.experiment.task
        return {
            "experiment_id": self.experiment.title,
            "experiment_file": os.path.relpath(self.experiment.path.resolve(), self.root.resolve()),
            "plugin_version": __version__,
            "task_id": task.id,
            "task_repo": task.source.repo,
            "task_commit": task.source.hash,
            "language": task.language,
            "settings": _redacted(self.experiment.settings.model_dump(mode="json")),
            "models": [self.agent.model or self.experiment.settings.agent.adapter],
            "judge_models": [judge.model for judge in self.judges],
            "runs_per_subtest": self.experiment.settings.runs,
            "tiers_to_run": list(self.tiers),
            "timeout_seconds": self.agent.timeout or task.timeout,
            "inputs": self.task_inputs,
            "prices": self._prices_used(),
            "config_hash": digest([self.experiment.settings.model_dump(), self.task_inputs]),
            "created_at": None,
        }

    def _prices_used(self) -> dict[str, object]:
        """The price list's day, and its prices of the models that are known beforehand."""
        models = [self.agent.model, *(judge.model for judge in self.judges)]
        known = {m: self.prices.price(m) for m in models if m and self.prices.known(m)}
        shown = {m: p.model_dump(exclude_defaults=True) for m, p in known.items()}
        return {"dated": str(self.prices.dated), "usd_per_million_tokens": shown}

    def write_manifest(self, subtest: Subtest, setup: Setup) -> None:
        """Write the subtest's config_manifest.json, where it is missing or has changed."""
        path = self.tree.subtest(subtest.tier, subtest.id) / "config_manifest.json"
        kept = read_model(path, ConfigManifest)
        if kept is not None and kept.digest == setup.digest:
            return
        claude_md = setup.files.get("CLAUDE.md") or setup.files.get("AGENTS.md")
        manifest = ConfigManifest(
            tier_id=subtest.tier,
            subtest_id=subtest.id,
            fixture_config_path=os.path.relpath(subtest.path, self.library.path),
            resources=setup.resources.model_dump(mode="json", exclude_none=True),
            composed_at=now(),
            claude_md_hash=digest(claude_md[0]) if claude_md else None,
            inherited_from=dict(setup.inherited_from) if setup.inherited_from else None,
            system_prompt_mode=setup.system_prompt_mode,
            agent_teams=setup.agent_teams,
            files={name: digest(data) for name, (data, _) in sorted(setup.files.items())},
            not_taken=setup.not_taken,
            digest=setup.digest,
        )
        write_json(path, manifest)


def _redacted(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings without the secrets that an adapter's `env` may hold."""
    from .processes import secrets

    judges = settings["judges"]
    fallbacks = [judge["fallback"] for judge in judges if judge.get("fallback")]
    for adapter in (settings["agent"], *judges, *fallbacks):
        env = adapter.get("env")
        if isinstance(env, dict):
            hidden = secrets({name: str(value) for name, value in env.items()})
            adapter["env"] = {**env, **{name: f"[{name}]" for name in hidden}}
    return settings


def write_if_changed(path: Path, text: str) -> None:
    """Write a derived text file, unless it already says just that."""
    if not path.is_file() or text_of(path) != text:
        write_text(path, text)


def selected_tiers(experiment: Experiment, library: Library) -> tuple[str, ...]:
    """The tiers that an experiment compares, in the library's order."""
    wanted = experiment.settings.select
    if wanted is None:
        wanted = experiment.task.tiers or tuple(library.tiers)
    return tuple(tier for tier in library.tiers if tier in wanted)


def left_out(experiment: Experiment, library: Library) -> list[str]:
    """Warnings: tiers that are asked for and have no subtest, items that no judge grades."""
    settings, task = experiment.settings, experiment.task
    place, wanted = f"{library.path}/tiers.yaml: tiers", tuple(library.tiers)
    if settings.select is not None:
        place, wanted = f"{experiment.path}: select", settings.select
    elif task.tiers:
        place, wanted = f"{task.directory}/test.yaml: tiers", task.tiers
    warnings = [
        f"{place}: {tier} is left out: there is no subtest in {library.path}/subtests/"
        f"{tier.lower()}/ (next: add one, or take the tier out)"
        for tier in wanted
        if tier not in library.tiers or not library.tiers[tier].subtests
    ]
    judges = [*settings.judges, *(judge.fallback for judge in settings.judges if judge.fallback)]
    undecided = [item.id for item in task.rubric.items() if item.run is None]
    if undecided and all(judge.adapter == "rubric-checks" for judge in judges):
        warnings.append(
            f"{task.rubric_file}: no judge grades {', '.join(undecided)}: without `run:` they are "
            "left out of every score (next: add `run:`, or a judge with a model)"
        )
    return warnings


def counted_result(run: RunDir) -> RunResult | None:
    """The result of a run that statistics count: its first judged attempt.

    A second chance is a biased sample. An earlier attempt counts only where it was made from the
    same inputs as the newest one: an attempt from before an edit is another sample altogether.
    """
    newest = read_model(f"{run.path}/run_result.json", RunResult)
    for number in run.attempt_numbers():
        earlier = read_model(run.attempts / f"attempt_{number:02d}" / "run_result.json", RunResult)
        if earlier and (newest is None or _asked_alike(earlier, newest)):
            return earlier
    return newest


def latest_result(run: RunDir) -> RunResult | None:
    """The result of the latest attempt of a run that was judged."""
    newest = read_model(run.run_result, RunResult)
    attempts = (run.attempts / f"attempt_{n:02d}" for n in reversed(run.attempt_numbers()))
    earlier = (read_model(place / "run_result.json", RunResult) for place in attempts)
    return newest or next((result for result in earlier if result), None)


def _asked_alike(one: RunResult, other: RunResult) -> bool:
    """Whether two results of a run were made from the same."""
    first, second = _asked(one), _asked(other)
    same = first.keys() == second.keys()
    return same and all(same_inputs(first[stage], second[stage]) for stage in first)


def _asked(result: RunResult) -> dict[str, Inputs]:
    """What a result was made from, less what the agent did with it."""
    return {
        stage: {
            name: value for name, value in inputs.items() if stage == "agent" or name != "agent"
        }
        for stage, inputs in result.inputs.items()
    }


def seal(record: SealedRecord, secret: str) -> str:
    """A message authentication code (HMAC-SHA-256) of a record."""
    content = record.model_dump_json(exclude={"seal"}).encode()
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


def sealed(record: Sealed, secret: str) -> Sealed:
    """A record with the seal of the session that has this secret."""
    return record.model_copy(update={"seal": seal(record, secret)})


def set_forgeries_aside(results: Path, since: float, secret: str) -> list[Path]:
    """Move verdicts that appeared after `since` (seconds since the epoch) and do not bear the
    session's seal to `tampering/` beside them, so that no later session believes them.

    Returns where they were.
    """
    found = []
    for _, _, run in ResultsTree(results).all_runs():
        if not _is_newer(f"{run.path}/run_result.json", since):
            continue
        path = run.run_result
        record = read_model(path, RunResult)
        if record is None or not hmac.compare_digest(record.seal, seal(record, secret)):
            place = path.parent / "tampering"
            own_directory(place)
            os.replace(path, place / path.name)
            log.warning("%s was not written by this session: set aside", path)
            found.append(path)
    return found


def _is_newer(path: str, since: float) -> bool:
    """There is such a file, and it was made or changed at `since` or later."""
    try:
        return os.stat(path).st_ctime >= since
    except OSError:
        return False


STAGES = ("workspace", "agent", "pipeline", "judge", "report")
"""The stages that `--scylla-from` can name, in their order."""


@dataclass(frozen=True)
class Asked:
    """What the user asked to be done again, of what is already there."""

    again: bool = False
    """A verdict "failed" is not kept: execute again (`--lf`)."""
    since: str | None = None
    """Forget this stage and what follows it (`--scylla-from`)."""
    slots: frozenset[str] = frozenset()
    """Only judge slots with one of these statuses are judged (`--scylla-judge-status`)."""
    until: str | None = None
    """Stop after this stage (`--scylla-until`)."""


@dataclass(frozen=True)
class Run:
    """One execution of the agent with one subtest's set-up: what a test item stands for."""

    evaluation: Evaluation
    subtest: Subtest
    number: int
    asked: Asked = Asked()

    @property
    def name(self) -> str:
        """`run_NN`."""
        return f"run_{self.number:02d}"

    @cached_property
    def dir(self) -> RunDir:
        """The run's directory."""
        return self.evaluation.tree.run(self.subtest.tier, self.subtest.id, self.name)

    @property
    def setup(self) -> Setup:
        """What the tier puts into the workspace."""
        return self.evaluation.setup(self.subtest)

    @property
    def shares_workspace(self) -> bool:
        """The subtest's runs use one workspace, one after the other."""
        return self.evaluation.experiment.settings.workspace.scope == "subtest"

    @property
    def workspace_place(self) -> Path:
        """The directory that holds the run's `workspace/`."""
        return self.dir.path.parent if self.shares_workspace else self.dir.path

    def checkout(self) -> Checkout:
        """The run's workspace, and what it starts from."""
        from .workspace import Checkout

        return Checkout(self.workspace_place, self.evaluation.repository(self.subtest))

    def expected_cost(self, stage: str, paid: bool) -> float:
        """USD: the mean of earlier executions of the stage, of the nearest there are."""
        sample = self.evaluation.history.sample(self.subtest.tier, self.subtest.id, stage)
        if sample and sample.usd:
            return statistics.fmean(sample.usd)
        return self.evaluation.assumed_cost(stage) if paid else 0.0

    def agent_inputs(self) -> Inputs:
        """Digests of everything that the agent's work depends on."""
        return {**self.evaluation.task_inputs, "tier": self.setup.digest}

    def known_agent_inputs(self) -> Inputs:
        """The same, as far as they are known: if its parents are gone, there is no newer set-up to
        compare a stored result with."""
        try:
            return self.agent_inputs()
        except NotRun:
            return self.evaluation.task_inputs

    def read(self, path: Path, model: type[Sealed]) -> Sealed | None:
        """A stored record, if it is whole and was written by us.

        A record that appeared in this session without its seal was put there by somebody else
        (an agent, say, that reached out of its workspace): it is not read.
        """
        record = read_model(path, model)
        if record is None or self.trusts(path, record):
            return record
        log.warning("%s was not written by this session: not read", path)
        return None

    def trusts(self, path: Path, record: SealedRecord) -> bool:
        """A record in `path` is from before this session, or bears its seal."""
        if path.stat().st_ctime < self.evaluation.started_at:
            return True
        return hmac.compare_digest(record.seal, seal(record, self.evaluation.secret))

    def sealed(self, record: Sealed) -> Sealed:
        """A record with this session's seal, to be written."""
        return sealed(record, self.evaluation.secret)

    def forgets(self, stage: str, stored: Path) -> bool:
        """The user asked to do `stage` again, and what is stored of it is from before.

        What this session itself has stored is never done again, also where its worker died.
        """
        since = self.asked.since
        if since is None or STAGES.index(stage) < STAGES.index(since):
            return False
        return self.is_before(stored)

    def is_before(self, stored: Path) -> bool:
        """What is stored is from an earlier session; False where there is nothing."""
        try:
            return stored.stat().st_mtime < self.evaluation.started_at
        except OSError:
            return False

    @property
    def rejected(self) -> bool:
        """What the agent did is to be done again: asked for, or for a verdict "failed"."""
        if self.forgets("agent", self.dir.agent_output):
            return True
        if not self.asked.again or not self.is_before(self.dir.run_result):
            return False
        result = read_model(self.dir.run_result, RunResult)
        return result is not None and not result.judge_passed

    def kept_agent_result(self) -> AgentResult | None:
        """The agent's stored result, if it is whole and made from what is asked now."""
        if self.dir.started.exists() or not _filled(self.dir.agent_output):
            return None
        result = self.read(self.dir.agent_result, AgentResult)
        if result is None or not result.inputs:
            return result
        return None if changed_inputs(result.inputs, self.known_agent_inputs()) else result

    @cached_property
    def replayed(self) -> RunResult | None:
        """The stored verdict, if it is whole and rests on what is asked now; decided once,
        before anything is done for the run."""
        result = self.read(self.dir.run_result, RunResult)
        if result is None or self.dir.started.exists():
            return None
        if self.rejected or self.forgets("judge", self.dir.run_result) or self.selected_slots():
            return None
        return result if self._is_current(result) else None

    def slot_selected(self, number: int) -> bool:
        """The user asked for this judge slot by its status, and it is from before."""
        from .status import agent_is_valid, judge_status

        if not self.asked.slots:
            return False
        slot = self.dir.judge_slot(number)
        if judge_status(slot, agent_is_valid(self.dir)) not in self.asked.slots:
            return False
        judgment = slot / "judgment.json"
        return not judgment.exists() or self.is_before(judgment)

    def selected_slots(self) -> list[int]:
        """The judge slots that the user asked for by their status."""
        slots = range(1, len(self.evaluation.judges) + 1)
        return [number for number in slots if self.slot_selected(number)]

    def _is_current(self, result: RunResult) -> bool:
        return not self._changes(result)

    def _changes(self, result: RunResult) -> set[str]:
        """The stages that a result was made from other inputs of (`judges`: it has more slots);
        of the verdict the names of the inputs: `verdict.consensus`."""
        if not result.inputs:
            return set()
        return changes(result.inputs, self.expected_inputs())

    @cached_property
    def only_arithmetic_differs(self) -> bool:
        """There is a verdict from just what is asked now, but by another rule of the panel."""
        result = self.read(self.dir.run_result, RunResult)
        if result is None or self.dir.started.exists() or self.asked != Asked():
            return False
        rules = {f"verdict.{name}" for name in ("consensus", "scores", "quorum", COMMANDS)}
        return bool(self._changes(result)) and self._changes(result) <= rules

    def expected_inputs(self) -> dict[str, Inputs]:
        """Stage -> the digests that a stored result must have been made from."""
        return {**self.evaluation.stage_inputs, "agent": self.known_agent_inputs()}


def _filled(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
