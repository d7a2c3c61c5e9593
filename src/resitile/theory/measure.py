"""The bounds of one tile and of one inner loop, measured on the engine."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from resitile.algorithms import SingleTile
from resitile.devices import Device, SoftBounds
from resitile.theory.bounds import lemma2, lemma3, theorem1, theorem2
from resitile.theory.copies import Copies
from resitile.theory.fits import decay, slope
from resitile.theory.problems import LeastSquares, LowerBound
from resitile.tiles import PulseTrain

Say = Callable[[str], None]
FINE = (40, 80, 160, 400, 800, 1600, 4000)  # two decades of dw_min, 0.05 to 0.0005
COARSE = (4, 10, 20)
MANAGED = PulseTrain()  # one slot while alpha |gradient| <= dw_min: then the closed form is exact


def stationary_error(
    device: Device, problem: LeastSquares | LowerBound, lr: float, burn: int, steps: int,
    count: int, seed: int, start: float = 0.0,
) -> tuple[float, float]:  # fmt: skip
    """Mean squared error of Analog SGD after `burn` steps, averaged over copies and time.

    Args:
        device: of the one tile.
        problem: gives gradients and errors.
        lr: step.
        burn, steps: updates before and while averaging.
        count: independent copies.
        seed: of pulses and gradient noise.
        start: first weight.

    Returns:
        (mean, standard error over copies).
    """
    copies = Copies(device, count, seed=seed, train=MANAGED)
    copies.tiles[:, 0] = start
    copies.refresh()
    rule, rng = SingleTile(device), np.random.default_rng(seed)
    total, every, seen = np.zeros(copies.count), max(1, steps // 200), 0
    for t in range(burn + steps):
        batch = [copies.vectors(problem.gradient(copies.weight, rng))]
        rule.step(copies.composite, {}, batch, lr)
        if t >= burn and t % every == 0:
            total += problem.error(copies.weight)
            seen += 1
    mean = total / seen
    return float(mean.mean()), float(mean.std(ddof=1) / np.sqrt(mean.size))


def floor_sweep(
    fine: Sequence[int] = FINE, coarse: Sequence[int] = COARSE, count: int = 512, seed: int = 0,
    say: Say = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Error of one tile against dw_min: noise alone, optimum 0, so that only R dw_min is left.

    The step alpha = dw_min / 2 keeps every vector at one pulse at most, which takes the digital
    part of the noise (of order alpha sigma^2) out: what is measured is the floor.

    Returns:
        points (dw_min, error, standard error, closed form, Theorem 1) of all, and the slope with
        its interval of the fine ones.
    """
    problem = LeastSquares(optimum=0.0, sigma=1.0)
    points = []
    for states in (*coarse, *fine):
        device = SoftBounds(states=states, variation="none")
        dw = device.dw_min
        relax = int(np.ceil(1 / (2 * dw)))  # of w^2: 1 / (4 alpha)
        error, spread = stationary_error(
            device, problem, dw / 2, 8 * relax, max(12 * relax, 400), count, seed + states
        )
        exact = problem.single_tile_error(dw)
        bound = theorem1(1.0, dw).floor
        points.append(
            {
                "states": states, "dw_min": dw, "error": error, "standard_error": spread,
                "closed_form": exact, "theorem_1": bound, "fitted": states in fine,
            }
        )  # fmt: skip
        say(f"floor: {states} states, error {error:.4g}, closed form {exact:.4g}")
    used = [p for p in points if p["fitted"]]
    fit = slope(np.array([p["dw_min"] for p in used]), np.array([p["error"] for p in used]))
    every = slope(np.array([p["dw_min"] for p in points]), np.array([p["error"] for p in points]))
    return {
        "points": points,
        "predicted": 1.0,
        "slope": vars(fit),
        "slope_with_few_states": vars(every),
        "holds": fit.holds(1.0),
    }


