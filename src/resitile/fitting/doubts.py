"""What is doubtful about a fit that was found."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from resitile.fitting.fit import Fitted

_UNSURE, _LOUD = 0.25, 0.6  # shares from which a fit is worth a second look
_BEYOND = 1.5  # times the farthest reading; bounds are looked for up to twice
_OFF = 0.02  # how far a law's answer at w = 0 may be from 1
_DEAD = 0.2  # of the others' movement, below which a device is
_FEW = 4  # pulses for each number that was fitted, below which errors are guesses
_SPREADS = ("dw_min", "w_min", "w_max")


def warnings(fitted: "Fitted") -> list[str]:
    """What a careful reader of the numbers would ask about."""
    best, found = fitted.best, []
    for name, places in zip(fitted.names, best.outliers, strict=True):
        if places.size:
            which = ", ".join(str(place + 1) for place in places[:5]) + ", ..." * (places.size > 5)
            whose = f" of device {name}" if name else ""
            found.append(f"{places.size} readings{whose} are outliers (number {which})")
    moved = {
        name: float(np.ptp(np.quantile(readings, (0.05, 0.95))))  # without outliers
        for name in fitted.names
        for readings in [np.concatenate([train.readings for train in fitted.of(name)])]
    }
    for name, own in moved.items():
        usual = float(np.median([of for other, of in moved.items() if other != name] or [own]))
        if own < _DEAD * usual:
            found.append(
                f"device {name} moves by {own / usual:.0%} of what others do, and counts as much "
                "in the mean: leave it out if it is dead"
            )
    numbers = round(best.parameters / fitted.devices)
    fewest = min(sum(train.ups.size for train in fitted.of(name)) for name in fitted.names)
    if fewest < _FEW * numbers:
        found.append(
            f"{fewest} pulses for {numbers} numbers are too few: neither the error of states nor "
            f"the choice of the law can be relied on; measure at least {_FEW * numbers}"
        )
    if best.tied:
        found.append(
            f"{' and '.join(best.tied)} cannot be told apart from these data: other values of them "
            "fit as well"
        )
    if np.isnan(best.step_error):
        found.append("the error of states cannot be told: the likelihood has no clear maximum")
    elif best.step_error >= _UNSURE:
        found.append(f"the error of states is {best.step_error:.0%} of them")
    every = np.concatenate([train.readings for train in fitted.trains])
    for name, share in (("w_min", 0.02), ("w_max", 0.98)):  # without outliers
        bound, reached = getattr(best.device, name), float(np.quantile(every, share))
        if abs(bound) > _BEYOND * abs(reached):
            found.append(
                f"{name} {bound:.3g} lies far beyond what was read ({reached:.3g}): there the "
                "steps are the law's guess"
            )
    middle = [q(0.0, best.device.p) for q in (best.device.q_up, best.device.q_down)]
    if max(abs(q - 1) for q in middle) > _OFF:
        found.append(
            f"at w = 0 this law answers {middle[0]:.3g} up and {middle[1]:.3g} down, not 1, and "
            "`states` counts steps of where it answers 1"
        )
    for entry, share in best.device.spread().items():
        measured = entry == "cycle" or fitted.devices > 1
        if measured and entry in (*_SPREADS, "cycle") and share > _LOUD:
            found.append(f"{entry} varies by {share:.0%}")
    return found
