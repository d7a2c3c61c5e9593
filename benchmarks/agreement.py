"""Does every algorithm train as aihwkit's does? Small regressions, compared in distribution.

    python benchmarks/agreement.py [--seeds 24] [--only AGAD] [--faults]

Both simulators (aihwkit must be installed) fit y = W* x from the same data with the same devices,
steps and periods and ideal converters, seed by seed in turn. Compared over the seeds by
z = |difference of means| / sqrt(se1^2 + se2^2):

    final: squared error of the weight, averaged over the last quarter of the steps
    early: the same over the first quarter
    fast: root mean square content of the tile that takes the gradient, at the end

A case is flagged if one |z| exceeds 4, an algorithm if one of its combined z does, sum(z) /
sqrt(cases), which finds a difference too small for one case: exit status 1. `--faults` plants
faults on resitile's side instead: exit status 1 if one of them is not flagged.
"""

import argparse
import math
import statistics
import sys
import zlib
from collections.abc import Callable
from typing import Any

import common  # sets thread variables before torch is imported
from agreement_cases import SETTINGS, SHAPES, STATES, Case, Contender, ours, peer

import resitile as rt

LIMIT = 4.0
MEASURES = ("final", "early", "fast")
Row = dict[str, Any]


class Swapped(rt.Device, name="swapped_soft_bounds"):
    """Soft bounds whose answers to up and down are swapped: a fault to be found."""

    @staticmethod
    def q_up(w, p):
        """That of a pulse down."""
        return 1 - w / p[0]

    @staticmethod
    def q_down(w, p):
        """That of a pulse up."""
        return 1 - w / p[1]


# (algorithm, number of its setting, states, spread, what is changed on resitile's side): each where
# it shows best; a spread that is left out shows only where there is one.
Fault = tuple[str, int, int, str, Callable[[Case], dict[str, Any]]]
FAULTS: dict[str, Fault] = {
    "up and down swapped": (
        "SingleTile", 1, 20, "default", lambda c: {"device": Swapped(states=c.states)},
    ),
    "no cycle-to-cycle noise": (
        "SingleTile", 1, 4, "default", lambda c: {"device": soft(c, cycle=0.0)},
    ),
    "no spread of the bounds": (
        "SingleTile", 1, 200, "default", lambda c: {"device": soft(c, w_min=0.0, w_max=0.0)},
    ),
    "no spread of the step": (
        "SingleTile", 1, 4, "default", lambda c: {"device": soft(c, dw_min=0.0)},
    ),
    "dw_min 10 % too large": (
        "SingleTile", 1, 20, "default", lambda c: {"device": soft(c, c.states / 1.1)},
    ),
    "fast tile's step + 20 %": ("TikiTaka", 0, 200, "none", lambda _: {"fast_lr": 0.24}),
    "transfers half as often": ("TikiTaka", 0, 200, "none", lambda _: {"transfer_every": 2}),
    "step not scaled by lr": ("TikiTaka", 1, 20, "default", lambda _: {"scale_transfer_lr": False}),
    "threshold + 30 %": ("TikiTakaV2", 0, 4, "none", lambda _: {"threshold": 1.3}),
    "gamma missing in H": ("TikiTakaV2", 1, 20, "default", lambda _: {"transfer_lr": 2.0 / 0.3}),
    "buffer not forgotten": ("TikiTakaV2", 0, 20, "default", lambda _: {"forget_buffer": False}),
    "no choppers": ("ChoppedTikiTaka", 0, 200, "none", lambda _: {"chop_prob": 0.0}),
    "granularity doubled": ("ChoppedTikiTaka", 0, 4, "none", lambda _: {"granularity": 2.0}),
    "auto-granularity ignored": (
        "ChoppedTikiTaka", 1, 20, "default", lambda _: {"auto_granularity": 0.0},
    ),
    "no auto-scale": ("ChoppedTikiTaka", 2, 20, "default", lambda _: {"auto_scale": False}),
    "AGAD's reference stays 0": ("AGAD", 0, 20, "default", lambda _: {"tail_weightening": 0.0}),
    "AGAD's period doubled": ("AGAD", 0, 20, "default", lambda _: {"chop_prob": 0.05}),
    "pulses of MP halved": ("MixedPrecision", 0, 20, "default", lambda _: {"transfer_lr": 0.5}),
    "MP's granularity doubled": (
        "MixedPrecision", 1, 20, "default", lambda _: {"granularity": 0.2},
    ),
    "gamma 0.4 for 0.5": ("ResidualLearning", 0, 20, "default", lambda _: {"gamma": 0.4}),
    "coarse transfers as often": (
        "ResidualLearning", 0, 20, "default", lambda _: {"transfer_ratio": 1},
    ),
    "growth missing": ("ResidualLearning", 0, 200, "none", lambda _: {"transfer_lr_growth": 1.0}),
}  # fmt: skip


