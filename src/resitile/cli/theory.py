"""`resitile theory`: the bounds of the theory, measured."""

from pathlib import Path
from typing import Annotated, Any

import typer

from resitile.cli.options import LARGEST_SEED, Json


def theory(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for JSON and pictures.")] = Path(
        "theory"
    ),
    only: Annotated[
        list[str] | None,
        typer.Option(help="floor, contraction, tiles or schedule; may be repeated."),
    ] = None,
    quick: Annotated[bool, typer.Option(help="Fewer copies and steps: seconds, wide errors.")] = (
        False
    ),
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Of pulses, targets and noise.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Measure the theory's claims on the simulated crossbar and draw them."""
    from resitile.cli.output import print_json, say
    from resitile.errors import ConfigError
    from resitile.experiments.records import cannot_make, check_place
    from resitile.theory import suite

    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; name a folder")
    check_place(out)  # now, not after the measurements
    records = suite.run(
        list(only or []), quick=quick, seed=seed, say=lambda line: typer.echo(line, err=True)
    )
    try:
        written = suite.write(records, out)
    except OSError as error:
        raise cannot_make(out, error) from error
    if as_json:
        print_json(records)
        return
    for part, show in (
        ("floor", _floor), ("contraction", _contraction), ("tiles", _tiles),
        ("schedule", _schedule),
    ):  # fmt: skip
        if part in records:
            show(records[part])
            say("")
    say(f"written: {', '.join(str(path) for path in written)}")


def _interval(slope: dict[str, float]) -> str:
    return f"{slope['value']:.3f} [{slope['low']:.3f}, {slope['high']:.3f}]"


def _floor(record: dict[str, Any]) -> None:
    from resitile.cli.output import print_table, say

    print_table(
        ["states", "dw_min", "error", "std error", "closed form", "Theorem 1"],
        [
            [
                f"{p['states']:g}", f"{p['dw_min']:.4g}", f"{p['error']:.4g}",
                f"{p['standard_error']:.1g}", f"{p['closed_form']:.4g}", f"{p['theorem_1']:.4g}",
            ]
            for p in record["points"]
        ],
    )  # fmt: skip
    fitted = [p["states"] for p in record["points"] if p["fitted"]]
    verdict = "within" if record["holds"] else "OUTSIDE"
    say(
        f"slope over {min(fitted):g} to {max(fitted):g} states: {_interval(record['slope'])}, "
        f"predicted 1: {verdict} the 95 % interval"
    )
    say(f"with the coarse ones: {_interval(record['slope_with_few_states'])}")
    say("")
    print_table(
        ["Theorem 2, dw_min", "error", "its scale", "ratio"],
        [
            [
                f"{p['dw_min']:.4g}", f"{p['error']:.4g}", f"{p['theorem_2_scale']:.4g}",
                f"{p['constant']:.3f}",
            ]
            for p in record["theorem_2"]["points"]
        ],
    )  # fmt: skip


def _contraction(record: dict[str, Any]) -> None:
    from resitile.cli.output import print_table, say

    rows = []
    for part in record["finest"]:
        for p in part["points"]:
            rows.append(
                [
                    f"Lemma 2, N = {p['n']}, sigma {part['sigma']:g}", f"{p['rate']:.4g}",
                    f"{p['lemma_rate']:.4g}", f"{p['centre']:.4f}", f"{p['target']:g}",
                ]
            )  # fmt: skip
    rows += [
        [f"Lemma 3, beta {p['beta']:.4g}", f"{p['rate']:.4g}", f"{p['lemma_rate']:.4g}", "-", "-"]
        for p in record["coarse"]["points"]
    ]
    print_table(
        ["contraction", "measured rate", "claimed, at least", "settles at", "optimum"], rows
    )
    for part in record["finest"]:
        say(
            f"Lemma 2, sigma {part['sigma']:g}: rate against gamma^N, slope "
            f"{_interval(part['slope'])}, predicted 1"
        )
    say(f"Lemma 3: rate against beta, slope {_interval(record['coarse']['slope'])}, predicted 1")


def _tiles(record: dict[str, Any]) -> None:
    from resitile.cli.output import print_table, say

    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.2e}"

    def gain(values: list[float | None], k: int) -> str:
        value = values[k - 1] if k else None
        return "-" if value is None else f"{value:.3g}"

    published = record["published"]
    for part in record["protocols"].values():
        ratios = part["ratios"]
        print_table(
            [
                part["settings"]["name"], "mean", "gain", "median", "gain", "in reach",
                "mean in reach", "gain", "published", "gain",
            ],
            [
                [
                    str(run["tiles"]), shown(run["mean"]), gain(ratios["mean"], k),
                    shown(run["median"]), gain(ratios["median"], k),
                    f"{run['covered_copies']} ({run['covered']:.1%})",
                    shown(run["covered_mean"]), gain(ratios["covered_mean"], k),
                    shown(published[k]),
                    f"{published[k - 1] / published[k]:.3g}" if k else "-",
                ]
                for k, run in enumerate(part["runs"])
            ],
        )  # fmt: skip
        say("")
    say(f"wanted: a gain of at least {record['target_ratio']:g} per tile, up to 4 tiles")


def _schedule(record: dict[str, Any]) -> None:
    from resitile.cli.output import print_table

    updates = record["updates"]
    last = len(updates) - 1
    print_table(
        ["updates (Figure 9)", *(str(t) for t in range(len(updates[0])))],
        [[f"t_{n}" + (" = t_N" if n == last else ""), *(str(v) for v in updates[n])]
         for n in reversed(range(len(updates)))],
    )  # fmt: skip
