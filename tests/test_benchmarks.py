"""The benchmarks run, and the docs show what they gave. Nothing here depends on time."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "docs" / "measured" / "benchmarks.json"


def _run(
    *args: str, script: str = "benchmarks", returncode: int = 0
) -> subprocess.CompletedProcess[str]:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", script, *args],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == returncode, run.stderr
    return run


def _check_page(name: str, script: str, measured: Path, tmp_path: Path) -> str:
    """Hold that a page shows what was measured, and return it."""
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    copy = tmp_path / name
    copy.write_text(page, encoding="utf-8")
    _run(str(measured), str(copy), script=script)
    assert copy.read_text(encoding="utf-8") == page
    return page


def test_docs_show_the_measured_tables(tmp_path: Path) -> None:
    page = _check_page("benchmarks.md", "benchmarks/tables.py", MEASURED, tmp_path)
    names = re.findall("<!-- ([a-z0-9-]+) -->", page)
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))["parts"]
    assert set(names) >= {"host", "ratios", *measured}


@pytest.mark.parametrize("name", ["article.md", "caching.md", "engines.md", "promises.md"])
def test_guides_show_the_measured_tables(name: str, tmp_path: Path) -> None:
    page = _check_page(name, "benchmarks/tables.py", MEASURED, tmp_path)
    assert re.search(r"<!-- [a-z0-9-]+ -->\n\n\| ", page)


@pytest.mark.parametrize("name", ["networks", "trained"])
def test_the_page_of_networks_shows_what_was_measured(name: str, tmp_path: Path) -> None:
    measured = ROOT / "docs" / "measured" / f"{name}.json"
    page = _check_page("choosing_network.md", "benchmarks/tables.py", measured, tmp_path)
    assert f"<!-- {name} -->" in page


def test_weights_stored_in_8_bits_are_read_back(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import nsfwjs
    finally:
        sys.path.pop(0)
    levels = [
        '{name:"a/kernel",shape:[2,1],dtype:"float32",quantization:{min:-.5,scale:.25,dtype:"uint8"}}',
        '{name:"b/bias",shape:[1],dtype:"float32",quantization:{min:2,scale:1e-1,dtype:"uint8"}}',
    ]
    manifest = f'[{{paths:["first","second"],weights:[{",".join(levels)}]}}]'
    (tmp_path / "model.min.js").write_text(f"a.exports={{x:!1,weightsManifest:{manifest}}}}}")
    for name, codes in (("first", b"\x00\x04"), ("second", b"\x0a")):
        code = f'function(){{a.exports="{base64.b64encode(codes).decode()}"}}'
        (tmp_path / f"{name}.min.js").write_text(code)
    weights = nsfwjs.read_weights(tmp_path)
    assert weights["a/kernel"].tolist() == [[-0.5], [0.5]]
    assert weights["b/bias"] == pytest.approx([3.0])


def test_the_page_of_the_packages_own_weights_shows_what_was_measured(tmp_path: Path) -> None:
    measured = ROOT / "docs" / "measured" / "synthetic.json"
    if not measured.exists():
        pytest.skip("not measured yet")
    page = _check_page("synthetic.md", "benchmarks/tables.py", measured, tmp_path)
    results = json.loads(measured.read_text(encoding="utf-8"))
    assert set(re.findall("<!-- ([a-z0-9-]+) -->", page)) == {"host", *results["parts"]}
    assert results["left_out"] == []
    # What is in the package is what was measured.
    with h5py.File(ROOT / "sktransfer" / "weights" / "vgg16_synthetic.h5", "r") as file:
        assert results["weights_sha256"] == {"synthetic": file.attrs["sha256"]}
    # A set on which these weights lose is named in words, too.
    lost = [row["set"] for row in results["parts"]["judged"]["rows"] if row["outcome"] == "lost"]
    assert re.findall(r"\*\*lose one, ([a-z ]+)\*\*", page) == lost


def test_the_page_of_fine_tuning_shows_what_was_measured(tmp_path: Path) -> None:
    measured = ROOT / "docs" / "measured" / "finetuning.json"
    page = _check_page("finetuning.md", "benchmarks/tables.py", measured, tmp_path)
    results = json.loads(measured.read_text(encoding="utf-8"))
    assert set(re.findall("<!-- ([a-z0-9-]+) -->", page)) == set(results["parts"])
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import finetuning_defaults
    finally:
        sys.path.pop(0)
    # The tables are of these runs, and each is of every way but the one that takes too long.
    assert finetuning_defaults.summarise(results["runs"]) == results["parts"]
    ways = [way for way in finetuning_defaults.WAYS if way not in finetuning_defaults.FIXED]
    rows = results["parts"]["tuning-accuracy"]["rows"]
    assert len({row["images"].partition(",")[0] for row in rows}) >= 6
    for row in rows:
        assert [way for way in ways if row[way] == "-"] in ([], ["Keras"])
    # No default is below the logistic regression by more than the error of so many test images.
    runs = results["runs"]
    cases = {name.split(" | ")[0] for name in runs}
    for case in cases:
        found = {
            way: [row for name, row in runs.items() if name.startswith(f"{case} | {way} |")]
            for way in ("logistic", "head", "block5")
        }
        for way in ("head", "block5"):
            gain = np.mean([row["accuracy"] for row in found[way]]) - np.mean(
                [row["accuracy"] for row in found["logistic"]]
            )
            tested = sum(row["tested"] for row in found[way])
            assert gain > -2 * np.sqrt(0.5 / tested), (case, way)


def test_the_evaluation_judges_by_its_rule(tmp_path: Path) -> None:
    """Four draws of two sets, made up: one won, one lost."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import synthetic
    finally:
        sys.path.pop(0)
    noise = np.array([1, -1, 2, -2]) / 100

    def scored(mean: float, sign: int = 1) -> dict[int, dict[str, np.ndarray]]:
        worse = {"block1_pool": mean - 0.2 + noise}
        return {k: worse | {"block2_pool": mean + sign * noise} for k in synthetic.LABELS}

    def by_network(own: float) -> dict[str, Any]:
        return {
            synthetic.RAW: {k: {"scaled": 0.7 + noise} for k in synthetic.LABELS},
            synthetic.RANDOM: scored(0.72),
            "own": scored(own, -1),
            synthetic.IMAGENET: scored(0.8),
        }

    scores = {"digits": by_network(0.80), synthetic.PHOTOGRAPHS[0]: by_network(0.66)}
    parts = synthetic.make_parts(scores, ["own"])
    assert [row["outcome"] for row in parts["judged"]["rows"]] == ["won", "lost"]
    first = parts["judged"]["rows"][0]
    # Differences 0.10 - 2 * noise: a standard error of 2 * 0.018257 / 2.
    assert first["3 labels, to raw"] == "+0.100 ± 0.018"
    assert first["10 labels, to random"] == "+0.080 ± 0.018"
    (verdict,) = parts["verdict"]["rows"]
    assert verdict == {
        "weights": "own",
        "sets": 2,
        "won": 1,
        "undecided": 0,
        "lost": 1,
        "ships": "no",
    }
    # From 0.72 to 0.80, 0.66 is three quarters of the way, in the wrong direction.
    (share,) = parts["photographs"]["rows"]
    assert (share["3 labels"], share["halfway"]) == ("-0.75", "no")
    best = parts["best"]["rows"][0]
    assert best["own"] == "0.800 ± 0.009 b2"


