"""What one pulsed update does on average, how much it scatters, and where noise alone leads."""

import math

from resitile.devices import Device
from resitile.errors import ConfigError
from resitile.theory.checks import inside, not_negative, positive, whole


def response(device: Device, w: float) -> tuple[float, float]:
    """(F, G) of the nominal device at weight `w` [Li et al. 2025, Sec. 2].

    F = (q_down + q_up) / 2 is how much of a wanted change arrives, G = (q_down - q_up) / 2 how
    strongly every pulse pulls to the symmetric point.

    Raises:
        ConfigError: if `w` lies outside the nominal bounds.
    """
    if not device.w_min <= w <= device.w_max:
        raise ConfigError(
            f"w must lie in [{device.w_min:g}, {device.w_max:g}], got {w!r}; use a weight that "
            "the device can hold, or wider bounds"
        )
    return device.symmetric(w), device.asymmetric(w)


def expected_update(device: Device, w: float, wanted: float) -> float:
    """E[change of w] = wanted * F(w) - |wanted| * G(w), for rare pulses [Eq. 2].

    Args:
        device: nominal device; the clip to its bounds is left out.
        w: weight, within the bounds.
        wanted: wanted change, in weight units and of either sign.
    """
    f, g = response(device, w)
    return wanted * f - abs(wanted) * g


def update_variance(wanted: float, dw_min: float, bits: int) -> float:
    """Variance of a pulsed change where F = 1 and G = 0 [Lemma 1; exact form in Eq. 29].

    |wanted| dw_min (1 - |wanted| / (bits dw_min)): it grows with the pulse, not with the change.

    Args:
        wanted: wanted change alpha * x_j * d_i, of either sign.
        dw_min: change of one pulse, above 0.
        bits: slots of the pulse train, at least 1.

    Raises:
        ConfigError: if the train is too short for the wanted change (more than a pulse a slot).
    """
    positive("dw_min", dw_min)
    whole("bits", bits, 1)
    size = abs(wanted)
    if not size <= bits * dw_min:
        raise ConfigError(
            f"wanted must lie within {bits} pulses of {dw_min:g}, got {wanted!r}; use a longer "
            "train or a smaller learning rate"
        )
    return size * dw_min * (1 - size / (bits * dw_min))


def stationary_mean(direction: float, reach: float = 1.0) -> float:
    """Where pulses of mean direction P(up) - P(down) carry a soft-bounds weight on +-reach.

    A pulse does w <- (1 - u) w +- u reach, u = dw_min / reach, so the mean is direction * reach,
    whatever the rate of the pulses.
    """
    if not -1 <= direction <= 1:
        raise ConfigError(
            f"direction must lie in [-1, 1], got {direction!r}; it is P(up) - P(down)"
        )
    return direction * positive("reach", reach)


def stationary_spread(
    dw_min: float, direction: float = 0.0, cycle: float = 0.0, reach: float = 1.0
) -> float:
    """Standard deviation of a soft-bounds weight that independent, rare pulses drive.

    From E[w'^2] = E[w^2] of w' = (1 - u z) w + s u z reach, with s = +-1 the direction, u =
    dw_min / reach and z = 1 + cycle * N(0, 1). The clip to the bounds is left out: a cycle noise
    that sends weights over a bound (4 states, more than 0.5) makes the real spread smaller.

    Args:
        dw_min: change of one pulse at w = 0, in (0, 2 * reach).
        direction: P(up) - P(down), in [-1, 1].
        cycle: multiplicative cycle-to-cycle noise, at least 0.
        reach: the bounds are +-reach.
    """
    mean = stationary_mean(direction, reach)
    u = inside("dw_min", dw_min, 0.0, 2 * reach, "use at least 2 states") / reach
    heat = u * (1 + not_negative("cycle", cycle) ** 2)
    if heat >= 2:
        raise ConfigError(f"cycle must leave dw_min (1 + cycle^2) / reach below 2, got {cycle}")
    # second moment m2: m2 (2 - heat) = heat reach^2 + 2 (1 - heat) reach mean m
    second = (heat * reach**2 + 2 * (1 - heat) * mean**2) / (2 - heat)
    return math.sqrt(max(second - mean**2, 0.0))


def gamma_range(dw_min: float, reach: float = 1.0, cycle: float = 0.0) -> tuple[float, float]:
    """gamma for which the finer tiles cover what a coarser tile's frozen noise leaves over.

    Solves gamma / (1 - gamma) = c * spread / reach for c = 1 and c = 2, the spread being
    `stationary_spread`. It assumes many tiles that use all of their range and noise as the main
    error; an argument of this package, not a theorem.

    Returns:
        (low, high), both in (0, 1).
    """
    ratio = stationary_spread(dw_min, cycle=cycle, reach=reach) / reach
    return ratio / (1 + ratio), 2 * ratio / (1 + 2 * ratio)
