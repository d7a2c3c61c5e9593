"""Several tiles that form one weight: scale * sum_n gamma**n * W(n), tile 0 the coarsest."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from resitile.errors import ConfigError
from resitile.kernels import dense, events, lines, transfer, update
from resitile.kernels.keys import stream, update_key, update_stream
from resitile.kernels.law import DW_MIN, sources
from resitile.kernels.threads import get_num_threads, run
from resitile.tiles import requests
from resitile.tiles.tile import PulseTrain, Tile
from resitile.tiles.vectors import Vectors
from resitile.tiles.watch import Watch

_CHOICES = 1 << 32  # start of the path of `uniform`: no tile has this number
_CHUNK = 1 << 18  # line entries kept at once on the dense path
_DENSE = 2.0  # expected pulses per device, and
_DENSE_LINE = 0.4  # per line, from which the dense path pays
_SPLIT = 1 << 17  # expected pulses, and
_SPLIT_LINES = 1 << 21  # lines, from which one update is worth two threads
_SPLIT_WRITE = 1 << 14  # crosspoints from which a write of columns is
_NO_WEAR = np.empty((0, 0, 0), dtype=np.int32)


class Composite:
    """A weight matrix held by tiles; all verbs act on the arrays that it is given.

    Before anything is changed they raise ConfigError for what cannot be, such as a tile or shape,
    and UpdateError for changes that are not finite.

    Args:
        tiles: the crossbars, coarsest first.
        w: (d_out, d_in, tiles) float32, contents of every tile.
        weight: (d_out, d_in) float32, kept equal to scale * sum_n gamma**n * w[:, :, n].
        gamma: ratio between neighbouring tiles.
        scale: output scale of the layer.
        seed: from which the pulses' randomness is drawn, at least 0.
        counts: (3, tiles) int64: updates and pulses received by, transfers out of each tile.
        wear: as `w`, int32: pulses that each device has received; None does not count them.
        visible: how many tiles the sum runs over, the coarsest; None is all.

    Attributes:
        watch: whether trains are long enough for what is asked of them.
    """

    def __init__(
        self,
        tiles: Sequence[Tile],
        w: np.ndarray,
        weight: np.ndarray,
        *,
        gamma: float,
        scale: float,
        seed: int,
        counts: np.ndarray,
        wear: np.ndarray | None = None,
        visible: int | None = None,
    ) -> None:
        self.visible = len(tiles) if visible is None else visible
        whole = isinstance(self.visible, int) and not isinstance(self.visible, bool)
        if not whole or not 1 <= self.visible <= len(tiles):
            raise ConfigError(
                f"visible must be a whole number in [1, {len(tiles)}], the tiles that make the "
                f"weight; got {visible!r}"
            )
        self.tiles, self.w, self.weight = tiles, w, weight
        self.watch = Watch()
        self.wear = _NO_WEAR if wear is None else wear
        self.gamma, self.seed = gamma, seed
        self.updates, self.pulses, self.transfers = counts
        self._physics = [tile.physics for tile in tiles]
        self._dw_min = [tile.device.dw_min for tile in tiles]
        self._streams = [
            [update_stream(seed, kind, n) for n in range(len(tiles))] for kind in (0, 1)
        ]
        self.rescale(scale)

    def rescale(self, scale: float) -> None:
        """Set the output scale that the next refresh of the weight uses."""
        self.scale = scale
        self.coefficients = scale * self.gamma ** np.arange(len(self.tiles), dtype=np.float64)
        self.coefficients[self.visible :] = 0

    def refresh(self) -> None:
        """Recompute the whole weight from the tiles."""
        update.compose(self.w, self.coefficients, self.weight)

    def _next(self, n: int, kind: int, count: int = 1) -> tuple[np.uint64, int]:
        """Stream and number of the next update of tile n; no two updates share both.

        `kind` tells gradients (0) from transfers (1); of several at once it is the first number.
        """
        step = self.updates[n] + 1
        self.updates[n] += count
        return self._streams[kind][n], step

    def pulse(
        self,
        n: int,
        batch: Sequence[Vectors],
        lr: float,
        train: PulseTrain = PulseTrain(),  # noqa: B008 (frozen)
        path: str = "auto",
    ) -> None:
        """w[:, :, n] -= lr * sum_v d_v x_v^T, as pulses, one vector after the other.

        The response of the devices turns the wanted change dw of each vector into
        dw * F(w) - |dw| * G(w) on average [Li et al. 2025 (arXiv 2510.02516), Eq. 2].

        Args:
            n: tile.
            batch: measured vectors, in blocks of rows that do not overlap.
            lr: step, at least 0.
            train: how vectors become pulses.
            path: "event", "dense", or "auto" by the expected number of pulses per device and per
                line; the result is the same to the bit.
        """
        requests.check_request(n, len(self.tiles), lr)
        requests.check_vectors(batch, self.w.shape)
        requests.check_path(path)
        most = train.bits * self._dw_min[n]
        self.watch.look("gradients", n, most, lambda: requests.share_above(batch, lr, most))
        for vectors in batch:
            expected = self._expected(n, vectors, lr)
            rows, d_in = vectors.own_d.shape[1], vectors.offset.size
            total, lines = expected * rows * d_in, len(vectors) * (rows + d_in)
            parts = min(get_num_threads(), rows) if total >= _SPLIT or lines >= _SPLIT_LINES else 1
            pays = expected > _DENSE and total > _DENSE_LINE * lines
            many = path == "dense" or (path == "auto" and pays)
            pulse = self._pulse_dense if many else self._pulse_events
            self.pulses[n] += pulse(n, vectors, lr, train, parts)

    def _expected(self, n: int, vectors: Vectors, lr: float) -> float:
        """Expected pulses per device, estimated from a few of the vectors."""
        most = vectors.most * lr / self._dw_min[n]
        if most < 4 * _DENSE:  # far from dense: a quarter of the most is near enough
            return most / 4
        x, d = vectors.own_x, vectors.own_d
        mean = lines.mean_product(sources(), x, vectors.starts, vectors.offset, d)
        return float(lr * mean * len(vectors) / self._dw_min[n])

    def _pulse_events(self, n: int, v: Vectors, lr: float, train: PulseTrain, parts: int) -> int:
        arguments = (
            *self._physics[n], *self._next(n, kind=0), self.w, n, self.coefficients, self.weight,
            self.wear, v.own_x, v.starts, v.offset, v.own_turned, v.own_d, v.row0, v.x_max, v.d_max,
            float(lr), *train.arguments,
        )  # fmt: skip
        if parts == 1:
            return events.pulse_events(*arguments, 0, v.own_d.shape[1])  # type: ignore[no-any-return]
        blocks = _ranges(v.own_d.shape[1], parts)
        return int(sum(run([partial(events.pulse_events, *arguments, *b) for b in blocks])))

    def _pulse_dense(self, n: int, v: Vectors, lr: float, train: PulseTrain, parts: int) -> int:
        key = update_key(*self._next(n, kind=0))
        law, spec, table, device_key = self._physics[n]
        d_in, total = v.offset.size, 0
        chunk = max(1, _CHUNK // d_in)
        blocks = _ranges(v.own_d.shape[1], parts)
        for first in range(0, len(v), chunk):
            size = min(chunk, len(v) - first)
            lists = (
                np.empty((size, d_in), dtype=np.uint32),
                np.empty((size, d_in), dtype=np.uint32),
                np.empty((size, 2), dtype=np.int64),
                np.empty(size, dtype=np.float64),
                np.empty(size, dtype=np.int64),
            )

            def collect(begin: int, end: int, first: int = first, lists: tuple = lists) -> None:  # type: ignore[type-arg]
                dense.list_columns(
                    law, key, first + begin, v.own_x, v.starts, v.offset, v.own_turned, v.x_max,
                    v.d_max, float(lr), spec[DW_MIN], *train.arguments,
                    *(a[begin:end] for a in lists),
                )  # fmt: skip

            run([partial(collect, *part) for part in _ranges(size, parts)])
            call = partial(
                dense.pulse_rows, law, spec, table, device_key, key, first, self.w, n,
                self.coefficients, self.weight, self.wear, *lists, v.own_d, v.row0,
            )  # fmt: skip
            total += sum(run([partial(call, low, high) for low, high in blocks]))
        return int(total)

    def read(self, n: int, column: int) -> np.ndarray:
        """Column `column` of tile n, as an ideal one-hot matrix-vector product would read it.

        Counts as a transfer out of tile n.
        """
        requests.check_tile(n, len(self.tiles))
        if not 0 <= column < self.w.shape[1]:
            requests.column_numbers([column], self.w.shape[1])
        found = np.ascontiguousarray(self.w[:, column, n])
        self.transfers[n] += 1
        return found

    def read_sum(self, first: int, last: int, columns: np.ndarray) -> np.ndarray:
        """The sum of tiles first to last - 1 in some columns, (len(columns), d_out).

        The currents of tiles side by side add up by themselves: one read a column, counted as a
        transfer out of tile last - 1.
        """
        requests.check_tiles(first, last, len(self.tiles))
        columns = requests.column_numbers(columns, self.w.shape[1])
        self.transfers[last - 1] += columns.size
        out = np.empty((columns.size, self.w.shape[0]), dtype=np.float32)
        transfer.read_columns(sources(), self.w, first, last, columns, out)
        return out

    def transfer(
        self,
        source: int,
        target: int,
        column: int,
        lr: float,
        train: PulseTrain = PulseTrain(),  # noqa: B008 (frozen)
    ) -> None:
        """Add lr times a column of tile `source` to tile `target`, as pulses.

        Open loop: the source is read and not reset, and nothing is verified
        [Li et al. 2025 (arXiv 2510.02516), Eq. 7 and App. I.1].
        """
        requests.check_request(target, len(self.tiles), lr)
        # What was read needs no check, and these few microseconds count.
        self._send(target, np.array([column]), self.read(source, column)[None], lr, train)

    def write_column(
        self,
        n: int,
        column: int,
        change: np.ndarray,
        lr: float,
        train: PulseTrain = PulseTrain(),  # noqa: B008 (frozen)
    ) -> None:
        """w[:, column, n] += lr * change, as pulses and open loop; see `write_columns`."""
        self.write_columns(n, np.array([column]), np.asarray(change)[None], lr, train)

    def write_columns(
        self,
        n: int,
        columns: np.ndarray,
        changes: np.ndarray,
        lr: float,
        train: PulseTrain = PulseTrain(),  # noqa: B008 (frozen)
    ) -> None:
        """w[:, columns[k], n] += lr * changes[k], as pulses and open loop, one k after the other.

        Args:
            n: tile.
            columns: (k,) int64, which ones.
            changes: (k, d_out) float32.
            lr: step, at least 0.
            train: how each change becomes pulses.
        """
        requests.check_request(n, len(self.tiles), lr)
        columns = requests.column_numbers(columns, self.w.shape[1])
        changes = requests.change_of(changes, (columns.size, self.w.shape[0]), "(columns, d_out)")
        self._send(n, columns, changes, lr, train)

    def _send(
        self, n: int, columns: np.ndarray, changes: np.ndarray, lr: float, train: PulseTrain
    ) -> None:
        self._look_at(n, changes, lr, train)
        key, step = self._next(n, 1, columns.size)

        def write(begin: int, end: int) -> int:
            return transfer.pulse_columns(  # type: ignore[no-any-return]
                *self._physics[n], key, step + begin, self.w, n, self.coefficients, self.weight,
                self.wear, columns[begin:end], changes[begin:end], float(lr), *train.arguments,
            )  # fmt: skip

        parts = 1 if changes.size < _SPLIT_WRITE else min(get_num_threads(), columns.size)
        if parts > 1 and np.all(columns[1:] > columns[:-1]):  # no column twice
            ranges = _ranges(columns.size, parts)
            self.pulses[n] += sum(run([partial(write, *part) for part in ranges]))
        else:
            self.pulses[n] += write(0, columns.size)

    def write(
        self,
        n: int,
        change: np.ndarray,
        lr: float,
        train: PulseTrain = PulseTrain(),  # noqa: B008 (frozen)
    ) -> None:
        """w[:, :, n] += lr * change, as pulses and open loop, one row after the other.

        Args:
            n: tile.
            change: (d_out, d_in) float32; rows of zeros cost nothing.
            lr: step, at least 0.
            train: how each row becomes pulses.
        """
        requests.check_request(n, len(self.tiles), lr)
        change = requests.change_of(change, self.w.shape[:2], "(d_out, d_in)")
        self._look_at(n, change, lr, train)
        self.pulses[n] += transfer.pulse_matrix(
            *self._physics[n], *self._next(n, kind=1), self.w, n, self.coefficients, self.weight,
            self.wear, change, float(lr), *train.arguments,
        )  # fmt: skip

    def _look_at(self, n: int, lines: np.ndarray, lr: float, train: PulseTrain) -> None:
        most = train.bits * self._dw_min[n]
        self.watch.look("writes", n, most, lambda: requests.lines_above(lines, lr, most))

    def uniform(self, *counter: int) -> float:
        """A number in [0, 1) that belongs to this composite and to these whole numbers alone."""
        if not all(isinstance(k, int | np.integer) and 0 <= k < 2**63 for k in counter):
            raise ConfigError(f"uniform takes whole numbers in [0, 2**63), got {counter!r}")
        return stream(self.seed, _CHOICES, *counter) / 2**62


def _ranges(length: int, parts: int) -> list[tuple[int, int]]:
    """0 .. length cut into `parts` neighbouring ranges."""
    return list(pairwise(length * k // parts for k in range(parts + 1)))
