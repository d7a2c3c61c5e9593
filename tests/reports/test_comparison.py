"""Comparison tables: intervals and paired differences against numbers computed by hand."""

import csv
import io

import pytest

from resitile.errors import ConfigError
from resitile.reports.comparison import as_csv, as_latex, groups, interval, shown


def row(name: str, seed: int, test: float | None, **more: object) -> dict[str, object]:
    return {
        "name": f"{name}-{seed}", "label": name, "group": name, "seed": seed, "status": "finished",
        "val_accuracy": 0.5, "test_accuracy": test, "states": 4.0, "tiles": 6, "epochs": 3,
        "ms_per_step": 2.0, "wall_s": 10.0 * (seed + 1), "pulses": 100, **more,
    }  # fmt: skip


A = [row("a", s, v) for s, v in ((0, 0.70), (1, 0.72), (2, 0.74))]
B = [row("b_%", s, v) for s, v in ((0, 0.60), (2, 0.68), (3, 0.99))]


def test_interval_is_that_of_students_t() -> None:
    # t(0.975; 2) = 4.30265, standard deviation 0.02, n = 3
    assert interval([0.70, 0.72, 0.74]) == pytest.approx(4.30265 * 0.02 / 3**0.5, rel=1e-5)
    assert interval([0.7]) is None
    assert interval([0.5, 0.5]) == 0


def test_one_line_for_all_seeds_and_pairs_by_seed() -> None:
    one, two = groups([A[0], B[1], A[1], B[0], A[2], B[2]])
    assert (one["n"], one["seeds"], one["runs"]) == (3, [0, 1, 2], ["a-0", "a-1", "a-2"])
    assert one["test_accuracy"] == pytest.approx(0.72)
    assert one["wall_s"] == pytest.approx(20)
    assert one["difference"] is None
    # Seeds 0 and 2 are in both: -0.10 and -0.06; t(0.975; 1) = 12.7062
    assert two["difference"] == pytest.approx(-0.08)
    half = 12.7062 * (0.04 / 2**0.5) / 2**0.5
    assert two["difference_ci95"] == pytest.approx(half, rel=1e-4)
    assert shown(two, "difference") == f"-8.00 ± {100 * half:.2f} %"
    assert shown(one, "test_accuracy") == "72.00 ± 4.97 %"


def test_counted_costs_of_several_seeds_are_means() -> None:
    rows = [row("a", s, 0.7, counted_update_ns=n, counted_update_nj=j) for s, n, j in (
        (0, 30.0, 1.0), (1, 90.0, 3.0),
    )]  # fmt: skip
    (line,) = groups(rows)
    assert (line["counted_update_ns"], line["counted_update_nj"]) == (60.0, 2.0)


def test_runs_of_another_task_have_no_difference() -> None:
    tasks = "lenet5 on mnist", "lenet5 on fashion-mnist"
    rows = [
        row(n, 0, 0.6, task=t) for n, t in zip("abc", (tasks[0], tasks[1], tasks[0]), strict=True)
    ]
    assert [line["difference"] for line in groups(rows)] == [None, None, 0]


def test_a_baseline_that_got_nothing_right_is_one() -> None:
    _, line = groups([row("a", 0, 0.0), row("a", 1, 0.1), row("b", 0, 0.5), row("b", 1, 0.7)])
    assert line["difference"] == pytest.approx(0.55)
    assert line["difference_ci95"] == pytest.approx(12.7062 * 0.05, rel=1e-4)


@pytest.mark.parametrize(("key", "value", "text"), [
    ("digital_storage_bytes", 1000, "1 kB"), ("digital_storage_bytes", 114100.0, "114.1 kB"),
    ("wall_s", 59.0, "59.0 s"), ("wall_s", 120, "2.0 min"), ("pulses", 123456, "1.23e+05"),
    ("ms_per_step", 2, "2.00"), ("update_ns", 76.64, "76.6 ns"), ("states", [4, 8.0], "4, 8"),
])  # fmt: skip
def test_cells_have_the_unit_they_name(key: str, value: object, text: str) -> None:
    assert shown({key: value}, key) == text


def test_another_baseline_by_name_or_label() -> None:
    for name in ("b_%-0", "b_%-3", "b_%"):
        one, two = groups([*A, *B], name)
        assert one["difference"] == pytest.approx(0.08)
        assert two["difference"] is None
    with pytest.raises(ConfigError, match="no line is called 'c'; allowed: a-0"):
        groups(A, "c")


def test_unfinished_runs_and_lines_without_common_seeds() -> None:
    lines = groups([A[0], row("b", 5, None, status="unfinished")])
    assert lines[1]["status"] == "unfinished"
    assert lines[1]["test_accuracy"] is None
    assert lines[1]["difference"] is None
    assert shown(lines[1], "test_accuracy") == "-"


def test_a_repeated_seed_gets_a_line_of_its_own() -> None:
    again = {**A[0], "name": "again"}
    one, two = groups([*A, again])
    assert (one["n"], two["n"]) == (3, 1)
    assert two["runs"] == ["again"]


def test_repetitions_of_one_seed_are_never_pooled() -> None:
    """Copies of a run keep its name; a mean over them would have an interval of 0."""
    lines = groups([A[0], A[0], A[1], A[0], A[1]])
    assert [line["seeds"] for line in lines] == [[0, 1], [0, 1], [0]]
    assert lines[2]["test_ci95"] is None


def test_csv_and_latex() -> None:
    lines = groups([*A, *B])
    first, second = csv.DictReader(io.StringIO(as_csv(lines)))
    assert float(first["test_accuracy"]) == pytest.approx(0.72)
    assert float(second["difference"]) == pytest.approx(-0.08)
    assert float(second["test_ci95"]) > 0
    assert first["difference"] == ""
    text = as_latex(lines)
    assert text.startswith(r"\begin{tabular}{l")
    assert r"b\_\%" in text
    assert r"72.00 $\pm$ 4.97 \%" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({line.count("&") - line.count(r"\&") for line in rows}) == 1
    assert len(rows) == 3


def test_latex_has_no_sign_that_prints_as_another() -> None:
    """Under OT1, LaTeX's encoding by default, < and > and | print as ¡, ¿ and a dash."""
    assert "$<$4 \\$a\\$$|$b$>$ &" in as_latex(groups([row("<4 $a$|b>", 0, 0.5)]))
