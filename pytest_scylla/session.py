"""What a session decides once, in the process that the user started, and hands to all workers."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import secrets
import time
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .errors import InputError
from .reading import read_bytes

if TYPE_CHECKING:
    from .agents import Agent
    from .evaluation import Evaluation
    from .experiment import Experiment, StepConfig
    from .judges import Judge
    from .limits import Budget
    from .prices import PriceList
    from .tiers import Library

EXPERIMENT_FILE = "experiment.yaml"
ALMOST = (EXPERIMENT_FILE, "experiment.yml")
"""Names, in small letters, of files that are meant to be experiments."""
LOCKS = ".locks"
"""Beside the results directories: what holds only while a session does."""
_NAMED = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-")
"""How the name of a results directory begins; its experiment's id follows."""
_KEYS = (b"id:", b"task:", b"tiers:", b"agent:", b"judges:")


@dataclass(frozen=True)
class Session:
    """Decisions that every worker must share."""

    results: str
    """The results root: where results directories lie."""
    stamp: str
    """Names the results directories that this session makes."""
    started_at: float
    """Seconds since the epoch."""
    fresh: bool
    """Every experiment gets a new results directory."""
    named: bool
    """Experiments were asked for (on the command line, or by --lf): paid runs may start."""
    again: frozenset[str]
    """Node ids that --lf or --ff selects: a verdict "failed" is not kept."""
    outer_timeout: float | None = None
    """Seconds: the limit that pytest-timeout sets for a test."""
    added: tuple[str, ...] = ()
    """Experiments that --lf adds to the arguments."""
    secret: str = ""
    """Seals what this session writes; no agent is told."""
    budget: float | None = None
    """USD that the session may spend."""
    max_wait: float = 1800.0
    """Seconds that a run waits for a provider that takes no requests."""
    owner: int | None = None
    """Process id of the process that the user started."""
    tree: str | None = None
    """A results directory that was named itself: it is continued, whatever it is called."""
    scheduled: bool = False
    """Workers get their work from our scheduler."""
    _ids: dict[str, Path] = field(default_factory=dict)

    @property
    def own_files(self) -> Path:
        """What the workers of this session tell each other, while it lasts."""
        name = hashlib.sha256(self.secret.encode()).hexdigest()[:12]
        return Path(self.results, LOCKS, f"session-{name}")

    def to_json(self) -> str:
        """As one string, for a worker."""
        values = asdict(self)
        del values["_ids"]
        return json.dumps({**values, "again": sorted(self.again)})

    @classmethod
    def from_json(cls, text: str) -> Session:
        """What `to_json` made."""
        values = json.loads(text)
        again, added = frozenset(values.pop("again")), tuple(values.pop("added"))
        return cls(**values, again=again, added=added)

    def directory(self, experiment: Experiment) -> Path:
        """The results directory of an experiment: the newest one, or a new one's name.

        Raises InputError where another experiment of this session has the same id.
        """
        other = self._ids.setdefault(experiment.id, experiment.path)
        if other.resolve() != experiment.path.resolve():
            raise InputError(
                experiment.path,
                "id",
                f"{experiment.id!r} is also the id of {other}",
                "give each experiment an id of its own",
            )
        return self._top(experiment) / experiment.agent_name

    def _top(self, experiment: Experiment) -> Path:
        """The directory that holds all of an experiment, whatever its agents."""
        new = Path(self.results, f"{self.stamp}-{experiment.id}")
        if self.fresh:
            return new
        if self.tree and _is_of(Path(self.tree), experiment):
            return Path(self.tree)
        return newest_results(Path(self.results), experiment) or new


def _is_of(tree: Path, experiment: Experiment) -> bool:
    """Whether a results directory belongs to an experiment, and to its one agent or several."""
    from .tree import ResultsTree, trees_of_agents

    same = ResultsTree(tree).experiment_id == experiment.id
    return same and bool(trees_of_agents(tree)) == bool(experiment.agent_name)


def newest_results(root: Path, experiment: Experiment) -> Path | None:
    """The newest results directory of an experiment, or None."""
    found = sorted(root.glob(f"*-{experiment.id}"), reverse=True)
    return next((place for place in found if _belongs(place, root, experiment)), None)