def test_a_set_is_added_to_a_file_of_the_same_draws(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import synthetic
    finally:
        sys.path.pop(0)
    whole = json.loads((ROOT / "docs" / "measured" / "synthetic.json").read_text(encoding="utf-8"))
    *others, last = whole["scores"]
    path = tmp_path / "some.json"
    path.write_text(
        json.dumps(whole | {"scores": {each: whole["scores"][each] for each in others}}),
        encoding="utf-8",
    )
    run = whole | {"scores": {last: whole["scores"][last]}, "measured": "later"}
    added = synthetic.add_to(path, run, [last])
    assert list(added["scores"]) == [last, *others]
    assert added["added"][last]["measured"] == "later"
    assert added["measured"] == whole["measured"]
    for name, part in whole["parts"].items():
        rows = added["parts"][name]["rows"]
        assert len(rows) == len(part["rows"])
        assert all(row in part["rows"] for row in rows)
    with pytest.raises(SystemExit, match=r"other values of 'draws'"):
        synthetic.add_to(path, run | {"draws": 1}, [last])


def test_all_ten_digits_are_a_set_where_the_file_has_them(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import probing_tasks
    finally:
        sys.path.pop(0)
    path = tmp_path / "mnist.npz"
    for digits, named in ((range(10), []), ((6, 8), ["MNIST, ten digits"])):
        y = np.repeat(np.array(digits, dtype=np.uint8), 3)
        np.savez(path, images=np.zeros((len(y), 28, 28), np.uint8), digit=y)
        tasks, missing = probing_tasks.make_tasks(path)
        names = [task.name for task in tasks]
        assert "MNIST, 6 against 8" in names
        assert ("MNIST, ten digits" in names) == (not named)
        found = [each.partition(":")[0] for each in missing if each.startswith("MNIST")]
        assert found == named


def test_the_page_about_scale_shows_what_follows_from_the_measured_rates(tmp_path: Path) -> None:
    _check_page("scale.md", "benchmarks/scale.py", MEASURED, tmp_path)


def test_the_simulated_cluster_is_limited_by_what_it_shares() -> None:
    """Each case can be computed by hand: one resource is asked for more than all others."""
    code = (
        "import json, scale\n"
        "base = dict(cores_per_host=4, n_hosts=1, compute_s=1, read_bytes=0, written_bytes=0,\n"
        "    task_s=0, images_per_task=2, store_bytes_per_s=1, link_bytes_per_s=1)\n"
        "def rate(n, **changes):\n"
        "    return scale.simulate(scale.Cluster(n, **base | changes), 50)\n"
        "print(json.dumps([rate(2), rate(8), rate(8, task_s=4), rate(4, read_bytes=3),\n"
        "    rate(8, n_hosts=2), rate(4, read_bytes=1, written_bytes=1, store_bytes_per_s=1e9)]))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "benchmarks",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    two, eight, scheduled, stored, hosts, linked = json.loads(run.stdout or run.stderr)
    assert two == [pytest.approx(2), {"scheduler": 0, "store": 0, "link": 0, "cores": 0.5}]
    assert eight[0] == pytest.approx(4)  # cores
    assert scheduled[0] == pytest.approx(0.5, rel=0.05)  # a task of two images every 4 s
    assert stored[0] == pytest.approx(1 / 3, rel=0.05)
    assert hosts[0] == pytest.approx(8)
    assert linked[0] == pytest.approx(0.5, rel=0.05)  # each way


_VERSIONS = """
import json, sys
from pathlib import Path
import throughput, versions
versions.KINDS, versions._LAYERS = throughput.KINDS[:1], ("block1_pool",)
rows = versions.measure(Path(sys.argv[1]), n_images=20, n_rounds=1)
print(json.dumps(rows))
"""


def test_versions_are_measured_side_by_side(tmp_path: Path) -> None:
    """The other version is a copy of this one."""
    other = tmp_path / "other"
    shutil.copytree(ROOT / "sktransfer", other / "sktransfer")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _VERSIONS, str(other)],
        cwd=ROOT / "benchmarks",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    rows = json.loads(run.stdout)
    assert [row["features"] for row in rows] == ["not cached", "cached"]
    assert all(row["before_images_per_s"] > 0 and row["x_before"] > 0 for row in rows)


def test_earlier_results_are_shown_again() -> None:
    shown = _run("--show", str(MEASURED)).stdout
    assert "== engines-224: Measure VGG16 up to flatten" in shown
    assert "224 px, int8, best engine x Keras predict" in shown


def test_nothing_in_the_measured_file_came_from_a_quick_run() -> None:
    parts = json.loads(MEASURED.read_text(encoding="utf-8"))["parts"]
    assert not any(part["quick"] for part in parts.values())


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux tells it")
def test_parts_run_and_are_added_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    _run("--quick", "reading", "--json", str(file))
    run = _run(
        "--quick", "savings", "growth", "article", "accelerator", "throughput", "--json", str(file)
    )
    assert "== article: left out, as it needs --data and --weights" in run.stdout
    results = json.loads(file.read_text(encoding="utf-8"))
    assert results["host"]["cores"] >= 1
    assert sorted(results["parts"]) == ["accelerator", "growth", "reading", "savings", "throughput"]
    for part in results["parts"].values():
        assert part["rows"]
        assert all(row.keys() == part["rows"][0].keys() for row in part["rows"])
    grown = results["parts"]["growth"]["rows"]
    assert [row["images"] for row in grown] == [100, 1000]
    on_devices = results["parts"]["accelerator"]["rows"]
    assert all(row["device"] and row["matrix_teraflops"] > 0 for row in on_devices)
    (grey, padding, border) = results["parts"]["savings"]["rows"]
    assert 0 < grey["of_all_multiply_adds"] < padding["of_all_multiply_adds"] < 0.05
    assert 0 <= border["of_all_multiply_adds"] < 1


def test_results_of_another_host_are_not_mixed(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text(json.dumps({"format": 1, "host": {"cores": 1000}, "parts": {}}))
    run = _run("savings", "--json", str(file), returncode=1)
    assert "holds results of another host or of other versions (" in run.stderr


def test_an_unknown_part() -> None:
    assert "no such part: speed; there are engines-224" in _run("speed", returncode=2).stderr


_AGREEMENT = """
import json, sys, tempfile
from pathlib import Path
import numpy as np
sys.path.insert(0, "benchmarks")
import keras_scripts
rng = np.random.default_rng(0)
X, y = rng.integers(0, 256, (80, 28, 28), dtype=np.uint8), rng.permutation(np.arange(80) % 2)
own = {image.tobytes(): label for image, label in zip(X, y)}
frame = keras_scripts.make_frame(X, y)
found = {}
with tempfile.TemporaryDirectory() as folder:
    keras_scripts.save_files(frame, Path(folder))
    for name, script in (keras_scripts.IN_STEP | keras_scripts.OUT_OF_STEP).items():
        rows, labels = script(frame, Path(folder))
        images = np.round(rows).astype(np.uint8)
        pairs = [own.get(image.tobytes()) == label for image, label in zip(images, labels)]
        found[name] = [len(rows), float(np.mean(pairs)), len(np.unique(images, axis=0))]
print(json.dumps([found, list(keras_scripts.OUT_OF_STEP)]))
"""


def test_everyday_scripts_keep_labels_in_step_or_do_not() -> None:
    """Run each against Keras, and look whether its labels are those of the rows that came out."""
    pytest.importorskip("tensorflow")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _AGREEMENT],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found, out_of_step = json.loads(run.stdout.splitlines()[-1])
    for name, (n_rows, agreement, n_different) in found.items():
        if name == "the same, folders called six and eight":
            assert (n_rows, agreement) == (80, 0), name  # both labels exchanged
        elif name not in out_of_step:
            assert (n_rows, agreement, n_different) == (80, 1, 80), name
        elif not name.startswith(("batches in threads", "files as os.listdir")):
            # Those two are out of step only where threads and file system have it so.
            assert agreement < 0.9 or n_different == 1, name
