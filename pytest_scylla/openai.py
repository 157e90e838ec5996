"""OpenAI's API, and those that speak as it does, as far as agents share them."""

from __future__ import annotations

from collections.abc import Mapping

from .errors import RunError
from .preflight import ask_for_model

BASE_URL = "OPENAI_BASE_URL"
DEFAULT_URL = "https://api.openai.com/v1"


def endpoint(env: Mapping[str, str]) -> str:
    """URL of the API."""
    return env.get(BASE_URL) or DEFAULT_URL


def check_access(env: Mapping[str, str], key: str, model: str) -> None:
    """Ask the API, at no cost, whether it takes the key in the variable `key` and knows the model.

    Raises RunError (kinds `auth`, `model_unknown`, `network`). What else it answers says nothing:
    a gateway may lack the page, and a key may be one that may not read it.
    """
    if not env.get(key):
        return
    url, headers = endpoint(env), {"authorization": f"Bearer {env[key]}"}
    try:
        error = ask_for_model(f"{url.rstrip('/')}/models", model, headers)
    except OSError as fault:
        raise RunError.of("network", f"the API gave no answer: {url}: {fault}") from None
    if error is None:
        return
    said = f"the API answered {error.status}: {error.message}"
    if error.code == "invalid_api_key":
        raise RunError.of("auth", said, f"correct {key}")
    if error.code == "model_not_found" and model in error.message:
        raise RunError.of("model_unknown", said, "correct agent.model in experiment.yaml")
