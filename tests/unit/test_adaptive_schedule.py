"""schedule="adaptive" of ResidualLearning: the rule itself, its clock, its limits, its state."""

import io

import numpy as np
import pytest
import torch

import resitile as rt
from resitile.algorithms import adaptive_schedule as adaptive
from resitile.cost import Layer
from resitile.errors import ConfigError
from resitile.nn import AnalogLinear
from resitile.tiles.vectors import rows

EVEN, BIGGEST, SLOWEST, MOST = (
    adaptive.EVEN,
    adaptive.BIGGEST,
    adaptive.SLOWEST,
    adaptive.MOST,
)


def layer_of(tiles=3, shape=(5, 12), device=None, **settings):
    device = device or rt.devices.SoftBounds(states=4)
    rule = rt.algorithms.ResidualLearning(device, tiles=tiles, schedule="adaptive", **settings)
    layer = AnalogLinear(shape[1], shape[0], bias=False, algorithm=rule, scale=1.0, seed=3)
    layer.program(torch.zeros(shape))
    return layer


def train(layer, steps, goal=0.0, lr=0.3, seed=0):
    g = torch.Generator().manual_seed(seed)
    optimizer = rt.AnalogSGD(layer.parameters(), lr=lr)
    for _ in range(steps):
        x = torch.randn(4, layer.in_features, generator=g)
        y = goal * x.sum(1, keepdim=True) + torch.randn(4, layer.out_features, generator=g)
        ((layer(x) - y).square().sum() / 8).backward()
        optimizer.step()
    return layer


def after(reads):
    """Agreement of tile 1 after whole passes over 4 columns; `reads` is (passes, rows, 4)."""
    state = adaptive.init(2, 4)
    for content in np.asarray(reads, dtype=np.float32):
        for columns in (np.array([0]), np.arange(1, 4)):  # alone and several at once
            rho = adaptive.measure(state, 1, columns, content[:, columns].T)
            assert len(rho) == columns.size
            assert rho[-1] == adaptive.agreement(state, 1)
    return rho[-1]


class TestRule:
    content = np.random.default_rng(0).normal(size=(6, 4))

    def test_a_first_pass_says_nothing(self):
        assert adaptive.agreement(adaptive.init(2, 4), 1) == EVEN
        assert after([self.content]) == pytest.approx(EVEN)
        assert (adaptive.gain(EVEN), adaptive.pace(EVEN)) == (1, 1)

    def test_constant_reads_speed_up(self):
        steady = np.zeros((400, 6, 4)) + np.eye(6)[:, :4]
        rho = after(steady)
        assert rho == pytest.approx(1, abs=1e-6)
        assert (adaptive.gain(rho), adaptive.pace(rho)) == (BIGGEST, 1)

    def test_alternating_reads_stop_transfers_and_slow_reads(self):
        turning = np.array([(-1) ** k * np.eye(6)[:, :4] for k in range(400)])
        rho = after(turning)
        assert rho == pytest.approx(-1, abs=1e-6)
        assert (adaptive.gain(rho), adaptive.pace(rho)) == (0, SLOWEST)

    def test_noise_has_no_agreement_and_a_steady_part_its_share(self):
        rng = np.random.default_rng(1)
        noise = rng.normal(size=(4000, 8, 4))
        values = [after(noise[k : k + 400]) for k in range(0, 4000, 400)]
        assert abs(np.mean(values)) < 0.1  # ten values of standard deviation 0.09
        steady = 6 * np.eye(8)[:, :4]  # 36 of a column's power of 36 + 8
        assert after(noise[:2000] + steady) == pytest.approx(36 / 44, abs=0.2)

    def test_one_average_step_is_exact(self):
        state = adaptive.init(2, 1)
        reads = np.array([[2.0, 1.0], [1.0, -3.0]], dtype=np.float32)  # of the same column
        adaptive.measure(state, 1, np.array([0, 0]), reads)
        # column 0 has signs (1, 1): products 3 * -2; powers 5, then 10; window 64
        fade = 1 - 1 / 64
        assert state["power"][1] == pytest.approx((5 * fade + 10) / 64)
        assert state["product"][1] == pytest.approx((EVEN * 5 * fade - 6) / 64)
        assert (state["last"][1, 0], state["read"][1]) == (-2, 2)

    @pytest.mark.parametrize("rows_", [1, 5, 8])
    def test_signs_cancel_cross_terms_over_neighbouring_columns(self, rows_):
        signs = adaptive.signs(np.arange(16, 24), rows_)
        assert (signs.T @ signs == 8 * np.eye(rows_)).all()

    def test_limits(self):
        for rho in (-3.0, 0.0, 0.1, EVEN, 0.3, 5.0):
            assert 0 <= adaptive.gain(rho) <= BIGGEST
            assert SLOWEST <= adaptive.pace(rho) <= 1
        assert adaptive.gain(EVEN / 2) == adaptive.pace(EVEN / 2) == 0.5


