"""The ledger itself: readings, verdicts, cases, files, and what is committed."""

import json
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from answers import fields_of

from benchmarks.claims import ledger, registry, report, run
from benchmarks.claims.cases import (
    FITS,
    TARGETS,
    Case,
    load_case,
    random_case,
    save_case,
    target_cases,
)
from benchmarks.claims.ledger import Claim, Reading, at_most, relative, sampled, worst
from benchmarks.engine.store import Store
from benchmarks.studies.claims_ledger import read_full_run

CLAIMS = registry.all_claims()
FULL = read_full_run()


def value_of(case: Case, value: float) -> Reading:
    return Reading(value, 0.0, f"value {value}")


def made(name: str = "A.x", value: float = 0.0, **options: object) -> Claim:
    """A claim whose reading is given."""
    measure = partial(value_of, value=value)
    return Claim(name, "eq. (0)", "A line.", "a = b", "identity", "none", measure, 1e-9, "rounding",
                 **options)  # type: ignore[arg-type]  # fmt: skip


def rows_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, claim: Claim, **options: object
) -> dict:  # type: ignore[type-arg]
    monkeypatch.setattr(run, "find", lambda ids: (claim,))
    rows, _ = run.run_claims((), Store(tmp_path), 2, jobs=1, **options)  # type: ignore[arg-type]
    return rows[0]


def test_relative_is_the_gap_over_the_larger_side() -> None:
    assert relative([1.0, -4.0], [1.0, -2.0]).value == 0.5
    assert relative(0.0, 1e-3).value == 1.0
    assert relative(1.0, -1.0).value == 2.0
    assert relative(np.nan, 1.0).value == np.inf
    assert relative([np.inf], [1.0]).value == np.inf


def test_sides_below_the_underflow_are_equal_only_together() -> None:
    assert relative(1e-295, 3e-300).value == 0.0
    assert relative(1e-280, 3e-300).value == pytest.approx(1.0)


def test_inequalities_are_negative_when_they_hold() -> None:
    assert at_most(1.0, 4.0).value == -0.75
    assert at_most([1.0, 5.0], 4.0).value == 0.2
    assert at_most(np.nan, 4.0).value == np.inf


def test_sampled_counts_standard_errors() -> None:
    samples = np.random.default_rng(0).normal(0.0, 2.0, 10_000)
    mean, stderr = samples.mean(), samples.std(ddof=1) / 100.0
    assert sampled(samples, mean + 3.0 * stderr).value == pytest.approx(3.0)
    assert sampled(samples).value < 4.0
    assert sampled(np.ones((5, 2)), [1.0, 1.0]).value == 0.0


def test_the_worst_of_many_sampled_means_counts_as_one() -> None:
    samples = np.random.default_rng(0).normal(0.0, 1.0, (200, 1000, 64))
    values = np.array([sampled(s).value for s in samples])
    assert np.mean(values > 2.0) < 2.0 * 0.0455  # two-sided tail of one mean at 2 standard errors
    assert np.mean(values > 1.0) > 0.5 * 0.317


def test_worst_puts_nan_first() -> None:
    assert worst([Reading(1.0), Reading(3.0), Reading(2.0)]).value == 3.0
    assert np.isnan(worst([Reading(1.0), Reading(float("nan"))]).value)


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        (made(value=1e-12), "holds"),
        (made(value=1e-9), "holds"),
        (made(value=2e-9), "fails"),
        (made(value=1.0, corrected=partial(value_of, value=0.0), correction="so"),
         "holds_as_corrected"),
        (made(value=1.0, corrected=partial(value_of, value=1e-3), correction="so"), "fails"),
        (made(value=1e-12, corrected=partial(value_of, value=1.0), correction="so"), "holds"),
        (made(value=5.0, command="entropic imagenet table"), "needs_data"),
    ],
)  # fmt: skip
def test_verdicts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, claim: Claim, verdict: str
) -> None:
    row = rows_of(monkeypatch, tmp_path, claim)
    assert row["verdict"] == verdict
    assert row["value"] == claim.measure(random_case("none", 0)).value
    assert (row["correction"] == "so") == (verdict == "holds_as_corrected")
    assert (claim.command in row["evidence"]) == bool(claim.command) or not claim.command


