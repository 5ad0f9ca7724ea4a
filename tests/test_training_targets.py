"""Targets: sizes, ranges and laws of the data, and the statistics of sequences."""

import numpy as np
import pytest

from benchmarks.training import sequences
from benchmarks.training.sequences import (
    LENGTH,
    MOTIFS,
    kmer_spectrum,
    matches,
    nearest_letters,
    one_hot,
    statistics,
    synthetic,
    synthetic_letters,
    valid_share,
)
from benchmarks.training.targets import TARGETS, Target, make_target

pytest.importorskip("sklearn", reason="needs the extra `networks`; make test-all has it")


def test_digits_are_split_by_class_and_share_no_image_or_value() -> None:
    data = make_target("digits")
    assert data.train.shape == (1200, 1, 8, 8)
    assert data.held_out.shape == (597, 1, 8, 8)
    assert (data.train.min(), data.train.max()) == (-1.0, 1.0)
    assert set(np.unique(data.train)) <= set(np.arange(17) / 8.0 - 1.0)
    rows = {image.tobytes() for image in data.train} & {image.tobytes() for image in data.held_out}
    assert not rows
    assert data.labels is not None
    assert data.held_out_labels is not None
    both = np.bincount(data.labels), np.bincount(data.held_out_labels)
    total = both[0] + both[1]
    assert total.sum() == 1797
    # A class has its share of each part to the nearest whole image, or the one beside it.
    assert np.all(np.abs(both[0] - total * 1200 / 1797) <= 1.0)


def test_binary_digits_are_minus_one_or_one_and_the_same_images() -> None:
    grey, binary = make_target("digits"), make_target("binary-digits")
    assert set(np.unique(binary.train)) == {-1.0, 1.0}
    assert np.array_equal(binary.train > 0, grey.train > 0)
    assert binary.labels is not None
    assert np.array_equal(binary.labels, grey.labels)


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "data"])
def test_sigma_data_is_the_measured_standard_deviation(name: str) -> None:
    data = make_target(name)
    x = data.train.astype(np.float64)
    assert data.sigma_data == pytest.approx(np.sqrt(np.mean((x - x.mean()) ** 2)), rel=1e-12)
    assert data.train.dtype == data.held_out.dtype == np.float32
    assert data.name == name


@pytest.mark.parametrize("name", ["points", "mixture", "gaussian"])
def test_data_with_a_law_have_its_moments(name: str) -> None:
    """Means within 5 standard errors: one false alarm in two million per coordinate."""
    data = make_target(name)
    assert data.law is not None
    x = data.train.astype(np.float64)
    error = x.std(axis=0) / np.sqrt(len(x))
    assert np.all(np.abs(x.mean(axis=0) - data.law.mean) < 5.0 * error)
    squares = np.sum((x - data.law.mean) ** 2, axis=1)
    assert abs(squares.mean() - data.law.variance) < 5.0 * squares.std() / np.sqrt(len(x))


def test_a_mixture_has_unequal_scales_in_one_and_two_dimensions() -> None:
    for dim in (1, 2):
        law = make_target("mixture", dim=dim).law
        assert law is not None
        assert law.dim == dim
        assert (law.stds.min(), law.stds.max()) == (0.02, 0.5)


def test_an_epoch_has_every_image_once_and_the_next_another_order() -> None:
    data = make_target("digits")
    stream = np.concatenate([data.batch(100, 3, step) for step in range(24)])
    rows = [image.tobytes() for image in stream]
    every = sorted(image.tobytes() for image in data.train)
    assert sorted(rows[:1200]) == sorted(rows[1200:]) == every
    assert rows[:1200] != rows[1200:]
    assert np.array_equal(data.batch(100, 3, 17), stream[1700:1800])
    assert not np.array_equal(data.batch(100, 4, 17), stream[1700:1800])


def test_a_batch_across_the_end_of_an_epoch_goes_on_with_the_next() -> None:
    data = make_target("digits")
    whole = np.concatenate([data.batch(700, 0, step) for step in range(2)])
    parts = np.concatenate([data.batch(350, 0, step) for step in range(4)])
    assert np.array_equal(whole, parts)


def test_a_law_gives_every_step_fresh_samples() -> None:
    data = make_target("mixture")
    first, second = data.batch(64, 0, 0), data.batch(64, 0, 1)
    assert len(np.unique(np.concatenate([first, second]), axis=0)) == 128
    assert np.array_equal(data.batch(128, 0, 0)[64:], second)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("digit", {}, "target must be one of .*, got 'digit'; did you mean 'digits'?"),
        ("digits", {"dim": 2}, "options of target digits must be among none, got 'dim'"),
        ("mixture", {"dim": 3}, "dim must be 1 or 2, got 3"),
        ("points", {"toy": "gaussian"}, "toy must be one of two_points, points15, got 'gaussian'"),
        ("gaussian", {"dim": "two"}, "options of target gaussian must be of its kinds"),
    ],
)
def test_unknown_targets_and_options_are_refused(name: str, options: dict, words: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=words):
        make_target(name, **options)


def test_one_hot_and_back_are_inverse() -> None:
    letters = synthetic_letters(1, 50)
    hot = one_hot(letters)
    assert hot.shape == (50, 4, LENGTH)
    assert set(np.unique(hot)) == {-1.0, 1.0}
    assert np.array_equal(hot.sum(axis=1), np.full((50, LENGTH), -2.0))
    assert np.array_equal(nearest_letters(hot), letters)
    assert one_hot(sequences.indices("ACGT")[None])[0].argmax(axis=0).tolist() == [0, 1, 2, 3]


