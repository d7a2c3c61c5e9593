"""Laws, algorithms and modules of the user's own: what cannot work is refused where it stands."""

import copy
import dataclasses
import pickle
import sys

import numpy as np
import pytest
import torch

import resitile as rt
from resitile import models
from resitile.algorithms import SavedState
from resitile.errors import ConfigError
from tests.exact import SOFT


def one(w, p):
    return 1.0


def law(annotations=None, up=one, **body):
    """A law with fields of these types, and these defaults."""
    functions = {"q_up": staticmethod(up), "q_down": staticmethod(one)}
    return type(
        "Mine", (rt.Device,), {"__annotations__": annotations or {}, **functions, **body},
        name="mine_of_test_own_classes",
    )  # fmt: skip


def algorithm(annotations=None, **body):
    """An algorithm with settings of these types, and these defaults."""
    return type(
        "Rule", (rt.algorithms.Algorithm,), {"__annotations__": annotations or {}, **body},
        name="rule_of_test_own_classes",
    )  # fmt: skip


def learns(self, weight, state, batch, lr):
    weight.pulse(0, batch, lr)


class TestLaws:
    @pytest.mark.parametrize(
        "body", [{}, {"bend": dataclasses.field()}, {"bend": dataclasses.field(repr=False)}]
    )
    def test_a_field_needs_a_default(self, body):
        with pytest.raises(ConfigError, match="law Mine gives its field 'bend' no default; write"):
            law({"bend": float}, **body)
        assert "mine_of_test_own_classes" not in rt.devices.names()

    def test_a_default_may_be_a_field(self):
        assert law({"bend": float}, bend=dataclasses.field(default=0.25))().p == (-1, 1, 0.25)

    def test_a_default_that_no_dataclass_takes(self):
        with pytest.raises(ConfigError, match="law Mine: mutable default"):
            law({"bend": list}, bend=[])

    @pytest.mark.parametrize(
        "name", ["cycle", "dw_min", "w_min", "up_down", "states", "variation", "p", "step_up"]
    )
    def test_names_that_every_device_has_are_taken(self, name):
        with pytest.raises(ConfigError, match=f"own called '{name}', which every device has"):
            law({name: float}, **{name: 0.5})

    def test_a_default_of_the_base_cannot_be_changed_in_passing(self):
        """A plain attribute is no field: the device would have 4 states all the same."""
        with pytest.raises(ConfigError, match=r"called 'states'.*made: Mine\(states=10\)"):
            law(states=20)

    @pytest.mark.parametrize("up", [lambda w: 1.0, lambda w, p, k: 1.0, lambda *, w, p: 1.0])
    def test_a_wrong_signature(self, up):
        with pytest.raises(ConfigError, match=r"q_up of the law Mine must read .*q_up\(w, p\); it"):
            law(up=up)

    def test_functions_that_are_none(self):
        with pytest.raises(ConfigError, match=r"needs a @staticmethod q_up\(w, p\)"):
            law(up=1.0)


class TestAlgorithms:
    def test_step_is_needed(self):
        with pytest.raises(ConfigError, match=r"Rule needs a method step\(self, weight, state, ba"):
            algorithm()

    def test_step_of_a_wrong_signature(self):
        with pytest.raises(ConfigError, match=r"step of the algorithm Rule must read step\(self"):
            algorithm(step=lambda self, weight, state: None)

    def test_an_inherited_step_will_do(self):
        base = algorithm({"rate": float}, rate=1.0, step=learns)
        heir = type("Heir", (base,), {}, name="heir_of_test_own_classes")
        assert heir(SOFT).rate == 1.0


MAKERS = {
    "model": models.create,
    "device law": rt.devices.create,
    "algorithm": lambda name: rt.algorithms.create(name, SOFT),
}


def trained_by(step, init, steps=3):
    """A layer after some steps of an algorithm of one's own."""
    rule = algorithm(init=lambda self, shape: init, step=step)(rt.devices.SoftBounds(states=4))
    layer = rt.nn.AnalogLinear(3, 2, algorithm=rule, seed=0)
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.5)
    for _ in range(steps):
        layer(torch.ones(2, 3)).sum().backward()
        optimizer.step()
    return layer


