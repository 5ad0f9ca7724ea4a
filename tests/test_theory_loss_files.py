"""Loss logs as people have them: dialects, names of columns, meanings, rows without a measurement.

The right values are closed forms: for N(0, c^2) the rescaled schedule is uniform in
arctan(sigma / c).
"""

import gzip
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from theory.gaussian import gaussian_mmse
from theory.noise.ddpm import DDPM, Betas, Cosine, cosine_betas, scaled_linear_betas
from theory.noise.processes import Flow
from theory.noise.times import TIMES, coordinate_of
from theory.profiles.columns import column_words, find_column
from theory.profiles.loss_files import Logged, loss_profile, read_losses
from theory.profiles.risks import loss_weight, x0_risks
from theory.profiles.tables import read_table
from theory.schedules.registry import schedule

C = 0.5
SIGMA = np.geomspace(0.01, 50.0, 21)
LOSS = gaussian_mmse(SIGMA, C) / SIGMA**2
ROWS = [f"{s!r},{v!r}" for s, v in zip(SIGMA.tolist(), LOSS.tolist(), strict=True)]
EPS = Logged("eps")


def written(tmp_path: Path, text: str | bytes, name: str = "log.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def check(path: Path, logged: Logged = EPS, rtol: float = 1e-12) -> None:
    rows = read_losses(path, logged)
    np.testing.assert_allclose(rows.sigma, SIGMA, rtol=rtol)
    np.testing.assert_allclose(rows.loss, LOSS, rtol=rtol)
    np.testing.assert_array_equal(rows.samples, 1.0)


def german(text: str) -> str:
    return text.replace(",", ";").replace(".", ",")


PLAIN = "sigma,loss\n" + "\n".join(ROWS) + "\n"
DIALECTS = {
    "plain": PLAIN,
    "bom": "\ufeff" + PLAIN.replace("\n", "\r\n"),
    "old line ends": PLAIN.replace("\n", "\r"),
    "semicolon": PLAIN.replace(",", ";"),
    "german": german(PLAIN),
    "german, quoted": "sigma,loss\n" + "\n".join(
        ",".join(f'"{cell.replace(".", ",")}"' for cell in row.split(",")) for row in ROWS
    ),
    "tab": PLAIN.replace(",", "\t"),
    "bar": PLAIN.replace(",", "|"),
    "blanks": PLAIN.replace(",", "   "),
    "sep": "sep=,\n" + PLAIN,
    "sep, semicolon": '"sep=;"\r\n' + german(PLAIN),
    "comment with names": "# made by a run\n# sigma,loss\n" + "\n".join(ROWS),
    "comments between": PLAIN.replace("\n", "\n# note, with; marks\n", 3),
    "quoted": "note,sigma,loss\n" + "\n".join(f'"a, b; c",{row}' for row in ROWS),
    "quoted newline": "note,sigma,loss\n" + "\n".join(f'"a\nb",{row}' for row in ROWS),
    "index": ",sigma,loss\n" + "\n".join(f"{i},{row}" for i, row in enumerate(ROWS)),
    "capitals": PLAIN.replace("sigma,loss", " Sigma ,LOSS"),
    "empty at the end": "sigma,loss,\n" + "\n".join(f"{row},," for row in ROWS),
    "json lines": "\n".join(
        json.dumps({"sigma": s, "loss": v, "note": None})
        for s, v in zip(SIGMA.tolist(), LOSS.tolist(), strict=True)
    ),
    "json lines, nested": "\n".join(
        json.dumps({"train": {"sigma": s, "loss": v}})
        for s, v in zip(SIGMA.tolist(), LOSS.tolist(), strict=True)
    ),
    "json list": json.dumps(
        [{"sigma": s, "loss": v} for s, v in zip(SIGMA.tolist(), LOSS.tolist(), strict=True)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    check(written(tmp_path, DIALECTS[name]))
    check(written(tmp_path, gzip.compress(DIALECTS[name].encode()), "log.csv.gz"))


def test_parquet_is_read_where_pandas_can(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    content = io.BytesIO()
    pd.DataFrame({"sigma": SIGMA, "loss": LOSS}).to_parquet(content)
    check(written(tmp_path, content.getvalue(), "log.parquet"))


def test_broken_parquet_and_gzip_are_one_line(tmp_path: Path) -> None:
    for content, rule in (
        (b"PAR1 and nothing more", r"log: the file must be (valid Parquet|CSV or JSON lines)"),
        (gzip.compress(PLAIN.encode())[:-20], "log: the file must be whole gzip"),
        (b"\x1f\x8bnonsense", "log: the file must be whole gzip"),
    ):
        with pytest.raises(ValueError, match=rule):
            read_losses(written(tmp_path, content, "log"), EPS)


COLUMNS = {
    "slash": "train/sigma,train/loss",
    "dash": "run 7 - sigma,run 7 - loss",
    "dash with bounds": "run - sigma,run - loss,run - loss__MIN,run - loss__MAX",
    "dots": "metrics.sigma,metrics.loss",
    "underscore": "train_sigma,train_loss",
    "other data": "train/sigma,train/loss,val/loss,val/sigma",
    "with snr": "sigma,loss,snr",
    "exact before part": "sigma,loss,ema/loss",
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_found_under_a_trackers_names(tmp_path: Path, name: str) -> None:
    head = COLUMNS[name]
    extra = len(head.split(",")) - 2
    cells = (["7"] * extra) if "snr" not in head else [""]
    rows = [",".join([row, *cells]) if extra else row for row in ROWS]
    if "snr" in head:
        rows = [f"{row}{s**-2!r}" for row, s in zip(rows, SIGMA.tolist(), strict=True)]
    check(written(tmp_path, "\n".join([head, *rows])))


def test_the_user_names_columns_of_any_name(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN.replace("sigma,loss", 'Noise std,"Error, squared"'))
    columns = column_words(["loss=error, squared", "sigma=Noise std"])
    check(path, Logged("eps", times="sigma", columns=columns))
    with pytest.raises(ValueError, match="times must say what column Noise std means, got none"):
        read_losses(path, Logged("eps", columns=columns))
    with pytest.raises(ValueError, match="column loss=mse must be one of the file's columns, got"):
        read_losses(path, Logged("eps", columns={"loss": "mse"}))


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["loss"], "column must be ROLE=NAME, such as loss=train/loss, got 'loss'"),
        (["los=x"], "role of a column must be one of loss, .* got 'los'; did you mean 'loss'"),
        (["loss=a", "loss=b"], "column must name each role once, got loss twice"),
    ],
)
def test_words_for_columns(words: list[str], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        column_words(words)


def test_columns_that_are_not_needed_need_not_be_clear(tmp_path: Path) -> None:
    """Two splits, two weights and two times beside a column that states the level."""
    head = "sigma,loss,stage,phase,weight,loss_weight,time,timestep"
    rows = [f"{row},train,train,1,1,7,8" for row in ROWS]
    rows += ["1,9,train,val,1,1,7,8", "1,9,test,train,1,1,7,8"]
    path = written(tmp_path, "\n".join([head, *rows]))
    check(path)
    found = read_losses(path, EPS)
    assert dict(found.left_out) == {"of other data": 2}
    assert len(found.notes) == 2
    with pytest.raises(ValueError, match="no doubt about sigma, got time, timestep; name one as"):
        read_losses(written(tmp_path, "time,timestep,loss\n1,2,3\n"), Logged("eps", "ddpm"))


def test_two_columns_that_fit_are_refused() -> None:
    assert find_column(["a/loss", "x"], "loss", ("loss",)) == "a/loss"
    assert find_column(["x"], "loss", ("loss",)) is None
    with pytest.raises(
        ValueError, match="no doubt about loss, got a/loss, b/loss; name one as loss"
    ):
        find_column(["a/loss", "b/loss"], "loss", ("loss",))


def test_rows_without_a_measurement_are_left_out_and_counted(tmp_path: Path) -> None:
    more = ["1,", ",0.5", ",", "1,nan", "1,NaN", "inf,1", "1,-inf", "1,None", "0,1", "1e999,2"]
    rows = read_losses(written(tmp_path, "\n".join(["sigma,loss", *more, *ROWS])), EPS)
    np.testing.assert_allclose(rows.sigma, SIGMA)
    assert dict(rows.left_out) == {"blank": 3, "not finite": 5, "without noise": 1}
    profile = loss_profile(tmp_path / "log.csv", EPS)
    assert profile.source["left_out"] == dict(rows.left_out)
    assert profile.source["columns"] == {"sigma": "sigma", "loss": "loss"}


def test_a_log_with_nothing_but_blank_rows_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "sigma,loss\n1,\nnan,2\n")
    with pytest.raises(ValueError, match="must hold rows with a loss, got 1 blank, 1 not finite"):
        read_losses(path, EPS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file must start with a line of column names, got nothing"),
        ("# only\n# comments\n", "the file must start with a line of column names, got nothing"),
        ("sigma,loss\n\n", "the file must hold rows of numbers, got column names only"),
        (
            "1,2\n3,4\n",
            "columns must include sigma (or snr, log_snr, alpha_bar, or a time), got 1, 2; name "
            "one as sigma=NAME",
        ),
        ("sigma,mse\n1,2\n", "columns must include loss, got sigma, mse; name one as loss=NAME"),
        ("sigma,loss,loss\n1,2,3\n", "columns must have names of their own, got 'loss' twice"),
        (
            "sigma,loss\n1,2\n3,4,5\n",
            "rows must have 2 fields like the line of names, got 3 on line 3",
        ),
        ("sigma,loss\n1,2\n\n3,many\n", "loss must be numbers, got 'many' on line 4"),
        ("sigma,loss\n1,2\n1_00,3\n", "sigma must be numbers, got '1_00' on line 3"),
        ("sigma,loss\n1,0x10\n", "loss must be numbers, got '0x10' on line 2"),
        ("sigma,loss\n1,2\n1,-3\n", "loss must be at least 0, got -3 on line 3"),
        ("sigma,loss\n1,2\n\n-1,3\n", "sigma must be at least 0, got -1 on line 4"),
        ("snr,loss\n1,2\n-1,3\n", "snr must be positive, got -1 on line 3"),
        (
            "sigma;loss\n1,5;2\n1.5;3\n",
            "sigma must have decimal points or decimal commas, got both, '1,5' on line 2",
        ),
        (
            "sigma,snr,loss\n1,1,2\n2,1,2\n",
            "snr must agree with sigma about the level, got 1 for sigma 2 on line 3; name one as "
            "sigma=NAME",
        ),
        ("sigma,loss,samples\n1,2,0\n", "samples must be whole and at least 1, got 0 on line 2"),
        (
            '{"sigma": 1}\nnonsense\n',
            "the file must be one JSON object per line, got Expecting value: line 1 column 1 "
            "(char 0) (line 2)",
        ),
        ("[1, 2]", "the file must hold JSON objects, got 1 on row 1"),
    ],
)
def test_reading_a_broken_loss_log_says_why(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        read_losses(path, EPS)
    assert str(error.value) == f"{path}: {message}"


@pytest.mark.parametrize("name", ["t", "timestep", "step_index", "lambda"])
def test_times_always_need_a_meaning(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, PLAIN.replace("sigma", name))
    with pytest.raises(ValueError, match=f"times must say what column {name} means, got none; one"):
        read_losses(path, EPS)


MEANINGS: dict[str, dict[str, object]] = {
    "vp": {"times": "vp"},
    "vp, own betas": {"times": "vp", "betas": "0.2,18"},
    "flow": {"times": "flow"},
    "flow-reversed": {"times": "flow-reversed"},
    "edm": {"times": "edm"},
    "log-snr": {"times": "log-snr"},
    "half-log-snr": {"times": "half-log-snr"},
    "alpha-bar": {"times": "alpha-bar"},
    "snr": {"times": "snr"},
}


@pytest.mark.parametrize("name", MEANINGS)
@pytest.mark.parametrize("column", ["t", "lambda"])
def test_every_meaning_of_a_time(tmp_path: Path, name: str, column: str) -> None:
    given = MEANINGS[name]
    meaning = coordinate_of(str(given["times"]), given.get("betas"))  # type: ignore[arg-type]
    times = np.asarray(meaning.time(SIGMA)).tolist()
    rows = [f"{t!r},{v!r}" for t, v in zip(times, LOSS.tolist(), strict=True)]
    path = written(tmp_path, "\n".join([f"{column},loss", *rows]))
    check(path, Logged("eps", **given), 1e-9)  # type: ignore[arg-type]


def test_closed_forms_of_the_meanings() -> None:
    s = SIGMA
    np.testing.assert_allclose(coordinate_of("edm").time(s), 0.25 * np.log(s))
    np.testing.assert_allclose(coordinate_of("half-log-snr").time(s), -np.log(s))
    np.testing.assert_allclose(coordinate_of("alpha-bar").time(s), 1.0 / (1.0 + s**2))
    np.testing.assert_allclose(coordinate_of("flow-reversed").time(s), 1.0 / (1.0 + s), rtol=1e-12)
    for name in TIMES:
        one = coordinate_of(name)
        at = np.asarray(one.time([0.3, 2.0]))
        step = 1e-6 * np.abs(at) + 1e-9
        slope = (np.asarray(one.sigma(at + step)) - np.asarray(one.sigma(at - step))) / (2 * step)
        tolerance = 2e-2 if name == "ddpm" else 1e-5  # linear between whole indices
        np.testing.assert_allclose(one.dsigma_dtime(at), slope, rtol=tolerance)


def index_log(tmp_path: Path, levels: np.ndarray, name: str = "timestep") -> Path:
    keep = np.isfinite(levels)
    loss = np.ones(levels.size)
    loss[keep] = gaussian_mmse(levels[keep], C) / levels[keep] ** 2
    rows = [f"{i},{v!r}" for i, v in enumerate(loss.tolist())]
    return written(tmp_path, "\n".join([f"{name},loss", *rows]))


@pytest.mark.parametrize(
    ("betas", "zero"),
    [
        (None, False),
        ("linear", True),
        ("scaled-linear", False),
        ("cosine", False),
        ("0.0002,0.03", False),
        ("config", False),
        ("config", True),
        ("list", False),
    ],
)
def test_ddpm_indices_of_every_kind_of_betas(tmp_path: Path, betas: str | None, zero: bool) -> None:
    every = {
        None: np.linspace(1e-4, 0.02, 1000),
        "linear": np.linspace(1e-4, 0.02, 1000),
        "scaled-linear": np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2,
        "cosine": cosine_betas(1000),
        "0.0002,0.03": np.linspace(2e-4, 0.03, 1000),
        "config": np.linspace(0.001**0.5, 0.02**0.5, 50) ** 2,
        "list": np.linspace(0.0005, 0.05, 200),
    }[betas]
    if betas == "config":
        fields = {"beta_schedule": "scaled_linear", "beta_start": 0.001, "beta_end": 0.02}
        fields |= {"num_train_timesteps": 50, "rescale_betas_zero_snr": zero}  # type: ignore[dict-item]
        betas = str(written(tmp_path, json.dumps(fields), "scheduler_config.json"))
        zero_given = False
    else:
        zero_given = zero
    if betas == "list":
        betas = str(written(tmp_path, json.dumps(every.tolist()), "betas.json"))
    root = np.sqrt(np.cumprod(1.0 - every))
    if zero:
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    with np.errstate(divide="ignore"):
        levels = np.sqrt((1.0 - root**2) / root**2)
    logged = Logged("epsilon", "ddpm", betas, zero_given)
    rows = read_losses(index_log(tmp_path, levels), logged)
    np.testing.assert_allclose(rows.sigma, levels[np.isfinite(levels)], rtol=1e-9)
    assert dict(rows.left_out) == ({"pure noise": 1} if zero else {})
    found = schedule("rescaled", 4, profile=loss_profile(tmp_path / "log.csv", logged))
    ends = np.arctan(np.array([rows.sigma.max(), rows.sigma.min()]) / C)
    np.testing.assert_allclose(found, C * np.tan(np.linspace(*ends, 5)), rtol=1e-3)


def test_the_betas_of_the_cosine_schedule_follow_its_alpha_bar() -> None:
    """Away from the end, where they are cut at 0.999."""
    levels = np.asarray(Betas(tuple(cosine_betas(1000).tolist())).sigma(np.arange(990.0)))
    np.testing.assert_allclose(levels, Cosine().sigma(np.arange(1.0, 991.0) / 1000.0), rtol=1e-9)
    np.testing.assert_allclose(
        Betas(tuple(np.linspace(1e-4, 0.02, 1000).tolist())).sigma([0, 10.5, 999]),
        DDPM().sigma([0, 10.5, 999]), rtol=1e-12,
    )  # fmt: skip
    assert scaled_linear_betas(3, 0.01, 0.04)[1] == pytest.approx(0.15**2)


@pytest.mark.parametrize(
    ("logged", "rule"),
    [
        (Logged("eps", "flo"), "times must be one of sigma, .* got 'flo'; did you mean 'flow'"),
        (
            Logged("eps", "flow", "linear"),
            "betas must come with times ddpm or vp, got times 'flow'",
        ),
        (Logged("eps", "vp", zero_snr=True), "zero_snr must come with times ddpm, got times 'vp'"),
        (Logged("eps", "ddpm", "cosin"), "betas must be one of .* did you mean 'cosine'"),
        (Logged("eps", "ddpm", "1,b"), "betas must be two numbers FIRST,LAST, got '1,b'"),
        (Logged("eps", "ddpm"), "timestep must be an index in 0..999, got 1000 on line 3"),
        (Logged("eps", "flow"), r"timestep must be in \[0, 1\), got 1000 on line 3"),
        (Logged("eps", after=3), "after must come with a column of training steps, got timestep"),
        (Logged("eps", "ddpm", columns={"sigma": "step"}), "column sigma=step must be one of"),
    ],
)
def test_wrong_meanings_are_one_line(tmp_path: Path, logged: Logged, rule: str) -> None:
    path = written(tmp_path, "timestep,loss\n0,1\n1000,2\n")
    if logged.after is not None:
        path = written(tmp_path, "timestep,sigma,loss\n0,1,1\n1,2,2\n")
    with pytest.raises(ValueError, match=rule):
        read_losses(path, logged)


def test_flow_times_leave_out_both_ends(tmp_path: Path) -> None:
    times = np.append(Flow().time(SIGMA), [0.0, 1.0]).tolist()
    loss = [*LOSS.tolist(), 3.0, 4.0]
    for name, flip in (("flow", False), ("flow-reversed", True)):
        rows = [f"{1.0 - t if flip else t!r},{v!r}" for t, v in zip(times, loss, strict=True)]
        found = read_losses(written(tmp_path, "\n".join(["t,loss", *rows])), Logged("eps", name))
        np.testing.assert_allclose(found.sigma, SIGMA, rtol=1e-9)
        assert dict(found.left_out) == {"pure noise": 1, "without noise": 1}


def test_training_steps_choose_rows(tmp_path: Path) -> None:
    rows = [f"{i % 7},{row}" for i, row in enumerate(ROWS)]
    path = written(tmp_path, "\n".join(["step,sigma,loss", *rows]))
    late = read_losses(path, Logged("eps", after=4))
    np.testing.assert_allclose(late.sigma, SIGMA[np.arange(21) % 7 > 4])
    assert dict(late.left_out) == {"too early": 15}
    last = read_losses(path, Logged("eps", last=6))
    np.testing.assert_allclose(last.sigma, SIGMA[np.arange(21) % 7 > 4])
    both = read_losses(path, Logged("eps", after=4, last=2))
    np.testing.assert_allclose(both.sigma, SIGMA[[13, 20]])


def test_a_column_of_weights_divides_the_losses(tmp_path: Path) -> None:
    weights = 1.0 + np.arange(21.0)
    rows = [
        f"{s!r},{v * w!r},{w!r}"
        for s, v, w in zip(SIGMA.tolist(), LOSS.tolist(), weights.tolist(), strict=True)
    ]
    path = written(tmp_path, "\n".join(["sigma,loss,w", *rows]))
    check(path, Logged("eps", columns={"weight": "w"}))
    assert read_losses(path, EPS).loss[5] == pytest.approx(6.0 * LOSS[5])
    path.write_text(path.read_text().replace(",1.0\n", ",0\n", 1))
    with pytest.raises(ValueError, match="w must be positive, got 0 on line 2"):
        read_losses(path, Logged("eps", columns={"weight": "w"}))


@pytest.mark.parametrize("prediction", ["eps", "x0", "v", "flow", "edm"])
def test_every_prediction_gives_the_risk(prediction: str) -> None:
    """Against the target itself: its error for an error of 1 in x0, on x_t of unit noise."""
    risk = gaussian_mmse(SIGMA, C)
    s = SIGMA
    alpha = 1.0 / np.hypot(1.0, s)
    t = s / (1.0 + s)
    factor = {
        "eps": 1.0 / s,  # eps = (x - x0) / sigma
        "x0": np.ones_like(s),
        "v": alpha * (1.0 / s + s),  # alpha eps - alpha sigma x0
        "flow": (1.0 - t) / t + 1.0,  # eps - x0
        "edm": np.hypot(s, 0.5) / (0.5 * s),
    }[prediction]
    sigma, found = x0_risks(s, factor**2 * risk, prediction, 1)
    np.testing.assert_allclose(found, risk, rtol=1e-12)
    np.testing.assert_array_equal(sigma, s)


def test_weights_of_training_loops() -> None:
    """The lines of the loops that use them."""
    s, snr = SIGMA, SIGMA**-2.0
    for prediction, below in (("eps", snr), ("v", snr + 1.0), ("x0", np.ones_like(s))):
        expected = np.minimum(snr, 5.0) / below
        np.testing.assert_allclose(loss_weight(s, "min-snr", prediction), expected, rtol=1e-12)
    np.testing.assert_allclose(
        loss_weight(s, "min-snr:2", "eps"), np.minimum(snr, 2.0) / snr, rtol=1e-12
    )
    np.testing.assert_allclose(loss_weight(s, "p2", "epsilon"), 1.0 / (1.0 + snr), rtol=1e-12)
    np.testing.assert_allclose(loss_weight(s, "p2:0.5", "eps"), (1.0 + snr) ** -0.5, rtol=1e-12)
    risk = gaussian_mmse(s, C)
    edm = x0_risks(s, risk * loss_weight(s, "edm", "x0"), "edm", 1)[1]
    np.testing.assert_allclose(edm, risk, rtol=1e-12)
    weighted = x0_risks(s, risk / s**2 * np.minimum(snr, 5.0) / snr, "eps", 1, weight="min-snr:5")
    np.testing.assert_allclose(weighted[1], risk, rtol=1e-12)


@pytest.mark.parametrize(
    ("weight", "prediction", "rule"),
    [
        ("minsnr", "eps", "weight must be one of none, .*; did you mean 'min-snr'"),
        ("min-snr:x", "eps", "weight must be min-snr:NUMBER, positive, got 'min-snr:x'"),
        ("p2:-1", "eps", "weight must be p2:NUMBER, positive, got 'p2:-1'"),
        ("edm:3", "x0", "weight edm must come without a number, got 'edm:3'"),
        ("edm", "eps", "weight edm must come with prediction x0, got 'eps'"),
        ("min-snr", "flow", "weight min-snr must come with prediction eps or x0 or v, got 'flow'"),
        ("none", "epsilo", "prediction must be one of eps, x0, v, flow, edm, got 'epsilo'"),
    ],
)
def test_weights_and_predictions_that_are_refused(weight: str, prediction: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        loss_weight([1.0], weight, prediction)


def test_a_table_keeps_text_and_lines(tmp_path: Path) -> None:
    found = read_table(written(tmp_path, "a;b\n\n1;x\n2;y\n"))
    assert (found.names, found.cells, found.lines) == (["a", "b"], [["1", "x"], ["2", "y"]], [3, 4])
    values, why = found.numbers("a")
    np.testing.assert_array_equal(values, [1.0, 2.0])
    assert why.tolist() == ["", ""]


def test_commas_for_thousands_are_refused_where_they_could_be_decimal(tmp_path: Path) -> None:
    path = written(tmp_path, 'timestep,loss\n"1,000",0.5\n500,0.7\n')
    with pytest.raises(ValueError, match="timestep must have numbers without a mark for thousands"):
        read_losses(path, Logged("eps", "ddpm"))
    found = read_losses(written(tmp_path, "sigma;loss\n1,234;0,5\n2,5;0,25\n"), EPS)
    np.testing.assert_array_equal(found.sigma, [1.234, 2.5])  # semicolons: decimal commas


def test_spreadsheets_unicode_text_and_savetxt(tmp_path: Path) -> None:
    check(written(tmp_path, PLAIN.replace(",", "\t").encode("utf-16")))
    check(written(tmp_path, "# sigma loss\n" + "\n".join(row.replace(",", " ") for row in ROWS)))
    with pytest.raises(ValueError, match="must be UTF-8 or UTF-16 text"):
        read_losses(written(tmp_path, b"\xff\xfes"), EPS)


def test_long_fields_and_lists_in_json_are_one_line(tmp_path: Path) -> None:
    for text, rule in (
        ("sigma,loss," + "x" * 200_000 + "\n1,2,3\n", "must be valid CSV, got field larger"),
        ('{"sigma": [1, 2], "loss": [3, 4]}', "must hold one object per row, got a list"),
        ('{"train": {"loss": 1}, "train/loss": 2, "sigma": 1}', "names of their own, got 'train/l"),
    ):
        with pytest.raises(ValueError, match=rule):
            read_losses(written(tmp_path, text), EPS)
    rows = [json.dumps({"sigma": s, "loss": v, "note": "a\u2028b"}, ensure_ascii=False)
            for s, v in zip(SIGMA.tolist(), LOSS.tolist(), strict=True)]  # fmt: skip
    check(written(tmp_path, "\n".join(rows)))


def test_rows_of_other_data_are_left_out(tmp_path: Path) -> None:
    rows = [*(f"train,{row}" for row in ROWS), "val,1,7", "Test,2,8", "val,3,9"]
    found = read_losses(written(tmp_path, "\n".join(["split,sigma,loss", *rows])), EPS)
    np.testing.assert_allclose(found.loss, LOSS)
    assert dict(found.left_out) == {"of other data": 3}


@pytest.mark.parametrize(
    ("head", "logged", "rule"),
    [
        ("sigma,loss", Logged("eps", "edm"), "times must agree with the name of column sigma, got"),
        ("snr,loss", Logged("eps", "log-snr"), "times must agree with the name of column snr"),
        ("t,loss", Logged("eps", "vp"), "t must be at most 1, a time of vp, got 1.5 on line 3"),
        (
            "t,loss",
            Logged("eps", "ddpm"),
            "t must hold indices of betas, counted from 0, got times",
        ),
    ],
)
def test_times_that_the_column_contradicts_are_refused(
    tmp_path: Path, head: str, logged: Logged, rule: str
) -> None:
    last = "1.5" if logged.times == "vp" else "0.75"
    path = written(tmp_path, f"{head}\n0.5,1\n{last},2\n")
    with pytest.raises(ValueError, match=rule):
        read_losses(path, logged)


def test_a_named_column_may_have_any_meaning(tmp_path: Path) -> None:
    path = written(tmp_path, "sigmas,loss\n0.5,1\n0.75,2\n")
    found = read_losses(path, Logged("flow", "flow", columns={"sigma": "sigmas"}))
    np.testing.assert_allclose(found.sigma, [1.0, 3.0])


def test_what_was_assumed_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, "timestep,loss,loss_weight\n0,1,1\n10,2,1\n")
    notes = read_losses(path, Logged("eps", "ddpm")).notes
    assert "DDPM's linear betas, 0.0001 to 0.02" in notes[0]
    assert "column loss_weight was not used" in notes[1]
    named = Logged("eps", "ddpm", "linear", columns={"weight": "loss_weight"})
    assert read_losses(path, named).notes == ()
    with pytest.raises(ValueError, match="weight must be a name or a column, got p2 and column w"):
        read_losses(path, Logged("eps", "ddpm", weight="p2", columns={"weight": "w"}))


def test_diffusers_name_of_the_cosine_betas() -> None:
    assert coordinate_of("ddpm", "squaredcos_cap_v2").sigma(3) == coordinate_of(
        "ddpm", "cosine"
    ).sigma(3)