def _belongs(place: Path, root: Path, experiment: Experiment) -> bool:
    """A results directory names its experiment; one from elsewhere goes by its id alone."""
    if not _NAMED.fullmatch(place.name.removesuffix(experiment.id)) or not place.is_dir():
        return False
    if experiment.agent_name and (place / "config").is_dir():
        return False  # made when the experiment had one agent
    if not experiment.agent_name and any(place.glob("*/config/experiment.json")):
        return False  # made when it had several
    try:
        own = place / experiment.agent_name
        config = json.loads(read_bytes(own / "config" / "experiment.json"))
        file = config.get("experiment_file")
    except (OSError, ValueError, AttributeError):
        return True
    # One directory may have several names; an earlier version did not look through links.
    names = (experiment_file(root, experiment), os.path.relpath(experiment.path, root))
    return file is None or file in names


def experiment_file(root: Path, experiment: Experiment) -> str:
    """How a results directory names its experiment: the path from the results root, without
    links."""
    return os.path.relpath(experiment.path.resolve(), root.resolve())


def open_session(config: pytest.Config, again: Iterable[str], added: Iterable[str]) -> Session:
    """The session's decisions, made in the process that the user started."""
    again = frozenset(again)
    return Session(
        results=str(results_root(config)),
        stamp=_new_stamp(results_root(config)),
        secret=secrets.token_hex(),
        started_at=time.time(),
        owner=os.getpid(),
        fresh=config.getoption("scylla_fresh"),
        named=config.args_source == pytest.Config.ArgsSource.ARGS or bool(again),
        again=again,
        added=tuple(added),
        outer_timeout=_outer_timeout(config),
        budget=config.getoption("scylla_budget"),
        max_wait=config.getoption("scylla_max_wait") * 60,
        tree=named_tree(config),
    )


def _new_stamp(root: Path) -> str:
    """The time, in seconds; later where a session of the same second has taken it."""
    moment = datetime.now(UTC)
    while True:
        stamp = moment.strftime("%Y-%m-%dT%H-%M-%S")
        if not any(root.glob(f"{stamp}-*")):
            return stamp
        moment += timedelta(seconds=1)


def _outer_timeout(config: pytest.Config) -> float | None:
    """What pytest-timeout was told, where it is installed."""
    if not config.pluginmanager.hasplugin("timeout"):
        return None
    value = config.getoption("timeout", None) or config.getini("timeout")
    return float(value) if value else None


def results_root(config: pytest.Config) -> Path:
    """Where results lie, as an absolute path."""
    tree = named_tree(config)
    if tree:
        return Path(tree).parent
    root = config.getoption("scylla_results") or config.getini("scylla_results")
    return Path(config.rootpath, root)


def named_tree(config: pytest.Config) -> str | None:
    """`--scylla-results` names a results directory itself, and not one that holds such."""
    if TREE not in config.stash:
        config.stash[TREE] = _named_tree(config)
    return config.stash[TREE]


TREE = pytest.StashKey[str | None]()


def _named_tree(config: pytest.Config) -> str | None:
    named = config.getoption("scylla_results")
    if not named:
        return None
    from .tree import is_results_tree, trees_of_agents

    places = (
        Path(place, named).resolve() for place in (config.invocation_params.dir, config.rootpath)
    )
    return next((str(p) for p in places if is_results_tree(p) or trees_of_agents(p)), None)


def _without_tests(config: pytest.Config) -> str:
    """The directory of results: no tests are in it."""
    return named_tree(config) or str(results_root(config))


def looks_like_experiment(path: Path) -> bool:
    """Whether a file named experiment.yaml is ours: other tools use that name too."""
    try:
        lines = read_bytes(path).splitlines()
    except OSError:
        return False
    return sum(any(line.startswith(key) for line in lines) for key in _KEYS) >= 2


def discover(config: pytest.Config) -> list[Path]:
    """The experiments below the session's arguments, as pytest will find them.

    The process that starts xdist workers collects nothing, and must know before they do.
    """
    patterns = config.getini("norecursedirs")
    found: dict[Path, None] = {}
    for argument in config.args:
        path = Path(config.invocation_params.dir, argument.split("::")[0])
        if path.is_file():
            if path.name == EXPERIMENT_FILE:
                found[Path(os.path.abspath(path))] = None
        else:
            found.update(dict.fromkeys(_below(path, patterns, [_without_tests(config)])))
    return list(found)