def lower_bound_sweep(
    states: Sequence[int] = (4, 10, 20, 40, 100), count: int = 512, seed: int = 0,
    say: Say = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """The instance of Theorem 2 at its step 1 / (2 L): its error over sigma^2 S + R dw_min."""
    problem = LowerBound(optimum=0.2, sigma=0.1)
    points = []
    for number in states:
        device = SoftBounds(states=number, variation="none")
        error, spread = stationary_error(
            device, problem, problem.step, 200, 2000, count, seed + number, start=problem.optimum
        )
        scale = theorem2(problem.sigma, device.dw_min, w_max=problem.optimum)
        points.append(
            {
                "dw_min": device.dw_min, "error": error, "standard_error": spread,
                "theorem_2_scale": scale, "constant": error / scale,
            }
        )  # fmt: skip
        say(f"Theorem 2: {number} states, error {error:.4g} = {error / scale:.3f} x its scale")
    return {"points": points, "constant": min(p["constant"] for p in points)}


def finest_contraction(
    gamma: float = 0.3, tiles: int = 5, sigma: float = 0.0, count: int = 512, seed: int = 0,
    states: int = 400, alpha: float = 0.05, say: Say = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Decay of tile N towards its optimum for N = 0, 1, ..., against Lemma 2's gamma^N rate.

    The coarser tiles are frozen at 0; tile N starts at -0.5 and its optimum is 0.25. The rate
    is that of the squared distance of the mean, twice the mean's own, to where the tile settles;
    `centre`, the mean of the last quarter, is that place; with noise it is gamma^N P* / (gamma^N +
    sigma) on soft bounds, for G pulls on |gradient| and so on the noise.
    """
    points, target, start = [], 0.25, -0.5
    device = SoftBounds(states=states, variation="none")
    for n in range(tiles):
        scale = gamma**n
        problem = LeastSquares(optimum=target * scale, sigma=sigma)
        copies = Copies(device, count, tiles=n + 1, gamma=gamma, seed=seed + n, train=MANAGED)
        rng = np.random.default_rng(seed + n)
        every = max(1, round(0.1 / (alpha * (scale + sigma))))
        copies.tiles[:, n] = start
        copies.refresh()
        times, means = [0], [start]
        for t in range(1, 80 * every + 1):
            copies.pulse(n, problem.gradient(copies.weight, rng), alpha)
            if t % every == 0:
                times.append(t)
                means.append(float(copies.tiles[:, n].mean()))
        rate, _ = decay(np.array(times), np.array(means))
        centre = float(np.mean(means[-20:]))
        bound = lemma2(gamma, n, 1, alpha=alpha, sigma=sigma, dw_min=device.dw_min).rate
        points.append(
            {
                "n": n, "scale": scale, "rate": 2 * rate, "lemma_rate": bound, "centre": centre,
                "target": target, "error": float(np.square(copies.tiles[:, n] - target).mean()),
            }
        )  # fmt: skip
        say(
            f"Lemma 2: N = {n}, sigma {sigma:g}: rate {2 * rate:.4g} (claimed: at least "
            f"{bound:.4g}), settles at {centre:.4g} (optimum {target:g})"
        )
    found = slope(np.array([p["scale"] for p in points]), np.array([p["rate"] for p in points]))
    return {
        "sigma": sigma, "gamma": gamma, "points": points, "predicted": 1.0, "slope": vars(found),
    }  # fmt: skip


def coarse_contraction(
    gamma: float = 0.1, count: int = 512, seed: int = 0, states: int = 2000,
    say: Say = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Decay of |W(n) - P*_n|^2 per transfer, against Lemma 3's rate beta / (2 gamma).

    The source is put to its own drifting optimum P*_{n+1} = (P*_n - W(n)) / gamma before each
    transfer, so that the tile's own contraction is seen, without the source's error.
    """
    points, target = [], 0.08
    device = SoftBounds(states=states, variation="none")
    for part in (3.0, 6.0, 12.0, 24.0):
        beta = gamma / part
        copies = Copies(device, count, tiles=2, gamma=gamma, seed=seed, train=MANAGED)
        times, errors = [0], [target**2]
        for t in range(1, int(4 * part) + 1):
            copies.tiles[:, 1] = (target - copies.tiles[:, 0]) / gamma
            copies.transfer(1, 0, beta)
            times.append(t)
            errors.append(float(np.square(copies.tiles[:, 0] - target).mean()))
        rate, floor = decay(np.array(times), np.array(errors))
        bound = lemma3(gamma, 1, beta=beta, source_error=0.0, dw_min=device.dw_min).rate
        points.append({"beta": beta, "rate": rate, "floor": floor, "lemma_rate": bound})
        say(f"Lemma 3: beta {beta:.4g}: rate {rate:.4g}, at least {bound:.4g} is claimed")
    found = slope(np.array([p["beta"] for p in points]), np.array([p["rate"] for p in points]))
    return {"gamma": gamma, "points": points, "predicted": 1.0, "slope": vars(found)}
