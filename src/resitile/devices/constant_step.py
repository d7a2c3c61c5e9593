"""Constant step: every pulse moves the weight alike until it meets a hard bound."""

from resitile.devices.base import Device


class ConstantStep(Device, name="constant_step"):
    """q_up(w) = q_down(w) = 1, clipped at the crosspoint's bounds: F = 1 and G = 0."""

    @staticmethod
    def q_up(w, p):
        """Response to a pulse up: always 1."""
        return 1.0

    @staticmethod
    def q_down(w, p):
        """Response to a pulse down: always 1."""
        return 1.0
