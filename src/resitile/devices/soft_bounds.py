"""Soft bounds: the step shrinks linearly to nothing at the bound it moves to."""

from resitile.devices.base import Device


class SoftBounds(Device, name="soft_bounds"):
    """q_up(w) = 1 - w / w_max,  q_down(w) = 1 - w / w_min.

    For bounds that mirror each other F = 1 and G = w / w_max: every pulse also pulls the weight
    to its symmetric point 0. From w0, n equal pulses up lead to
    `w_max - (w_max - w0) * (1 - step_up / w_max)**n`.

    References:
        The asymmetric linear device of Li et al. 2025 (arXiv 2510.02516), Eq. 9.
    """

    @staticmethod
    def q_up(w, p):
        """Response to a pulse up; `p` is (w_min, w_max) of this crosspoint."""
        return 1 - w / p[1]

    @staticmethod
    def q_down(w, p):
        """Response to a pulse down; `p` is (w_min, w_max) of this crosspoint."""
        return 1 - w / p[0]
