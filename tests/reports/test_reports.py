"""The page is made from records alone, holds their numbers, and needs nothing beside it."""

import json
import re
import shutil

import pytest

from resitile.errors import ConfigError, DataError
from resitile.reports import table, write_report
from resitile.reports.figures import learning_curves, pulses_per_tile, tile_histograms, tile_history
from resitile.reports.page import _clock
from resitile.reports.records import read_runs


def make_run(folder, name, *, tiles=0, epochs=3, finished=True, accuracy=0.5, seed=7):
    """A run folder with the records that training writes."""
    path = folder / name
    path.mkdir()
    (path / "config.toml").write_text(
        f'name = "{name}"\nlabel = "{name.partition("@")[0]} <b>&"\nseed = {seed}\n'
        '[data]\nname = "d"\n'
        '[model]\nname = "lenet5"\n[algorithm]\nname = "x"\n'
    )
    lines = []
    for epoch in range(1, epochs + 1):
        counts = {"fc": [epoch * 10] * tiles} if tiles else {}
        lines.append(
            {
                "kind": "epoch", "epoch": epoch, "train_loss": 2.0 / epoch,
                "train_accuracy": 0.4, "val_loss": 1.0, "val_accuracy": accuracy,
                "lr": 0.1, "wall_s": 1.0, "steps": epoch, "stage": epoch - 1 if tiles else None,
                "pulses": counts, "transfers": counts,
            }
        )  # fmt: skip
        if tiles:
            layer = {
                "edges": [-1 + k / 20 for k in range(41)],
                "counts": [list(range(40))] * tiles,
                "mean": [0.0] * tiles, "std": [0.1] * tiles, "scale": 1.0,
                "gamma": [0.5**n for n in range(tiles)],
            }  # fmt: skip
            lines.append({"kind": "tiles", "epoch": epoch, "layers": {"fc": layer}})
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if finished:
        summary = {
            "name": name, "algorithm": "A", "device": None, "states": 4 if tiles else None,
            "tiles": tiles or None, "val_accuracy": accuracy, "test_accuracy": accuracy - 0.01,
            "best_val_accuracy": accuracy, "epochs": epochs, "seed": seed, "wall_s": 61.0,
            "steps": 9, "ms_per_step": 1.5, "environment": {"torch": "2.x"}, "data": "d",
            "train_size": 10, "val_size": 2, "test_size": 3,
        }  # fmt: skip
        (path / "summary.json").write_text(json.dumps(summary))
    return path


def test_page_holds_every_run_and_no_outside_resource(tmp_path):
    runs = [
        make_run(tmp_path, "digital", accuracy=0.871),
        make_run(tmp_path, "one", tiles=1, accuracy=0.432),
        make_run(tmp_path, "six", tiles=6, accuracy=0.753),
    ]
    page = write_report(runs, tmp_path / "deep" / "report.html").read_text()
    for accuracy in ("86.10 %", "42.20 %", "74.30 %", "87.10 %"):
        assert accuracy in page
    assert "six &lt;b&gt;&amp; reaches 74.30 % test accuracy" in page
    assert "<b>&" not in page
    assert not re.findall(r'(?:src|href)="https?:', page)
    assert "<script" not in page


def test_tiles_that_no_pulse_reached_are_named(tmp_path):
    run = make_run(tmp_path, "r", tiles=3)
    assert "No pulse" not in write_report([run], tmp_path / "r.html").read_text()
    summary = json.loads((run / "summary.json").read_text())
    summary["idle_tiles"] = {"conv<1>": [0, 2], "fc": [1]}
    (run / "summary.json").write_text(json.dumps(summary))
    page = write_report([run], tmp_path / "r.html").read_text()
    assert "No pulse ever reached tile 0, 2 of conv&lt;1&gt;; tile 1 of fc:" in page
    for spoilt in ([1], {"fc": 1}):
        summary["idle_tiles"] = spoilt
        (run / "summary.json").write_text(json.dumps(summary))
        with pytest.raises(DataError, match=r"summary.json is damaged: its '(idle_tiles|fc)' is"):
            write_report([run], tmp_path / "r.html")


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_few_epochs_have_whole_numbers(tmp_path, epochs):
    run = make_run(tmp_path, "r", tiles=2, epochs=epochs)
    for axis in learning_curves(read_runs([run])).axes:
        shown = [x for x in axis.get_xticks() if axis.get_xlim()[0] <= x <= axis.get_xlim()[1]]
        assert shown == list(range(1, epochs + 1))


