"""Runs of one setting with several seeds as one line: means, intervals, paired differences."""

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from resitile.errors import ConfigError, did_you_mean
from resitile.reports.lines import apart, members

_COLUMNS = (
    ("label", "run"),
    ("states", "states"),
    ("tiles", "tiles"),
    ("n", "seeds"),
    ("val_accuracy", "val acc"),
    ("test_accuracy", "test acc"),
    ("difference", "difference"),
    ("epochs", "epochs"),
    ("ms_per_step", "ms/step"),
    ("wall_s", "wall"),
    ("pulses", "pulses"),
    ("digital_storage_bytes", "digital storage"),
    ("update_ns", "update"),
)
_MEANS = (
    "ms_per_step", "wall_s", "pulses", "digital_storage_bytes", "update_ns", "best_val_accuracy",
    "counted_update_ns", "counted_update_nj",
)  # fmt: skip
_OF_ONE = ("seed", "config_hash")  # mean nothing for several


def interval(values: Sequence[float]) -> float | None:
    """Half the 95 % interval of the mean, by Student's t; None for fewer than two values."""
    from scipy import stats

    n = len(values)
    if n < 2:
        return None
    mean = sum(values) / n
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    return float(stats.t.ppf(0.975, n - 1)) * spread / math.sqrt(n)


def groups(rows: Sequence[dict[str, Any]], baseline: str | None = None) -> list[dict[str, Any]]:
    """One line for all seeds of the same settings; repetitions of seeds get lines of their own.

    Args:
        rows: of `resitile.reports.table`.
        baseline: label of the line that the others are compared with, seed by seed, or the name of
            one of its runs; None takes the first one.

    Returns:
        Per line the keys of its first run, with `seeds`, `n`, means for numbers that differ
        between seeds, None for the `seed` and `config_hash` of several,
        half 95 % intervals `val_ci95` and `test_ci95` (None with one seed), and
        `difference` and `difference_ci95`: test accuracy less that of the baseline, paired over
        the seeds that both have; None beside a baseline of another network or data.

    Raises:
        ConfigError: if there is no such baseline.
    """
    places = members([(row["group"], row["label"], row["name"], row["seed"]) for row in rows])
    lines = [_line([rows[k] for k in line]) for line in places]
    chosen = lines[baseline_of(lines, baseline)] if lines or baseline is not None else None
    for line in lines:
        line["difference"] = line["difference_ci95"] = None
        if chosen is None or line is chosen or line.get("task") != chosen.get("task"):
            continue
        mine, theirs = line["test_by_seed"], chosen["test_by_seed"]
        pairs = [mine[s] - theirs[s] for s in mine if theirs.get(s) is not None]
        if pairs:
            line["difference"] = sum(pairs) / len(pairs)
            line["difference_ci95"] = interval(pairs)
    return lines


def baseline_of(lines: Sequence[dict[str, Any]], baseline: str | None) -> int:
    """The place of the line that the others are compared with; None is the first.

    Raises:
        ConfigError: if no line has this label, nor a run of this name.
    """
    if baseline is None:
        return 0
    for place, line in enumerate(lines):
        if baseline in (line["label"], *line["runs"]):
            return place
    names = list(dict.fromkeys(name for line in lines for name in line["runs"]))
    raise ConfigError(f"no line is called {baseline!r}; {did_you_mean(baseline, names)}")


