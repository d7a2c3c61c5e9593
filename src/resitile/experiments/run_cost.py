"""What the run of a configuration costs on hardware: its network, algorithm and mini-batch."""

from typing import Any

import torch
from torch import Tensor

from resitile.cost import Primitives, total_of
from resitile.errors import ConfigError
from resitile.experiments.config import Config
from resitile.experiments.task import load_task, network, steps_per_epoch
from resitile.nn.cost import crossbars, one_patch_only


def run_cost(
    config: Config, primitives: Primitives, sample: Tensor | None = None
) -> dict[str, Any]:
    """Costs per sample of every layer on tiles and in total, by settings and first learning rate.

    Args:
        config: the run; its data are loaded only if the schedule depends on how many there are.
        primitives: the hardware's constants.
        sample: as for `resitile.estimate_cost`.

    Returns:
        name, label, algorithm, tiles, batch; layers: by name shape (d_out, d_in), vectors and
        figures; total: figures; one_patch_only: convolutions of which one patch stands for all.

    Raises:
        ConfigError: if the run is digital, or its algorithm does not state its cost.
        DataError: if the schedule needs the data and they are missing.
    """
    if config.digital:
        raise ConfigError(
            f'{config.name!r} trains without tiles (algorithm "digital"), so there is nothing on '
            "crossbars whose cost could be told; give the configuration of an analog run"
        )
    with torch.random.fork_rng(devices=[]):
        model, rule = network(config, lambda: steps_per_epoch(config, load_task(config)))
    assert rule is not None
    layers = crossbars(model, config.data.batch_size, primitives, sample, lr=config.optimizer.lr)
    costs = {name: module.algorithm.cost(layer) for name, (module, layer) in layers.items()}
    return {
        "name": config.name,
        "label": config.title,
        "algorithm": type(rule).__name__,
        "tiles": rule.count,
        "batch": config.data.batch_size,
        "layers": {
            name: {
                "shape": [layer.groups * layer.d_out, layer.d_in],
                "vectors": layer.vectors,
                **costs[name].figures(),
            }
            for name, (_, layer) in layers.items()
        },
        "total": total_of(costs.values()).figures(),
        "one_patch_only": one_patch_only(layers, sample),
    }