@pytest.mark.parametrize(("low", "high", "ticks"), [
    (-1.0, 1.0, [-1, 0, 1]), (-1.4, 1.4, [-1, 0, 1]), (-0.25, 0.25, [-0.2, 0, 0.2]),
    (-0.3, 0.002, [-0.3, 0, 0.002]), (-2.6, 35, [-2, 0, 30]), (0, 1, [0, 1]),
])  # fmt: skip
def test_ticks_of_histograms_are_within_the_bounds(tmp_path, low, high, ticks):
    run = read_runs([make_run(tmp_path, "r", tiles=1)])[0]
    edges = [low + (high - low) * k / 40 for k in range(41)]
    run.tiles[-1]["layers"]["fc"]["edges"] = edges
    axis = tile_histograms(run, run.tiles[-1]).axes[0]
    assert axis.get_xticks().tolist() == ticks
    assert [text.get_text() for text in axis.get_xticklabels()] == [
        f"{tick:g}".replace("-", "\N{MINUS SIGN}") for tick in ticks
    ]


def test_pulses_are_dots_on_an_axis_that_has_no_zero(tmp_path):
    runs = [make_run(tmp_path, name, tiles=tiles) for name, tiles in (("a", 1), ("b", 3))]
    (axis,) = pulses_per_tile(read_runs(runs)).axes
    assert axis.get_yscale() == "log" and not axis.patches
    assert [line.get_linestyle() for line in axis.lines] == ["None", "None"]
    assert [list(line.get_ydata()) for line in axis.lines] == [[30], [30, 30, 30]]
    assert [[round(x) for x in line.get_xdata()] for line in axis.lines] == [[0], [0, 1, 2]]


@pytest.mark.parametrize("tiles", [1, 2, 8])
def test_pictures_of_tiles_are_as_wide_as_there_are_tiles(tmp_path, tiles):
    run = read_runs([make_run(tmp_path, "r", tiles=tiles)])[0]
    for figure in (tile_histograms(run, run.tiles[-1]), tile_history(run, "fc")):
        assert len(figure.axes) == tiles
        assert figure.get_figwidth() == pytest.approx(1.55 * tiles + 1, abs=0.5)


def test_layers_of_a_single_tile_stand_side_by_side(tmp_path):
    run = read_runs([make_run(tmp_path, "r", tiles=1)])[0]
    layers = run.tiles[-1]["layers"]
    layers |= {f"layer {k}": layers["fc"] for k in range(7)}
    figure = tile_histograms(run, run.tiles[-1])
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title().split(" · ")[0] for axis in shown] == list(layers)
    assert [axis.get_subplotspec().rowspan.start for axis in shown] == [0] * 6 + [1] * 2


@pytest.mark.parametrize(("name", "classes", "at"), [
    ("mnist", None, [0.1]), ("own:two", 2, [0.5]), ("own:two", None, []),
])  # fmt: skip
def test_chance_is_that_of_the_data(tmp_path, name, classes, at):
    run = make_run(tmp_path, "r")
    settings = run / "config.toml"
    settings.write_text(settings.read_text().replace('"d"', f'"{name}"'))
    if classes:
        summary = json.loads((run / "summary.json").read_text())
        (run / "summary.json").write_text(json.dumps(summary | {"classes": classes}))
    axis = learning_curves(read_runs([run])).axes[0]
    lines = [line for line in axis.lines if line.get_color() == "#888888"]
    assert [line.get_ydata()[0] for line in lines] == at
    words = [text.get_text() for text in axis.texts]
    assert words == [f"chance ({round(1 / y)} classes)" for y in at]


