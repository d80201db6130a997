"""
A million files, small
======================

Features of more images than fit into memory are written to a file. A run that was killed continues.
"""

# %%
# Here 300 files stand for the million.
import tempfile
from pathlib import Path

from PIL import Image

from sktransfer import VGGFeatureExtractor, extract, make_formula_images

data = make_formula_images(300, n_classes=6, size=48, random_state=0)
folder = tempfile.TemporaryDirectory()
files = Path(folder.name, "images")
for i, (image, label) in enumerate(zip(data.images, data.target, strict=True)):
    path = files / f"class{label}" / f"{i:03}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)

# %%
# One of the files is damaged, which stops the first run in the middle.
damaged = files / "class4" / sorted(path.name for path in (files / "class4").iterdir())[0]
content = damaged.read_bytes()
damaged.write_bytes(content[: len(content) // 2])

vgg = VGGFeatureExtractor("block3_pool", weights="synthetic", pooling="avg", input_size=48)
out = Path(folder.name, "features.npy")
try:
    extract(files, out, extractor=vgg)
except OSError as error:
    print(str(error).replace(folder.name, "...")[:300])

# %%
# The file is repaired, and the same call continues where it stopped. The result is the same, byte
# for byte, as that of a run without interruption. (``on_error="skip"`` would have left it out.)
damaged.write_bytes(content)
done = extract(files, out, extractor=vgg)
print(f"{done.n_rows} rows in {out.name}, {out.stat().st_size / 2**20:.1f} MiB")

# %%
# The output is read in place, so that it need not fit into memory either.
import numpy as np
from sklearn.decomposition import IncrementalPCA

rows = np.load(out, mmap_mode="r")
plane = IncrementalPCA(2, batch_size=50).fit_transform(rows)

# %%
import matplotlib.pyplot as plt

labels = [path.parent.name for path in sorted(files.rglob("*.png"))]
fig, ax = plt.subplots(figsize=(5, 4), layout="constrained")
for name in sorted(set(labels)):
    chosen = np.array(labels) == name
    ax.scatter(*plane[chosen].T, s=12, label=name)
ax.legend(fontsize=8)
ax.set_xlabel("first component")
ax.set_ylabel("second component")
folder.cleanup()