def test_sequences_are_a_pure_function_of_the_seed() -> None:
    assert np.array_equal(synthetic(5, 20), synthetic(5, 20))
    assert not np.array_equal(synthetic(5, 20), synthetic(6, 20))


def test_motifs_are_planted_as_often_and_where_they_should_be() -> None:
    """The last planted one is never overwritten: q = 0.3 (1 - 3/4 0.05)^6, and a rare chance hit.

    GGGCGG by chance: at most 43 places times 0.1 0.3^3 0.2 0.3 = 1.6e-4, less than 0.01. Within 5
    standard errors of 20000 sequences; the place among sequences with the word once, to the same
    precision, the rounded normal law being symmetric.
    """
    n, motif = 20_000, MOTIFS[-1]
    found = matches(synthetic_letters(7, n), motif.word)
    share = found.any(axis=1).mean()
    expected = motif.probability * (1.0 - 0.75 * sequences.MUTATION) ** len(motif.word)
    error = 5.0 * np.sqrt(expected * (1.0 - expected) / n)
    assert expected - error < share < expected + 0.01 + error
    places = np.nonzero(found)[1]
    near = places[np.abs(places - motif.place) <= 4.0 * motif.spread]
    assert abs(near.mean() - motif.place) < 5.0 * motif.spread / np.sqrt(near.size) + 0.05
    assert abs(near.std() - np.hypot(motif.spread, np.sqrt(1.0 / 12.0))) < 0.15


def test_statistics_of_sequences_made_by_hand() -> None:
    plain = "A" * LENGTH
    tata = "CCC" + "TATAAAAG" + "C" * (LENGTH - 11)
    two = "C" * 5 + "TATAAAAG" + "CC" + "TATAAAAG" + "C" * (LENGTH - 23)
    letters = np.stack([sequences.indices(word) for word in (plain, tata, two, plain)])
    samples = one_hot(letters)
    found = statistics(samples, one_hot(np.repeat(letters[:1], 3, axis=0)))
    assert found["motifs"]["tata"]["samples"] == {"share": 0.5, "place": 4.0, "spread": 1.0}
    assert found["motifs"]["tata"]["reference"] == {"share": 0.0, "place": None, "spread": None}
    assert found["valid"] == 1.0
    # Half the windows are AAAA in both; of the rest AAAA occurs once in each TATAAAAG.
    aaaa = kmer_spectrum(letters)[0]
    assert aaaa == (2 * 45 + 1 + 2) / (4 * 45)
    assert found["kmer_distance"] == pytest.approx(1.0 - aaaa, abs=1e-15)
    assert kmer_spectrum(letters).sum() == pytest.approx(1.0, abs=1e-15)
    samples[0, :, 0] = [0.6, -0.6, -0.6, -0.6]  # nearer to A than 0.5 everywhere
    samples[0, :, 1] = [1.0, -1.0, 0.1, -1.0]  # one value too far from -1
    samples[0, :, 2] = [0.4, -1.0, -1.0, -1.0]  # no letter there
    assert valid_share(samples) == 1.0 - 2.0 / (4 * LENGTH)


def test_kmers_are_numbered_with_the_last_letter_fastest() -> None:
    spectrum = kmer_spectrum(sequences.indices("ACGTA")[None], k=2)
    codes = {"AC": 1, "CG": 6, "GT": 11, "TA": 12}
    assert {i for i in range(16) if spectrum[i]} == set(codes.values())


def test_own_data_are_split_once_and_for_all(tmp_path) -> None:
    pytest.importorskip("torch", reason="needs the extra `networks`; make test-all has it")
    images = np.random.default_rng(0).integers(0, 256, (50, 6, 6, 3)).astype(np.uint8)
    np.save(tmp_path / "mine.npy", images)
    data = make_target("data", file=str(tmp_path / "mine.npy"), held_out=0.2)
    assert data.train.shape == (40, 3, 6, 6)
    assert data.held_out.shape == (10, 3, 6, 6)
    both = np.concatenate([data.train, data.held_out]).reshape(50, -1)
    channels_first = images.transpose(0, 3, 1, 2).astype(np.float32)
    expected = (channels_first / np.float32(127.5) - np.float32(1.0)).reshape(50, -1)
    assert {row.tobytes() for row in both} == {row.tobytes() for row in expected}
    assert data.sigma_data == pytest.approx(data.train.astype(np.float64).std(), rel=1e-12)
    again = make_target("data", file=str(tmp_path / "mine.npy"), held_out=0.2)
    assert np.array_equal(again.train, data.train)
    for held_out in (0.0, 1.0):
        with pytest.raises(ValueError, match=r"held_out must be in \(0, 1\), got"):
            make_target("data", file=str(tmp_path / "mine.npy"), held_out=held_out)
    with pytest.raises(ValueError, match=r"gone.npy: the data must be a file or folder"):
        make_target("data", file=str(tmp_path / "gone.npy"))


def test_real_sequences_are_near_each_other_and_shuffled_ones_far() -> None:
    data: Target = make_target("dna")
    real = statistics(data.train[:2048], data.held_out)
    shuffled = np.random.default_rng(0).permuted(nearest_letters(data.held_out), axis=1)
    far = statistics(one_hot(shuffled), data.held_out)
    assert real["kmer_distance"] < 0.25 * far["kmer_distance"]
    for motif in MOTIFS:
        ours, theirs = (real["motifs"][motif.name][k]["share"] for k in ("samples", "reference"))
        assert abs(ours - theirs) < 5.0 * np.sqrt(2.0 * 0.25 / 2048)
        assert far["motifs"][motif.name]["samples"]["share"] < 0.1 * theirs
