"""Everyday ways of writing the article's script, each run against Keras as it is.

Each takes Kaggle's table as a frame (`label` is 1 for 8 and 0 for 6, then the pixels) and a folder
with the same images as files, and returns the images in the order in which Keras' `predict` gave
their rows, and the labels that the script puts beside them. `predict` runs a network that only
flattens, so that the order is Keras' own and no hours pass; the features of VGG16 are then those of
the images that came out.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 28
# Rows of predict, and what is taken for their labels.
Found = tuple[np.ndarray, np.ndarray]


def make_frame(X: np.ndarray, y: np.ndarray) -> Any:
    """Return the rows of a table of five times as many, in which the other digits are left out."""
    import pandas as pd

    rows = np.sort(np.random.default_rng(0).choice(5 * len(X), len(X), replace=False))
    frame = pd.DataFrame(X.reshape(len(X), -1), index=rows).add_prefix("pixel")
    frame.insert(0, "label", y)
    return frame


def save_files(frame: Any, folder: Path) -> None:
    """Save each image under its row's number: in class folders, in named ones, and all in one."""
    names = {0: ("classes/6", "named/six", "all"), 1: ("classes/8", "named/eight", "all")}
    for row, label, pixels in zip(frame.index, frame.label, _pixels(frame), strict=True):
        for name in names[label]:
            path = folder / name / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)


def _pixels(frame: Any) -> np.ndarray:
    return frame.drop(columns="label").to_numpy().reshape(-1, SIDE, SIDE)


@lru_cache(1)
def _model() -> Any:
    import keras

    return keras.Sequential([keras.Input((SIDE, SIDE, 1)), keras.layers.Flatten()])


def _predict(data: Any) -> np.ndarray:
    return _model().predict(data, batch_size=None, verbose=0)


def _flow(folder: Path, **params: Any) -> Any:
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    return ImageDataGenerator().flow_from_directory(
        folder, target_size=(SIDE, SIDE), color_mode="grayscale", class_mode=None, **params
    )


def _dataset(folder: Path, **params: Any) -> Any:
    from keras.utils import image_dataset_from_directory

    return image_dataset_from_directory(
        folder, image_size=(SIDE, SIDE), color_mode="grayscale", verbose=False, **params
    )


# -- in step


def arrays(frame: Any, folder: Path) -> Found:
    """Run predict on an array."""
    return _model().predict(_pixels(frame)[..., None], verbose=0), frame.label.to_numpy()


def flow_in_order(frame: Any, folder: Path) -> Found:
    """Let a generator read folders in order."""
    flow = _flow(folder / "classes", shuffle=False)
    return _predict(flow), flow.classes


def flow_of_named_folders(frame: Any, folder: Path) -> Found:
    """Do so where the alphabet puts eight before six: both labels are exchanged."""
    flow = _flow(folder / "named", shuffle=False)
    return _predict(flow), flow.classes


def dataset_in_order(frame: Any, folder: Path) -> Found:
    """Read labels in a second pass over a dataset that does not shuffle."""
    data = _dataset(folder / "classes", shuffle=False)
    return _predict(data), np.concatenate([labels for _, labels in data])


def threads_in_order(frame: Any, folder: Path) -> Found:
    """Run batches in threads, and take them as `map` gives them."""
    model, batches = _model(), np.array_split(_pixels(frame)[..., None], 60)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(model.predict_on_batch, batches))
    return np.concatenate(rows), frame.label.to_numpy()


# -- out of step


def flow_shuffled(frame: Any, folder: Path) -> Found:
    """Let a generator shuffle, as it does by default, and take `classes`, which it does not."""
    flow = _flow(folder / "classes", seed=0)
    return _predict(flow), flow.classes


def flow_of_arrays(frame: Any, folder: Path) -> Found:
    """Do so with arrays, beside the labels of the table."""
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    flow = ImageDataGenerator().flow(_pixels(frame)[..., None], seed=0)
    return _predict(flow), frame.label.to_numpy()


def folders_beside_table(frame: Any, folder: Path) -> Found:
    """Read class by class what the table has mixed."""
    return _predict(_flow(folder / "classes", shuffle=False)), frame.label.to_numpy()


