"""Which choice of a plan to train next, given what was measured so far."""

from typing import Any

from resitile.experiments.plan import Limits, best

_FALLEN = 0.1  # how far below its prediction a choice's rate is to blame
_APART = 0.1  # how far predictions are wrong about a kind of choice that was not tried
_LEAST_RATE = 1 / 8  # of a choice, as a share of the planner's; the highest is its inverse


def most_promising(found: dict[str, Any], limits: Limits) -> str | None:
    """What to measure next; None if nothing else can become the recommended choice.

    It is the best by the rule of `plan` of those that would be recommended if their predictions
    came true (or, where none reaches the least accuracy, that come nearer to it). One that then
    ends far below its prediction is tried with half its rate before it is given up. If there are
    none, one of every other kind that is faster than the recommended choice comes next, as long as
    it is not predicted to be hopeless: a run says more about a kind than the reference runs do.
    Then the recommended choice is tried with half and twice its learning rate, as long as that
    leads to something better, and then what is predicted to be the best of the others.
    Where a least accuracy was reached, only faster choices come into question.
    """
    rows = [row for row in found["choices"] if row["breaks"] in ([], ["accuracy"])]
    new = [row for row in rows if row["measured_accuracy"] is None]
    tried = [row for row in rows if row["measured_accuracy"] is not None]
    reached = [row for row in tried if not row["breaks"]]
    if limits.accuracy is not None and reached:
        fastest = min(row["update_ns"] for row in reached)
        return best([row for row in new if row["update_ns"] < fastest], limits)
    if tried:
        close = found["close"]
        if (again := _fallen(tried, limits, close)) is not None:
            return again
        better = [row for row in new if best([*tried, row], limits, close) == row["key"]]
        if not better and limits.accuracy is not None:  # out of reach; but it may come nearer
            most = max(row["accuracy"] for row in tried)
            better = [row for row in new if row["accuracy"] > most + close]
        if better:
            return _best_of(better, limits)
        key = best(tried, limits, close) or max(tried, key=lambda row: row["accuracy"])["key"]
        top = next(row for row in tried if row["key"] == key)
        if (other := _other_kind(new, tried, top)) is not None:
            return other
        if (rate := _another_rate(top, tried)) is not None:
            return rate
    return _best_of(new, limits)


def _fallen(tried: list[dict[str, Any]], limits: Limits, close: float) -> str | None:
    """Half the rate of what would be recommended, had it not ended far below its prediction.

    Predictions are good to some points; where one is off by more, the rate is the first suspect.
    """
    for row in tried:
        hoped = {**row, "accuracy": row["predicted_accuracy"]}
        hoped["breaks"] = ["accuracy"] if hoped["accuracy"] < (limits.accuracy or 0) else []
        others = [other for other in tried if other is not row]
        if (
            hoped["accuracy"] > row["accuracy"] + _FALLEN
            and best([*others, hoped], limits, close) == row["key"]
            and (rate := _another_rate(row, tried, (0.5,))) is not None
        ):
            return rate
    return None


def _other_kind(
    new: list[dict[str, Any]], tried: list[dict[str, Any]], top: dict[str, Any]
) -> str | None:
    """The most accurate, as predicted, of kinds that were not tried and are faster than `top`."""
    known = {row["kind"] for row in tried}
    rows = [
        row
        for row in new
        if row["kind"] not in known
        and row["update_ns"] < top["update_ns"]
        and row["accuracy"] > top["accuracy"] - _APART
    ]
    return str(max(rows, key=lambda row: row["accuracy"])["key"]) if rows else None


def _best_of(rows: list[dict[str, Any]], limits: Limits) -> str | None:
    """The best by the rule of `plan`; if none reaches the least accuracy, the most accurate."""
    if (key := best(rows, limits)) is None and rows:
        key = str(max(rows, key=lambda row: row["accuracy"])["key"])
    return key


def _another_rate(
    row: dict[str, Any], tried: list[dict[str, Any]], changes: tuple[float, ...] = (0.5, 2.0)
) -> str | None:
    """The key of a measured choice with half or twice its rate; None if there is none to try."""
    known = {other["factor"] for other in tried if other["method"] == row["method"]}
    for factor in (row["factor"] * change for change in changes):
        if factor not in known and _LEAST_RATE <= factor <= min(1 / _LEAST_RATE, row["most"]):
            return f"{row['method']}-x{factor:g}"
    return None