class TestClock:
    def test_expected_pulses_are_those_of_the_engine(self):
        device = rt.devices.ConstantStep(states=400, variation="none")
        g = np.random.default_rng(0)
        x, d = (g.normal(size=(300, k)).astype(np.float32) for k in (12, 5))
        w = torch.zeros(5, 12)
        layer = AnalogLinear(
            12, 5, bias=False, algorithm=rt.algorithms.SingleTile(device), scale=1.0, seed=0
        )
        layer.program(w)
        vectors = rows(x, d)
        vectors.measure()
        layer.composite().pulse(0, [vectors], 0.001)
        expected = adaptive.expected_pulses([vectors], 0.001, device, 5) * w.numel()
        assert layer.pulses.item() == pytest.approx(expected, rel=0.1)

    def test_blocks_of_rows_count_their_own_rows(self):
        device = rt.devices.ConstantStep(states=4, variation="none")
        x = np.ones((2, 3), dtype=np.float32)
        whole = rows(x, np.ones((2, 4), dtype=np.float32))
        half = [rows(x, np.ones((2, 2), dtype=np.float32)) for _ in range(2)]
        expected = pytest.approx(0.4 * (2 / np.pi) ** 2)  # lines of one strength, all of them
        assert adaptive.expected_pulses([whole], 0.1, device, 4) == expected
        assert adaptive.expected_pulses(half, 0.1, device, 4) == expected

    def test_silent_lines_do_not_slow_the_clock(self):
        normal = np.random.default_rng(0).normal(size=4000)
        mean = np.abs(normal).mean()
        alone = adaptive.strengths(normal[None])[0]
        assert alone == pytest.approx(mean, rel=0.05)
        silent = np.concatenate([normal, np.zeros(36_000)])
        assert adaptive.strengths(silent[None])[0] == pytest.approx(alone)
        rows_ = np.array([[0.0, 0.0], [0.0, 3.0], [3.0, -3.0]])
        assert adaptive.strengths(rows_) == pytest.approx([0, 6 / np.pi, 6 / np.pi])

    def test_a_tile_that_nothing_moves_is_not_read(self):
        layer = train(layer_of(fast_lr=0.0), 50)
        assert layer.transfers.tolist() == [0, 0, 0]

    def test_a_transfer_step_of_0_leaves_the_coarse_tiles_alone(self):
        layer = train(layer_of(transfer_lr=0.0), 50)
        assert layer.transfers[2] > 0
        assert layer.counts[1, :2].tolist() == layer.transfers[:2].tolist() == [0, 0]

    def test_coarser_tiles_are_read_less_and_the_finest_at_most_so_often(self):
        layer = train(layer_of(tiles=4, transfer_lr=1.0), 200, goal=1.0, lr=5.0)
        reads = layer.transfers.tolist()
        assert reads[0] == 0 < reads[1] <= reads[2] <= reads[3]
        assert reads[3] == int(MOST * 12 * 200)
        assert (layer.state["due"] < 1).all()

    def test_a_moving_target_is_transferred_sooner_than_a_settled_one(self):
        reads = []
        for goal in (0.0, 0.8):
            layer = layer_of(tiles=2, device=rt.devices.SoftBounds(states=20, variation="none"))
            train(layer, 400, goal=goal, lr=0.05)
            reads.append(int(layer.counts[1, 0]))
        assert reads[1] > 2 * reads[0]


class Recorder:
    """Stands in for a composite of 4 x 12: reads are given, writes are recorded."""

    def __init__(self, tiles, content):
        self.w = np.zeros((4, 12), dtype=np.float32)
        self.tiles = [layer_of().composite().tiles[0] for _ in range(tiles)]
        self.content, self.sent = np.asarray(content, dtype=np.float32), []

    def read_sum(self, first, last, columns):
        assert last == first + 1
        return np.tile(self.content, (columns.size, 1))

    def write_columns(self, n, columns, changes, lr):
        steps = lr * changes[:, 0] / self.content[0]
        self.sent += list(zip([n] * columns.size, columns.tolist(), steps, strict=True))