class TestState:
    """What an algorithm keeps must be in the checkpoint, however it writes it."""

    @pytest.mark.parametrize("start", [np.zeros(1), np.zeros(()), np.zeros(1, np.int32)])
    def test_assigning_writes_into_the_saved_array(self, start):
        def step(self, weight, state, batch, lr):
            state["n"] = state["n"] + 1
            state["twice"] += 2
            state["row"][1:] = state["n"]

        init = {"n": start, "twice": np.zeros(1), "row": np.zeros(3)}
        saved = trained_by(step, init).state_dict()
        assert not any(array.any() for array in init.values())  # which layers may share
        assert float(saved["state_n"]) == 3 and float(saved["state_twice"]) == 6
        assert saved["state_row"].tolist() == [0, 3, 3]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda s: s.__setitem__("m", 1), r"the state has no 'm', only \['n'\]: make every"),
            (lambda s: s.__setitem__("n", np.ones(2)), r"state\['n'\] holds int64 of the shape"),
            (lambda s: s.__setitem__("n", 0.5), "Cannot cast"),
            (lambda s: s.__setitem__("n", 2**63), "cannot take this: .* too large"),
            (lambda s: s.update(n=1), "keeps the arrays that init made"),
            (lambda s: s.pop("n"), "keeps the arrays that init made"),
        ],
    )
    def test_what_would_not_be_saved_is_refused(self, change, message):
        def step(self, weight, state, batch, lr):
            change(state)

        with pytest.raises(ConfigError, match=message):
            trained_by(step, {"n": np.zeros(1, np.int64)}, steps=1)

    @pytest.mark.parametrize("how", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
    def test_copies_are_plain(self, how):
        state = SavedState(n=np.ones(1))
        other = how(state)
        other["m"] = other["n"] + 1
        assert type(other) is dict and (other["m"], state["n"]) == (2, 1)

    def test_rows_are_not_repeated(self):
        state = rt.algorithms.SavedState({"m": np.zeros((2, 3))})
        state["m"] = 0.5
        with pytest.raises(ConfigError, match=r"shape \(2, 3\), .* its shape is \(3,\)"):
            state["m"] = np.ones(3)
        assert (state["m"] == 0.5).all()

    @pytest.mark.parametrize(
        ("init", "message"),
        [
            (None, "init of the algorithm Rule must return a dict of named numpy arrays, got None"),
            ({"n": 1}, "must return numpy arrays of numbers, .* n is 1"),
            ({"n": torch.zeros(1)}, "must return numpy arrays of numbers"),
            ({"n": np.array([None])}, "must return numpy arrays of numbers"),
            ({"a.b": np.zeros(1)}, "must name its arrays as variables are, got 'a.b'"),
        ],
    )
    def test_an_init_that_makes_no_arrays(self, init, message):
        with pytest.raises(ConfigError, match=message):
            trained_by(learns, init)


@pytest.mark.parametrize("kind", MAKERS)
class TestModules:
    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("x = 1\ndef f(:\n", r"own_module\.py:2: SyntaxError: invalid syntax"),
            ("\n\nx = nothing\n", r"own_module\.py:3: NameError: name 'nothing' is not defined"),
            ("class Net:\n    x = 1 / 0\n", r"own_module\.py:2: ZeroDivisionError: division"),
            ("import no_such_module\n", r"own_module\.py:1: No module named 'no_such_module'"),
            ("import sys\nsys.exit(3)\n", r"own_module\.py:2: SystemExit: 3"),
            ("import json\njson.loads('{')\n", r"own_module\.py:2: JSONDecodeError: Expecting"),
            ("import resitile as r\n\nclass A(r.Device): pass\n", r"own_module\.py:3: give the la"),
            ("x = 1\n", "has no attribute 'Net'"),
        ],
    )
    def test_what_a_module_raises_is_told_with_its_place(
        self, kind, code, message, tmp_path, monkeypatch
    ):
        (tmp_path / "own_module.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        try:
            with pytest.raises(ConfigError, match=f"{kind} 'own_module:Net' cannot .*{message}"):
                MAKERS[kind]("own_module:Net")
        finally:
            sys.modules.pop("own_module", None)

    @pytest.mark.parametrize("name", [":Net", "own_module:", ".own_module:Net", "no_such:Net"])
    def test_names_of_nothing(self, kind, name):
        with pytest.raises(ConfigError, match=f"{kind} '{name}' cannot be imported: "):
            MAKERS[kind](name)


def test_a_fault_of_an_own_algorithm_names_it_and_the_layer():
    class Beyond(rt.algorithms.SingleTile, name="beyond_of_test_own_classes"):
        def step(self, weight, state, batch, lr):
            weight.pulse(1, batch, lr)

    layer = rt.nn.AnalogLinear(4, 3, algorithm=Beyond(rt.devices.SoftBounds(states=4)), seed=1)
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
    layer(torch.ones(2, 4)).sum().backward()
    with pytest.raises(ConfigError, match=r"^Beyond, layer of \(3, 4\): there is no tile 1"):
        optimizer.step()
