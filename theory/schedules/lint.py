"""What is wrong with a list of levels, in the form that a program takes.

The findings are of three kinds: the list is not what the program reads, the program would change it
without a word, or a step of it is wasted or too long.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from theory.checks import Array, one_of, positive, whole
from theory.noise.ddpm import Index
from theory.noise.times import index_of
from theory.reading import StrPath, naming, read_text
from theory.schedules.export import REFUSED, TARGETS

FLOW, RAMP, STEPS, TIMES = "flow times", "places on a ramp", "time steps", "times of the VP process"
UNITS = {
    "diffusers-flow": FLOW,
    "diffusers-edm": RAMP,
    "diffusers-dpm": STEPS,
    "diffusers-heun": STEPS,
    "noise-schedule-vp": TIMES,
}
SIGMAS = "levels"
# Whether the list ends with the 0 (True), must not, since the program adds it (False), or may.
ZERO = {
    "diffusers-euler": True,
    "k-diffusion": True,
    "comfyui": True,
    "edm": True,
    "edm2": True,
    "diffusers-flow": False,
    "diff-sampler": False,
    "noise-schedule-vp": False,
}
# Samplers by our names and the programs': those with two calls per step, those that extrapolate
# from earlier steps, and the others.
TWO_CALLS = ("heun", "edm", "edm_stochastic", "dpm_solver_2", "dpm_2", "dpm_2_ancestral",
             "dpmpp_2s_ancestral", "dpmpp_sde")  # fmt: skip
MULTISTEP = ("dpmpp_2m", "dpmpp_3m", "dpmpp_2m_sde", "dpmpp_3m_sde", "sde_dpmpp_2m", "unipc",
             "uni_pc", "unipc_2", "unipc_3", "deis", "deis_2", "deis_3", "lms", "ipndm", "ab_2",
             "fd_2", "re_multi", "re_multi_2025", "evodiff")  # fmt: skip
ONE_CALL = ("euler", "euler_ancestral", "ddim", "stochastic_ddim", "called_ddim",
            "called_ancestral", "analytic_ddpm", "unipc_1", "deis_1", "lcm", "ddpm",
            "re_single")  # fmt: skip
LONGEST = 4.0  # times that a step in log sigma may be longer than the one before, in multistep
NO_EFFECT = 1e-3  # relative change of a level that a step must make
SHIFTED = 2e-3  # distance from an equidistant list that counts as one


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a list.

    Args:
        kind: Name of what is wrong.
        text: What was found, and where.
        mend: What to do.
    """

    kind: str
    text: str
    mend: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}; {self.mend}"


def lint(
    values: Sequence[float],
    target: str,
    *,
    model: str | None = None,
    shift: float | None = None,
    solver: str | None = None,
    nfe: int | None = None,
) -> list[Finding]:
    """What is wrong with a list that a program is to take.

    Args:
        values: The list in the program's unit, as it would be pasted.
        target: The program, one of `theory.schedules.export.TARGETS`.
        model: The model's training noise: diffusers' scheduler_config.json or a name of betas.
        shift: Shift of the flow scheduler.
        solver: Sampler of the program, by our name or its own, for the number of calls and for
            steps that multistep samplers do not stand.
        nfe: Number of network calls that the list is meant for.

    Returns:
        The findings; empty for a good list.

    Raises:
        ValueError: The target is unknown or takes no list, or an argument is invalid.
    """
    if target in REFUSED:
        why, instead = REFUSED[target]
        raise ValueError(f"target {target} must take a list, but it {why}; {instead} does")
    one_of("target", target, TARGETS)
    scale = None if shift is None else positive("shift", shift)
    size = None if nfe is None else whole("nfe", nfe, 1)
    linear_vp = target == "noise-schedule-vp" and model == "vp"
    at = None if model is None or linear_vp else index_of(model)
    if solver is not None:
        solver = one_of("solver", solver.lower(), (*ONE_CALL, *TWO_CALLS, *MULTISTEP))
    try:
        numbers = np.array([float(value) for value in values])
    except (TypeError, ValueError):
        raise ValueError(f"values must be numbers, got {values!r:.60}") from None
    return _Lint(numbers, target, at, scale, solver, size).findings()