def soft(case: Case, states: float | None = None, **variation: float) -> rt.Device:
    """A soft-bounds device that differs from the case's."""
    return rt.devices.SoftBounds(states=states or case.states, variation=variation)


def train(case: Case, seed: int, made: Contender) -> tuple[float, ...]:
    """Train, and return the measures."""
    target, quarter = case.target(), case.steps // 4
    early, final = [], []
    for step, x in enumerate(case.data(seed)):
        made.optimizer.zero_grad()
        ((made.layer(x) - x @ target.T).square().sum(1).mean() / 2).backward()
        made.optimizer.step()
        errors = early if step < quarter else final
        if (step < quarter or step >= case.steps - quarter) and step % 4 == 3:
            errors.append((made.weight() - target).square().mean().item())
    fast = made.fast().square().mean().sqrt().item()
    return statistics.fmean(final), statistics.fmean(early), fast


def compare(case: Case, seeds: int, **fault: Any) -> Row:
    """Both simulators over the seeds, in turn."""
    runs: dict[str, list[tuple[float, ...]]] = {"resitile": [], "aihwkit": []}
    first = zlib.crc32(case.name.encode())  # cases share no seeds: their z are independent
    for seed in range(first, first + seeds):
        runs["resitile"].append(train(case, seed, ours(case, seed, **fault)))
        runs["aihwkit"].append(train(case, seed, peer(case, seed)))
    row: Row = {"case": " ".join(case.name.split())}
    for k, measure in enumerate(MEASURES):
        a, b = ([run[k] for run in runs[name]] for name in ("resitile", "aihwkit"))
        means = statistics.fmean(a), statistics.fmean(b)
        error = math.sqrt((statistics.variance(a) + statistics.variance(b)) / seeds)
        row[measure] = {"resitile": means[0], "aihwkit": means[1], "error": error}
        row[measure]["z"] = (means[0] - means[1]) / max(error, 1e-12)
    row["worst"] = max(abs(row[measure]["z"]) for measure in MEASURES)
    row["flagged"] = row["worst"] > LIMIT
    return row


def combine(rows: list[Row]) -> dict[str, dict[str, float]]:
    """The z of all cases of an algorithm taken together, for every measure."""
    names = dict.fromkeys(row["case"].split()[0] for row in rows)
    return {
        name: {
            m: sum(z) / math.sqrt(len(z))
            for m in MEASURES
            for z in [[row[m]["z"] for row in rows if row["case"].split()[0] == name]]
        }
        for name in names
    }


def show(name: str, row: Row) -> None:
    """Print one line of the table."""
    cells = "".join(
        f"{row[m]['resitile']:9.5f}{row[m]['aihwkit']:9.5f}{row[m]['z']:6.1f} |" for m in MEASURES
    )
    print(f"{name} |{cells}{'  FLAGGED' if row['flagged'] else ''}", flush=True)


def grid(only: list[str]) -> list[Case]:
    """All cases, the settings of one algorithm after the other."""
    return [
        Case(name, number, shape, states, variation)
        for name, settings in SETTINGS.items()
        if not only or name in only
        for number in range(len(settings))
        for shape in SHAPES
        for states in STATES
        for variation in ("none", "default")
    ]


def main() -> None:
    """Compare, print a table and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--only", nargs="*", default=[], choices=list(SETTINGS))
    parser.add_argument("--faults", action="store_true", help="plant faults; all must be flagged")
    arguments = parser.parse_args()
    common.use_threads(1)
    from aihwkit.version import __version__ as aihwkit_version

    print(f"resitile {rt.__version__}, aihwkit {aihwkit_version}, {arguments.seeds} seeds")
    print(f"{'':<37} |" + "".join(f" {m:>5}: ours, theirs, z |" for m in MEASURES))
    rows = []
    if arguments.faults:
        for fault, (name, number, states, variation, change) in FAULTS.items():
            case = Case(name, number, (20, 10), states, variation)
            rows.append({"fault": fault, **compare(case, arguments.seeds, **change(case))})
            show(f"{fault:<37}", rows[-1])
    else:
        for case in grid(arguments.only):
            rows.append(compare(case, arguments.seeds))
            show(case.name, rows[-1])
    flagged = sum(row["flagged"] for row in rows)
    print(f"{flagged} of {len(rows)} flagged (|z| > {LIMIT:g})")
    record = {"aihwkit": aihwkit_version, "seeds": arguments.seeds, "rows": rows}
    if not arguments.faults:
        record["combined"] = combine(rows)
        for name, combined in record["combined"].items():
            bad = any(abs(z) > LIMIT for z in combined.values())
            flagged += bad
            cells = "".join(f" {m} {z:5.1f} " for m, z in combined.items())
            print(f"combined z, {name:<17} {cells}{'  FLAGGED' if bad else ''}")
    if not arguments.only:
        common.save("agreement_faults" if arguments.faults else "agreement", record)
    sys.exit(flagged < len(rows) if arguments.faults else flagged > 0)


if __name__ == "__main__":
    main()
