"""Information-theoretic time schedules of diffusion models, computed exactly.

    import entropic

    mixture = entropic.toy("gaussians15_overlap")
    profile = entropic.profile(mixture)
    sigmas = entropic.schedule("rescaled", 8, profile=profile)
    table = entropic.solver("stochastic_ddim", sigmas)
    entropic.kl(mixture, table)

The names in `__all__` are the public interface; everything else may change. They are loaded when
they are first used, so that `import entropic` is fast. Noise levels are sigma in
x = x0 + sigma eps, entropies and divergences are in nats, and arrays are float64. A function of
arrays returns a plain number if it is given plain numbers. An invalid argument raises a ValueError
of one line, which names the argument, the rule and the value.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from benchmarks.claims.run import claims
    from benchmarks.engine.compare import compare
    from benchmarks.engine.recommend import Recommendation
    from benchmarks.engine.toy_profiles import profile
    from benchmarks.measure.exact import KL, kl
    from benchmarks.measure.orders import order
    from benchmarks.optimum.registry import schedule, schedules
    from entropic import testing as testing
    from entropic.commands.figures import figure
    from entropic.commands.profile import profile_of_network
    from entropic.commands.schedule import recommend
    from theory.infonoise.allocation import InfoNoise
    from theory.profiles.files import read_profile
    from theory.profiles.profile import Profile
    from theory.profiles.risks import profile_from_losses as profile_from_losses
    from theory.schedules.export import export
    from theory.schedules.lint import lint
    from theory.solvers.reducing import ReducingIteration
    from theory.solvers.registry import make_table as solver
    from theory.solvers.registry import solvers
    from theory.solvers.table import SolverTable
    from toys.laws.exact import ExactLaw, exact_law
    from toys.mixture import Mixture
    from toys.sampling import sample
    from toys.zoo import toy, toys

    __version__: str

# Maps each public name to the module that defines it and to its name in that module.
_PLACES = {
    "ExactLaw": ("toys.laws.exact", "ExactLaw"),
    "InfoNoise": ("theory.infonoise.allocation", "InfoNoise"),
    "KL": ("benchmarks.measure.exact", "KL"),
    "Mixture": ("toys.mixture", "Mixture"),
    "Profile": ("theory.profiles.profile", "Profile"),
    "Recommendation": ("benchmarks.engine.recommend", "Recommendation"),
    "ReducingIteration": ("theory.solvers.reducing", "ReducingIteration"),
    "SolverTable": ("theory.solvers.table", "SolverTable"),
    "claims": ("benchmarks.claims.run", "claims"),
    "compare": ("benchmarks.engine.compare", "compare"),
    "exact_law": ("toys.laws.exact", "exact_law"),
    "export": ("theory.schedules.export", "export"),
    "figure": ("entropic.commands.figures", "figure"),
    "kl": ("benchmarks.measure.exact", "kl"),
    "lint": ("theory.schedules.lint", "lint"),
    "order": ("benchmarks.measure.orders", "order"),
    "profile": ("benchmarks.engine.toy_profiles", "profile"),
    "profile_from_losses": ("theory.profiles.risks", "profile_from_losses"),
    "profile_of_network": ("entropic.commands.profile", "profile_of_network"),
    "read_profile": ("theory.profiles.files", "read_profile"),
    "recommend": ("entropic.commands.schedule", "recommend"),
    "sample": ("toys.sampling", "sample"),
    "schedule": ("benchmarks.optimum.registry", "schedule"),
    "schedules": ("benchmarks.optimum.registry", "schedules"),
    "solver": ("theory.solvers.registry", "make_table"),
    "solvers": ("theory.solvers.registry", "solvers"),
    "testing": ("entropic.testing", ""),
    "toy": ("toys.zoo", "toy"),
    "toys": ("toys.zoo", "toys"),
}
__all__ = [
    "KL",
    "ExactLaw",
    "InfoNoise",
    "Mixture",
    "Profile",
    "Recommendation",
    "ReducingIteration",
    "SolverTable",
    "__version__",
    "claims",
    "compare",
    "exact_law",
    "export",
    "figure",
    "kl",
    "lint",
    "order",
    "profile",
    "profile_from_losses",
    "profile_of_network",
    "read_profile",
    "recommend",
    "sample",
    "schedule",
    "schedules",
    "solver",
    "solvers",
    "toy",
    "toys",
]
# Top-level packages of the suite, which must be those in the same folder as this one.
_ROOMS = ("toys", "theory", "benchmarks", "figures")


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name == "__version__":
        from importlib.metadata import version

        return version("entropic")
    if name not in _PLACES:
        raise AttributeError(f"module 'entropic' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    found = import_module(module)
    value = getattr(found, attribute) if attribute else found
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    # testing is no part of `import *`, since it needs hypothesis.
    return [*__all__, *(["testing"] if find_spec("hypothesis") else [])]


def _check_rooms() -> None:
    """Refuse to work where something else on `sys.path` hides a package of the suite."""
    home = Path(__file__).resolve().parents[1]
    for room in _ROOMS:
        loaded = sys.modules.get(room)
        spec = loaded.__spec__ if loaded is not None else find_spec(room)
        if spec is not None and spec.origin is not None:
            found = Path(spec.origin).resolve()
            if found == home / room / "__init__.py":
                continue
        elif spec is not None and spec.submodule_search_locations:
            found = Path(next(iter(spec.submodule_search_locations)))
        else:
            _refuse(f"the package {room} of entropic is missing; install entropic again")
        _refuse(
            f"{found} hides the package {room} of entropic; rename it, or start in another folder"
        )


def _refuse(line: str) -> NoReturn:
    """One line: exit code 2 where this process is the command, ImportError in Python."""
    if _is_command():
        print(f"entropic: {line}", file=sys.stderr)
        raise SystemExit(2)
    raise ImportError(line)


def _is_command() -> bool:
    """Whether this process is the script `entropic`, or `python -m entropic`."""
    words = iter(sys.orig_argv[1:])
    for word in words:
        if word in ("-X", "-W"):
            next(words, None)
        elif word.startswith("-m"):
            module = word[2:] or next(words, "")
            return module.split(".")[0] == "entropic"
        elif word.startswith("-c") or word == "-":
            return False
        elif not word.startswith("-"):
            return Path(word).stem == "entropic"
    return False


_check_rooms()
