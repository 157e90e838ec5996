"""JSON Schema of experiment.yaml, for editors: `python -m pytest_scylla.schema`."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from typing import Any

from pydantic import BaseModel

from .agents import claude_code, codex, command, opencode
from .experiment import (
    AgentConfig,
    ExperimentFile,
    IsolationConfig,
    JudgeConfig,
    Price,
    PriceStep,
    Sequential,
    StepConfig,
    WorkspaceConfig,
)
from .judges import anthropic, rubric_checks
from .judges import claude_code as claude_code_judge
from .judges import command as command_judge
from .yamlfile import Strict

AGENTS: dict[str, type[BaseModel]] = {
    "command": command.Command,
    "claude-code": claude_code.ClaudeCode,
    "codex": codex.Codex,
    "opencode": opencode.OpenCode,
}
JUDGES: dict[str, type[BaseModel]] = {
    "rubric-checks": rubric_checks.RubricChecks,
    "anthropic": anthropic.Anthropic,
    "claude-code": claude_code_judge.ClaudeCode,
    "command": command_judge.Command,
}


def experiment_schema() -> dict[str, Any]:
    """The schema: the keys of experiment.yaml, with the options of the built-in adapters.

    An adapter that is not built in may have any options.
    """
    schema = _schema(ExperimentFile)
    definitions = schema.setdefault("$defs", {})
    for model in (IsolationConfig, Sequential, StepConfig, WorkspaceConfig, Price, PriceStep):
        _describe(model, definitions[model.__name__])
    definitions["Agent"] = _adapters(AGENTS, definitions)
    definitions["Fallback"] = _adapters(JUDGES, definitions)
    definitions["Judge"] = _adapters(JUDGES, definitions)
    isolation = definitions["IsolationConfig"]
    kind = {"enum": isolation["properties"]["kind"]["enum"]}
    network = isolation["properties"]["network"]
    del network["type"]
    network["anyOf"] = [{"enum": ["on", "off", "provider", True, False]},  # YAML 1.1: `on` is true
                        {"type": "string", "pattern": "://"}]  # fmt: skip
    schema["properties"]["isolation"]["anyOf"] = [kind, {"$ref": "#/$defs/IsolationConfig"}]
    schema["properties"]["isolation"].pop("$ref", None)
    fallback = _schema(JudgeConfig)["properties"]["fallback"]["description"]
    for choice in definitions["Judge"]["anyOf"]:
        choice["properties"]["fallback"] = {
            "$ref": "#/$defs/Fallback",
            "description": fallback,
        }
    name = _schema(AgentConfig)["properties"]["name"]
    definitions["NamedAgent"] = _adapters(AGENTS, definitions)
    for choice in definitions["NamedAgent"]["anyOf"]:
        choice["properties"]["name"] = name
    for model_name in ("AdapterConfig", "AgentConfig", "JudgeConfig"):
        definitions.pop(model_name, None)
    schema["properties"]["agent"] = {"$ref": "#/$defs/Agent"}
    schema["properties"]["agents"]["items"] = {"$ref": "#/$defs/NamedAgent"}
    schema["required"].remove("agent")
    schema["anyOf"] = [{"required": ["agent"]}, {"required": ["agents"]}]
    schema["properties"]["judges"]["items"] = {"$ref": "#/$defs/Judge"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/$defs/{model}")
    _describe(model, schema)
    return schema


def _describe(model: type[BaseModel], schema: dict[str, Any]) -> None:
    """Add the docstrings under a model's fields. Pydantic would do so too, at every import."""
    for base in reversed(model.__mro__):
        if issubclass(base, Strict) and base is not Strict:
            _describe_own(base, schema["properties"])


def _describe_own(model: type[BaseModel], properties: dict[str, Any]) -> None:
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, doc in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            said = doc.value if isinstance(doc, ast.Expr) else None
            if isinstance(said, ast.Constant) and field.target.id in properties:
                text = " ".join(str(said.value).split())
                properties[field.target.id]["description"] = text


def _adapters(adapters: dict[str, type[BaseModel]], definitions: dict[str, Any]) -> dict[str, Any]:
    """One of the built-in adapters with its options, or another one with any."""
    choices = []
    for name, model in adapters.items():
        options = _schema(model)
        definitions.update(options.pop("$defs", {}))
        options["properties"] = {"adapter": {"const": name}, **options["properties"]}
        options["required"] = ["adapter", *options.get("required", [])]
        choices.append(options)
    other = {
        "type": "object",
        "properties": {"adapter": {"type": "string", "not": {"enum": list(adapters)}}},
        "required": ["adapter"],
    }
    return {"anyOf": [*choices, other]}


if __name__ == "__main__":
    print(json.dumps(experiment_schema(), indent=2))