def _below(root: Path, patterns: Sequence[str], ignored: Sequence[str]) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        if "pyvenv.cfg" in names or folder in ignored or _is_data(folder, folders, names):
            folders.clear()
            continue
        folders[:] = sorted(
            name
            for name in folders
            if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        )
        if EXPERIMENT_FILE in names:
            path = Path(folder, EXPERIMENT_FILE)
            if looks_like_experiment(path):
                yield Path(os.path.abspath(path))


def _is_data(folder: str, folders: Sequence[str], names: Sequence[str]) -> bool:
    """A task directory, tier library or results directory: what lies in it is no test."""
    if "tiers.yaml" in names and "subtests" in folders:
        return True
    if "config" in folders and os.path.isfile(f"{folder}/config/experiment.json"):
        return True
    return "test.yaml" in names and ("prompt.md" in names or _below_experiment(folder))


def _below_experiment(folder: str) -> bool:
    return any((above / EXPERIMENT_FILE).is_file() for above in list(Path(folder).parents)[:3])


def is_ignored(path: Path, config: pytest.Config) -> bool:
    """Whether a directory holds no tests: results, task directories and tier libraries.

    A place that an argument names is never ignored.
    """
    folder = str(path)
    if PLACES not in config.stash:
        config.stash[PLACES] = _places(config)
    ignored, named = config.stash[PLACES]
    if folder != ignored and not _holds_data(folder):
        return False
    return not any(place == folder or place.startswith(folder + os.sep) for place in named)


def _holds_data(folder: str) -> bool:
    """As `_is_data`, for a folder that was not listed; a file holds nothing."""
    isfile = os.path.isfile
    if isfile(f"{folder}/config/experiment.json"):
        return True
    if isfile(f"{folder}/tiers.yaml"):
        return os.path.isdir(f"{folder}/subtests")
    return isfile(f"{folder}/test.yaml") and (
        isfile(f"{folder}/prompt.md") or _below_experiment(folder)
    )


PLACES = pytest.StashKey[tuple[str, list[str]]]()


def _places(config: pytest.Config) -> tuple[str, list[str]]:
    """The results root, and the places that the arguments name."""
    start = config.invocation_params.dir
    paths = [os.path.abspath(Path(start, argument.split("::")[0])) for argument in config.args]
    return _without_tests(config), [*paths, *map(os.path.realpath, paths)]


@dataclass(frozen=True)
class Loaded:
    """An experiment, read and checked."""

    experiment: Experiment
    library: Library
    agent: Agent
    judges: tuple[Judge, ...]
    fallbacks: dict[int, Judge]
    languages: dict[str, tuple[StepConfig, ...]]
    prices: PriceList

    def evaluation(self, session: Session) -> Evaluation:
        """The experiment in a session."""
        from .evaluation import Evaluation

        return Evaluation(
            experiment=self.experiment,
            library=self.library,
            agent=self.agent,
            judges=self.judges,
            fallbacks=self.fallbacks,
            languages=self.languages,
            results=session.directory(self.experiment),
            started_at=session.started_at,
            outer_timeout=session.outer_timeout,
            secret=session.secret,
            budgets=tuple(self._budgets(session)),
            owner=session.owner,
            preflights=session.own_files / "preflights",
            providers=session.own_files / "providers",
            choices=session.own_files / "choices" if session.scheduled else None,
            max_wait=session.max_wait,
            prices=self.prices,
        )

    def _budgets(self, session: Session) -> Iterator[Budget]:
        """The session's budget, and that of the experiment."""
        own = self.experiment.settings.budget_usd
        for name, limit in {"_session": session.budget, self.experiment.id: own}.items():
            if limit is not None:
                from .limits import Budget, budget_path

                yield Budget(budget_path(session.own_files, name), limit)


class Inputs:
    """The experiments, tier libraries and prices of a session, each read once."""

    def __init__(self, price_files: Sequence[Path] = ()) -> None:
        self._price_files = price_files
        self._experiments: dict[Path, Experiment] = {}
        self._libraries: dict[Path, Library] = {}

    @cached_property
    def prices(self) -> PriceList:
        """The built-in prices and those of the ini name scylla_prices. Raises InputError."""
        from .prices import read_prices

        return read_prices(self._price_files)

    def read(self, path: Path) -> tuple[Experiment, Library]:
        """An experiment with its task, and its library.

        Raises InputError with file, key and next step.
        """
        from .experiment import load_experiment
        from .tiers import load_library

        if path not in self._experiments:
            self._experiments[path] = load_experiment(path)
        experiment = self._experiments[path]
        if experiment.library not in self._libraries:
            self._libraries[experiment.library] = load_library(experiment.library)
        return experiment, self._libraries[experiment.library]