def test_a_measure_that_is_no_number_or_raises_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"claim A.x on gaussian: value must be a number, got nan"):
        rows_of(monkeypatch, tmp_path, made(value=float("nan")))

    def refuses(case: Case) -> Reading:
        raise ValueError("rtol must be within reach")

    claim = made()
    object.__setattr__(claim, "measure", refuses)
    with pytest.raises(ValueError, match=r"claim A.x on gaussian: rtol must be within reach"):
        rows_of(monkeypatch, tmp_path, claim)


def test_finished_tasks_are_not_run_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows_of(monkeypatch, tmp_path, made(value=0.0))
    again = rows_of(monkeypatch, tmp_path, made(value=7.0))
    assert again["value"] == 0.0  # from the store
    assert rows_of(monkeypatch, tmp_path, made(value=7.0), seed=5)["value"] == 7.0


def test_more_cases_are_split_into_tasks_and_the_worst_is_kept() -> None:
    assert [(t.first, t.count) for t in run._tasks(made(), 45, 0, None)] == [
        (0, 20),
        (20, 20),
        (40, 5),
    ]
    assert [(t.first, t.count) for t in run._tasks(made(most=3), 45, 0, None)] == [(0, 3)]
    claim = next(c for c in CLAIMS if c.id == "A.4")
    whole = run.ClaimTask("A.4", 0, 6, 11).cases(claim)
    parts = run.ClaimTask("A.4", 0, 2, 11).cases(claim) + run.ClaimTask("A.4", 2, 4, 11).cases(
        claim
    )
    assert [c.seed for c in whole] == [c.seed for c in parts]
    assert [c.name for c in whole[:5]] == list(TARGETS["line"])


@pytest.mark.parametrize("domain", TARGETS)
def test_cases_fit_their_domain_and_repeat(domain: str) -> None:
    for case in [*target_cases(domain), *(random_case(domain, s) for s in range(50))]:
        assert FITS[domain](case.toy)
        assert (np.diff(case.sigmas) < 0).all()
        assert case.sigmas[-1] >= 1e-3 * (1 - 1e-12)
        assert case.sigmas[0] <= 1e3 * (1 + 1e-12)
        assert case.toy.size <= 15
        assert case.toy.stds.max() <= 2.0
    one, two = random_case(domain, 9), random_case(domain, 9)
    assert one.toy.to_dict() == two.toy.to_dict()
    assert one.sigmas.tolist() == two.sigmas.tolist()


def test_a_saved_case_is_the_case(tmp_path: Path) -> None:
    case = random_case("space", 4)
    save_case(tmp_path / "x.json", case, {"claim": "A.4"})
    read, fields = load_case(tmp_path / "x.json")
    assert fields["claim"] == "A.4"
    np.testing.assert_array_equal(read.toy.means, case.toy.means)
    np.testing.assert_array_equal(read.toy.stds, case.toy.stds)
    np.testing.assert_array_equal(read.sigmas, case.sigmas)
    assert read.seed == case.seed
    x = case.states()
    np.testing.assert_allclose(read.wrong.denoise(x, 1.0), case.wrong.denoise(x, 1.0), rtol=1e-14)


def test_there_are_enough_claims_and_each_is_said_once() -> None:
    ids = Counter(claim.id for claim in CLAIMS)
    assert max(ids.values()) == 1
    assert len(ids) >= 90
    papers = Counter(claim.paper for claim in CLAIMS)
    assert min(papers[p] for p in "ABCD") >= 12
    for claim in CLAIMS:
        assert claim.kind in ledger.KINDS
        assert claim.domain in FITS
        assert all((claim.number, claim.statement, claim.formula, claim.made_of))
        assert claim.statement.endswith((".", "?", "!"))
        assert "\n" not in claim.statement + claim.formula
        assert (claim.corrected is None) == (not claim.correction)


