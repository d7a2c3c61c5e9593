"""Which runs make one line of a table, and one curve of a picture."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from resitile.reports.records import Run


def members(runs: Sequence[tuple[str, str, str, Any]]) -> list[list[int]]:
    """The places of the runs of every line.

    All seeds of a group share a line if they are called the same, or if nobody gave them a label:
    then it is the name, which tells seeds apart. A seed that comes again is a repetition, not
    another seed: second runs of seeds make a line of their own, third ones another.

    Args:
        runs: group, label, name and seed of every run.
    """
    given = {(group, label) for group, label, name, _ in runs if label != name}
    lines: dict[tuple[Any, ...], list[int]] = {}
    times: Counter[tuple[Any, ...]] = Counter()
    for place, (group, label, name, seed) in enumerate(runs):
        # `compare` calls later seeds by the first one's name.
        own = label != name or (group, label) in given
        line = (group, label if own else None)
        lines.setdefault((*line, times[*line, seed]), []).append(place)
        times[*line, seed] += 1
    return list(lines.values())


def apart(lines: Sequence[tuple[str, str]]) -> list[str]:
    """What to call lines of these labels and names: labels, and as much more as tells them apart.

    Where several have one label, the name is added; where that is one too (a copy of a run keeps
    its name), a number.
    """
    labels = [label for label, _ in lines]
    longer = [
        f"{label} ({name})" if labels.count(label) > 1 and name != label else label
        for label, name in lines
    ]
    return [
        f"{text} #{longer[: place + 1].count(text)}" if longer.count(text) > 1 else text
        for place, text in enumerate(longer)
    ]


def lines_of(runs: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """What each line of these runs is called, and its runs."""
    found = members([(run.group, run.label, run.name, run.seed) for run in runs])
    lines = [[runs[k] for k in places] for places in found]
    names = apart([(line[0].label, line[0].name) for line in lines])
    return list(zip(names, lines, strict=True))
