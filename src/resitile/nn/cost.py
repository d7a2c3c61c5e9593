"""What a torch model costs on crossbars: estimated from settings, or from what was counted."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from resitile.algorithms import Algorithm
from resitile.cost import Cost, Layer, ModelCost, Primitives, total_of, with_device_pulses
from resitile.cost.primitives import primitives_of
from resitile.errors import ConfigError
from resitile.nn.analog import analog_layers
from resitile.nn.refusals import check_made

KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # of layers that could be on crossbars


def estimate_cost(
    model: nn.Module,
    *,
    batch: int = 1,
    primitives: Primitives | Mapping[str, float] | None = None,
    algorithm: Algorithm | None = None,
    sample: Tensor | Sequence[int] | None = None,
    lr: float = 1.0,
) -> ModelCost:
    """Latency, storage, energy and area of a model's layers on crossbars, and in total.

    Args:
        model: a converted model or layer, whose algorithms are used; or, with `algorithm`, any
            model, of which all linear and convolution layers count.
        batch: samples of a mini-batch, at least 1, which share its transfers and digital reads;
            give that of the training (`resitile cost` alone takes 100).
        primitives: the hardware's constants, or those to change by name; None takes the
            published ones.
        algorithm: see `model`.
        sample: an input of the model with a batch axis, of which one sample is run forward to
            count the vectors of each layer (the patches of a convolution), or the shape of one,
            such as (1, 28, 28). None counts one vector for every layer, as the published tables do.
        lr: the optimizer's learning rate, at least 0; reads of `GatedResidualLearning` follow it.

    Returns:
        Costs per sample, by layer and in total; see `resitile.cost.ModelCost`.

    Raises:
        ConfigError: if nothing is on crossbars, or a value lies outside its range.
    """
    layers = crossbars(
        model, batch, primitives_of(primitives), sample, digital=algorithm is not None, lr=lr
    )
    costs = {}
    for name, (module, layer) in layers.items():
        costs[name] = (module.algorithm if algorithm is None else algorithm).cost(layer)
    return ModelCost(costs, total_of(costs.values()))


def counted_cost(
    model: nn.Module,
    *,
    samples: int,
    batch: int = 1,
    primitives: Primitives | Mapping[str, float] | None = None,
    train_length: float | None = None,
    sample: Tensor | Sequence[int] | None = None,
) -> ModelCost:
    """The same from the events that a trained model's layers have counted.

    Columns read are those counted (`layer.transfers`), so warm starts and pauses show. Pulses in
    devices (`layer.pulses`) cost `device_pulse_pj` each.

    Args:
        model: a converted model or layer that was trained.
        samples: on which it was trained, all epochs together, at least 1.
        batch: samples of a mini-batch.
        primitives: as for `estimate_cost`.
        train_length: mean periods of a pulse train; None takes the primitive. Layers count pulses
            of devices, not periods: of n pulses for a device and a vector, a train is at least n
            long.
        sample: as for `estimate_cost`.

    Returns:
        Costs per sample, averaged over `samples`.

    Raises:
        ConfigError: if nothing is on crossbars, or a value lies outside its range.
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ConfigError(
            f"samples must be a whole number of at least 1, the samples that were trained on; "
            f"got {samples!r}"
        )
    constants = primitives_of(primitives)
    if train_length is not None:
        constants = constants.replace(train_length=train_length)
    costs: dict[str, Cost] = {}
    for name, (module, layer) in crossbars(model, batch, constants, sample).items():
        cost = module.algorithm.cost(layer, reads=float(module.transfers.sum()) / samples)
        pulses = float(module.pulses.sum()) / samples
        costs[name] = with_device_pulses(cost, pulses, constants.device_pulse_pj)
    return ModelCost(costs, total_of(costs.values()))


def crossbars(
    model: nn.Module,
    batch: int,
    primitives: Primitives,
    sample: Tensor | Sequence[int] | None = None,
    *,
    digital: bool = False,
    lr: float = 1.0,
) -> dict[str, tuple[Any, Layer]]:
    """The layers of a model that are on crossbars, or could be, as the cost model sees them.

    Args:
        model, batch, primitives, sample, lr: as for `estimate_cost`.
        digital: take all linear and convolution layers, instead of the analog ones.

    Returns:
        By module name: the module, and its shape with the mini-batch and the constants.

    Raises:
        ConfigError: if there are none, or the sample does not reach one.
    """
    layers = _layers(model, digital)
    if sample is not None and not isinstance(sample, Tensor):
        try:
            sample = torch.zeros(1, *sample)
        except (TypeError, RuntimeError):
            raise ConfigError(
                "sample must be an input with a batch axis, as a tensor, or the shape of one "
                f"without it, such as (1, 28, 28); got {sample!r}"
            ) from None
    vectors = dict.fromkeys(layers, 1.0) if sample is None else _vectors(model, layers, sample)
    found = {}
    for k, (name, module) in enumerate(layers.items()):
        check_made(name, module)
        groups = getattr(module, "groups", 1)  # of a convolution
        d_out, d_in = module.weight.shape[0] // groups, module.weight.shape[1:].numel()
        layer = Layer(
            d_out, d_in, batch, vectors[name], backward=k > 0, primitives=primitives, lr=lr,
            groups=groups,
        )  # fmt: skip
        found[name] = (module, layer)
    return found


def one_patch_only(
    found: Mapping[str, tuple[Any, Layer]], sample: Tensor | Sequence[int] | None
) -> list[str]:
    """Names of the convolutions in `crossbars`' answer of which one patch stands for all."""
    return [n for n, (m, _) in found.items() if sample is None and not isinstance(m, nn.Linear)]


def _layers(model: nn.Module, digital: bool) -> dict[str, Any]:
    if not digital:
        analog = analog_layers(model)
        if not analog:
            raise ConfigError(
                f"{type(model).__name__} has no analog layer; convert it first, or name the "
                "algorithm: algorithm=resitile.algorithms.ResidualLearning(device)"
            )
        return analog
    layers = {n: m for n, m in model.named_modules() if isinstance(m, KINDS)}
    if not layers:
        raise ConfigError(
            f"{type(model).__name__} has no linear or convolution layer (nn.Linear, nn.Conv1d, "
            "nn.Conv2d, nn.Conv3d) whose cost could be told"
        )
    return layers


def _vectors(model: nn.Module, layers: dict[str, Any], sample: Tensor) -> dict[str, float]:
    """Vectors of one sample by layer: outputs of a layer over its rows."""
    found = dict.fromkeys(layers, 0.0)

    def count(name: str) -> Any:
        def hook(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            found[name] += output.numel() / module.weight.shape[0]

        return hook

    handles = [module.register_forward_hook(count(name)) for name, module in layers.items()]
    training = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()(sample[:1])
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        shape = ", ".join(map(str, sample.shape[1:]))
        raise ConfigError(
            f"the network cannot take a sample of shape ({shape}): {error}"
        ) from error
    finally:
        for module, mode in training.items():
            module.training = mode
        for handle in handles:
            handle.remove()
    unused = [name for name, vectors in found.items() if not vectors]
    if unused:
        raise ConfigError(f"the sample does not reach these layers: {', '.join(unused)}")
    return found
