"""Other ways of computing features of the same images, each a mistake that is often made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from sktransfer.engines import EngineConfig
from sktransfer.evaluation.diagnosis.evidence import Evidence
from sktransfer.evaluation.diagnosis.given import SIZES, outputs_of
from sktransfer.features.fitted import get_runner
from sktransfer.features.preprocessing import CHANNEL_MEANS_BGR, Resizing, centre, resize
from sktransfer.features.runner import Runner
from sktransfer.networks import DENSE_UNITS, Cut, plan_cut
from sktransfer.weights import Weights, hash_up_to

#: Images whose features are computed in other ways.
N_TRIED = 8

#: The cure of any mistake.
AGAIN = "features = extractor.fit_transform(X)"
_MEANS_RGB = np.array(CHANNEL_MEANS_BGR[::-1], dtype=np.float32)
_TORCH_MEANS = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_TORCH_DEVIATIONS = np.array([0.229, 0.224, 0.225], dtype=np.float32)


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


@dataclass(frozen=True)
class _Weights:
    """Weights in memory."""

    weights: Weights

    def load(self) -> Weights:
        """Return them."""
        return self.weights


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
        runner = get_runner(evidence.extractor)
        exact = EngineConfig(runner.config.engine)
        self.runner = replace(runner, config=exact, cache=None, verbose=0)

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

    # -- the mistakes

    def _flattenings(self) -> Iterator[Alternative]:
        """Reorder the columns of feature maps from channels last to channels first."""
        places, orders, start = [], [], 0
        cut = self.evidence.cut
        for (layer, pooling), width in zip(cut.outputs, cut.widths, strict=True):
            columns = np.arange(start, start + width)
            start += width
            if layer.kind == "flatten":
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
        torch = (rgb / 255 - _TORCH_MEANS) / _TORCH_DEVIATIONS
        ranges = {
            "preprocess_input was left out": rgb,
            "preprocess_input was left out, and the images are BGR": rgb[..., ::-1],
            "the means were subtracted, and the channels not turned to BGR": rgb - _MEANS_RGB,
            "values from 0 to 1 went into preprocess_input": centre(rgb / 255),
            "values from 0 to 1 went into the network, without preprocess_input": rgb / 255,
            "values were divided by 255 twice before preprocess_input": centre(rgb / 255**2),
            "values were divided by 255 after preprocess_input": centre(rgb) / 255,
            "values from -1 to 1 went into the network, as other networks want them": (
                rgb / 127.5 - 1
            ),
            "values were standardised as for torchvision": torch,
            "preprocess_input was called twice": centre(centre(rgb)),
            "black and white are exchanged": centre(255 - rgb),
        }
        black, white = self.evidence.value_range or (0.0, 255.0)
        if (black, white) not in ((0, 255), (0, 1)):
            raw = rgb / 255 * (white - black) + black
            span = f"values from {black:g} to {white:g}"
            ranges[f"{span} went into preprocess_input as they are"] = centre(raw)
            ranges[f"{span} went into the network, without preprocess_input"] = raw
        remedy = (
            "# preprocess_input needs RGB from 0 to 255, once; the extractor does all of it\n"
            f"{AGAIN}"
        )
        for what, inputs in ranges.items():
            yield Alternative("features-of-another-range", what, remedy, self._run(inputs))
        if np.ptp(rgb, axis=3).any():
            what = "red and blue are exchanged: OpenCV reads BGR, and preprocess_input needs RGB"
            remedy = f"# images = images[..., ::-1] before preprocess_input, or\n{AGAIN}"
            swapped = self._run(centre(rgb[..., ::-1]))
            yield Alternative("features-of-another-channel-order", what, remedy, swapped)

    def _resizings(self) -> Iterator[Alternative]:
        """Compute the features of images that were resized in other ways."""
        own = self.runner.resizing
        shapes = {array.shape[1:3] for array in self._arrays()}
        if shapes == {(own.size, own.size)}:
            return
        is_square = bool(shapes) and all(height == width for height, width in shapes)
        ways = product(
            [own.aspect] if is_square else ["stretch", "crop", "pad"],
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
                self._run(centre(self._load(other))),
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
        cut = self.evidence.cut
        outputs = [
            (layer, pooling)
            for layer, pooling in outputs_of(cut.n_features, cut.architecture, cut.input_size)
            if ((layer, pooling),) != cut.outputs and self._may_load(layer.name)
        ]
        names = {layer.name for layer, _ in cut.outputs}
        if names & {"flatten", "block5_pool"}:  # two names of the same values
            outputs = [each for each in outputs if each[0].name != "flatten"]
        outputs.sort(key=lambda each: each[0].name not in names)  # the same layer first
        found = self._compute_outputs(outputs)
        for (layer, pooling), features in found:
            how = "" if pooling is None else f" with pooling={pooling!r}"
            said = f"layer={layer.name!r}, pooling={pooling!r}"
            kind = "pooling" if layer.name in names else "layer"
            yield Alternative(
                f"features-of-another-{kind}",
                f"they are those of {layer.name}{how}",
                f"extractor.set_params({said})  # as the features are, or\n{AGAIN}",
                features,
            )

    def _may_load(self, layer: str) -> bool:
        """Tell whether a layer needs no other file, which would have to be downloaded."""
        own = {each.name for each in self.evidence.cut.layers}
        return layer not in DENSE_UNITS or bool(own & set(DENSE_UNITS))

    def _compute_outputs(self, outputs: list) -> Iterator[tuple[tuple, np.ndarray]]:
        """Compute outputs as deep as the weights reach."""
        cut = self.evidence.cut
        while outputs:
            layers, poolings = zip(*outputs, strict=True)
            planned = Cut(cut.architecture, layers, poolings, cut.input_size)
            runner = self._runner_of(planned)
            if runner is not None:
                rgb = self._load(self.runner.resizing)
                parts = np.split(
                    self._run(centre(rgb), runner), np.cumsum(planned.widths)[:-1], axis=1
                )
                yield from zip(outputs, parts, strict=True)
                return
            deepest = planned.trunk[-1]
            outputs = [each for each in outputs if each[0] != deepest]

    def _runner_of(self, cut: Cut) -> Runner | None:
        """Return what computes another cut; None where the weights end before it."""
        try:
            weights = self.evidence.load_weights(cut)
        except (OSError, ValueError):
            return None
        hashes = hash_up_to(cut, cut.layers, weights)
        resizing = replace(self.runner.resizing, size=cut.input_size)
        return replace(
            self.runner,
            cut=cut,
            resizing=resizing,
            weights=_Weights(weights),
            layer_sha256=hashes,
        )

    def _sizes(self) -> Iterator[Alternative]:
        """Compute the features of images of another size, where there are as many."""
        cut = self.evidence.cut
        sides = {side for array in self._arrays() for side in array.shape[1:3]}
        natural = [side for side in sides if SIZES[0] <= side <= SIZES[-1]]
        poolings = list(cut.poolings)
        names = [layer.name for layer in cut.layers]
        for size in sorted({*SIZES, *natural[:2]} - {cut.input_size}):
            if set(names) & set(DENSE_UNITS):
                return
            other = plan_cut(names, cut.architecture, poolings, size)
            if other.n_features != cut.n_features:
                continue
            runner = self._runner_of(other)
            assert runner is not None
            yield Alternative(
                "features-of-another-size",
                f"the images were resized to {size} pixels",
                f"extractor.set_params(input_size={size})  # as the features are, or\n{AGAIN}",
                self._run(centre(self._load(runner.resizing)), runner),
            )