def names_beside_table(frame: Any, folder: Path) -> Found:
    """Read 10.png before 2.png, as the alphabet has it, and the labels by number."""
    data = _dataset(folder / "all", labels=frame.label.tolist(), shuffle=False)
    rows = np.concatenate([np.asarray(images).reshape(len(images), -1) for images, _ in data])
    return rows, np.concatenate([labels for _, labels in data])


def listing_beside_table(frame: Any, folder: Path) -> Found:
    """Read files as the file system lists them."""
    names = os.listdir(folder / "all")  # noqa: PTH208 - as such scripts do
    images = [np.asarray(Image.open(folder / "all" / name)) for name in names]
    return _model().predict(np.array(images)[..., None], verbose=0), frame.label.to_numpy()


def dataset_in_two_passes(frame: Any, folder: Path) -> Found:
    """Take features in one pass and labels in another: the dataset shuffles before each."""
    data = _dataset(folder / "classes", seed=0)
    return _predict(data), np.concatenate([labels for _, labels in data])


def threads_as_completed(frame: Any, folder: Path) -> Found:
    """Run batches in threads, and take them as they come."""
    model, batches = _model(), np.array_split(_pixels(frame)[..., None], 60)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(model.predict_on_batch, batch) for batch in batches]
        rows = [future.result() for future in as_completed(futures)]
    return np.concatenate(rows), frame.label.to_numpy()


def index_not_reset(frame: Any, folder: Path) -> Found:
    """Put labels with the numbers of the whole table beside rows that are numbered anew."""
    import pandas as pd

    rows, _ = arrays(frame, folder)
    table = pd.DataFrame(rows)
    table["label"] = frame.label
    table = table.dropna()
    return table.drop(columns="label").to_numpy(), table.label.to_numpy(int)


def shuffled_frame(frame: Any, folder: Path) -> Found:
    """Do the same after `sample(frac=1)`, where every row finds some label."""
    import pandas as pd

    shuffled = frame.reset_index(drop=True).sample(frac=1, random_state=0)
    table = pd.DataFrame(arrays(shuffled, folder)[0])
    table["label"] = shuffled.label
    return table.drop(columns="label").to_numpy(), table.label.to_numpy()


def shuffled_apart(frame: Any, folder: Path) -> Found:
    """Shuffle images and labels, each by itself."""
    rng = np.random.default_rng(0)
    pixels, labels = _pixels(frame).copy(), frame.label.to_numpy().copy()
    rng.shuffle(pixels)
    rng.shuffle(labels)
    return _model().predict(pixels[..., None], verbose=0), labels


# -- images that say nothing


def one_buffer(frame: Any, folder: Path) -> Found:
    """Append the same array again and again: all of them hold the last image."""
    image, images = np.empty((SIDE, SIDE), np.uint8), []
    for pixels in _pixels(frame):
        image[:] = pixels
        images.append(image)
    return _model().predict(np.array(images)[..., None], verbose=0), frame.label.to_numpy()


def bytes_of_fractions(frame: Any, folder: Path) -> Found:
    """Divide by 255 twice, and make bytes of it: all images are black."""
    images = (_pixels(frame) / 255 / 255).astype(np.uint8)
    return _model().predict(images[..., None], verbose=0), frame.label.to_numpy()


IN_STEP: dict[str, Callable[[Any, Path], Found]] = {
    "predict(X), y": arrays,
    "flow_from_directory(shuffle=False), its classes": flow_in_order,
    "the same, folders called six and eight": flow_of_named_folders,
    "image_dataset_from_directory(shuffle=False), two passes": dataset_in_order,
    "batches in threads, by map": threads_in_order,
}
OUT_OF_STEP: dict[str, Callable[[Any, Path], Found]] = {
    "flow_from_directory(), its classes": flow_shuffled,
    "ImageDataGenerator().flow(X), y": flow_of_arrays,
    "flow_from_directory(shuffle=False), the CSV's labels": folders_beside_table,
    "files 0.png to 9999.png by name, the CSV's labels": names_beside_table,
    "files as os.listdir gives them, the CSV's labels": listing_beside_table,
    "image_dataset_from_directory(), two passes": dataset_in_two_passes,
    "batches in threads, by as_completed": threads_as_completed,
    "features['label'] = frame.label, index not reset": index_not_reset,
    "the same after frame.sample(frac=1)": shuffled_frame,
    "X and y shuffled, each by itself": shuffled_apart,
    "one buffer appended again and again": one_buffer,
    "(X / 255 / 255).astype(np.uint8)": bytes_of_fractions,
}