class TestFilling:
    betas = (0.0, 0.1, 0.2, 0.4)

    def ran(self, stage, rho, due):
        """What is sent when columns of tile 3 are due and their agreement is `rho`."""
        weight = Recorder(4, [0.5, 0.0, 0.0, 0.0])
        state = {**adaptive.init(4, 12), "column": np.zeros(4, dtype=np.int64)}
        state["stage"][0], state["due"][3] = stage, due
        state["read"][:] = 1000
        state["power"][:], state["product"][:] = 1e9, rho * 1e9  # new reads change nothing
        adaptive.run(weight, state, [], 0.1, self.betas)
        return weight.sent, state

    def test_steps_while_filling(self):
        sent, state = self.ran(stage=1, rho=0.4, due=2)
        assert [(n, column) for n, column, _ in sent] == [(1, 0), (1, 1)]
        assert [step for _, _, step in sent] == pytest.approx([0.4 * 0.5] * 2, rel=1e-3)
        assert not state["due"][:3].any()

    def test_reads_that_disagree_are_fewer(self):
        """A read too soon says less: (8b)'s pace, of the finest tile and of the one it feeds."""
        counts = []
        for rho in (EVEN, SLOWEST * EVEN / 2):
            weight = Recorder(4, [0.5, 0.0, 0.0, 0.0])
            state = {**adaptive.init(4, 12), "column": np.zeros(4, dtype=np.int64)}
            state["stage"][0], state["read"][:] = 3, 1000
            state["power"][:], state["product"][:] = 1e9, rho * 1e9
            batch = [rows(np.full((2, 12), 0.1, np.float32), np.full((2, 4), 0.1, np.float32))]
            batch[0].measure()
            pulses = adaptive.expected_pulses(batch, 1.0, weight.tiles[3].device, 4)
            adaptive.run(weight, state, batch, 1.0, self.betas)
            counts.append(len([1 for n, _, _ in weight.sent if n == 2]) + state["due"][3])
            share = 12 * pulses * adaptive.forgets(weight.tiles[3].device)
            assert counts[-1] == pytest.approx(share * min(max(rho / EVEN, SLOWEST), 1), rel=1e-3)
        assert counts[1] == pytest.approx(SLOWEST * counts[0], rel=1e-3)

    def test_what_a_coarser_tile_was_sent_counts_in_pulses_of_its_own_device(self):
        due = []
        for states in (4, 8):
            weight = Recorder(4, [0.5, 0.0, 0.0, 0.0])
            weight.tiles[2] = (
                layer_of(device=rt.devices.SoftBounds(states=states)).composite().tiles[0]
            )
            state = {**adaptive.init(4, 12), "column": np.zeros(4, dtype=np.int64)}
            state["stage"][0], state["due"][3], state["read"][:] = 3, 1, 1000
            state["power"][:], state["product"][:] = 1e9, EVEN * 1e9
            adaptive.run(weight, state, [], 0.1, self.betas)
            due.append(state["due"][2] / adaptive.forgets(weight.tiles[2].device))
        assert due[1] == pytest.approx(2 * due[0], rel=1e-3)

    def test_steps_and_clock_of_the_chain(self):
        sent, state = self.ran(stage=3, rho=0.4, due=1)
        assert [(n, column) for n, column, _ in sent] == [(2, 0)]
        step = sent[0][2]
        assert step == pytest.approx(0.4 * adaptive.gain(0.4), rel=1e-3)
        # One row of four holds 0.5: S = (2 / pi) * 0.5. dw_min is 0.5, D is 0.5, pace is 1.
        assert state["due"][2] == pytest.approx(step * (2 / np.pi) * 0.5 / 0.5 * 0.5, rel=1e-3)

    def test_tiles_are_filled_coarsest_first_then_the_chain_begins(self):
        layer = layer_of(tiles=4)
        may_move = {0: {0, 1}, 1: {1, 2}, 3: {0, 1, 2}}  # a stage may end within a mini-batch
        stages, moved = [], {stage: set() for stage in may_move}
        for k in range(300):
            stages.append(int(layer.state["stage"][0]))
            before = layer.tiles.clone()
            train(layer, 1, goal=0.8, lr=1.0, seed=k)
            changed = (layer.tiles != before).flatten(1).any(1).tolist()
            moved[stages[-1]] |= {n for n in range(3) if changed[n]}
        assert stages == sorted(stages)
        assert set(stages) == {0, 1, 3}  # tile 2 is filled by the chain
        assert all(moved[stage] <= may_move[stage] for stage in may_move)
        assert all(stage in moved[stage] for stage in (0, 1))

    def test_a_stage_is_five_passes(self):
        layer = layer_of(tiles=3)
        while int(layer.state["stage"][0]) == 0:
            read = int(layer.transfers[2])
            assert read == int(layer.state["filled"][0]) < 5 * 12
            train(layer, 1, goal=0.8, lr=1.0, seed=read)
        assert layer.state["filled"][0] == 0
        assert 5 * 12 <= layer.transfers[2] <= 5 * 12 + 2

    def test_two_tiles_are_a_chain_from_the_start(self):
        assert int(layer_of(tiles=2).state["stage"][0]) == 1

    def test_only_what_agrees_is_kept(self):
        assert [adaptive.filling(rho) for rho in (-1.0, EVEN, 2 * EVEN, 5.0)] == [0, 0, 0.5, 1]


