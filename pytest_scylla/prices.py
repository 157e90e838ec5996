"""What models cost: one dated list, prices.yaml, which users extend.

    prices = read_prices([Path("our-prices.yaml")])
    prices.cost_usd("claude-haiku-4-5", TokenStats(input_tokens=1000, output_tokens=50))

Prices are USD per million tokens. They come from the vendors' published price lists; the file
says of which day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from pydantic import Field

from .errors import ScyllaError
from .experiment import Price, Rates
from .results import TokenStats
from .yamlfile import Strict, parse, read_mapping

BUILT_IN = Path(__file__).with_name("prices.yaml")
MILLION = 1_000_000
NEXT_STEP = (
    "give its price under `prices` in experiment.yaml, or in a file that the ini name "
    "scylla_prices names"
)

_PLACE = re.compile(r"^(?:[\w.-]+/)*(?:(?:us|eu|apac|global)\.)?(?:anthropic\.)?")
"""Who serves the model (`anthropic/…`, `us.anthropic.…`)."""
_VERSION = re.compile(r"(?:\[\w+\]|-v\d+(?::\d+)?|[-@]\d{8}|[-@]\d{4}-\d{2}-\d{2}|-latest)$")
"""Which day's or window's variant it is (`…-20251001`, `…@20251001`, `…[1m]`, `…-latest`)."""


class PriceFile(Strict):
    """A file of prices."""

    dated: date
    """The day of the price lists that it was copied from."""
    batch_factor: float = Field(default=0.5, ge=0, le=1)
    """What a request in a batch costs, of the price of a single one."""
    models: dict[str, Price]
    """Model -> its price."""


class UnknownModel(ScyllaError):
    """There is no price for a model."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(f"there is no price for the model {model!r}\n  next: {NEXT_STEP}")


@dataclass(frozen=True)
class Usage:
    """Tokens of some requests to a model."""

    model: str
    tokens: TokenStats
    prompt_tokens: int | None = None
    """Length of each request's prompt; None: `tokens` are those of one request."""


@dataclass(frozen=True)
class PriceList:
    """Prices by model."""

    dated: date
    """The day of the prices."""
    batch_factor: float
    models: Mapping[str, Price]

    def with_models(self, models: Mapping[str, Price]) -> PriceList:
        """The list with further models or other prices for its own."""
        aliases = {alias: price for price in models.values() for alias in price.aliases}
        return PriceList(self.dated, self.batch_factor, {**self.models, **aliases, **models})

    def known(self, model: str) -> bool:
        """Whether there is a price for a model."""
        return self._find(model) is not None

    def price(self, model: str) -> Price:
        """The price of a model, by its name or by one that names a day, a provider or an alias.

        Raises UnknownModel.
        """
        found = self._find(model)
        if found is None:
            raise UnknownModel(model)
        return found

    def _find(self, model: str) -> Price | None:
        return next((self.models[name] for name in _names(model) if name in self.models), None)

    def cost_usd(
        self,
        model: str,
        tokens: TokenStats,
        *,
        batch: bool = False,
        prompt_tokens: int | None = None,
    ) -> float:
        """USD for `tokens` of a model; `batch`: asked for in a batch.

        Some prices depend on the length of a request's prompt. `prompt_tokens` is that length;
        None: `tokens` are those of one request, and its prompt is what it read and wrote into the
        cache. Give it for sums over several requests. Raises UnknownModel.
        """
        length = tokens.prompt if prompt_tokens is None else prompt_tokens
        cost = _cost(_rates(self.price(model), length), tokens)
        return cost * self.batch_factor if batch else cost

    def cost_of(self, usages: Iterable[Usage]) -> float:
        """USD for all usages together. Raises UnknownModel."""
        return sum(self.cost_usd(u.model, u.tokens, prompt_tokens=u.prompt_tokens) for u in usages)


def _names(model: str) -> list[str]:
    """A model's name, and the same without its provider and its day."""
    names = [model, _PLACE.sub("", model)]
    while (shorter := _VERSION.sub("", names[-1])) != names[-1]:
        names.append(shorter)
    return names


def plain_name(model: str) -> str:
    """A model's name without provider, day and window."""
    return _names(model)[-1]


def _rates(price: Price, prompt_tokens: int) -> Rates:
    """The last step that a prompt is longer than, else the price itself."""
    steps = sorted(price.steps, key=lambda step: step.above)
    return next((step for step in reversed(steps) if prompt_tokens > step.above), price)


def _cost(rates: Rates, tokens: TokenStats) -> float:
    read = rates.input if rates.cache_read is None else rates.cache_read
    write = rates.input if rates.cache_write is None else rates.cache_write
    hour = write if rates.cache_write_1h is None else rates.cache_write_1h
    short = tokens.cache_creation_tokens - tokens.cache_creation_1h_tokens
    return (
        rates.input * tokens.input_tokens
        + rates.output * tokens.output_tokens
        + read * tokens.cache_read_tokens
        + write * short
        + hour * tokens.cache_creation_1h_tokens
    ) / MILLION


@cache
def built_in_prices() -> PriceList:
    """The prices that come with the package."""
    file = _read(BUILT_IN)
    return PriceList(file.dated, file.batch_factor, {}).with_models(file.models)


def read_prices(files: Sequence[Path]) -> PriceList:
    """The built-in prices and those of users' files; a later file wins.

    Raises InputError with file, key and next step.
    """
    prices = built_in_prices()
    for path in files:
        file = _read(path)
        prices = PriceList(file.dated, file.batch_factor, prices.models).with_models(file.models)
    return prices


def _read(path: Path) -> PriceFile:
    return parse(path, PriceFile, read_mapping(path))


def known(model: str) -> bool:
    """Whether the built-in prices have a model."""
    return built_in_prices().known(model)


def cost_usd(
    model: str, tokens: TokenStats, *, batch: bool = False, prompt_tokens: int | None = None
) -> float:
    """As `PriceList.cost_usd`, by the built-in prices. Raises UnknownModel."""
    return built_in_prices().cost_usd(model, tokens, batch=batch, prompt_tokens=prompt_tokens)