def told_apart(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same lines, with labels by `resitile.reports.lines.apart`."""
    labels = apart([(line["label"], line["name"]) for line in lines])
    return [{**line, "label": label} for line, label in zip(lines, labels, strict=True)]


def _line(runs: list[dict[str, Any]]) -> dict[str, Any]:
    seeds = [run["seed"] for run in runs]
    line = {**runs[0], "seeds": seeds, "n": len(runs), "runs": [run["name"] for run in runs]}
    finished = [run["status"] == "finished" for run in runs]
    line["status"] = "finished" if all(finished) else "unfinished"
    for key in ("val", "test"):
        values = [run[f"{key}_accuracy"] for run in runs]
        known = [v for v in values if v is not None]
        line[f"{key}_accuracy"] = sum(known) / len(known) if known else None
        line[f"{key}_ci95"] = interval(known)
        if key == "test":
            found = zip(seeds, values, strict=True)
            line["test_by_seed"] = {s: v for s, v in found if v is not None}
    for key in _MEANS:
        values = [run[key] for run in runs if run.get(key) is not None]
        if values:
            line[key] = sum(values) / len(values)
    if len(runs) > 1:
        line |= {key: None for key in _OF_ONE if key in line}
    return line


def columns(lines: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """(key, title) of the columns that hold something in at least one line."""
    return [(key, title) for key, title in _COLUMNS if any(li.get(key) is not None for li in lines)]


def columns_to_read(lines: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """`columns` for people: without that of seeds where every line has one."""
    several = any(line["n"] > 1 for line in lines)
    return [(key, title) for key, title in columns(lines) if key != "n" or several]


def shown(line: dict[str, Any], key: str) -> str:
    """A cell as people read it; accuracies in percent, with their interval."""
    value = line.get(key)
    if value is None:
        return "-"
    if key in ("val_accuracy", "test_accuracy", "difference"):
        name = key.removesuffix("_accuracy") + "_ci95"
        sign = "+" if key == "difference" else ""
        half = line.get(name)
        text = f"{100 * value:{sign}.2f}"
        return f"{text} %" if half is None else f"{text} ± {100 * half:.2f} %"
    if key == "epochs" and line.get("status") == "unfinished":
        return f"{value}, unfinished"
    if key == "pulses":
        return f"{value:.3g}"
    if key == "wall_s":
        return f"{value:.1f} s" if value < 60 else f"{value / 60:.1f} min"
    if key == "ms_per_step":
        return f"{value:.2f}"
    if key == "digital_storage_bytes":
        return f"{value / 1000:.4g} kB"
    if key == "update_ns":
        return f"{value:.1f} ns"
    if isinstance(value, list):  # one per tile, coarsest first
        return ", ".join(f"{part:g}" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def as_csv(lines: Sequence[dict[str, Any]]) -> str:
    """All numbers as comma-separated values, accuracies as fractions."""
    keys = [key for key, _ in columns(lines)]
    for name in ("val_ci95", "test_ci95", "difference_ci95"):
        base = name.replace("_ci95", "" if name.startswith("diff") else "_accuracy")
        if base in keys:
            keys.insert(keys.index(base) + 1, name)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, keys, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for line in lines:
        lists = {key: shown(line, key) for key in keys if isinstance(line.get(key), list)}
        writer.writerow(line | lists)
    return stream.getvalue()


def as_latex(lines: Sequence[dict[str, Any]]) -> str:
    """A tabular for the package booktabs."""
    chosen = columns(lines)
    body = [" & ".join(_latex(title) for _, title in chosen) + r" \\", r"\midrule"]
    for line in lines:
        body.append(" & ".join(_latex(shown(line, key)) for key, _ in chosen) + r" \\")
    head = rf"\begin{{tabular}}{{l{'r' * (len(chosen) - 1)}}}"
    return "\n".join([head, r"\toprule", *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex(text: str) -> str:
    for plain, escaped in (
        ("\\", r"\textbackslash "), ("&", r"\&"), ("%", r"\%"), ("$", r"\$"), ("#", r"\#"),
        ("_", r"\_"), ("{", r"\{"), ("}", r"\}"), ("~", r"\textasciitilde "),
        ("^", r"\textasciicircum "), ("±", r"$\pm$"),
        ("<", "$<$"), (">", "$>$"), ("|", "$|$"),  # OT1 has others there
    ):  # fmt: skip
        text = text.replace(plain, escaped)
    return text
