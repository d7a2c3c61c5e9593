"""Write the tables of docs/gates.md from the records in results/gates and results/ablations.

python scripts/collect_gates.py
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "gates.md"


def record(name: str) -> Any:
    """A record by its place in results/."""
    return json.loads((ROOT / "results" / f"{name}.json").read_text())


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def digits(value: float) -> str:
    """Two digits, whole numbers from 100 on."""
    return f"{value:.0f}" if value >= 99.5 else f"{value:#.2g}".rstrip(".")


def shown(levels: Sequence[int]) -> str:
    """Levels as the text has them."""
    return f"({', '.join(map(str, levels))})"


def noise() -> str:
    """What passes each gate, and moves the weight, under noise and under a drift."""
    lines = []
    for entry in record("gates/gates")["cascades"]:
        shares = " / ".join(digits(100 * s) for s in entry["noise"]["shares"])
        up, down = entry["drift"]["per_1000_passes"]
        lines.append([
            shown(entry["levels"]) + ", no spread" * ("variation" in entry),
            str(entry.get("gradient_tiles", 1)), str(entry["alarm"]),
            str(entry.get("passes", 4)), f"{entry.get('pass_steps', 5.0):g}", shares,
            digits(sum(entry["noise"]["per_1000_passes"])), f"{digits(up)} / {digits(down)}",
            f"{up / down:.2f}",
        ])  # fmt: skip
    head = (
        "levels", "gradient tiles", "`alarm`", "`passes`", "`pass_steps`",
        "noise opens level 1 / 2 / 3, % of decisions", "pulses of noise", "drift: up / down",
        "odds",
    )  # fmt: skip
    return table(head, lines)


def rest() -> str:
    """At which drift the decisions of single devices balance."""
    return table(
        ("levels", "`chop`", "spread of rest over devices, % of the pulses' spread"),
        [
            [shown(entry["levels"]), str(entry["chop"]), f"{100 * entry['spread']:.1f}"]
            for entry in record("gates/gates")["rest"]
        ],
    )


def biased() -> str:
    """What uneven steps do to a weight."""
    return table(
        ("`chop`", "pulses of noise in 1,000 passes, up / down", "the weight after 3,000 passes"),
        [
            [
                str(entry["chop"]),
                " / ".join(digits(n) for n in entry["per_1000_passes"]),
                f"{entry['held']:.2f}",
            ]
            for entry in record("gates/gates")["biased"]
        ],
    )


def evidence() -> str:
    """Rate, certainty and evidence of each setting in two layers of LeNet-5."""
    found = record("gates/evidence")
    names = ("second convolution", "first linear layer")
    lines = []
    for entry in found["settings"]:
        rule = entry["settings"]
        passes, turn = rule.get("cut", 1) / rule.get("pass_steps", 1.0), rule.get("turn_steps")
        own = [
            shown(rule["levels"]), str(rule["gradient_tiles"]), f"{passes:g}",
            "a pass" if turn is None else "a block" if turn == 1 else f"{turn} blocks",
            str(rule.get("fresh", 2.0)), str(rule.get("refill", 0.5)),
        ]  # fmt: skip
        for name in names:
            layer = entry[name]
            own.append(
                f"{digits(layer['rate'])} · {layer['certainty']:.2f} · {digits(layer['evidence'])}"
            )
        lines.append(own)
    head = (
        "levels", "gradient tiles", "passes a mini-batch", "a turn is", "`fresh`", "`refill`",
        *(f"{name}: R · D/R · D²/R" for name in names),
    )  # fmt: skip
    return table(head, lines)


def settings(name: str) -> str:
    """What became of a run of which one setting was changed."""
    found = record(f"ablations/{name}")
    (line,) = found["series"]
    lines = [
        [x, *(" ".join(f"{100 * value:.1f}" for value in line[kind][k]) for kind in KINDS)]
        for k, x in enumerate(found["x"])
    ]
    return table(("changed", "validation, %", "test, %"), lines)


KINDS = ("validation", "test")


def page(text: str) -> str:
    """The page's text with its tables written anew."""
    blocks = {
        "noise": noise(),
        "rest": rest(),
        "biased": biased(),
        "evidence": evidence(),
        "cascade-turns": settings("cascade-turns"),
        "cascade-three-levels": settings("cascade-three-levels"),
    }
    for name, block in blocks.items():
        begin, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
        before, rest_of = text.split(begin)
        text = f"{before}{begin}\n{block}\n{end}{rest_of.split(end)[1]}"
    return text


def main() -> None:
    """Write them."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
