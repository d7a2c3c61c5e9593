"""The command line. One file per command; everything heavy is imported inside the commands."""

import sys
import warnings
from typing import Any

import typer

from resitile.cli import compare, cost, device, doctor, plan, report, sweep, theory, train, tune
from resitile.errors import ConfigError, DataError, ResitileError

# typer brings its own copy of click in newer versions: take the class from what typer raises.
_UsageError: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

app = typer.Typer(
    name="resitile",
    help="Train neural networks inside simulated analog crossbars with few states.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        import resitile

        typer.echo(f"resitile {resitile.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    del version  # its callback has done the work


app.command("train")(train.train)
app.command("compare")(compare.compare)
app.command("sweep")(sweep.sweep)
app.command("tune")(tune.tune)
app.command("report")(report.report)
app.command("cost")(cost.cost)
app.command("plan")(plan.plan)
app.command("theory")(theory.theory)
app.command("doctor")(doctor.doctor)
app.add_typer(device.app, name="device")


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with 0 (done), 2 (wrong request), 1 (failed) or 130 (Ctrl-C)."""
    # Classes of the user's own (class = "module:Class") are found beside where the command runs.
    if "" not in sys.path:
        sys.path.append("")
    sys.exit(_status(arguments))


def _status(arguments: list[str] | None) -> int:
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            done = app(arguments, standalone_mode=False)
    except _UsageError as error:
        return _fail(f"{error.format_message()} (resitile --help lists what there is)", 2)
    except (ConfigError, DataError) as error:
        return _fail(str(error), 2)
    except ResitileError as error:
        return _fail(str(error), 1)
    except (KeyboardInterrupt, typer.Abort) as stop:
        return _fail(str(stop) or "interrupted; what was saved last is kept", 130, "")
    return done if isinstance(done, int) else 0


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as a sentence: the line of code that gave it tells a user of commands nothing."""
    typer.echo(f"warning: {' '.join(str(message).split())}", err=True)


def _fail(message: str, status: int, prefix: str = "error: ") -> int:
    typer.echo(f"{prefix}{' '.join(message.split())}", err=True)
    return status