def read_list(given: StrPath) -> list[float]:
    """The numbers of a list: a file, or the text itself.

    Python lists, tensors, JSON lists, ComfyUI's text and one number per line are understood;
    comments that begin with "#" are left out.

    Args:
        given: Path of the file, "-" for standard input, or the text.

    Raises:
        ValueError: There are no numbers, or something else stands between them.
    """
    text = str(given)
    plain = re.search(r"[\[(=\n]", text) or re.fullmatch(r"[\s\d.,;eE+\-]*\d[\s\d.,;eE+\-]*", text)
    if text == "-" or os.path.exists(text) or not plain:
        text = read_text(given)
    with naming(given) if text != str(given) else naming("list"):
        text = "\n".join(line.partition("#")[0] for line in text.splitlines())
        inside = re.search(r"[\[(]([^\[\]()]*)[\])]", text)
        body = inside.group(1) if inside else text
        words = [word for word in re.split(r"[\s,;]+", body) if word]
        out = []
        for word in words:
            try:
                if "_" in word:
                    raise ValueError
                out.append(float(word))
            except ValueError:
                raise ValueError(f"the list must hold numbers only, got {word[:40]!r}") from None
        if not out:
            raise ValueError("the list must hold numbers, got none")
        return out


class _Lint:
    """The checks of one list.

    Args:
        values: The list.
        target: The program.
        model: Times of the model, or None.
        shift: Shift of the flow scheduler, or None.
        solver: Name of the sampler, or None.
        nfe: Number of calls that the list is meant for, or None.
    """

    def __init__(
        self,
        values: Array,
        target: str,
        model: Index | None,
        shift: float | None,
        solver: str | None,
        nfe: int | None,
    ) -> None:
        self.values, self.target, self.model = values, target, model
        self.solver, self.nfe = solver, nfe
        self.unit, self.shift = UNITS.get(target, SIGMAS), shift or 1.0
        if target == "comfyui" and shift is not None:  # flow times, which it does not shift again
            self.unit, self.shift = FLOW, 1.0
        self.found: list[Finding] = []

    def findings(self) -> list[Finding]:
        """All findings, those first that make the others meaningless."""
        v = self.values
        if v.size < 2:
            self._add("length", f"{v.size} number{'s' * (v.size != 1)}", "give at least two")
            return self.found
        bad = np.flatnonzero(~np.isfinite(v))
        if bad.size:
            self._add("not finite", f"{v[bad[0]]:g} at index {bad[0]}", "leave it out")
            return self.found
        if self._wrong_unit():
            return self.found
        self._order()
        self._zeros()
        self._range()
        if not self.found:
            self._casts()
            self._steps()
            self._twice_shifted()
        self._calls()
        return self.found

    def _add(self, kind: str, text: str, mend: str) -> None:
        self.found.append(Finding(kind, text, mend))

    def _wrong_unit(self) -> bool:
        """Whether the list is plainly in another unit."""
        v, top = self.values, float(np.abs(self.values).max())
        whole_numbers = bool(np.all(v == np.round(v)))
        if self.unit == SIGMAS and whole_numbers and v.size > 3 and 100.0 < top <= 1000.0:
            self._add("unit", f"whole numbers up to {top:g} look like time steps",
                      "give levels sigma, or take a target of time steps")  # fmt: skip
        elif self.unit == SIGMAS and np.sum(v < 0.0) > 1 and np.all(np.diff(v) < 0.0):
            self._add("unit", f"numbers from {v[0]:g} to {v[-1]:g} look like log sigma",
                      "take their exponential")  # fmt: skip
        elif self.unit == SIGMAS and 0.9 <= top <= 1.0:
            self._add("unit", f"levels up to {top:g} look like flow times",
                      "divide each by 1 minus itself: sigma = t / (1 - t)")  # fmt: skip
        elif self.unit in (FLOW, TIMES, RAMP) and top > 1.0 + 1e-6:
            self._add("unit", f"{top:g} is above 1, and {self.unit} lie in [0, 1]",
                      f"convert the levels to {self.unit}, as `schedule --for` does")  # fmt: skip
        elif self.unit == STEPS and not whole_numbers:
            i = int(np.argmax(v != np.round(v)))
            what = "levels" if top < 100.0 else "fractions of time steps"
            mend = "convert them to time steps of the model" if top < 100.0 else "round them"
            self._add("unit", f"{v[i]:g} at index {i} is no whole number; {what}?", mend)
        return bool(self.found)

    def _order(self) -> None:
        """The list must fall strictly, a ramp rise."""
        steps = np.diff(self.values) * (-1.0 if self.unit == RAMP else 1.0)
        wrong = np.flatnonzero(steps >= 0.0)
        zeros = (self.values[1:] == 0.0) & (self.values[:-1] == 0.0)
        wrong = wrong[~zeros[wrong]]  # told as a second zero
        if not wrong.size:
            return
        if wrong.size == steps.size:
            self._add("order", "the list runs the wrong way throughout", "flip it")
            return
        i = int(wrong[0]) + 1
        a, b = self.values[i - 1 : i + 1]
        if a == b:
            self._add("duplicate", f"{b:g} twice at index {i}", "leave one out: it is a lost call")
        else:
            self._add("order", f"{b:g} after {a:g} at index {i}", "sort the list")

    def _zeros(self) -> None:
        """The 0 at the end, where the program wants it."""
        v = self.values
        zeros = np.flatnonzero(v == 0.0)
        if self.unit == STEPS:
            return
        if self.unit == RAMP:
            if v[0] != 0.0 or abs(v[-1] - 1.0) > 1e-6:
                self._add("ends", f"the ramp runs from {v[0]:g} to {v[-1]:g}",
                          "let it run from 0 to 1")  # fmt: skip
            return
        if zeros.size > 1:
            self._add("zero", f"{zeros.size} zeros", "keep the last: a step from 0 to 0 is lost")
        wants = ZERO.get(self.target)
        if wants is True and not zeros.size:
            self._add("zero", f"the list ends at {v[-1]:g}",
                      "append 0: this program does not, and noise would stay")  # fmt: skip
        if wants is False and zeros.size:
            self._add("zero", "the list has the 0 that the program adds",
                      "leave it out: the step from 0 to 0 is lost")  # fmt: skip

    def _range(self) -> None:
        """Signs, and the model's range."""
        v = self.values
        if v.min() < 0.0:
            i = int(np.argmin(v))
            self._add("range", f"{v[i]:g} at index {i} is negative", "leave it out")
            return
        if self.model is None:
            return
        levels = self.model.levels[np.isfinite(self.model.levels)]
        if self.unit == STEPS:
            if v[0] > self.model.levels.size - 1:
                self._add("range", f"time step {v[0]:g} is beyond {self.model.levels.size - 1}",
                          "start at the model's last")  # fmt: skip
            return
        if self.unit != SIGMAS:
            return
        used = v[v > 0.0]
        for value, bound, beyond in (
            (used.max(), levels[-1], used.max() / levels[-1]),
            (used.min(), levels[0], levels[0] / used.min()),
        ):
            if beyond > 1.0 + 1e-3:
                self._add("range", f"{value:.6g} is beyond the model's {bound:.6g}",
                          "the program clamps its time step: end there")  # fmt: skip

    def _sigma(self) -> Array:
        """The levels that the list means, without a 0; empty if they are not known."""
        v = self.values
        if self.unit == SIGMAS:
            return v[v > 0.0]
        if self.unit == FLOW:
            moved = self.shift * v / (1.0 + (self.shift - 1.0) * v)
            inside = moved[(moved > 0.0) & (moved < 1.0)]
            return np.asarray(inside / (1.0 - inside))
        if self.unit == STEPS and self.model is not None:
            return np.asarray(self.model.sigma(v))
        return np.empty(0)

    def _casts(self) -> None:
        """Neighbours that become equal in lower precision."""
        v = self.values
        if self.unit == STEPS:
            return
        with np.errstate(over="ignore"):
            half = v.astype(np.float16).astype(np.float64)
        for name, cast in (("float16", half), ("bfloat16", _rounded(v, 8))):
            if not np.isfinite(cast).all():
                self._add(name, f"{v.max():g} overflows in {name}", "keep the list in float32")
                continue
            lost = np.flatnonzero((cast == 0.0) & (v != 0.0))
            if lost.size:
                text = f"{v[lost[0]]:g} at index {lost[0]} becomes 0 in {name}"
                self._add(name, text, "keep the list in float32")
                continue
            same = np.flatnonzero(np.diff(cast) == 0.0)
            if same.size:
                i = int(same[0])
                self._add(name, f"{v[i]:g} and {v[i + 1]:g} at index {i} become equal in {name}",
                          "keep the list in float32, or spread these levels")  # fmt: skip

    def _steps(self) -> None:
        """Steps without effect, and steps too long after short ones."""
        sigma = self._sigma()
        if sigma.size < 2:
            return
        steps = np.log(sigma[:-1] / sigma[1:])
        small = np.flatnonzero(steps < NO_EFFECT)
        if small.size:
            i = int(small[0])
            text = f"the step from {sigma[i]:.6g} to {sigma[i + 1]:.6g} changes the level by "
            self._add("no effect", f"{text}{100.0 * steps[i]:.2g} %", "leave one of them out")
        if self.solver in MULTISTEP and steps.size > 1:
            ratio = steps[1:] / np.maximum(steps[:-1], 1e-300)
            i = int(np.argmax(ratio))
            if ratio[i] > LONGEST:
                text = f"the step to {sigma[i + 2]:.4g} is {ratio[i]:.2g} times the one before"
                mend = f"keep ratios below {LONGEST:g}: a multistep sampler extrapolates over it"
                self._add("step ratio", f"{text} in log sigma", mend)

    def _twice_shifted(self) -> None:
        """A flow list that is shifted already, for a scheduler that shifts."""
        if self.unit != FLOW or self.shift == 1.0:
            return
        v = self.values
        before = v / (self.shift - (self.shift - 1.0) * v)
        if _uneven(before) < SHIFTED < _uneven(v):
            text = f"the list is an even one after a shift of {self.shift:g}"
            mend = "send it before the shift, which the scheduler applies"
            self._add("shift", text, mend)

    def _calls(self) -> None:
        """The number of network calls."""
        if self.nfe is None:
            return
        v = self.values
        ends_at_zero = bool(v[-1] == 0.0) and ZERO.get(self.target) is not False
        ends_at_zero = ends_at_zero and self.unit in (SIGMAS, FLOW)
        adds_zero = self.target in ("diffusers-dpm", "diffusers-heun", "diffusers-flow",
                                    "diffusers-edm")  # fmt: skip
        steps = v.size if adds_zero else v.size - 1
        heun = self.solver is None and self.target in ("edm", "edm2", "diffusers-heun")
        per = 2 if heun or self.solver in TWO_CALLS else 1
        calls = steps if per == 1 else 2 * steps - int(ends_at_zero or adds_zero)
        if calls != self.nfe:
            mend = f"take {self._length(per, adds_zero)} numbers"
            odd = ends_at_zero or adds_zero
            if per == 2 and odd == (self.nfe % 2 == 0):
                near = f"{self.nfe - 1} or {self.nfe + 1}"
                mend = f"this sampler makes {'an odd' if odd else 'an even'} number: {near}"
            self._add("calls", f"the list makes {calls} network calls, not {self.nfe}", mend)

    def _length(self, per: int, adds_zero: bool) -> int:
        """The length of a list that makes the wanted calls."""
        assert self.nfe is not None
        steps = self.nfe if per == 1 else (self.nfe + 1) // 2
        return steps if adds_zero else steps + 1


def _uneven(values: Array) -> float:
    """The largest distance of a list from an even one with its ends."""
    return float(np.abs(values - np.linspace(values[0], values[-1], values.size)).max())


def _rounded(values: Array, digits: int) -> Array:
    """Values with so many binary digits, round half to even."""
    fraction, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.round(fraction * 2.0**digits) / 2.0**digits, exponent))
