"""Your own weights: VGG16 trained on images that a formula draws."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral

from joblib import effective_n_jobs

from sktransfer.base import Interval, validate_parameter_constraints
from sktransfer.networks.frameworks import claim
from sktransfer.training.pretraining.network import folded_weights, head_arrays
from sktransfer.training.pretraining.recipe import WHO, check_out, plan_recipe
from sktransfer.training.pretraining.result import Pretraining, find_result, write_result
from sktransfer.training.pretraining.storage import MAX_BITS, round_weights
from sktransfer.training.pretraining.stream import Formula, workers
from sktransfer.training.pretraining.training import (
    PretrainingCheckpoint,
    draw_held_out,
    measure_plain,
    train,
)


def pretrain(
    out: str | os.PathLike,
    *,
    formula: Formula | None = None,
    n_classes: int | None = None,
    n_images: int = 500_000,
    sizes: int | Sequence[int] = 32,
    batch_size: int = 64,
    learning_rate: float = 0.1,
    weight_decay: float = 5e-3,
    precision: str = "float32",
    weight_bits: int | None = None,
    n_jobs: int | None = None,
    random_state: int = 0,
    verbose: int = 0,
) -> Pretraining:
    """Train VGG16 on images that a formula draws, and write its weights to a file.

    The network learns to classify the formula's images, and so do its second to fourth block
    by their own heads. No image is seen twice, so there is nothing to overfit. It is
    trained with BatchNorm, which is then folded into the convolutions:
    the file holds a plain VGG16 without dense layers, in the layout of Keras' own files.

    After an interruption, the same call continues where it stopped; a finished file is read and
    not trained again. On a CPU an interrupted run ends with the same bits as any other.

    Parameters
    ----------
    out : path-like
        The weights file, whose name ends with ``.h5``. The checkpoint is next to it until all is
        done.
    formula : callable or None, default=None
        ``formula(label, rng, size)`` draws one image of a class as a uint8 array of shape `(size,
        size, 3)`, red before green before blue. `label` counts from 0, and everything random comes
        from `rng`, a :class:`numpy.random.Generator`. None takes the package's own formulas.
    n_classes : int or None, default=None
        How many labels there are. None takes the formula's attribute `n_classes`.
    n_images : int, default=500_000
        How many images to train on, rounded up to whole batches.
    sizes : int or sequence of int, default=32
        Sides of the images, in pixels: 32 and up. Each batch has one of them, drawn at random; one
        that is named twice comes up twice as often. The size of most images is recorded as the
        network's own (`input_size='auto'` of :class:`VGGFeatureExtractor`).
    batch_size : int, default=64
        Images per step.
    learning_rate : float, default=0.1
        The highest learning rate of SGD with Nesterov's momentum. It rises over the first 200
        steps, and falls to 0 along a cosine.
    weight_decay : float, default=5e-3
        Share that kernels lose per step, times the learning rate.
    precision : {'float32', 'bfloat16'}, default='float32'
        What convolutions compute in; bfloat16 is faster where the processor has it. Weights and
        statistics are float32.
    weight_bits : int or None, default=None
        Bits to which kernels are rounded before they are written, 2 to 24, each output channel on
        a scale of its own; fewer bits make a smaller file. None rounds nothing.
    n_jobs : int or None, default=None
        Processes that draw images ahead of the training; None and 1 draw them in a thread of this
        process, -1 uses all processors. The images are the same.
    random_state : int, default=0
        Seed of weights and images.
    verbose : int, default=0
        Above 0, a progress bar with images per second, loss, and time left.

    Returns
    -------
    Pretraining
        The file, its accuracy, and how training went.

    Raises
    ------
    ValueError, TypeError
        If a parameter is wrong, the formula gives something else than images, an unfinished run
        beside `out` is another, or the loss is not a finite number.
    OSError
        If `out` cannot be written, exists with another recipe, or the checkpoint is damaged.

    See Also
    --------
    VGGFeatureExtractor : Computes features with the file: ``weights=out``.

    References
    ----------
    H. Kataoka et al., "Pre-training without Natural Images", Asian Conference on Computer Vision,
    2020, https://arxiv.org/abs/2101.08515. C.-Y. Lee et al., "Deeply-Supervised Nets", 2015,
    https://arxiv.org/abs/1409.5185. S. Ioffe, C. Szegedy, "Batch Normalization", 2015,
    https://arxiv.org/abs/1502.03167.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import VGGFeatureExtractor, pretrain
    >>> def stripes(label, rng, size):
    ...     wave = np.sin(np.arange(size) * (0.5 + label) + rng.uniform(0, 7))
    ...     grey = np.rint(127.5 + 127.5 * wave).astype(np.uint8)
    ...     return np.broadcast_to(grey[:, None, None], (size, size, 3))
    >>> done = pretrain("stripes.h5", formula=stripes, n_classes=3)  # doctest: +SKIP
    >>> extractor = VGGFeatureExtractor("block3_pool", weights="stripes.h5")
    """
    path = check_out(out)
    recipe = plan_recipe(
        formula,
        n_classes,
        n_images,
        sizes,
        batch_size,
        learning_rate,
        weight_decay,
        precision,
        random_state,
    )
    validate_parameter_constraints(
        {
            "weight_bits": [Interval(Integral, 2, MAX_BITS, closed="both"), None],
            "n_jobs": [Integral, None],
            "verbose": ["verbose"],
        },
        {"weight_bits": weight_bits, "n_jobs": n_jobs, "verbose": verbose},
        caller_name=WHO,
    )
    bits = None if weight_bits is None else int(weight_bits)
    identity = recipe.describe()
    finished = find_result(path, identity | {"weight_bits": bits})
    if finished:
        return finished
    claim("keras")
    checkpoint = PretrainingCheckpoint(path.with_name(f"{path.name}.checkpoint.npz"), identity)
    n_workers = 1 if n_jobs is None else effective_n_jobs(n_jobs)
    with workers(n_workers) as executor:
        held_out = draw_held_out(recipe, executor, n_workers)
        model, history = train(recipe, held_out, checkpoint, executor, n_workers, verbose)
    weights = round_weights(folded_weights(model), bits)
    result = write_result(
        path,
        weights,
        identity | {"weight_bits": bits},
        recipe.input_size,
        measure_plain(weights, head_arrays(model), held_out),
        history,
    )
    checkpoint.remove()
    return result