def test_the_baseline_is_that_of_the_page_too(tmp_path):
    runs = [make_run(tmp_path, "a", accuracy=0.8), make_run(tmp_path, "b", tiles=1, accuracy=0.5)]
    page = write_report(runs, tmp_path / "r.html").read_text()
    assert "-30.00 %" in page and "test accuracies to the first line, in points" in page
    page = write_report(runs, tmp_path / "r.html", baseline="b").read_text()
    assert "+30.00 %" in page and "-30.00 %" not in page
    assert "test accuracies to “b &lt;b&gt;&amp;”, in points" in page


def test_the_sentence_compares_the_best_of_each_kind(tmp_path):
    runs = [
        make_run(tmp_path, "bad", tiles=1, accuracy=0.10),
        make_run(tmp_path, "good", tiles=1, accuracy=0.45),
        make_run(tmp_path, "six", tiles=6, accuracy=0.75),
    ]
    page = write_report(runs, tmp_path / "r.html").read_text()
    assert "the best single tile 44.00 %" in page


def test_the_best_is_chosen_on_validation_images(tmp_path):
    """Test images choose nothing: the better test accuracy may be luck."""
    runs = [
        make_run(tmp_path, "valid", tiles=1, accuracy=0.45),
        make_run(tmp_path, "lucky", tiles=1, accuracy=0.40),
        make_run(tmp_path, "six", tiles=6, accuracy=0.75),
    ]
    for run, test in zip(runs, (0.3, 0.6, 0.7), strict=True):
        summary = json.loads((run / "summary.json").read_text())
        (run / "summary.json").write_text(json.dumps(summary | {"test_accuracy": test}))
    page = write_report(runs, tmp_path / "r.html").read_text()
    assert "the best single tile 30.00 %" in page


@pytest.mark.parametrize(("seconds", "shown"), [
    (None, "–"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3661.0, "61 min 01 s"),
])  # fmt: skip
def test_times_are_rounded(seconds, shown):
    assert _clock(seconds) == shown


def test_lines_of_stages_stand_between_the_epochs(tmp_path):
    axis = learning_curves(read_runs([make_run(tmp_path, "r", tiles=3)])).axes[0]
    upright = [li.get_xdata() for li in axis.lines if len(set(li.get_xdata())) == 1]
    assert upright == [[1.5, 1.5], [2.5, 2.5]]


def test_histograms_are_shares_of_a_tile(tmp_path):
    run = read_runs([make_run(tmp_path, "r", tiles=2)])[0]
    run.tiles[-1]["layers"]["fc"]["counts"] = [[3] * 40, [0] * 38 + [1, 3]]
    flat, steep = (axis.patches[0].get_data() for axis in tile_histograms(run, run.tiles[-1]).axes)
    assert flat.values == pytest.approx([1 / 40] * 40)
    assert steep.values == pytest.approx([0] * 38 + [0.25, 0.75])


def test_the_sentence_tells_means_over_seeds(tmp_path):
    """Not the best seed: to pick that is to choose by luck."""
    runs = [
        make_run(tmp_path, f"{name}@{seed}", tiles=tiles, accuracy=accuracy + seed / 10, seed=seed)
        for name, tiles, accuracy in (("one", 1, 0.3), ("six", 6, 0.6))
        for seed in (0, 1)
    ]
    page = write_report(runs, tmp_path / "r.html").read_text()
    assert "reaches 64.00 % (mean of 2 seeds) test accuracy" in page
    assert "the best single tile 34.00 % (mean of 2 seeds)." in page


def test_settings_of_copies_stand_below_their_own_lines(tmp_path):
    runs = [make_run(tmp_path, name, tiles=2) for name in ("m", "other")]
    settings = runs[1] / "config.toml"
    settings.write_text(settings.read_text().replace('"x"', '"y"'))
    runs[1:1] = [shutil.copytree(runs[0], tmp_path / f"copy{k}") for k in range(2)]
    page = write_report(runs, tmp_path / "r.html").read_text()
    table = page.partition("<tr><th>setting</th>")[2].partition("</table>")[0]
    titles, (values,) = (
        re.findall(pattern, table) for pattern in ("<th>(.*?)</th>", "(<td>.*)</tr>")
    )
    assert [title.rpartition("&amp; ")[2] for title in titles] == [
        "(m) #1", "(m) #2", "(m) #3", "other &lt;b&gt;&amp;"
    ]  # fmt: skip
    assert re.findall("<td>(.*?)</td>", values) == ["algorithm.name", "x", "x", "x", "y"]
    curves = learning_curves(read_runs(runs)).legends[0].get_texts()
    assert [text.get_text()[-5:] for text in curves] == ["m) #1", "m) #2", "m) #3", " <b>&"]


