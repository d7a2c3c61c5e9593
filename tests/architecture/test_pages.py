"""Pages that say what the code says: made from it, or run."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

from resitile.experiments.config import load
from resitile.experiments.search import Dimension
from resitile.experiments.sweep import Axis

ROOT = Path(__file__).parents[2]


def blocks(page, language):
    """The pieces of code of a page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def test_the_tables_of_the_configuration_are_those_of_the_code():
    script = runpy.run_path(str(ROOT / "scripts" / "make_configuration_page.py"))
    made = script["page"](all_classes=False)
    assert made == script["PAGE"].read_text(encoding="utf-8"), (
        "docs/configuration.md is not what the models say: python "
        "scripts/make_configuration_page.py writes it anew"
    )
    for words in (
        "| `limit` | whole number | absent | at least 2 |",
        "`cascaded_residual_learning`:",
    ):
        assert words in made


def test_every_key_of_a_sweep_and_a_search_is_on_the_page():
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for head, model in (("sweep", Axis), ("search", Dimension)):
        (section,) = re.findall(rf"^## `\[{head}\]`.*?(?=^## |\Z)", text, re.M | re.S)
        first = re.findall(r"^\| (`.*?) \|", section, re.M)
        assert set(re.findall(r"`(\w+)`", " ".join(first))) == set(model.model_fields)


def test_the_tables_of_results_are_those_of_their_records():
    gates = runpy.run_path(str(ROOT / "scripts" / "collect_gates.py"))
    text = gates["PAGE"].read_text(encoding="utf-8")
    assert gates["page"](text) == text, "python scripts/collect_gates.py writes them anew"
    assert "| (3, 3, 3) | 3 | 0.1 |" in text
    table1 = runpy.run_path(str(ROOT / "scripts" / "collect_table1.py"))
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    written = text.split(table1["BEGIN"])[1].split(table1["END"])[0].strip()
    assert table1["block"]() == written, "python scripts/collect_table1.py writes it anew"
    assert "| Cascaded MT-RL, 16 tiles |" in written


def test_the_example_of_a_configuration_is_one(tmp_path):
    (text,) = blocks("configuration.md", "toml")
    (tmp_path / "example.toml").write_text(text)
    assert load(tmp_path / "example.toml").rule().count == 6


def test_an_algorithm_of_your_own_resumes_as_its_page_says(tmp_path):
    code, check = blocks("algorithms.md", "python")
    (tmp_path / "selective.py").write_text(code)
    (tmp_path / "check.py").write_text(check)
    (tmp_path / "run.toml").write_text(*blocks("algorithms.md", "toml"))
    run = "from resitile.experiments.config import load; from pathlib import Path; "
    run += "assert load(Path('run.toml')).rule().threshold == 0.2; import check"
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
