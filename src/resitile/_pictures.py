"""How every picture is written: the same picture is the same bytes."""

from pathlib import Path
from typing import IO, TYPE_CHECKING

from resitile.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plain(text: object) -> str:
    """A text of the user's as matplotlib is to draw it: dollars are dollars, not formulas.

    What begins with an underscore would be missing in legends; a space of no width goes before it.
    """
    shown = str(text).replace("$", r"\$")
    return f"\u200b{shown}" if shown.startswith("_") else shown


def write_figure(figure: "Figure", path: Path) -> None:
    """Write a picture, .svg or .png by its ending, with the folders above it.

    Raises:
        ConfigError: if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_figure(figure, path, path.suffix.lstrip("."))
    except OSError as error:
        raise ConfigError(
            f"cannot write the picture {path}: {error.strerror or error}; name another place, or "
            "make the folder writable"
        ) from error


def save_figure(figure: "Figure", out: Path | IO[str], kind: str) -> None:
    """Write a picture as `kind` to a file or a stream."""
    import matplotlib as mpl  # only where something is drawn

    # Text stays text; no random names and no date.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "resitile"}):
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(out, format=kind, dpi=150, metadata=metadata)