INPUTS = pytest.StashKey[Inputs]()


def inputs_of(config: pytest.Config) -> Inputs:
    """What this process has read of the session's files."""
    if INPUTS not in config.stash:
        config.stash[INPUTS] = Inputs(config.getini("scylla_prices"))
    return config.stash[INPUTS]


def load(
    path: Path, hooks: Any, inputs: Inputs, judge_model: str | None = None
) -> tuple[Loaded, ...]:
    """Read an experiment with its task and library, and make its agents, each with the judges.

    `hooks` is the hook relay that answers for the experiment's folder; `judge_model` takes the
    place of the model that judges have in experiment.yaml.
    Raises InputError with file, key and next step.
    """
    from .judge_prompt import load_template

    experiment, library = inputs.read(path)
    _check_selection(experiment, library)
    _check_source(experiment)
    if judge_model:
        judges = _merged(path, hooks, "pytest_scylla_judges")
        experiment = _with_judge_model(experiment, judge_model, judges)
    load_template(experiment)  # what is wrong with it is said at collection
    variants = experiment.variants
    several = bool(experiment.settings.agents)
    keys = [f"agents.{n}" if several else "agent" for n in range(len(variants))]
    made = [
        _loaded(variant, library, key, hooks, inputs)
        for variant, key in zip(variants, keys, strict=True)
    ]
    for loaded, key in zip(made, keys, strict=True):
        _check_prices(loaded)
        _check_inputs(loaded, key)
    return tuple(made)


def _check_inputs(loaded: Loaded, key: str) -> None:
    """A pattern of `inputs` that names nothing would let changes go unseen."""
    from .named_files import matches

    judges = {f"judges.{number}": judge for number, judge in enumerate(loaded.judges)}
    for place, adapter in {key: loaded.agent, **judges}.items():
        for pattern in getattr(adapter, "listed", ()):
            if not matches(pattern, loaded.experiment.directory):
                problem = f"nothing matches {pattern!r} in {loaded.experiment.directory}"
                step = "correct the pattern, or create the file"
                raise InputError(loaded.experiment.path, f"{place}.inputs", problem, step)


def _loaded(
    experiment: Experiment, library: Library, key: str, hooks: Any, inputs: Inputs
) -> Loaded:
    """An experiment with one agent, whose adapter stands at `key`."""
    path, settings = experiment.path, experiment.settings
    agents = _merged(path, hooks, "pytest_scylla_agents")
    judges = _merged(path, hooks, "pytest_scylla_judges")
    return Loaded(
        experiment=experiment,
        library=library,
        agent=_make(path, key, settings.agent, agents),
        judges=tuple(
            _make(path, f"judges.{number}", judge, judges)
            for number, judge in enumerate(settings.judges)
        ),
        fallbacks={
            number + 1: _make(path, f"judges.{number}.fallback", judge.fallback, judges)
            for number, judge in enumerate(settings.judges)
            if judge.fallback
        },
        languages=_languages(experiment, hooks),
        prices=inputs.prices.with_models(settings.prices),
    )


def _with_judge_model(
    experiment: Experiment, model: str, adapters: Mapping[str, Any]
) -> Experiment:
    """The experiment with another model in the slots of all judges that must be given one."""
    configs = experiment.settings.judges
    slots = [number for number, judge in enumerate(configs) if _takes_model(adapters, judge)]
    if not slots:
        raise InputError(
            experiment.path,
            "judges",
            f"--scylla-judge-model {model}: no judge of this experiment takes a model",
            "leave the option away, or add a judge that does",
        )
    judges = tuple(
        type(judge).model_validate({**judge.model_dump(), "model": model}) if n in slots else judge
        for n, judge in enumerate(configs)
    )
    settings = experiment.settings.model_copy(update={"judges": judges})
    return experiment.model_copy(update={"settings": settings})


def _takes_model(adapters: Mapping[str, Any], judge: Any) -> bool:
    """The adapter has an option `model` that must be given: elsewhere it is only a name."""
    fields = getattr(adapters.get(judge.adapter), "model_fields", {})
    return "model" in fields and fields["model"].is_required()


