"""JSON answers: every command's against the schema, the schema itself, and the page about it."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import NAMES, SCHEMA, VALIDATOR, faults, fields_of
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from benchmarks.claims.ledger import VERDICTS
from benchmarks.engine.rows import COLUMNS
from benchmarks.imagenet.table import COLUMNS as TABLE_COLUMNS
from entropic.commands.main import GROUPS, main
from theory.profiles.files import read_profile, read_schedule

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
# The schema is an interface: whoever changes it changes docs/json.md and this digest too.
DIGEST = "7a4116df9c5d8b47"
LOG = "sigma,loss\n0.01,0.99\n0.1,0.9\n0.1,0.8\n1,0.5\n10,0.02\n80,0.0003\n"
KL = ("kl", "--toy", "gaussian", "--schedule", "edm", "--steps", "3")
ANSWERS = [
    (KL, "rows"),
    ((*KL, "--solver", "heun:correct_last=false", "--terminal", "stop"), "rows"),
    ((*KL[:-1], "1", "--solver", "all"), "rows"),
    ((*KL, "--paths", "200", "--repeats", "2"), "rows"),
    (("kl", "--toy", "circle8", "--schedule", "edm", "--steps", "2", "--paths", "100"), "rows"),
    (
        ("kl", "--toy", "points15", "--schedule", "edm_linear", "--steps", "4", "--terminal",
         "zero", "--paths", "100"),
        "rows",
    ),
    (("compare", "--toy", "gaussian", "--steps", "2", "--jobs", "1", "--store", "s"), "rows"),
    (
        ("compare", "--toy", "gaussian", "--solver", "heun", "--nfe", "1", "--schedule", "edm",
         "--store", "s"),
        "rows",
    ),
    (("schedule", "--method", "edm", "--steps", "3", "--terminal", "zero"), "schedule"),
    (("schedule", "--toy", "gaussian", "--method", "las", "--steps", "3"), "schedule"),
    (
        ("schedule", "--losses", "log.csv", "--prediction", "eps", "--method", "las",
         "--steps", "3", "--replicates", "20"),
        "schedule",
    ),
    (("lint", "[2, 1, 0]", "--for", "k-diffusion"), "lint"),
    (("profile", "--toy", "two_points", "--sigma", "0.5", "--rescaled"), "profile"),
    (("profile", "--toy", "circle8", "--sigma", "0.5"), "profile"),
    (("profile", "--losses", "log.csv", "--prediction", "eps"), "profile"),
    (("order", "--solver", "heun"), "order"),
    (("toys",), "toys"),
    (("doctor",), "doctor"),
    (("figures", "claims_ledger", "--quick", "--out", "f"), "figures"),
    (("figures", "--list"), "figure_list"),
    (("claims", "--only", "A.2", "--only", "A.12", "--cases", "1", "--jobs", "1", "--out", "c",
      "--store", "s", "--verify"), "claims"),
    (("imagenet", "table", "--list"), "presets"),
]  # fmt: skip
# Schemas whose commands need a network; the tests of those commands check them.
ELSEWHERE = {"training", "images", "scores", "table", "speed"}


def printed(*args: str) -> str:
    result = CliRunner().invoke(main, [*args, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "log.csv").write_text(LOG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("args", "name"), ANSWERS, ids=lambda v: " ".join(v)[:50])
def test_every_answer_is_as_the_schema_says(folder: Path, args: tuple[str, ...], name: str) -> None:
    fields_of(printed(*args), name)


def test_every_schema_is_tested_and_every_command_has_one() -> None:
    assert {name for _, name in ANSWERS} | ELSEWHERE == set(NAMES)
    run = {args[0] for args, _ in ANSWERS} | {"speed", "train"}
    assert run == {name for names in GROUPS.values() for name in names} - {"completion"}


def test_the_schema_is_valid_and_pinned() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["$defs"]) == {*NAMES, "row", "error"}
    assert [case["then"]["$ref"] for case in SCHEMA["allOf"]] == [f"#/$defs/{n}" for n in NAMES]
    text = json.dumps(SCHEMA, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGEST


def test_the_columns_of_a_row_are_fixed() -> None:
    row = SCHEMA["$defs"]["row"]
    assert {key: about["description"] for key, about in row["properties"].items()} == COLUMNS
    assert row["required"] == list(row["properties"]) == list(COLUMNS)
    assert row["additionalProperties"] is False
    table = SCHEMA["$defs"]["table"]["properties"]["rows"]["items"]
    assert table["required"] == list(table["properties"]) == list(TABLE_COLUMNS)
    claim = SCHEMA["$defs"]["claims"]["properties"]["claims"]["items"]["properties"]
    assert set(claim["verdict"]["enum"]) == set(VERDICTS)


def spoilt(answer: dict[str, Any], **change: Any) -> dict[str, Any]:
    rows = [{k: v for k, v in (answer["rows"][0] | change).items() if v != "drop"}]
    return answer | {"rows": rows}


def test_wrong_answers_are_refused() -> None:
    answer = json.loads(printed(*KL))
    assert not faults(answer)
    assert faults(spoilt(answer, more=1))
    assert faults(spoilt(answer, gap="drop"))
    assert faults(spoilt(answer, error_kind="guess"))
    assert faults(spoilt(answer, value="0.1"))
    assert faults(spoilt(answer, error=-1.0))
    assert faults(spoilt(answer, nfe=2.5))
    assert faults(answer | {"schema": "entropic.nothing"})
    assert faults(answer | {"schema": "entropic.toys"})
    assert faults({key: value for key, value in answer.items() if key != "version"})
    assert faults([answer])


def test_errors_are_one_object_and_exit_code_2() -> None:
    wrong = [(*KL, "--solver", "huen"), ("toys", "--nope"), ("order",), ("nope",), ("imagenet",),
             ("figures", "kl_vs_step"), ("claims", "--only", "A.99"), ("compare", "--steps", "x"),
             ("imagenet", "table"), ("train", "--preset", "digitz", "--out", "x")]  # fmt: skip
    check = Draft202012Validator({"$ref": "#/$defs/error", "$defs": SCHEMA["$defs"]})
    for args in wrong:
        result = CliRunner().invoke(main, [*args, "--json"], catch_exceptions=False)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert check.is_valid(json.loads(result.stderr))


def test_saved_answers_are_read_back(folder: Path) -> None:
    text = printed("schedule", "--method", "edm", "--steps", "5", "--terminal", "zero")
    (folder / "s.json").write_text(text)
    back = read_schedule("s.json")
    assert (back.method, back.terminal) == ("edm", "zero")
    assert back.sigmas.tolist() == json.loads(text)["sigmas"]
    rows = fields_of(printed("kl", "--toy", "gaussian", "--schedule", "s.json"))["rows"]
    assert rows[0]["n_steps"] == 5
    for source in (("--toy", "two_points"), ("--losses", "log.csv", "--prediction", "eps")):
        text = printed("profile", *source)
        (folder / "p.json").write_text(text)
        profile = read_profile("p.json")
        np.testing.assert_array_equal(profile.sigma, json.loads(text)["sigma"])
        np.testing.assert_array_equal(profile.mmse, json.loads(text)["mmse"])
        args = ("schedule", "--profile", "p.json", "--method", "rescaled", "--steps", "4")
        assert len(fields_of(printed(*args))["sigmas"]) == 5


def test_a_saved_answer_of_another_kind_is_refused(folder: Path) -> None:
    for args in (("toys",), ("schedule", "--method", "edm", "--steps", "5")):
        (folder / "x.json").write_text(printed(*args))
        with pytest.raises(ValueError, match=f"kind must be 'profile', got '{args[0]}'"):
            read_profile("x.json")
    (folder / "x.json").write_text('{"schema": 3}')
    with pytest.raises(ValueError, match="kind must be 'profile', got None"):
        read_profile("x.json")


def test_files_written_by_out_have_no_envelope(folder: Path) -> None:
    printed("schedule", "--method", "edm", "--steps", "5", "--out", "s.json")
    printed("profile", "--toy", "two_points", "--out", "p.json")
    for name, kind in (("s.json", "schedule"), ("p.json", "profile")):
        fields = json.loads((folder / name).read_text())
        assert fields["kind"] == kind
        assert not {"schema", "version"} & set(fields)


def test_the_page_has_every_schema_and_every_column() -> None:
    table = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE, flags=re.MULTILINE)
    assert [cells for cells in table if cells[0] in COLUMNS] == [
        (name, text.replace("|", "\\|")) for name, text in COLUMNS.items()
    ]
    named = re.findall(r"`entropic\.(\w+)`", PAGE)
    assert set(named) >= set(NAMES)
    assert set(named) <= set(NAMES)


def test_the_schema_is_in_the_package_data() -> None:
    assert '"schema.json"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert VALIDATOR.schema is SCHEMA


def test_a_store_is_left_out_of_answers(folder: Path) -> None:
    """A second run, which finds its results in the store, prints the same."""
    args = ("compare", "--toy", "gaussian", "--steps", "2", "--schedule", "edm", "--store", "s")
    first = printed(*args)
    assert printed(*args) == first
    shutil.rmtree("s")
    assert printed(*args) == first
