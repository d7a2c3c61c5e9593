"""Laws, algorithms and modules of the user's own: what cannot work is refused where it stands."""

import dataclasses
import sys

import pytest

import resitile as rt
from resitile import models
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