class TestState:
    def test_it_goes_through_a_file_to_the_bit(self):
        layer = train(layer_of(), 61, goal=0.4)
        file = io.BytesIO()
        torch.save(layer.state_dict(), file)
        file.seek(0)
        copy = layer_of()
        copy.load_state_dict(torch.load(file, weights_only=True), strict=True)
        for one in (layer, copy):
            train(one, 40, goal=-0.4, seed=1)
        first, second = layer.state_dict(), copy.state_dict()
        assert first.keys() == second.keys()
        assert all(torch.equal(first[k], second[k]) for k in first)
        assert layer.state["read"][1:].all()

    def test_programming_forgets_what_was_measured(self):
        layer = train(layer_of(), 60, goal=0.4)
        assert layer.state["power"].any()
        layer.program(torch.zeros(5, 12))
        for name in ("due", "read", "product", "power", "last", "filled", "stage"):
            assert not layer.state[name].any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transfer_every": 1}, 'transfer_every has no meaning with schedule="adaptive"'),
        ({"transfer_ratio": 2}, 'transfer_ratio has no meaning with schedule="adaptive"'),
        ({"columns": 0}, 'columns has no meaning with schedule="adaptive"'),
        ({"steps_per_epoch": 9}, 'steps_per_epoch is for schedule="auto" only'),
    ],
)
def test_settings_without_a_meaning(settings, message):
    with pytest.raises(ConfigError, match=message):
        layer_of(**settings)


def test_a_warm_start_does_not_go_with_it():
    with pytest.raises(ConfigError, match="schedule='adaptive' decides itself"):
        rt.WarmStart(layer_of())


def test_cost():
    layer = layer_of(tiles=4)
    rule = layer.algorithm
    most = rule.reads(Layer(5, 12, batch=4))
    # two columns of tile 3 after every mini-batch, and beta = 0.1 * 1.2**n doubled, per read
    ratios = np.cumprod([1, 2 * 0.1 * 1.2**3, 2 * 0.1 * 1.2**2])
    assert most == pytest.approx(2 / 4 * ratios.sum())
    train(layer, 200, goal=1.0, lr=5.0)
    assert layer.transfers.sum() / 800 <= most
    scaled = layer_of(tiles=4, scale_transfer_lr=True).algorithm
    assert scaled.reads(Layer(5, 12, batch=4)) == pytest.approx(3 * 2 / 4)
    fixed = rt.algorithms.ResidualLearning(rule.device, tiles=4)
    shape = Layer(5, 12, batch=4)
    own, plain = rule.work(shape, 0.5), fixed.work(shape, 0.5)
    assert own.storage - plain.storage == 3 * 12
    assert own.flops - plain.flops == 3 * shape.lines + 7 * shape.rows * 0.5
    assert (own.periods, own.reads) == (plain.periods, plain.reads)
    with pytest.raises(ConfigError, match='schedule="periods"'):
        rule.cost_without_end(shape)
