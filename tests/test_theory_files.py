"""Files people exchange: round trips to the bit, and one clear line for everything broken."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.profiles.files import (
    read_profile,
    read_schedule,
    write_profile,
    write_schedule,
)
from theory.profiles.loss_files import read_losses
from theory.profiles.profile import Profile

PROFILE = {
    "kind": "profile",
    "dim": 2,
    "sigma": [1, 2.5, 3.0, 4.0],
    "mmse": [0.1, 0.2, 0.3, 0.4],
    "stderr": None,
    "source": {},
}
SCHEDULE = {"kind": "schedule", "method": "edm", "sigmas": [3, 2.0, 0.5], "terminal": "stop"}


@given(seed=st.integers(0, 2**32 - 1))
def test_a_profile_comes_back_to_the_bit(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    sigma = np.cumsum(np.exp(rng.normal(0.0, 10.0, 9)))
    sigma = np.unique(sigma) if np.unique(sigma).size == 9 else np.arange(1.0, 10.0)
    stderr = None if seed % 2 else np.exp(rng.normal(0.0, 20.0, 9))
    split = {"rms": np.exp(rng.normal(0.0, 9.0, 9))} if seed % 3 else {}
    mmse = np.exp(rng.normal(0.0, 50.0, 9))
    profile = Profile(3, sigma, mmse, stderr, {"who": ["é", 1, None]}, split)
    path = tmp_path_factory.mktemp("profiles") / "p.json"
    write_profile(path, profile)
    back = read_profile(path)
    np.testing.assert_array_equal(back.sigma, profile.sigma)
    np.testing.assert_array_equal(back.mmse, profile.mmse)
    assert back.dim == 3
    assert back.source == {"who": ["é", 1, None]}
    assert list(back.spectral) == list(split)
    for key, values in split.items():
        np.testing.assert_array_equal(back.spectral[key], values)
    assert (back.stderr is None) == (stderr is None)
    if stderr is not None:
        np.testing.assert_array_equal(back.stderr, stderr)


def test_files_hold_exactly_the_documented_keys(tmp_path: Path) -> None:
    """The keys and their order; numbers are the shortest decimals that read back exactly."""
    write_profile(tmp_path / "p.json", Profile(1, [0.1, 0.2, 0.3, 0.4], np.ones(4)))
    text = (tmp_path / "p.json").read_text()
    assert list(json.loads(text)) == ["kind", "dim", "sigma", "mmse", "stderr", "source"]
    assert "[0.1, 0.2, 0.3, 0.4]" in text
    write_schedule(tmp_path / "s.json", "edm", [2.0, 0.1, 0.0], "zero", {"n": 1})
    assert json.loads((tmp_path / "s.json").read_text()) == {
        "kind": "schedule",
        "method": "edm",
        "sigmas": [2.0, 0.1, 0.0],
        "terminal": "zero",
        "source": {"n": 1},
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.json", "s.json"]


def test_a_schedule_comes_back(tmp_path: Path) -> None:
    sigmas = np.append(np.geomspace(80.0, 0.002, 17), 0.0)
    write_schedule(tmp_path / "s.json", "log_snr", sigmas, "zero")
    back = read_schedule(tmp_path / "s.json")
    np.testing.assert_array_equal(back.sigmas, sigmas)
    assert (back.method, back.terminal, back.source) == ("log_snr", "zero", {})


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    good = Profile(1, [1.0, 2.0, 3.0, 4.0], np.ones(4))
    write_profile(path, good)
    old = path.read_bytes()
    bad = Profile(1, good.sigma, good.mmse, None, {"x": float("nan")})
    with pytest.raises(ValueError, match=r"p\.json: source must be what JSON can hold, got "):
        write_profile(path, bad)
    with pytest.raises(ValueError, match=r"p\.json: source must be what JSON can hold, got "):
        write_profile(path, Profile(1, good.sigma, good.mmse, None, {"x": object()}))
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["p.json"]
    with pytest.raises(
        ValueError, match=r"nowhere/p\.json: the file must be writable, got No such"
    ):
        write_profile(tmp_path / "nowhere" / "p.json", good)
    with pytest.raises(ValueError, match="the file must be writable, got Is a directory"):
        write_profile(tmp_path, good)
    with pytest.raises(ValueError, match="the file must be writable, got Not a directory"):
        write_profile(path / "under_a_file.json", good)


def test_every_truncation_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    text = json.dumps(PROFILE)
    for size in range(len(text)):
        path.write_text(text[:size])
        with pytest.raises(ValueError, match=r"p\.json: the file must be whole, valid JSON, got "):
            read_profile(path)


def json_case(base: dict[str, object], **change: object) -> str:
    fields = {key: value for key, value in {**base, **change}.items() if value != "drop"}
    return json.dumps(fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json_case(PROFILE, kind="schedule"), "kind must be 'profile', got 'schedule'"),
        (json_case(PROFILE, kind="drop"), "kind must be 'profile', got None"),
        ("[1, 2]", "the file must hold a JSON object, got list"),
        ("", "the file must be whole, valid JSON, got Expecting value at line 1 column 1"),
        ("[" * 10**6, "the file must be valid JSON, got endless nesting"),
        (
            json_case(PROFILE, mmse="drop"),
            "the file must have the key 'mmse', got kind, dim, sigma, stderr, source",
        ),
        (
            json_case(PROFILE, mmse=[1, float("nan"), 1, 1]),
            "numbers must be finite, got NaN",
        ),
        (
            json_case(PROFILE, mmse=[1, 2, 3, -float("inf")]),
            "numbers must be finite, got -Infinity",
        ),
        (
            json_case(PROFILE).replace("0.2", "1e999"),
            "mmse must be finite, got inf at index 1",
        ),
        (
            json_case(PROFILE, mmse=[1, True, 1, 1]),
            "mmse must hold numbers only, got True at index 1",
        ),
        (
            json_case(PROFILE, mmse=[1, "2", 1, 1]),
            "mmse must hold numbers only, got '2' at index 1",
        ),
        (json_case(PROFILE, sigma=7), "sigma must be a list of numbers, got 7"),
        (json_case(PROFILE, dim=1.5), "dim must be a whole number at least 1, got 1.5"),
        (
            json_case(PROFILE, sigma=[1, 3, 2, 4]),
            "sigma must rise strictly, got 2 after 3 at index 2; "
            "sort the rows and average repeated levels",
        ),
        (json_case(PROFILE, stderr=[1]), "stderr must have shape (4,), got (1,)"),
        (json_case(PROFILE, source=[1]), "source must be a JSON object, got [1]"),
        (json_case(PROFILE, spectral=[1]), "spectral must be a JSON object, got [1]"),
        (
            json_case(PROFILE, spectral={"rms": [1, 2]}),
            "rms must have shape (4,), got (2,)",
        ),
        (
            json_case(PROFILE, spectral={"best": [1, 1, 1, 1]}),
            "spectral must be one of mean, rms, got 'best'",
        ),
    ],
)
def test_reading_a_broken_profile_says_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        read_profile(path)
    assert str(error.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            json_case(SCHEDULE, sigmas=[1.0, 2.0, 3.0]),
            "sigmas must fall strictly, got 2 after 1 at index 1; flip the list?",
        ),
        (
            json_case(SCHEDULE, sigmas=[3.0, 0.0]),
            "sigmas must be positive as the last level, terminal being 'stop', got 0 at index 1",
        ),
        (
            json_case(SCHEDULE, terminal="zero"),
            "sigmas must be 0 as the last level, terminal being 'zero', got 0.5 at index 2",
        ),
        (
            json_case(SCHEDULE, sigmas=[3.0, -1.0]),
            "sigmas must be positive as the last level, terminal being 'stop', got -1 at index 1",
        ),
        (
            json_case(SCHEDULE, sigmas=[3.0]),
            "sigmas must be a list of at least 2, got shape (1,)",
        ),
        (
            json_case(SCHEDULE, terminal="end"),
            "terminal must be one of stop, zero, got 'end'",
        ),
        (json_case(SCHEDULE, method=3), "method must be a name on one line, got 3"),
        (json_case(SCHEDULE, kind="profile"), "kind must be 'schedule', got 'profile'"),
    ],
)
def test_reading_a_broken_schedule_says_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        read_schedule(path)
    assert str(error.value) == f"{path}: {message}"


@pytest.mark.parametrize("read", [read_profile, read_schedule, read_losses])
def test_unreadable_paths_are_named(tmp_path: Path, read: object) -> None:
    binary = tmp_path / "b.bin"
    binary.write_bytes(b"\xff\x00\x01")
    for path, reason in (
        (tmp_path, "the file must be readable, got Is a directory"),
        (tmp_path / "none", "the file must be readable, got No such file or directory"),
        (binary, "the file must be UTF-8 text, got invalid start byte"),
    ):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            read(path)
        assert str(error.value) == f"{path}: {reason}"
