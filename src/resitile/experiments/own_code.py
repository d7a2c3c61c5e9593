"""Code of the user's own in a run (`module:Class`): has it changed since the run began?"""

import hashlib
import importlib
import json
from pathlib import Path

from resitile.errors import ConfigError
from resitile.experiments import records
from resitile.experiments.config import Config
from resitile.experiments.records import RunFolder


def digests(config: Config) -> dict[str, str]:
    """sha256 of the source file of every `module:Class` that the configuration names."""
    names = [device.name for device in config.devices]
    names += [config.algorithm.path, config.model.name]
    found = {}
    for name in names:
        if ":" in name:
            source = importlib.import_module(name.partition(":")[0]).__file__
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
    """
    if not folder.code.is_file():
        return
    before, now = json.loads(folder.code.read_text(encoding="utf-8")), digests(config)
    changed = sorted(name for name, digest in now.items() if before.get(name) != digest)
    if changed:
        raise ConfigError(
            f"the file of {', '.join(changed)} has changed since {folder.path} was begun; train "
            "anew with --overwrite or under another name, or bring the file back"
        )