def _languages(experiment: Experiment, hooks: Any) -> dict[str, tuple[StepConfig, ...]]:
    """The pipelines of languages, where the experiment asks for one of them."""
    asked = experiment.settings.pipeline
    if not isinstance(asked, str):
        return {}
    from .experiment import StepConfig

    hook = "pytest_scylla_pipeline"
    known = {name: tuple(said) for name, said in _merged(experiment.path, hooks, hook).items()}
    for name, steps in known.items():
        if not all(isinstance(step, StepConfig) for step in steps):
            step = "return lists of StepConfig (from pytest_scylla.experiment)"
            raise InputError(experiment.path, hook, f"{name!r} is no list of steps", step)
    language = experiment.task.language if asked == "auto" else asked
    if language not in known:
        problem = f"there is no pipeline for the language {language!r}"
        next_step = f"use one of {', '.join(sorted(known))}, or write a list of steps"
        raise InputError(experiment.path, "pipeline", problem, next_step)
    return known


def _check_prices(loaded: Loaded) -> None:
    """A paid model without a price is refused here, before anything is spent."""
    from .prices import NEXT_STEP

    judges = {f"judges.{number}": judge for number, judge in enumerate(loaded.judges)}
    fallbacks = {f"judges.{n - 1}.fallback": judge for n, judge in loaded.fallbacks.items()}
    adapters: dict[str, Agent | Judge] = {"agent": loaded.agent, **judges, **fallbacks}
    for key, adapter in adapters.items():
        asked = adapter.paid and adapter.model and not getattr(adapter, "tells_cost", False)
        if asked and not loaded.prices.known(str(adapter.model)):
            problem = f"there is no price for the model {adapter.model!r}"
            raise InputError(loaded.experiment.path, f"{key}.model", problem, NEXT_STEP)


def _merged(path: Path, hooks: Any, hook: str) -> Mapping[str, Any]:
    """What the plugins and conftest.py files around an experiment say to a hook."""
    said = getattr(hooks, hook)()
    wrong = [one for one in said if not isinstance(one, Mapping)]
    if wrong:
        problem = f"the hook {hook} of a conftest.py or plugin returned {wrong[0]!r:.80}"
        raise InputError(path, "", problem, "return a mapping of names")
    return merged(said)


def merged(mappings: Sequence[Any]) -> Mapping[str, Any]:
    """One mapping; what a nearer plugin says comes first in pytest's order, and wins.

    A value is looked up when it is asked for: the adapters of others need not be imported.
    """
    return ChainMap(*mappings)


def _make(path: Path, key: str, config: Any, adapters: Mapping[str, Any]) -> Any:
    from pydantic import ValidationError

    from .yamlfile import input_error

    adapter = adapters.get(config.adapter)
    if adapter is None:
        known = ", ".join(sorted(adapters))
        raise InputError(
            path, f"{key}.adapter", f"there is no adapter {config.adapter!r}", f"use one of {known}"
        )
    work = "grade" if key.startswith("judges") else "invocation"
    if not isinstance(adapter, type) or not hasattr(adapter, work):
        problem = f"{config.adapter!r} is registered as {adapter!r:.80}, which has no `{work}`"
        raise InputError(path, f"{key}.adapter", problem, "register a class that has it")
    try:
        return adapter(**config.options)
    except ValidationError as error:
        raise input_error(path, adapter, config.options, error, key) from None


def _check_selection(experiment: Experiment, library: Library) -> None:
    unknown = [t for t in experiment.settings.select or () if t not in library.tiers]
    if unknown:
        raise InputError(
            experiment.path,
            "select",
            f"the library has no tier {', '.join(unknown)}",
            f"use some of {', '.join(library.tiers)}",
        )
    from .evaluation import selected_tiers

    tiers = selected_tiers(experiment, library)
    if not any(library.tiers[tier].subtests for tier in tiers):
        raise InputError(
            experiment.path,
            "select",
            "no selected tier has a subtest",
            f"select other tiers, or add {library.path}/subtests/<tier in lower case>/<id>.yaml",
        )


def _check_source(experiment: Experiment) -> None:
    """A plain directory has no history that `hash` or `branch` could choose from."""
    from .source import is_repository, local_place

    task = experiment.task
    place = local_place(task.source.repo, task.directory)
    if place is None or not place.is_dir() or is_repository(place):
        return
    for key in ("hash", "branch"):
        if getattr(task.source, key) is not None:
            problem = f"{place} is a plain directory, without commits"
            step = "leave this key out, or name a git repository"
            raise InputError(task.directory / "test.yaml", f"source.{key}", problem, step)
