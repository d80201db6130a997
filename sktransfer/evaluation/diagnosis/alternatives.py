"""Other ways of computing features of the same images, each a mistake that is often made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from sktransfer.evaluation.diagnosis.evidence import Evidence
from sktransfer.evaluation.diagnosis.given import SIZES
from sktransfer.features.preprocessing import Resizing, centre, resize
from sktransfer.features.runner import Runner
from sktransfer.networks.outputs import as_shape
from sktransfer.networks.pixels import CAFFE, TF, TORCH

#: Images whose features are computed in other ways.
N_TRIED = 8

#: The cure of any mistake.
AGAIN = "features = extractor.fit_transform(X)"
#: What other networks want, and their users give to this one.
_OTHERS = {
    TF: "values from -1 to 1 went into the network, as other networks expect them",
    TORCH: "values were standardised as for torchvision",
    CAFFE: "ImageNet's means were subtracted, and the channels turned to BGR, as VGG expects it",
}


@dataclass(frozen=True)
class Alternative:
    """Features that a mistake would have given.

    Attributes
    ----------
    name : str
        The finding.
    what : str
        What was done, in words.
    remedy : str
        The code that cures it.
    features : ndarray of shape (n_tried, n_features)
        What comes out.
    """

    name: str
    what: str
    remedy: str
    features: np.ndarray


class Alternatives:
    """What mistakes make of the first few of some images, in stages, the cheapest first.

    Parameters
    ----------
    evidence : Evidence
        What is diagnosed.
    positions : ndarray of shape (n_tried,)
        Which images of its sample are tried.
    """

    def __init__(self, evidence: Evidence, positions: np.ndarray) -> None:
        self.evidence = evidence
        self.positions = positions
        self.runner = replace(evidence.runner, cache=None)

    def stages(self) -> Iterator[list[Alternative]]:
        """Compute the features of each kind of mistake."""
        yield list(self._flattenings())
        yield list(self._values())
        yield list(self._resizings())
        yield list(self._layers())
        yield from ([each] for each in self._sizes())  # a large size only if no smaller one is it

    # -- what goes in

    def _load(self, resizing: Resizing) -> np.ndarray:
        """Load the images as RGB from 0 to 255, resized."""
        images = self.evidence.images.take(self.positions.tolist())
        groups = images.load(0, len(images), self.evidence.exact_range)
        values = [resize(pixels, resizing, own_range) for pixels, own_range in groups]
        # Grey images serve as three channels; files among them may be of either kind.
        return np.concatenate([np.broadcast_to(v, (*v.shape[:3], 3)) for v in values])

    def _run(self, inputs: np.ndarray, runner: Runner | None = None) -> np.ndarray:
        runner = runner or self.runner
        out = np.empty((len(inputs), runner.cut.n_features), dtype=np.float32)
        runner.run(np.ascontiguousarray(inputs, dtype=np.float32), out)
        return out

    def _scale(self, rgb: np.ndarray) -> np.ndarray:
        """Scale RGB from 0 to 255 as the network needs it."""
        return centre(rgb, self.runner.scaling)

    # -- the mistakes

    def _flattenings(self) -> Iterator[Alternative]:
        """Reorder the columns of feature maps from channels last to channels first."""
        places, orders, start = [], [], 0
        cut = self.evidence.cut
        for (layer, pooling), width in zip(cut.outputs, cut.widths, strict=True):
            columns = np.arange(start, start + width)
            start += width
            if layer.kind == "flatten":  # of VGG; of others, what it flattens is not known
                layer = cut.trunk[cut.trunk.index(layer) - 1]
            if pooling is None and len(layer.output_shape) == 3:
                columns = columns.reshape(layer.output_shape).transpose(2, 0, 1).ravel()
                places.append(layer.output_shape)
            orders.append(columns)
        order = np.concatenate(orders)
        if len(places) == 0 or (np.diff(order) == 1).all():
            return
        remedy = AGAIN
        if len(cut.outputs) == 1:
            height, width, channels = places[0]
            remedy = (
                f"maps = features.reshape(-1, {channels}, {height}, {width})\n"
                "features = maps.transpose(0, 2, 3, 1).reshape(len(maps), -1)"
            )
        features = self.evidence.features[self.positions][:, order]
        what = "the feature maps were flattened with their channels first (channel, row, column)"
        yield Alternative("features-of-another-flattening", what, remedy, features)

    def _values(self) -> Iterator[Alternative]:
        """Compute the features of other values of the pixels."""
        rgb = self._load(self.runner.resizing)
        scale, done = self._scale, self.evidence.anatomy.preprocessing
        ranges = {
            f"{done} was left out": rgb,
            f"{done} was left out, and the images are BGR": rgb[..., ::-1],
            f"values from 0 to 1 went into {done}": scale(rgb / 255),
            f"values from 0 to 1 went into the network, without {done}": rgb / 255,
            f"values were divided by 255 twice before {done}": scale(rgb / 255**2),
            f"values were divided by 255 after {done}": scale(rgb) / 255,
            f"{done} was called twice": scale(scale(rgb)),
            "black and white are exchanged": scale(255 - rgb),
        }
        if self.runner.scaling == CAFFE:
            means = "the means were subtracted, and the channels not turned to BGR"
            ranges[means] = scale(rgb)[..., ::-1]
        others = {each: what for each, what in _OTHERS.items() if each != self.runner.scaling}
        ranges |= {what: centre(rgb, each) for each, what in others.items()}
        black, white = self.evidence.value_range or (0.0, 255.0)
        if (black, white) not in ((0, 255), (0, 1)):
            raw = rgb / 255 * (white - black) + black
            span = f"values from {black:g} to {white:g}"
            ranges[f"{span} went into {done} as they are"] = scale(raw)
            ranges[f"{span} went into the network, without {done}"] = raw
        remedy = f"# {done} needs RGB from 0 to 255, once; the extractor does all of it\n{AGAIN}"
        for what, inputs in ranges.items():
            yield Alternative("features-of-another-range", what, remedy, self._run(inputs))
        if np.ptp(rgb, axis=3).any():
            what = f"red and blue are exchanged: OpenCV reads BGR, and {done} needs RGB"
            remedy = f"# images = images[..., ::-1] before {done}, or\n{AGAIN}"
            swapped = self._run(scale(rgb[..., ::-1]))
            yield Alternative("features-of-another-channel-order", what, remedy, swapped)

    def _resizings(self) -> Iterator[Alternative]:
        """Compute the features of images that were resized in other ways."""
        own = self.runner.resizing
        shapes = {array.shape[1:3] for array in self._arrays()}
        wanted = as_shape(own.size)
        is_whole = isinstance(own.aspect, str)  # a share keeps the middle of any image
        if is_whole and shapes == {wanted}:
            return
        # Images of the wanted shape are neither stretched nor cut nor filled up.
        is_alike = bool(shapes) and all(h * wanted[1] == w * wanted[0] for h, w in shapes)
        ways = product(
            [own.aspect] if is_whole and is_alike else ["stretch", "crop", "pad"],
            ["bilinear", "nearest", "bicubic", "lanczos3"],
            [False, True],
        )
        for aspect, interpolation, antialias in ways:
            if (interpolation == "nearest" and antialias) or (
                aspect != own.aspect and antialias != own.antialias
            ):
                continue
            other = Resizing(own.size, aspect, interpolation, antialias)
            if other == own:
                continue
            params = {"aspect": aspect, "interpolation": interpolation, "antialias": antialias}
            params = {key: value for key, value in params.items() if value != getattr(own, key)}
            said = ", ".join(f"{key}={value!r}" for key, value in params.items())
            yield Alternative(
                "features-of-another-resizing",
                f"the images were resized with {said}",
                f"extractor.set_params({said})  # as the features are, or\n{AGAIN}",
                self._run(self._scale(self._load(other))),
            )

    def _arrays(self) -> list[np.ndarray]:
        images = self.evidence.images
        arrays = list(images.arrays)
        if len(arrays) == 1 and arrays[0].ndim == 4:
            return arrays
        # Each image by itself; of files the size is not known.
        known = [array[None] for array in arrays]
        return known if len(known) == len(images) else [*known, np.empty((0, 0, 1, 1))]

    def _layers(self) -> Iterator[Alternative]:
        """Compute the features of all layers that give as many, in one pass."""
        anatomy = self.evidence.anatomy
        own = {layer.name for layer in anatomy.cut.layers}
        found = anatomy.recut(self.runner, anatomy.alternatives())
        if found is None:
            return
        runner, outputs = found
        rgb = self._load(self.runner.resizing)
        ends = np.cumsum(runner.cut.widths)[:-1]
        parts = np.split(self._run(self._scale(rgb), runner), ends, axis=1)
        for (layer, pooling), features in zip(outputs, parts, strict=True):
            how = "" if pooling is None else f" with pooling={pooling!r}"
            said = f"layer={layer.name!r}, pooling={pooling!r}"
            kind = "pooling" if layer.name in own else "layer"
            yield Alternative(
                f"features-of-another-{kind}",
                f"they are those of {layer.name}{how}",
                f"extractor.set_params({said})  # as the features are, or\n{AGAIN}",
                features,
            )

    def _sizes(self) -> Iterator[Alternative]:
        """Compute the features of images of another size, where there are as many."""
        anatomy = self.evidence.anatomy
        sides = {side for array in self._arrays() for side in array.shape[1:3]}
        natural = [side for side in sides if SIZES[0] <= side <= SIZES[-1]]
        for size in sorted({*SIZES, *natural[:2]} - {anatomy.cut.input_size}):
            runner = anatomy.resize(self.runner, size, anatomy.cut.n_features)
            if runner is None:
                continue
            yield Alternative(
                "features-of-another-size",
                f"the images were resized to {size} pixels",
                f"extractor.set_params(input_size={size})  # as the features are, or\n{AGAIN}",
                self._run(self._scale(self._load(runner.resizing)), runner),
            )