def test_runs_on_other_data_are_not_compared(tmp_path):
    runs = [
        make_run(tmp_path, "a"),
        make_run(tmp_path, "b", tiles=1),
        make_run(tmp_path, "c", tiles=6),
    ]
    settings = runs[1] / "config.toml"
    settings.write_text(settings.read_text().replace("[data]", "[data]\nlimit = 100"))
    page = write_report(runs, tmp_path / "out.html").read_text()
    assert "Not comparable, for network or data differ" in page
    assert "training," not in page.partition("<table>")[0]  # sizes of one run would stand for all
    assert "reaches" not in page.partition("<table>")[0]


def test_dollars_in_labels_are_no_formula(tmp_path):
    run = make_run(tmp_path, "r", tiles=2)
    text = (run / "config.toml").read_text().replace("<b>&", "$x_{$ a")
    (run / "config.toml").write_text(text)
    page = write_report([run], tmp_path / "r.html").read_text()
    assert page.count(">r $x_{$ a</text>") == 2  # legends of the curves and of the pulses


def test_labels_with_an_underscore_first_are_in_the_legends(tmp_path):
    run = make_run(tmp_path, "_a_b", tiles=2)
    page = write_report([run], tmp_path / "r.html").read_text()
    assert page.count("_a_b &lt;b&gt;&amp;</text>") == 2


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("tiles", [0, 1, 6])
@pytest.mark.parametrize("epochs", [1, 4])
def test_single_runs_of_every_kind(tmp_path, finished, tiles, epochs):
    run = make_run(tmp_path, "r", tiles=tiles, epochs=epochs, finished=finished)
    page = write_report([run], tmp_path / "r.html").read_text()
    assert ("(unfinished)" in page) is not finished
    assert ("What the tiles hold" in page) is (tiles > 0)


def test_unfinished_run_without_an_epoch(tmp_path):
    run = make_run(tmp_path, "r", epochs=0, finished=False)
    row = table([run])[0]
    assert (row["status"], row["test_accuracy"], row["epochs"]) == ("unfinished", None, 0)
    write_report([run], tmp_path / "r.html")


def test_ten_runs(tmp_path):
    runs = [make_run(tmp_path, f"r{k}", tiles=k) for k in range(10)]
    assert len(table(runs)) == 10
    write_report(runs, tmp_path / "r.html")


def test_pulses_are_those_of_the_whole_run(tmp_path):
    assert table([make_run(tmp_path, "r", tiles=2, epochs=3)])[0]["pulses"] == 60


def test_the_same_records_give_the_same_pictures(tmp_path):
    run = make_run(tmp_path, "r", tiles=2)
    pages = [write_report([run], tmp_path / f"{k}.html").read_text() for k in range(2)]
    pictures = [re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL) for page in pages]
    assert pictures[0]
    assert pictures[0] == pictures[1]


def test_no_runs_and_damaged_records_are_named(tmp_path):
    with pytest.raises(ConfigError, match="at least one"):
        write_report([], tmp_path / "r.html")
    with pytest.raises(DataError, match=r"config\.toml"):
        table([tmp_path / "nothing"])
    run = make_run(tmp_path, "r")
    (run / "metrics.jsonl").write_text('{"kind": "epo')
    with pytest.raises(DataError, match=r"line 1 of .*metrics\.jsonl.*copy of the file.*--over"):
        table([run])
    (run / "summary.json").unlink()
    with pytest.raises(DataError, match=r"line 1 of .*metrics\.jsonl.*resume the run"):
        table([run])
    (run / "config.toml").write_text("data = 3")
    with pytest.raises(DataError, match=r"config\.toml is damaged: its 'data' is no table"):
        table([run])
