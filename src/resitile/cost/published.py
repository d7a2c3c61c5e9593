"""Printed figures that the cost model is held against, each with its table.

Sources: Li et al. 2025 (arXiv 2510.02516), Tables 5 to 8 and App. I; Rasch et al. 2024
(Nat. Commun. 15:7133) for c-TTv2 and AGAD. The perceptron of Table 8 and mixed precision itself are
those of Nandakumar et al. 2020 (Front. Neurosci. 14:406).
"""

from dataclasses import dataclass, field

MP_FORWARD_BACKWARD_NJ = 21.21  # per image, 785-250-10, with the digital part; Table 8
SAMPLES_PER_TRANSFER = 2  # n_s of all tables

_PERCEPTRON = ((250, 785), (10, 250))
_LENET5 = ((16, 25), (32, 400), (128, 512), (10, 128))
# ResNet-18 on CIFAR-100: stages 3 and 4 with their 1 x 1 shortcuts, and the last layer. Storage
# and area of the tables come out with 100 classes, not with 10.
_RESNET18 = (
    (256, 1152), (256, 2304), (256, 128), (256, 2304), (256, 2304),
    (512, 2304), (512, 4608), (512, 256), (512, 4608), (512, 4608),
    (100, 512),
)  # fmt: skip


@dataclass(frozen=True)
class Network:
    """Layers (d_out, d_in) of a network, and the mini-batch that its figures are for."""

    layers: tuple[tuple[int, int], ...]
    batch: int


NETWORKS = {
    "512 x 512": Network(((512, 512),), 100),
    "lenet5": Network(_LENET5, 8),
    "resnet18": Network(_RESNET18, 128),
    "785-250-10": Network(_PERCEPTRON, 1),
    "4096 x 4096": Network(((4096, 4096),), 1),
    "128 x 512": Network(((128, 512),), 1),
}


@dataclass(frozen=True)
class Figure:
    """One printed number.

    Args:
        table: where it is printed.
        network: of `NETWORKS`.
        algorithm: registry name.
        quantity: what it is; the unit is its last word.
        printed: the number.
        step: worth of its last printed digit.
        changed: primitives with which the printed number comes out, where it is not the one that
            the formula gives.
        unit: what the formula's value is divided by, likewise.
        reason: why they differ; or where an agreement is none of the formula's merit.
    """

    table: str
    network: str
    algorithm: str
    quantity: str
    printed: float
    step: float
    changed: dict[str, float] = field(default_factory=dict)
    unit: float = 1.0
    reason: str = ""


_KIB = "printed in KiB (1,024 bytes), the row's other entries in kB"
_OUTER = (
    "printed with D_out D_in + D_in operations, where Table 5's formula has 2 D_out D_in + D_in"
)
_CALIBRATED = "no test: flop_pj is calibrated with this figure"
_SOLVED = "no test: input_pj and output_pj are solved from the two products"
_INPUT = "no formula is given: taken as printed, with the digital part of both passes"


def _figures() -> list[Figure]:
    tt, sgd, mp, mt = "tiki_taka_v2", "single_tile", "mixed_precision", "residual_learning"
    small, net, big, toy = "512 x 512", "lenet5", "resnet18", "785-250-10"
    t5, t6, t7, t8 = (f"Table {k}" for k in (5, 6, 7, 8))
    return [
        *(
            Figure(t5, small, name, quantity, printed, 0.1)
            for name, *values in (
                (tt, 8.8, 47.5, 56.3), (sgd, 5.9, 25.0, 30.9),
                (mp, 2998.9, 25.6, 3024.5), (mt, 5.9, 90.0, 95.9),
            )
            for quantity, printed in zip(
                ("digital_ns", "analog_ns", "update_ns"), values, strict=True
            )
        ),
        Figure(t6, net, tt, "storage_kb", 80.2, 0.1, unit=1.024, reason=_KIB),
        Figure(t6, net, sgd, "storage_kb", 2.13, 0.01),
        Figure(t6, net, mp, "storage_kb", 94.8, 0.1, unit=1.024, reason=_KIB),
        Figure(t6, net, mt, "storage_kb", 2.13, 0.01),
        Figure(t6, big, tt, "storage_kb", 10600, 100),
        Figure(t6, big, sgd, "storage_kb", 50.2, 0.1),
        Figure(t6, big, mp, "storage_kb", 17000, 100),
        Figure(t6, big, mt, "storage_kb", 50.2, 0.1),
        Figure(t7, net, tt, "update_ns", 56.3, 0.1),
        Figure(t7, net, sgd, "update_ns", 30.9, 0.1),
        Figure(t7, net, mp, "update_ns", 457.4, 0.1, {"outer_flops": 1}, reason=_OUTER),
        Figure(t7, net, mt, "update_ns", 95.9, 0.1),
        Figure(t7, big, tt, "update_ns", 126.5, 0.1),
        Figure(t7, big, sgd, "update_ns", 77.7, 0.1),
        Figure(t7, big, mp, "update_ns", 13528.0, 0.1, {"outer_flops": 1}, reason=_OUTER),
        Figure(t7, big, mt, "update_ns", 142.7, 0.1),
        Figure(t8, toy, mp, "digital_nj", 62.03, 0.01, reason=_CALIBRATED),
        Figure(t8, toy, mp, "published_product_nj", 21.21, 0.01, reason=_INPUT),
        Figure(t8, toy, mp, "published_total_nj", 83.2, 0.1, reason=_INPUT),
        Figure(t8, toy, mt, "pulses_nj", 5.53, 0.01),
        Figure(t8, toy, mt, "reads_nj", 7.29, 0.01, reason=_SOLVED),
        Figure(t8, toy, mt, "analog_nj", 12.82, 0.01),
        Figure(t8, toy, mt, "product_nj", 9.44, 0.01, reason=_SOLVED),
        Figure(t8, toy, mt, "worse_from_tiles", 8, 1),
        Figure("App. I", "4096 x 4096", sgd, "array_mm2", 2.68, 0.01),
        Figure("App. I", "128 x 512", sgd, "array_mm2", 0.0105, 0.0001),
        Figure("App. I", net, sgd, "array_mm2", 0.0128, 0.0001),
        Figure("App. I", big, sgd, "array_mm2", 1.69, 0.01),
        Figure("Rasch et al. 2024", small, "chopped_tiki_taka", "update_ns", 56.3, 0.1),
        Figure("Rasch et al. 2024", small, "agad", "update_ns", 62.1, 0.1),
        Figure("Rasch et al. 2024", small, mp, "update_ns", 3024.5, 0.1),
    ]  # fmt: skip


FIGURES = tuple(_figures())
