"""Synthetic DNA: one-hot sequences with planted motifs, and statistics of generated ones.

A sequence has LENGTH places, each with one of the letters A, C, G, T. The background is a
first-order Markov chain. Each motif is then planted with its own probability, at a place drawn from
its own normal law (rounded and kept inside). A letter of it is replaced by a random one with
probability MUTATION. A later motif overwrites an earlier one.

As data, a sequence is an array (4, LENGTH) that is 1 for the letter at a place and -1 for the other
three. All binary data of this project are therefore -1 or 1.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from theory.checks import whole

Floats = NDArray[np.float32]
Letters = NDArray[np.int64]
LETTERS = "ACGT"
LENGTH = 48
MUTATION = 0.05
KMER = 4
FAR = 0.5  # largest |value - (-1 or 1)| at a valid place, nearest to one letter


class Motif(NamedTuple):
    """A word that is planted at `place` +- `spread` with this probability."""

    name: str
    word: str
    probability: float
    place: float
    spread: float


MOTIFS = (
    Motif("tata", "TATAAAAG", 0.7, 8.0, 1.0),
    Motif("ebox", "CACGTG", 0.5, 22.0, 4.0),
    Motif("gcbox", "GGGCGG", 0.3, 36.0, 2.0),
)
BACKGROUND = np.array(
    [
        [0.40, 0.15, 0.20, 0.25],
        [0.30, 0.30, 0.10, 0.30],
        [0.25, 0.25, 0.30, 0.20],
        [0.15, 0.20, 0.25, 0.40],
    ]
)


def synthetic(seed: int, n: int) -> Floats:
    """Sequences of the model, shape (n, 4, LENGTH), a pure function of the seed."""
    return one_hot(synthetic_letters(seed, n))


def synthetic_letters(seed: int, n: int) -> Letters:
    """Sequences of the model as indices of letters, shape (n, LENGTH)."""
    rng = np.random.default_rng(seed)
    uniforms, chain = rng.random((n, LENGTH)), BACKGROUND.cumsum(axis=1)
    out = np.empty((n, LENGTH), dtype=np.int64)
    out[:, 0] = (4 * uniforms[:, 0]).astype(np.int64)
    for i in range(1, LENGTH):
        out[:, i] = np.minimum((uniforms[:, i, None] > chain[out[:, i - 1]]).sum(axis=1), 3)
    for motif in MOTIFS:
        word = indices(motif.word)
        planted = np.flatnonzero(rng.random(n) < motif.probability)
        places = np.rint(rng.normal(motif.place, motif.spread, planted.size)).astype(np.int64)
        places = np.clip(places, 0, LENGTH - word.size)
        letters = np.broadcast_to(word, (planted.size, word.size))
        mutated = rng.random(letters.shape) < MUTATION
        letters = np.where(mutated, rng.integers(0, 4, letters.shape), letters)
        out[planted[:, None], places[:, None] + np.arange(word.size)] = letters
    return out


def indices(word: str) -> Letters:
    """Indices of a word's letters."""
    return np.array([LETTERS.index(letter) for letter in word], dtype=np.int64)


def one_hot(letters: Letters) -> Floats:
    """Arrays (n, 4, length) of -1 and 1 for indices (n, length)."""
    hot = letters[:, None, :] == np.arange(4)[None, :, None]
    return np.where(hot, 1.0, -1.0).astype(np.float32)


def nearest_letters(samples: Floats) -> Letters:
    """The letter of the largest value at every place, shape (n, length)."""
    return np.asarray(samples.argmax(axis=1), dtype=np.int64)


def valid_share(samples: Floats) -> float:
    """Share of the places whose four values are all within FAR of a one-hot letter."""
    ideal = one_hot(nearest_letters(samples))
    good = np.abs(np.asarray(samples, dtype=np.float64) - ideal).max(axis=1) < FAR
    return float(good.mean())


def matches(letters: Letters, word: str) -> NDArray[np.bool_]:
    """Whether the word starts at each place, shape (n, length - len(word) + 1)."""
    size = len(word)
    windows = np.lib.stride_tricks.sliding_window_view(letters, size, axis=1)
    return np.asarray((windows == indices(word)).all(axis=2))


def kmer_spectrum(letters: Letters, k: int = KMER) -> NDArray[np.float64]:
    """Shares of the 4^k words among all windows, shape (4^k,)."""
    windows = np.lib.stride_tricks.sliding_window_view(letters, whole("k", k, 1, 8), axis=1)
    codes = windows @ (4 ** np.arange(k)[::-1])
    counts = np.bincount(codes.ravel(), minlength=4**k)
    return np.asarray(counts / counts.sum())


def statistics(samples: Floats, reference: Floats) -> dict[str, Any]:
    """Comparison of samples (n, 4, length) with reference data, as plain numbers.

    Keys: `valid` is the share of valid places. `kmer_distance` is the total variation distance
    between the spectra of 4-letter words. For each motif there are, in samples and reference, the
    share of sequences that contain it exactly, and the mean and std of its first place.
    """
    ours, theirs = nearest_letters(samples), nearest_letters(reference)
    gap = np.abs(kmer_spectrum(ours) - kmer_spectrum(theirs)).sum()
    out: dict[str, Any] = {
        "valid": valid_share(samples),
        "kmer_distance": float(0.5 * gap),
        "motifs": {},
    }
    for motif in MOTIFS:
        out["motifs"][motif.name] = {
            "word": motif.word,
            "samples": _occurrence(ours, motif.word),
            "reference": _occurrence(theirs, motif.word),
        }
    return out


def _occurrence(letters: Letters, word: str) -> dict[str, float | None]:
    """Share of sequences with the word, and mean and std of its first place (None if never)."""
    found = matches(letters, word)
    holding = found.any(axis=1)
    if not holding.any():
        return {"share": 0.0, "place": None, "spread": None}
    places = found[holding].argmax(axis=1)
    return {
        "share": float(holding.mean()),
        "place": float(places.mean()),
        "spread": float(places.std()),
    }
