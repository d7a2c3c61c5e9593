"""What an update asks of the hardware, and what that costs: latency, storage, energy, area."""

import math
from dataclasses import dataclass, field
from typing import Any

from resitile.cost.primitives import Primitives
from resitile.errors import ConfigError


@dataclass(frozen=True)
class Layer:
    """A layer as the cost model sees it.

    Args:
        d_out: rows of the crossbar, at least 1.
        d_in: columns, at least 1.
        batch: samples of a mini-batch (B), at least 1.
        vectors: input vectors of a sample, at least 1: the patches of a convolution. The
            published tables count one.
        backward: whether gradients go on to a layer before this one.
        primitives: the constants.
        lr: the optimizer's learning rate, at least 0, for algorithms whose reads follow it.
        groups: crossbars of this size side by side, each with inputs of its own and all busy at
            once, at least 1: the groups of a convolution.

    Raises:
        ConfigError: if a number is out of its range.
    """

    d_out: int
    d_in: int
    batch: int = 1
    vectors: float = 1.0
    backward: bool = True
    primitives: Primitives = field(default_factory=Primitives)
    lr: float = 1.0
    groups: int = 1

    def __post_init__(self) -> None:
        lr = self.lr
        if isinstance(lr, bool) or not isinstance(lr, int | float) or not 0 <= lr < math.inf:
            raise ConfigError(f"lr must be a number of at least 0, got {lr!r}")
        for name in ("d_out", "d_in", "batch", "vectors", "groups"):
            value = getattr(self, name)
            allowed = int | float if name == "vectors" else int
            ok = isinstance(value, allowed) and not isinstance(value, bool)
            if not ok or not 1 <= value < math.inf:
                kind = "number" if name == "vectors" else "whole number"
                raise ConfigError(f"{name} must be a {kind} of at least 1, got {value!r}")

    @property
    def weights(self) -> int:
        """Weights of the layer, the tables' D**2."""
        return self.d_out * self.d_in

    @property
    def rows(self) -> int:
        """Entries of an error vector or of a column: the tables' D (see `rectangular`)."""
        return self.d_out if self.primitives.rectangular else self.d_in

    @property
    def lines(self) -> int:
        """Entries of an input and an error vector: the tables' 2D."""
        return self.d_in + self.rows

    def words(self, count: float) -> float:
        """Bytes that `count` digital values take."""
        return count * self.primitives.word_bits / 8

    def product_nj(self, inputs: int, outputs: int) -> float:
        """Energy of one matrix-vector product on one tile, nJ."""
        return (inputs * self.primitives.input_pj + outputs * self.primitives.output_pj) / 1e3

    def columns_per_sample(self, transfer_every: int, columns: int) -> float:
        """1 / n_s: columns read per sample, from periods in mini-batches (columns 0 is all)."""
        return (columns or self.d_in) / (transfer_every * self.batch)


@dataclass(frozen=True)
class Work:
    """What one sample's update takes, on average, beyond the hardware's constants.

    Args:
        periods: pulse periods on the lines, one after the other, transfers included.
        reads: columns read (1 / n_s), each a one-hot product.
        flops: digital operations.
        memory_bits: digital memory traffic. Counters, O(1), are left out.
        storage: digital values kept.
        tiles: tiles of the layer; may be infinite.
        visible: tiles that take part in forward and backward; None is all.

    Raises:
        ConfigError: if a number is none, or out of its range.
    """

    periods: float
    reads: float
    flops: float
    storage: float
    memory_bits: float = 0.0
    tiles: float = 1
    visible: float | None = None

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if name == "visible" and value is None:
                continue
            endless = name in ("tiles", "visible")  # of which there may be infinitely many
            least, kind = (1, "number") if endless else (0, "finite number")
            ok = isinstance(value, int | float) and not isinstance(value, bool)
            if not ok or not value >= least or (value == math.inf and not endless):
                raise ConfigError(
                    f"{name} of a Work must be a {kind} of at least {least}, got {value!r}"
                )


@dataclass(frozen=True)
class Cost:
    """Costs of one layer, or of a model; times and energies are per sample.

    Attributes:
        storage_bytes: digital storage, byte.
        memory_bits: digital memory traffic of an update, bit.
        flops: digital operations of an update.
        analog_ns: pulses and reads of an update, one after the other.
        digital_ns: the operations at the digital throughput.
        forward_ns, backward_ns: matrix-vector products; all tiles work at once.
        analog_nj: pulses and reads of an update.
        digital_nj: operations of an update.
        forward_nj, backward_nj: over all tiles that take part.
        product_nj: forward and backward of one tile.
        array_mm2: crosspoints of one array.
        area_mm2: those of all tiles with their references.
        tiles: tiles of a layer (of a model: the most).
    """

    storage_bytes: float
    memory_bits: float
    flops: float
    analog_ns: float
    digital_ns: float
    forward_ns: float
    backward_ns: float
    analog_nj: float
    digital_nj: float
    forward_nj: float
    backward_nj: float
    product_nj: float
    array_mm2: float
    area_mm2: float
    tiles: float

    @property
    def update_ns(self) -> float:
        """Latency of an update: analog, then digital."""
        return self.analog_ns + self.digital_ns

    @property
    def update_nj(self) -> float:
        """Energy of an update."""
        return self.analog_nj + self.digital_nj

    @property
    def energy_nj(self) -> float:
        """Energy of forward, backward and update."""
        return self.update_nj + self.forward_nj + self.backward_nj

    def figures(self) -> dict[str, Any]:
        """All of it by name, units in the names; what is infinite becomes None."""
        names = [*self.__dataclass_fields__, "update_ns", "update_nj", "energy_nj"]
        values = {name: getattr(self, name) for name in names}
        return {name: value if math.isfinite(value) else None for name, value in values.items()}


def cost_of(work: Work, layer: Layer) -> Cost:
    """The costs of a layer's work: `work` is that of one of its groups.

    Latency is (pulse periods) t_sp + (reads) t_M + FLOP / throughput. Energy is the power of the
    lines while pulses are sent, a whole product for each read, and that of the operations
    [Li et al. 2025 (arXiv 2510.02516), Tables 5 and 8].
    """
    p, groups = layer.primitives, layer.groups
    visible = work.tiles if work.visible is None else work.visible
    power = groups * p.tile_power_w * (layer.d_in + layer.d_out) / p.tile_lines
    forward = groups * layer.product_nj(layer.d_in, layer.d_out)
    backward = groups * layer.product_nj(layer.d_out, layer.d_in) if layer.backward else 0.0
    array = groups * layer.weights * (p.cell_pitch_um / 1e3) ** 2
    return Cost(
        storage_bytes=groups * layer.words(work.storage),
        memory_bits=groups * work.memory_bits,
        flops=groups * work.flops,
        analog_ns=work.periods * p.pulse_ns + work.reads * p.read_ns,
        digital_ns=work.flops / (p.tflops * 1e3),
        forward_ns=layer.vectors * p.read_ns,
        backward_ns=layer.vectors * p.read_ns if layer.backward else 0.0,
        analog_nj=work.periods * p.pulse_ns * power + work.reads * forward,
        digital_nj=groups * work.flops * p.flop_pj / 1e3,
        forward_nj=layer.vectors * forward * visible,
        backward_nj=layer.vectors * backward * visible if backward else 0.0,
        product_nj=layer.vectors * (forward + backward),
        array_mm2=array,
        area_mm2=array * work.tiles * p.arrays_per_tile,
        tiles=work.tiles,
    )
