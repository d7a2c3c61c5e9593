"""The wheel and the sdist: what is in them, and that they work in an empty environment."""

import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import resitile

ROOT = Path(__file__).parents[2]

SMOKE = """
import sys, torch, resitile as rt
assert rt.__file__.startswith(sys.prefix), rt.__file__
images = rt.data.load("fashion-mnist-10k")
device = rt.devices.SoftBounds(states=4)
model = rt.convert(rt.models.LeNet5(), rt.algorithms.ResidualLearning(device, tiles=2), seed=0)
optimizer = rt.AnalogSGD(model.parameters(), lr=0.2)
before = {name: layer.tiles.clone() for name, layer in rt.nn.analog_layers(model).items()}
x = images.train_images[:8, None].float() / 255
torch.nn.functional.nll_loss(model(x), images.train_labels[:8]).backward()
optimizer.step()
moved = [n for n, layer in rt.nn.analog_layers(model).items() if (layer.tiles != before[n]).any()]
assert moved, "no device moved"
print("smoke test passed")
"""


def _run(*command, cwd):
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with the sdist, and the wheel that was built from that sdist."""
    out = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    return out


@pytest.fixture(scope="module")
def wheel(built):
    (found,) = built.glob("*.whl")
    return found


def test_wheel_is_pure_python_and_complete(wheel):
    assert wheel.name == f"resitile-{resitile.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for wanted in (
        "resitile/py.typed",
        "resitile/data/files/fashion_mnist_10k.npz",
        "resitile/data/files/LICENSE",
    ):
        assert wanted in names
    source = {str(p.relative_to(ROOT / "src")) for p in (ROOT / "src/resitile").rglob("*.py")}
    assert source == {name for name in names if name.endswith(".py")}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".so", ".nbi"))]


def test_requirements_are_lower_bounds_only(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = message_from_bytes(archive.read(path))
    wanted = [r for r in metadata.get_all("Requires-Dist") if "extra ==" not in r]
    assert any(r.startswith("torch>=") for r in wanted)
    assert [r for r in wanted if not re.fullmatch(r"[a-z0-9-]+>=[0-9.]+", r)] == []
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"


def test_sdist_holds_what_a_developer_needs(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for wanted in (
        "pyproject.toml",
        "constraints.txt",
        "Makefile",
        "README.md",
        "LICENSE",
        "tests/helpers.py",
        "scripts/make_fashion_mnist_10k.py",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith(("runs/", ".venv"))]


def test_wheel_works_in_an_empty_environment(wheel, tmp_path):
    """Installed without its dependencies, which are lent from this environment by path."""
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    _run(
        *(sys.executable, "-m", "pip", "--python", python, "install"),
        *("--no-deps", "--no-index", "--quiet", wheel),
        cwd=tmp_path,
    )
    site = _run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home)
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(site.strip()) / "lent.pth").write_text("\n".join(sorted(lent)) + "\n")
    version = _run(home / "bin" / "resitile", "--version", cwd=tmp_path)
    assert version.strip() == f"resitile {resitile.__version__}"
    assert "smoke test passed" in _run(python, "-c", SMOKE, cwd=tmp_path)


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == resitile.__version__
    assert f"version: {resitile.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_constraints_pin_torch_without_a_local_version():
    """So that the pin fits the CPU build and the CUDA build alike."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", pin) for pin in pins)
    assert sum(pin.startswith("torch==") for pin in pins) == 1