def test_identities_ask_for_nine_digits_or_four_standard_errors() -> None:
    for claim in CLAIMS:
        if claim.kind == "identity":
            asked = 4.0 if claim.made_of == ledger.SAMPLED else 1e-9
            assert claim.tolerance <= asked, claim.id


def test_counterexamples_are_those_of_the_claims_that_have_routes() -> None:
    saved = {path.stem for path in ledger.COUNTEREXAMPLES.glob("*.json")}
    assert saved == {claim.id for claim in CLAIMS if claim.routes}


# What is committed.


def test_the_full_run_is_of_these_claims() -> None:
    assert [row["id"] for row in FULL] == [claim.id for claim in CLAIMS]
    by_id = {claim.id: claim for claim in CLAIMS}
    for row in FULL:
        claim = by_id[row["id"]]
        assert row["statement"] == claim.statement
        assert row["formula"] == claim.formula
        assert row["kind"] == claim.kind
        assert row["number"] == claim.number
        assert row["tolerance"] == claim.tolerance
        assert np.isfinite(row["value"])
        assert (row["verdict"] == "needs_data") == bool(claim.command)
        if row["verdict"] in ("fails", "holds_as_corrected"):
            assert claim.routes is not None
            assert claim.counterexample.exists()
            assert row["value"] > claim.tolerance
        if row["verdict"] == "holds":
            assert row["value"] <= claim.tolerance


def test_the_page_of_claims_is_the_full_run() -> None:
    """`python -m benchmarks.claims.report docs/claims.md` writes it again."""
    page = Path(__file__).parents[1] / "docs" / "claims.md"
    assert page.read_text(encoding="utf-8") == report.page()


# The command line.


@pytest.fixture
def two() -> list[str]:
    return ["claims", "--only", "A.12", "--only", "A.2", "--cases", "1", "--jobs", "1"]


def test_json_has_the_keys_of_the_design(
    two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from entropic.commands.main import main

    with pytest.raises(SystemExit) as stop:
        main([*two, "--json", "--verify", "--out", str(tmp_path)])
    assert stop.value.code == 0
    rows = fields_of(capsys.readouterr().out, "claims")["claims"]
    assert [row["id"] for row in rows] == ["A.12", "A.2"]
    assert set(report.JSON_KEYS) <= set(rows[0])
    assert [row["verdict"] for row in rows] == ["holds", "holds_as_corrected"]
    assert "counterexample repeated" in rows[1]["evidence"]
    assert (tmp_path / "claims-only.csv").exists()
    assert "## Evidence" in (tmp_path / "claims-only.md").read_text()


def test_a_users_mixture_takes_the_place_of_all_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from entropic.commands.main import main

    toy = tmp_path / "mine.json"
    toy.write_text(
        json.dumps({"kind": "mixture", "weights": [1, 2], "means": [0, 1], "stds": [0.1, 0]})
    )
    with pytest.raises(SystemExit) as stop:
        main(["claims", "--only", "A.12", "--only", "A.7", "--toy", str(toy), "--cases", "2",
              "--jobs", "1", "--out", str(tmp_path)])  # fmt: skip
    assert stop.value.code == 0
    out = capsys.readouterr()
    assert "A.12  holds" in out.out
    assert "A.7 " not in out.out
    assert "left out, being about other data: A.7" in out.err
    assert (
        "user 0" in (tmp_path / "claims-only.csv").read_text()
        or "user 1" in (tmp_path / "claims-only.csv").read_text()
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ["--only", "A.99"],
            "only must be the id of a claim, got 'A.99'",
        ),
        (["--cases", "0"], "cases"),
        (["--seed", "-1"], "seed must be a whole number"),
        (["--toy", "nonsense"], "toy must be one of"),
        (["--only", "A.12", "--verify", "--out", "/dev/null/x"], "folder must be writable"),
    ],
)
def test_bad_input_is_one_line(
    args: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from entropic.commands.main import main

    with pytest.raises(SystemExit) as stop:
        main(["claims", *args])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
