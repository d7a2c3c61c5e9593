"""What a tuning may change: the `[search]` table of a configuration file."""

from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError, model_validator

from resitile.errors import ConfigError
from resitile.experiments.tables import Table, explain

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution

Value = int | float | str | bool


class Dimension(Table):
    """One setting: a range (of whole numbers if both ends are), or choices.

    Args:
        low, high: ends of the range, both included.
        log: draw evenly in the logarithm; needs low above 0.
        choices: values to choose from.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: list[Value] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _range_or_choices(self) -> "Dimension":
        ends = self.low is not None, self.high is not None
        if (self.choices is None) != all(ends) or (self.choices is not None and any(ends)):
            raise ValueError("give either low and high, or choices")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and (self.low is None or self.low <= 0):
            raise ValueError("log needs low and high above 0")
        return self

    def distribution(self) -> "BaseDistribution":
        """The same for Optuna."""
        from optuna import distributions

        if self.choices is not None:
            return distributions.CategoricalDistribution(tuple(self.choices))
        low, high = self.low, self.high
        if isinstance(low, int) and isinstance(high, int):
            return distributions.IntDistribution(low, high, log=self.log)
        return distributions.FloatDistribution(float(low or 0), float(high or 0), log=self.log)

    def holds(self, value: Value) -> bool:
        """Whether a value lies in this dimension."""
        if self.choices is not None:
            return value in self.choices
        low, high = self.low, self.high
        if not isinstance(value, int | float) or low is None or high is None:
            return False
        return low <= value <= high and not self.misses(value)

    def misses(self, value: Any) -> bool:
        """Whether this is a fraction, and the range is one of whole numbers."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        return whole and isinstance(value, float) and not value.is_integer()

    def suggest(self, trial: "Trial", key: str) -> Value:
        """The value that a trial is to use; numbers with few digits, as people write them."""
        found = trial._suggest(key, self.distribution())
        return self._written(found) if isinstance(found, float) else found

    def _written(self, found: float) -> float:
        """The number with four digits, or as many as a narrow range needs to tell values apart."""
        near = (float(self.high or 0) - float(self.low or 0)) / 1000
        for digits in range(4, 17):
            short = float(f"{found:.{digits}g}")
            if self.holds(short) and abs(short - found) <= near:
                return short
        return found


def parse(table: Any, source: str) -> dict[str, Dimension]:
    """The dimensions by dotted key.

    Raises:
        ConfigError: if there are none, or one is wrong.
    """
    if not isinstance(table, dict) or not table:
        raise ConfigError(
            f"{source} has no [search] table; add one that says what to change, such as "
            '"optimizer.lr" = {low = 0.001, high = 1.0, log = true}'
        )
    space = {}
    for key, content in table.items():
        if not isinstance(content, dict):
            raise ConfigError(
                f'{source}: write the dotted keys of [search] in quotes, and "{key}" as a table '
                f"with low and high, or choices; got {content!r}"
            )
        try:
            space[key] = Dimension.model_validate(content)
        except ValidationError as error:
            where = f'search."{key}".'
            raise ConfigError(f"{source}: {explain(error, Dimension, where)}") from None
    return space


def check_override(assignment: str, space: dict[str, Dimension], source: str) -> None:
    """Refuse to set (`a.b=c`) what the trials set themselves, or a table that holds it.

    Raises:
        ConfigError: naming the key that is searched.
    """
    given = [key.strip() for key in assignment.partition("=")[0].split(".")]
    if given == ["name"]:
        raise ConfigError(
            f"{source}: {assignment!r} has no effect, trials are numbered; write the name into "
            "the file, or choose another folder"
        )
    for key in space:
        searched = key.split(".")
        shared = min(len(given), len(searched))
        if given[:shared] == searched[:shared]:
            raise ConfigError(
                f"{source}: {assignment!r} changes what is searched, {key!r}; leave it out, or "
                "change the file: its own value is that of the first trial"
            )
