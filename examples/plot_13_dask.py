"""
Dask: lazy features
===================

A Dask array of images gives a Dask array of features, computed block by block, here or on a
cluster.
"""

# %%
# The blocks are made when they are needed, and never all at once.
import dask.array as da
import numpy as np
from dask import delayed

from sktransfer import FormulaImages, VGGFeatureExtractor

formula = FormulaImages(n_classes=4)


def draw(start: int) -> np.ndarray:
    """Draw the 50 images of a block."""
    rngs = [np.random.default_rng(i) for i in range(start, start + 50)]
    return np.stack([formula(i % 4, rng, 48) for i, rng in enumerate(rngs)])


blocks = [
    da.from_delayed(delayed(draw)(start), (50, 48, 48, 3), np.uint8) for start in range(0, 400, 50)
]
images = da.concatenate(blocks)
vgg = VGGFeatureExtractor("block3_pool", weights="synthetic", pooling="avg", input_size=48)
features = vgg.fit(images).transform(images)
features

# %%
# Nothing was computed so far. This computes it:
from dask.diagnostics import Profiler

with Profiler() as profiler:
    rows = features.compute(scheduler="threads", num_workers=2)
print(rows.shape)

# %%
# When each block was drawn and computed:
import matplotlib.pyplot as plt

start = min(task.start_time for task in profiler.results)
fig, ax = plt.subplots(figsize=(7, 2), layout="constrained")
workers = sorted({task.worker_id for task in profiler.results})
for task in profiler.results:
    ax.barh(
        workers.index(task.worker_id),
        task.end_time - task.start_time,
        left=task.start_time - start,
        edgecolor="white",
        color="#0072B2",
    )
ax.set_yticks(range(len(workers)), [f"thread {i}" for i in range(1, len(workers) + 1)])
ax.set_xlabel("seconds")
