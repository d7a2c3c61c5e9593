"""Code of the user's own in a run (`module:Class`): has it changed since the run began?"""

import functools
import hashlib
import json
from pathlib import Path

from resitile._registry import import_own, own_file
from resitile.errors import CheckpointError, ConfigError
from resitile.experiments import records, shapes
from resitile.experiments.config import Config
from resitile.experiments.records import RunFolder


def digests(config: Config) -> dict[str, str]:
    """sha256 of the source file of every `module:Class` that the configuration names."""
    names = [device.name for device in config.devices]
    names += [config.algorithm.path, config.model.name, config.data.name]
    found = {}
    for name in names:
        if ":" in name:
            import_own(name, "code")
            source = own_file(name)
            content = Path(source).read_bytes() if source else b""
            found[name] = hashlib.sha256(content).hexdigest()
    return found


def keep(config: Config, folder: RunFolder) -> None:
    """Write the digests into a new run folder, if the run has code of the user's own."""
    found = digests(config)
    if found:
        records.write_json(folder.code, found)


def check(config: Config, folder: RunFolder) -> None:
    """Refuse to take up a run whose code is another one now.

    Raises:
        ConfigError: naming what changed.
        CheckpointError: if the digests are damaged.
    """
    if not folder.code.is_file():
        return
    try:
        before, fault = shapes.read_json(folder.code)
    except OSError as error:
        before, fault = None, str(error.strerror)
    now = digests(config)
    fault = fault or shapes.lacks(before, dict.fromkeys(now, (str,)))
    if fault:
        raise CheckpointError(
            f"{folder.code} is damaged ({fault}), so that nobody knows whether the code of this "
            "run has changed; put a copy back, or train anew with --overwrite"
        )
    changed = sorted(name for name, digest in now.items() if before[name] != digest)
    if changed:
        raise ConfigError(
            f"the file of {', '.join(changed)} has changed since {folder.path} was begun; train "
            "anew with --overwrite or under another name, or bring the file back"
        )


def stamp(config: Config) -> str:
    """Eight digits for what decides a run's result: its configuration and all code behind it."""
    parts = [config.hash, _sources(), json.dumps(digests(config), sort_keys=True)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


@functools.cache
def _sources() -> str:
    """sha256 of the package's modules that training runs through."""
    home, found = Path(__file__).parent.parent, hashlib.sha256()
    for folder in ("algorithms", "data", "devices", "kernels", "models", "nn", "tiles"):
        for path in sorted((home / folder).rglob("*.py")):
            found.update(path.read_bytes())
    found.update((home / "experiments" / "task.py").read_bytes())
    found.update((home / "experiments" / "runner.py").read_bytes())
    return found.hexdigest()
