"""How fast files become features in another checkout of this project, and in this one.

    git worktree add ../before 7e12190
    python benchmarks/versions.py ../before [--rounds 5]

Each round is a fresh process of either checkout, in turn, that transforms the same files. "cached"
is with an empty store.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from measuring import Row, format_rows, name_processor, run_python
from throughput import KINDS, write_files

_LAYERS = ("block1_pool", "block3_pool", "block5_pool")

_JOB = """
import json, sys, tempfile, time
from pathlib import Path
folder, checkout, layer, features = sys.argv[1:]
sys.path.insert(0, checkout)
import sktransfer
from sktransfer import FeatureStore, VGGFeatureExtractor
assert Path(sktransfer.__file__).is_relative_to(checkout), sktransfer.__file__
paths = sorted(map(str, Path(folder).iterdir()))
extractor = VGGFeatureExtractor(
    layer, pooling="avg", weights=None, random_state=0, input_size=32, cache=None
).fit(paths[:16])
extractor.transform(paths)  # which builds the network
with tempfile.TemporaryDirectory() as kept:
    extractor.set_params(cache=FeatureStore(kept) if features == "cached" else None)
    start = time.perf_counter()
    extractor.transform(paths)
    print(json.dumps(time.perf_counter() - start))
"""


def measure(other: Path, n_images: int, n_rounds: int) -> list[Row]:
    """Return a row for each kind of files, layer and use of the store."""
    checkouts = {"other": other.resolve(), "this": Path(__file__).resolve().parents[1]}
    rows = []
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            write_files(kind, Path(folder), n_images)
            for layer in _LAYERS:
                for features in ("not cached", "cached"):
                    seconds: dict[str, list[float]] = {name: [] for name in checkouts}
                    for _ in range(n_rounds):
                        for name, path in checkouts.items():
                            seconds[name].append(run_python(_JOB, folder, path, layer, features))
                    before, now = np.array(seconds["other"]), np.array(seconds["this"])
                    rows.append(
                        {
                            "files": kind,
                            "layer": layer,
                            "features": features,
                            "before_images_per_s": n_images / float(np.median(before)),
                            "now_images_per_s": n_images / float(np.median(now)),
                            "x_before": float(np.median(before / now)),
                        }
                    )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", type=Path, help="a checkout of another version")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(name_processor())
    print(format_rows(measure(args.other, args.images, args.rounds)))


if __name__ == "__main__":
    main()
