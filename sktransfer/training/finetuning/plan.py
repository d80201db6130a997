"""The plan of one call of fit, decided before anything is computed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sktransfer.networks import AnyCut, Cut, Layer
from sktransfer.training.finetuning.configuration import identify

if TYPE_CHECKING:
    from sktransfer.training.finetuning.trunk import Trunk


@dataclass(frozen=True)
class Phase:
    """Some epochs with one choice of what is trained.

    Attributes
    ----------
    name : {'probe', 'head', 'trial', 'blocks'}
        What is done: the head is fitted by scikit-learn, or trained; learning rates are tried;
        unfrozen layers are trained with the head.
    trained : tuple of str
        Names of the layers of the trunk that are trained.
    is_on_features : bool
        Whether its rows are the features, computed once, so that only the head runs.
    epochs : int
        How many rows it adds to the history, at most.
    """

    name: str
    trained: tuple[str, ...]
    is_on_features: bool
    epochs: int


@dataclass(frozen=True)
class Plan:
    """The plan of what is trained, on what, and how.

    Attributes
    ----------
    trunk : Trunk
        The network, up to the features.
    below : Cut, NetworkCut or None
        What is computed once and kept; None where training starts from images.
    phases : tuple of Phase
        What is done, one after the other.
    optimizer : dict
        A Keras optimizer, serialized.
    trunk_learning_rate : float, dict, 'auto' or None
        Its learning rate in the trunk; None for that of the head.
    augmentation : list of dict
        Keras preprocessing layers, serialized.
    hidden : tuple of int
        Widths of the head's hidden layers.
    n_outputs : int
        Width of the output.
    batch_size : int
        Rows per step, at most.
    patience : int or None
        Epochs without gain after which a phase ends; None for all epochs.
    head_seed, order_seed, augmentation_seed, split_seed : int
        Seeds of the head's weights, the order of rows, changes of images, and rows held out to
        choose a penalty or a learning rate.
    """

    trunk: Trunk
    below: AnyCut | None
    phases: tuple[Phase, ...]
    optimizer: dict[str, Any]
    trunk_learning_rate: float | dict[str, Any] | str | None
    augmentation: list[dict[str, Any]]
    hidden: tuple[int, ...]
    n_outputs: int
    batch_size: int
    patience: int | None
    head_seed: int
    order_seed: int
    augmentation_seed: int
    split_seed: int

    @property
    def is_on_features(self) -> bool:
        """Whether the rows are the features themselves, on which only the head stands."""
        return self.below == self.trunk.cut

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of the layers of the trunk that any phase trains."""
        return self.phases[-1].trained

    def name_optimizers(self, phase: Phase) -> list[str]:
        """Name the optimizers of head and trunk by all that tells them from others."""
        parts: list[list[Any]] = [["head", self.optimizer]]
        if phase.trained:
            parts.append(["trunk", self.optimizer, self.trunk_learning_rate, phase.trained])
        return [json.dumps(identify(part), sort_keys=True, default=float) for part in parts]


def plan_phases(
    trained: tuple[str, ...],
    *,
    is_augmented: bool,
    is_probed: bool,
    head_epochs: int,
    n_tried: int,
    epochs: int,
) -> tuple[Phase, ...]:
    """Plan to bring the head alone to where it is good first, where there is anything else.

    Parameters
    ----------
    trained : tuple of str
        Names of the layers of the trunk that are trained.
    is_augmented : bool
        Whether images change in every epoch.
    is_probed : bool
        Whether the head is fitted by scikit-learn.
    head_epochs : int
        Epochs for the head alone after that.
    n_tried : int
        Learning rates of the trunk to compare first.
    epochs : int
        Epochs for everything, which is the head alone where the trunk is frozen.
    """
    probe = [Phase("probe", (), True, 1)] if is_probed else []
    head = [Phase("head", (), not is_augmented, head_epochs)] if head_epochs else []
    if not trained:
        return (*probe, *head)
    trial = [Phase("trial", trained, False, n_tried)] if n_tried else []
    return (*probe, *head, *trial, Phase("blocks", trained, False, epochs))


def find_trained(unfreeze: str | None, cut: Cut, who: str) -> tuple[Layer, ...]:
    """Find the layers with weights that are trained: all from the named one, or block, on."""
    if unfreeze is None:
        return ()
    weighted = tuple(cut.weighted_layers)
    if unfreeze == "all":
        return weighted
    names = [layer.name for layer in cut.trunk]
    starts = [i for i, name in enumerate(names) if unfreeze in (name, name.partition("_")[0])]
    found = tuple(layer for layer in weighted if starts and layer in cut.trunk[starts[0] :])
    if unfreeze == "input" or not found:
        starts_of_names = dict.fromkeys(layer.name.partition("_")[0] for layer in weighted)
        blocks = [name for name in starts_of_names if name.startswith("block")]
        raise ValueError(
            f"The 'unfreeze' parameter of {who} must be None, 'all', or a block or layer with "
            f"weights up to {cut.trunk[-1].name!r}, where the network is cut. Got {unfreeze!r} "
            f"instead. There are the blocks {', '.join(blocks)} and the layers "
            f"{', '.join(layer.name for layer in weighted)}."
        )
    return found
