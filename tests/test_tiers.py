"""The tier library: what a subtest says, what it inherits, what it puts into a workspace."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.errors import InputError
from pytest_scylla.tiers import (
    Library,
    Parent,
    Resources,
    Setup,
    Subtest,
    check_setups,
    compose,
    inherit,
    load_library,
    merge,
)
from tests.support.examples import (
    law,
    law_on_disk,
    only_subtest,
    write_files,
    write_library,
    write_yaml,
)

PARTS: dict[str, str] = {
    "blocks/B01-scope.md": "\n# Scope\n\n",
    "blocks/B02-rules.md": "# Rules",
    "blocks/B1.md": "# One",
    "blocks/B10-ten.md": "# Ten",
    "skills/testing/boundaries/SKILL.md": "Look at the boundaries.",
    "skills/testing/boundaries/scripts/list.sh": "#!/bin/sh\n",
    "skills/testing/doubles/SKILL.md": "No doubles.",
    "skills/quality/naming/SKILL.md": "Name it.",
    "agents/L1/lead.md": "You lead.",
    "agents/L3/tester.md": "You test.",
    "agents/L3/writer.md": "You write.",
    "mcp/clock.json": '{"command": "{python}", "args": ["{library}/mcp/clock.py"]}',
}


def setup(folder: Path, **subtest: Any) -> Setup:
    return only_subtest(write_library(folder, {"T0/01-it": subtest}, PARTS))[1]


def contents(composed: Setup) -> dict[str, str]:
    return {name: data.decode() for name, (data, _) in composed.files.items()}


# -- what is read ----------------------------------------------------------------------------------

OF_PROJECTSCYLLA: dict[str, dict[str, Any]] = {
    "T0/00-empty": {
        "description": "No system prompt",
        "extends_previous": False,
        "system_prompt_mode": "none",
        "resources": {"claude_md": {"blocks": []}},
    },
    "T0/01-vanilla": {"extends_previous": False, "system_prompt_mode": "default"},
    "T0/02-scope": {"resources": {"claude_md": {"blocks": ["B01"]}}},
    "T1/01-testing": {
        "extends_previous": True,
        "resources": {"skills": {"categories": ["testing"]}},
    },
    "T2/01-files": {"tools": {"enabled": ["Read", "Write"]}},
    "T2/02-all": {"tools": {"enabled": "all"}},
    "T2/03-mcp": {"mcp_servers": [{"name": "clock", "source": "modelcontextprotocol/servers"}]},
    "T2/04-own": {
        "mcp_servers": [{"name": "own", "source": "local", "config_path": "mcp/clock.json"}]
    },
    "T3/01-level": {"resources": {"agents": {"levels": [3]}}},
    "T4/01-names": {"agent_teams": True, "resources": {"agents": {"names": ["lead.md"]}}},
    "T5/01-best": {"extends_previous": True, "inherit_best_from": ["T0", "T1"]},
    "T6/01-everything": {
        "inherit_best_from": ["T5"],
        "frontier": True,
        "resources": {
            "claude_md": {"blocks": ["B01", "B02"]},
            "skills": {"categories": ["testing"], "names": ["naming"]},
            "agents": {"levels": [1, 3], "names": []},
            "tools": {"enabled": "all"},
            "mcp_servers": ["clock"],
        },
    },
}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return load_library(write_library(tmp_path / "tiers", OF_PROJECTSCYLLA, PARTS))


def test_a_library_of_projectscylla_loads_unchanged(library: Library) -> None:
    assert library.warnings == ()
    names = [f"{tier.id}/{s.id}" for tier in library.tiers.values() for s in tier.subtests]
    assert names == list(OF_PROJECTSCYLLA)
    for tier in library.tiers.values():
        assert [compose(library, subtest).missing for subtest in tier.subtests] == [()] * len(
            tier.subtests
        )


def test_subtests_come_in_the_order_of_their_file_names(tmp_path: Path) -> None:
    subtests: dict[str, dict[str, Any]] = {f"T0/{name}": {} for name in ("10-b", "02-c", "01-a")}
    library = load_library(write_library(tmp_path, subtests))
    assert [subtest.id for subtest in library.tiers["T0"].subtests] == ["01-a", "02-c", "10-b"]


def test_a_tier_may_have_any_name_that_can_be_a_directory(tmp_path: Path) -> None:
    library = load_library(write_library(tmp_path, {"Baseline/00-empty": {}}))
    assert [subtest.id for subtest in library.tiers["Baseline"].subtests] == ["00-empty"]


def test_a_tier_without_subtests_is_a_tier(tmp_path: Path) -> None:
    write_yaml(write_library(tmp_path, {}) / "tiers.yaml", {"tiers": {"T0": {"name": "Prompts"}}})
    assert load_library(tmp_path).tiers["T0"].subtests == ()


def test_keys_at_the_root_of_a_subtest_go_on_top_of_those_under_resources(tmp_path: Path) -> None:
    subtest, _ = only_subtest(
        write_library(
            tmp_path,
            {
                "T0/01-it": {
                    "claude_md": {"blocks": ["B02"]},
                    "tools": {"enabled": ["Bash"]},
                    "resources": {
                        "claude_md": {"blocks": ["B01"]},
                        "tools": {"enabled": ["Read"]},
                        "skills": {"names": ["naming"]},
                    },
                }
            },
        )
    )
    written = subtest.resources.model_dump(mode="json", exclude_defaults=True)
    assert written == {
        "claude_md": {"blocks": ["B02"]},
        "tools": {"enabled": ["Read", "Bash"]},
        "skills": {"names": ["naming"]},
    }


@pytest.mark.parametrize(
    ("subtest", "key"),
    [
        ({"surprise": 1}, "surprise"),
        ({"resources": {"surprise": 1}}, "resources.surprise"),
        ({"resources": {"claude_md": {"surprise": 1}}}, "resources.claude_md.surprise"),
        ({"skills": {"surprise": 1}}, "skills.surprise"),
        ({"mcp_servers": [{"name": "clock", "surprise": 1}]}, "surprise"),
    ],
)
def test_an_unknown_key_of_a_subtest_is_known_before_it_runs(
    tmp_path: Path, subtest: Mapping[str, Any], key: str
) -> None:
    library = load_library(write_library(tmp_path, {"T0/01-it": subtest}))
    (unknown,) = library.tiers["T0"].subtests[0].unknown
    assert key in unknown
    warning = check_setups(library, ["T0"])[0]
    assert str(tmp_path / "subtests" / "t0" / "01-it.yaml") in warning
    assert "ERROR" in warning


EVERY_KEY = {
    "name": "n",
    "description": "d",
    "extends_previous": False,
    "system_prompt_mode": "none",
    "inherit_best_from": [],
    "agent_teams": False,
    "frontier": False,
    "claude_md": {"blocks": ["B01"], "file": "f"},
    "skills": {"categories": ["c"], "names": ["n"], "folders": ["f"]},
    "agents": {"levels": [1], "names": ["n"], "folders": ["f"]},
    "tools": {"enabled": ["Read"]},
    "mcp_servers": [
        {"name": "n", "source": "s", "config_path": "p", "command": "c", "args": [], "env": {},
         "url": "u"}
    ],
}  # fmt: skip


def edited(word: str, place: int, edit: str) -> str:
    """A word with one letter doubled, left out, or exchanged with the next."""
    place %= len(word)
    here, after = word[place], word[place + 1 :]
    if edit == "doubled":
        return word[: place + 1] + here + after
    return word[:place] + (after if edit == "left out" else after[:1] + here + after[1:])


@law_on_disk
@given(st.data(), st.integers(0, 30), st.sampled_from(["doubled", "left out", "exchanged"]))
def test_no_misspelt_key_of_a_subtest_is_ever_passed_over(
    data: st.DataObject, place: int, edit: str
) -> None:
    key = data.draw(st.sampled_from([*EVERY_KEY]))
    inner = EVERY_KEY[key]
    record = inner[0] if isinstance(inner, list) and inner else inner
    if isinstance(record, dict) and data.draw(st.booleans()):
        name = data.draw(st.sampled_from([*record]))
        wrong = {edited(name, place, edit) if n == name else n: v for n, v in record.items()}
        subtest: dict[str, Any] = {key: [wrong] if isinstance(inner, list) else wrong}
        same = wrong.keys() == record.keys()
    else:
        subtest = {edited(key, place, edit): inner}
        same = key in subtest
    for content in (subtest, {"resources": subtest}):
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(InputError):
            library = load_library(write_library(Path(folder), {"T0/01-it": content}))
            below = content is not subtest and key not in Resources.model_fields
            assert (same and not below) or library.tiers["T0"].subtests[0].unknown


def test_what_a_user_has_already_is_taken_from_where_it_is(tmp_path: Path) -> None:
    own = {
        "CLAUDE.md": "Be careful.\n",
        ".claude/skills/tdd/SKILL.md": "Test first.\n",
        ".claude/skills/tdd/more/notes.md": "More.\n",
        ".claude/skills/no-skill/x": "",
        ".claude/agents/reviewer.md": "---\nname: reviewer\n---\n",
    }
    write_files(tmp_path / "repo", own)
    up = "../../../../"
    subtest = {
        "claude_md": {"file": f"{up}CLAUDE.md", "blocks": ["B01"]},
        "skills": {"folders": [f"{up}.claude/skills"]},
        "agents": {"folders": [f"{up}.claude/agents"]},
    }
    heir = {"skills": {"folders": [f"{up}.claude/skills/tdd"]}}
    folder = write_library(
        tmp_path / "repo/evals/tiers",
        {"T0/01-it": subtest, "T1/01-heir": heir},
        {"blocks/B01.md": "And quick.\n"},
    )
    library = load_library(folder)
    parent, child = (library.tiers[tier].subtests[0] for tier in ("T0", "T1"))
    composed = compose(library, parent)
    assert composed.missing == ()
    assert {name: data for name, (data, _) in composed.files.items()} == {
        "CLAUDE.md": b"Be careful.\n\nAnd quick.\n",
        ".claude/skills/tdd/SKILL.md": b"Test first.\n",
        ".claude/skills/tdd/more/notes.md": b"More.\n",
        ".claude/agents/reviewer.md": b"---\nname: reviewer\n---\n",
    }
    stored = Resources.model_validate(composed.resources.model_dump(mode="json"))
    assert str(tmp_path) not in stored.model_dump_json()
    inherited = compose(library, child, [Parent("T0", "01-it", stored)])
    assert inherited.files == composed.files
    write_files(tmp_path / "repo", {"CLAUDE.md": "Changed.\n"})
    assert compose(load_library(folder), parent).digest != composed.digest
    write_files(tmp_path / "repo", own)
    shutil.rmtree(tmp_path / "repo/.claude")
    (tmp_path / "repo/CLAUDE.md").unlink()
    assert len(compose(load_library(folder), parent).missing) == 3


def test_an_unknown_key_of_tiers_yaml_is_only_a_warning(tmp_path: Path) -> None:
    write_yaml(tmp_path / "tiers.yaml", {"tiers": {"T0": {"surprise": 1}}, "more": 2})
    warnings = load_library(tmp_path).warnings
    assert [key for key in ("tiers.T0.surprise", "more") if key in " ".join(warnings)] == [
        "tiers.T0.surprise",
        "more",
    ]


def refused(library: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        load_library(library)
    assert caught.value.next_step
    return caught.value


@pytest.mark.parametrize(
    ("subtest", "key"),
    [
        ({"tools": {"enabled": "some"}}, "tools.enabled"),
        ({"system_prompt_mode": "loud"}, "system_prompt_mode"),
        ({"resources": {"agents": {"levels": ["high"]}}}, "resources.agents.levels.0"),
        ({"mcp_servers": [{"command": "x"}]}, "mcp_servers.0.name"),
        ({"inherit_best_from": "T0"}, "inherit_best_from"),
        ({"inherit_best_from": ["T9"]}, "inherit_best_from"),
        ({"inherit_best_from": ["T1"]}, "inherit_best_from"),
        ({"inherit_best_from": ["T2"]}, "inherit_best_from"),
    ],
)
def test_a_wrong_value_of_a_subtest_is_refused_with_file_and_key(
    tmp_path: Path, subtest: Mapping[str, Any], key: str
) -> None:
    error = refused(write_library(tmp_path, {"T0/00": {}, "T1/01-it": subtest, "T2/02": {}}))
    assert Path(error.path).name == "01-it.yaml"
    assert error.key.startswith(key)


@pytest.mark.parametrize("name", ["01 it", "01[it]", "ümlaut", ".hidden.not"])
def test_a_file_name_that_cannot_be_a_node_id_is_refused(tmp_path: Path, name: str) -> None:
    write_library(tmp_path, {"T0/00-empty": {}})
    write_yaml(tmp_path / "subtests" / "t0" / f"{name}.yaml", {"name": "a"})
    assert name in str(refused(tmp_path))


def test_two_files_of_one_name_are_refused_because_their_results_would_be_one(
    tmp_path: Path,
) -> None:
    write_library(tmp_path, {"T0/00-empty": {}})
    write_yaml(tmp_path / "subtests" / "t0" / "00-empty.yml", {"name": "the same"})
    assert "00-empty" in str(refused(tmp_path))


@pytest.mark.parametrize("tiers", [None, [], {"T 0": {}}, {"T0": 1}, {"T[0]": {}}])
def test_a_wrong_tiers_yaml_is_refused(tmp_path: Path, tiers: Any) -> None:
    write_yaml(tmp_path / "tiers.yaml", {"tiers": tiers})
    assert Path(refused(tmp_path).path).name == "tiers.yaml"


# -- merging, the rule of inheritance --------------------------------------------------------------

names = st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=3)
servers = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(["x", "y"]), "command": st.sampled_from("pq")}),
    unique_by=lambda server: server["name"],
    max_size=2,
)
resources = st.fixed_dictionaries(
    {},
    optional={
        "claude_md": st.fixed_dictionaries({"blocks": names}),
        "skills": st.fixed_dictionaries({"categories": names, "names": names}),
        "agents": st.fixed_dictionaries(
            {"levels": st.lists(st.integers(0, 5), unique=True).map(sorted), "names": names}
        ),
        "tools": st.fixed_dictionaries({"enabled": names | st.just("all")}),
        "mcp_servers": servers,
    },
).map(Resources.model_validate)


@law
@given(resources)
def test_to_merge_a_thing_with_itself_or_with_nothing_changes_nothing(one: Resources) -> None:
    assert merge(one, one) == one
    assert merge(one, Resources()) == one
    assert merge(Resources(), one) == one


@law
@given(resources, resources, resources)
def test_it_does_not_matter_what_is_merged_first(a: Resources, b: Resources, c: Resources) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@law
@given(resources, resources)
def test_claude_md_is_replaced(first: Resources, second: Resources) -> None:
    assert merge(first, second).claude_md == (second.claude_md or first.claude_md)


@law
@given(resources, resources)
def test_skills_and_agents_are_united(first: Resources, second: Resources) -> None:
    merged = merge(first, second)
    for kind in ("skills", "agents"):
        parts = [getattr(r, kind) for r in (first, second) if getattr(r, kind) is not None]
        found = getattr(merged, kind)
        assert (found is None) == (not parts)
        for key in type(found).model_fields if found else ():
            united = getattr(found, key)
            assert set(united) == {name for part in parts for name in getattr(part, key)}
            assert len(set(united)) == len(united)


@law
@given(resources, resources)
def test_all_tools_win_and_lists_of_tools_are_united(first: Resources, second: Resources) -> None:
    given_tools = [r.tools.enabled for r in (first, second) if r.tools is not None]
    merged = merge(first, second).tools
    if not given_tools:
        assert merged is None
    elif "all" in given_tools:
        assert merged is not None
        assert merged.enabled == "all"
    else:
        assert merged is not None
        assert set(merged.enabled) == {name for tools in given_tools for name in tools}


@law
@given(resources, resources)
def test_mcp_servers_are_united_by_name(first: Resources, second: Resources) -> None:
    merged = merge(first, second).mcp_servers
    assert merged[: len(first.mcp_servers)] == first.mcp_servers
    both = {server.name for server in (*first.mcp_servers, *second.mcp_servers)}
    assert sorted(server.name for server in merged) == sorted(both)


def subtest_with(own: Resources) -> Subtest:
    return Subtest(
        tier="T5",
        id="01-best",
        path=Path("01-best.yaml"),
        name="",
        description="",
        frontier=False,
        inherit_best_from=("T0", "T1", "T2"),
        system_prompt_mode="custom",
        agent_teams=False,
        resources=own,
    )


@law
@given(st.lists(resources, min_size=3, max_size=3), resources, st.permutations([0, 1, 2]))
def test_parents_are_merged_in_the_order_of_their_tiers(
    parents: list[Resources], own: Resources, order: list[int]
) -> None:
    named = [Parent(f"T{n}", "01-it", parent) for n, parent in enumerate(parents)]
    expected = merge(merge(merge(parents[0], parents[1]), parents[2]), own)
    assert inherit(subtest_with(own), [named[n] for n in order]) == expected


def test_a_subtest_says_whom_it_inherits_from(library: Library) -> None:
    parent = Parent("T0", "02-scope", library.tiers["T0"].subtests[2].resources)
    other = Parent("T1", "01-testing", library.tiers["T1"].subtests[0].resources)
    composed = compose(library, library.tiers["T5"].subtests[0], [other, parent])
    assert composed.inherited_from == {"T0": "02-scope", "T1": "01-testing"}
    assert contents(composed)["CLAUDE.md"] == "# Scope\n"
    assert ".claude/skills/doubles/SKILL.md" in composed.files
    assert compose(library, library.tiers["T0"].subtests[0]).inherited_from is None


# -- composing -------------------------------------------------------------------------------------


def test_an_empty_subtest_puts_nothing_into_the_workspace(tmp_path: Path) -> None:
    composed = setup(tmp_path)
    assert composed.files == {}
    assert composed.tools is None
    assert composed.missing == ()


def test_claude_md_is_made_of_its_blocks_in_their_order(tmp_path: Path) -> None:
    composed = setup(tmp_path, resources={"claude_md": {"blocks": ["B02", "B01-scope"]}})
    assert contents(composed) == {"CLAUDE.md": "# Rules\n\n# Scope\n"}


def test_a_block_is_not_taken_for_another_that_begins_like_it(tmp_path: Path) -> None:
    composed = setup(tmp_path, resources={"claude_md": {"blocks": ["B1"]}})
    assert contents(composed) == {"CLAUDE.md": "# One\n"}


def test_skills_come_by_category_and_by_name(tmp_path: Path) -> None:
    skills = {"categories": ["testing"], "names": ["naming"]}
    composed = setup(tmp_path, resources={"skills": skills})
    assert contents(composed) == {
        ".claude/skills/boundaries/SKILL.md": "Look at the boundaries.",
        ".claude/skills/boundaries/scripts/list.sh": "#!/bin/sh\n",
        ".claude/skills/doubles/SKILL.md": "No doubles.",
        ".claude/skills/naming/SKILL.md": "Name it.",
    }


def test_a_script_of_a_skill_stays_executable(tmp_path: Path) -> None:
    write_library(tmp_path, {"T0/01-it": {"skills": {"names": ["boundaries"]}}}, PARTS)
    (tmp_path / "skills/testing/boundaries/scripts/list.sh").chmod(0o755)
    _, composed = only_subtest(tmp_path)
    assert [name for name, (_, executable) in composed.files.items() if executable] == [
        ".claude/skills/boundaries/scripts/list.sh"
    ]


def test_a_skill_of_one_category_is_never_mixed_with_its_namesake_of_another(
    tmp_path: Path,
) -> None:
    parts = {
        "skills/a/same/SKILL.md": "A",
        "skills/b/same/SKILL.md": "B",
        "skills/b/same/more.md": "of B",
    }
    subtest = {"skills": {"categories": ["a", "b"]}}
    _, composed = only_subtest(write_library(tmp_path, {"T0/01-it": subtest}, parts))
    assert contents(composed) == {".claude/skills/same/SKILL.md": "A"}


def test_agents_come_by_level_and_by_name(tmp_path: Path) -> None:
    composed = setup(tmp_path, resources={"agents": {"levels": [3], "names": ["lead"]}})
    assert contents(composed) == {
        ".claude/agents/lead.md": "You lead.",
        ".claude/agents/tester.md": "You test.",
        ".claude/agents/writer.md": "You write.",
    }


def settings(composed: Setup) -> Any:
    return json.loads(composed.files[".claude/settings.json"][0])


def test_a_list_of_tools_becomes_the_permissions(tmp_path: Path) -> None:
    composed = setup(tmp_path, tools={"enabled": ["Read", "Bash"]})
    assert settings(composed) == {"permissions": {"allow": ["Read", "Bash"]}}
    assert composed.tools == ("Read", "Bash")


def test_all_tools_need_no_settings(tmp_path: Path) -> None:
    composed = setup(tmp_path, tools={"enabled": "all"})
    assert (composed.files, composed.tools) == ({}, None)


def test_agent_teams_are_switched_on_in_the_settings(tmp_path: Path) -> None:
    composed = setup(tmp_path, agent_teams=True)
    assert composed.agent_teams
    assert settings(composed) == {"env": {"CLAUDE_CODE_EXPERIMENTAL_AGENT_TEAMS": "1"}}


def mcp(composed: Setup) -> Any:
    return json.loads(composed.files[".mcp.json"][0])["mcpServers"]


def test_an_mcp_server_is_defined_in_full_or_by_its_name(tmp_path: Path) -> None:
    full = {"name": "web", "url": "http://localhost:1/mcp"}
    local = {"name": "own", "command": "serve", "args": ["-q"], "env": {"A": "1"}}
    pointed = {"name": "other", "config_path": "mcp/clock.json"}
    servers = mcp(setup(tmp_path, mcp_servers=["clock", full, local, pointed]))
    clock = {"command": sys.executable, "args": [f"{tmp_path}/mcp/clock.py"]}
    assert servers == {
        "clock": clock,
        "web": {"url": "http://localhost:1/mcp"},
        "own": {"command": "serve", "args": ["-q"], "env": {"A": "1"}},
        "other": clock,
    }


def test_placeholders_are_filled_whatever_the_path_of_the_library(tmp_path: Path) -> None:
    odd = tmp_path / 'a "quoted" \\ päth'
    servers = mcp(setup(odd, mcp_servers=["clock"]))
    assert servers["clock"]["args"] == [f"{odd}/mcp/clock.py"]


def test_placeholders_are_filled_in_mcp_definitions_alone(tmp_path: Path) -> None:
    words = "Run {python} in {library}."
    subtest = {"claude_md": {"blocks": ["B07"]}, "mcp_servers": ["clock"]}
    parts = {**PARTS, "blocks/B07-words.md": words}
    _, composed = only_subtest(write_library(tmp_path, {"T0/01-it": subtest}, parts))
    assert contents(composed)["CLAUDE.md"] == f"{words}\n"


@pytest.mark.parametrize("content", ["{", "[]", "[1]", '"words"', "null"])
def test_an_mcp_definition_that_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    write_library(tmp_path, {"T0/01-it": {"mcp_servers": ["it"]}}, {"mcp/it.json": content})
    with pytest.raises(InputError, match=r"it\.json"):
        only_subtest(tmp_path)


@pytest.mark.parametrize(
    ("mode", "blocks", "effective"),
    [
        ("custom", ["B01"], "custom"),
        ("custom", [], "default"),
        ("none", [], "none"),
        ("default", ["B01"], "default"),
    ],
)
def test_a_custom_prompt_without_words_is_the_default_one(
    tmp_path: Path, mode: str, blocks: list[str], effective: str
) -> None:
    composed = setup(tmp_path, system_prompt_mode=mode, claude_md={"blocks": blocks})
    assert composed.system_prompt_mode == effective


LACKING: dict[str, dict[str, Any]] = {
    "blocks/B99-*.md": {"claude_md": {"blocks": ["B99"]}},
    "blocks/B-*.md": {"claude_md": {"blocks": ["B"]}},
    "'*'": {"claude_md": {"blocks": ["*"]}},
    "'../mcp/clock'": {"claude_md": {"blocks": ["../mcp/clock"]}},
    "'/etc/hosts'": {"claude_md": {"blocks": ["/etc/hosts"]}},
    "skills/cicd/*/SKILL.md": {"skills": {"categories": ["cicd"]}},
    "'..'": {"skills": {"categories": [".."]}},
    "''": {"skills": {"categories": [""]}},
    "skills/*/juggling/SKILL.md": {"skills": {"names": ["juggling"]}},
    "'../../agents'": {"skills": {"names": ["../../agents"]}},
    "agents/L9/*.md": {"agents": {"levels": [9]}},
    "agents/L*/nobody.md": {"agents": {"names": ["nobody"]}},
    "mcp/sundial.json": {"mcp_servers": ["sundial"]},
}


@pytest.mark.parametrize("named", LACKING)
def test_what_the_library_lacks_is_named_and_leaves_nothing_in_its_place(
    tmp_path: Path, named: str
) -> None:
    composed = setup(tmp_path, **LACKING[named])
    (missing,) = composed.missing
    assert named in missing
    assert composed.files == {}


def test_one_thing_that_is_missing_does_not_hide_the_others(tmp_path: Path) -> None:
    composed = setup(
        tmp_path,
        claude_md={"blocks": ["B99", "B01", "B98"]},
        skills={"categories": ["cicd"]},
        mcp_servers=["sundial"],
    )
    assert len(composed.missing) == 4


# -- the digest, and set-ups that are the same -----------------------------------------------------


def test_a_library_that_was_moved_composes_the_same(tmp_path: Path) -> None:
    write_library(tmp_path / "here", {"T0/01-it": {"mcp_servers": ["clock"]}}, PARTS)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    digests = {only_subtest(tmp_path / place)[1].digest for place in ("here", "there")}
    assert len(digests) == 1


VARIANTS: list[dict[str, Any]] = [
    {},
    {"system_prompt_mode": "none"},
    {"agent_teams": True},
    {"claude_md": {"blocks": ["B01"]}},
    {"claude_md": {"blocks": ["B02"]}},
    {"claude_md": {"blocks": ["B01", "B02"]}},
    {"claude_md": {"blocks": ["B02", "B01"]}},
    {"skills": {"categories": ["testing"]}},
    {"skills": {"names": ["boundaries"]}},
    {"agents": {"levels": [3]}},
    {"agents": {"names": ["tester"]}},
    {"tools": {"enabled": []}},
    {"tools": {"enabled": ["Read"]}},
    {"tools": {"enabled": ["Read", "Bash"]}},
    {"mcp_servers": ["clock"]},
    {"mcp_servers": [{"name": "clock", "command": "other"}]},
]


def test_different_setups_have_different_digests_and_raise_no_warning(tmp_path: Path) -> None:
    subtests = {f"T0/{n:02d}": variant for n, variant in enumerate(VARIANTS)}
    library = load_library(write_library(tmp_path, subtests, PARTS))
    digests = {compose(library, subtest).digest for subtest in library.tiers["T0"].subtests}
    assert len(digests) == len(VARIANTS)
    assert check_setups(library, library.tiers) == []


@pytest.mark.parametrize("change", ["content", "executable"])
def test_an_edited_part_changes_the_digest(tmp_path: Path, change: str) -> None:
    write_library(tmp_path, {"T0/01-it": {"skills": {"names": ["naming"]}}}, PARTS)
    before = only_subtest(tmp_path)[1].digest
    if change == "content":
        write_files(tmp_path, {"skills/quality/naming/SKILL.md": "Name it well."})
    else:
        (tmp_path / "skills/quality/naming/SKILL.md").chmod(0o755)
    assert only_subtest(tmp_path)[1].digest != before


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"description": "the same in other words"}),
        ({}, {"tools": {"enabled": "all"}}),
        ({}, {"frontier": True}),
        ({}, {"resources": {"claude_md": {"blocks": []}}}),
        (
            {"claude_md": {"blocks": ["B01"]}},
            {"resources": {"claude_md": {"blocks": ["B01-scope"]}}},
        ),
        ({"skills": {"categories": ["quality"]}}, {"skills": {"names": ["naming"]}}),
    ],
)
def test_subtests_that_come_to_the_same_are_warned_about(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    library = load_library(write_library(tmp_path, {"T0/01-a": first, "T1/02-b": second}, PARTS))
    (warning,) = check_setups(library, library.tiers)
    assert "T0/01-a and T1/02-b" in warning
    assert "next: " in warning
    assert check_setups(library, ["T0"]) == []


def inheriting(tmp_path: Path, first: list[str], second: list[str]) -> list[str]:
    subtests: dict[str, dict[str, Any]] = {
        "T0/01-a": {"agent_teams": True},
        "T1/01-b": {"tools": {"enabled": ["Read"]}},
        "T5/01-c": {"inherit_best_from": first},
        "T5/02-d": {"inherit_best_from": second},
    }
    library = load_library(write_library(tmp_path, subtests))
    return check_setups(library, library.tiers)


def test_subtests_that_inherit_from_other_tiers_are_not_the_same(tmp_path: Path) -> None:
    assert inheriting(tmp_path, ["T0"], ["T0", "T1"]) == []


def test_the_order_in_which_parents_are_named_makes_no_difference(tmp_path: Path) -> None:
    assert len(inheriting(tmp_path, ["T0", "T1"], ["T1", "T0"])) == 1


def test_what_is_missing_is_warned_about_once_with_all_who_name_it(tmp_path: Path) -> None:
    lacking = {"skills": {"categories": ["cicd"]}}
    library = load_library(write_library(tmp_path, {"T1/01-a": lacking, "T1/02-b": lacking}))
    (warning,) = check_setups(library, library.tiers)
    assert "skills/cicd/" in warning
    assert "T1/01-a, T1/02-b" in warning
    assert "ERROR" in warning
