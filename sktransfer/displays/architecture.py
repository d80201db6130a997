"""Drawing of a network with its cut: needs neither a framework nor weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sktransfer.base import StrOptions, validate_parameter_constraints
from sktransfer.displays._display import Display
from sktransfer.displays._drawing import draw, lay_out
from sktransfer.displays._extractor import check_extractor
from sktransfer.displays.availability import check_matplotlib
from sktransfer.networks import (
    ARCHITECTURES,
    TRAINED_SIZE,
    Cut,
    NetworkDescription,
    describe_network,
    plan_cut,
)
from sktransfer.networks.layers import read_input_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ArchitectureDisplay(Display):
    """Drawing of a VGG network with the cut marked.

    Every layer is a box: as tall as its feature map is large, as wide as it has channels, both on
    a square-root scale. What lies beyond the deepest cut is grey: it is neither built nor read.

    It is recommended to use :meth:`from_architecture` or :meth:`from_estimator` to create a
    display. Both need only matplotlib: no network is built and no weights are read. Axes to draw in
    are best twice as wide as tall, and 7 inches wide: text scales with their size.

    Parameters
    ----------
    network : NetworkDescription
        The whole network, as :func:`describe_network` gives it.
    cut : Cut
        The wanted layers of it.

    See Also
    --------
    describe_network : The same as a table.
    VGGFeatureExtractor : Computes what comes out at the cut.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sktransfer import ArchitectureDisplay
    >>> display = ArchitectureDisplay.from_architecture("vgg16", cut="flatten")
    >>> display.cut.n_features
    25088
    >>> plt.close(display.figure_)
    """

    def __init__(self, network: NetworkDescription, *, cut: Cut) -> None:
        self.network = network
        self.cut = cut

    @classmethod
    def from_architecture(
        cls,
        architecture: str = "vgg16",
        *,
        cut: str | Sequence[str] = "flatten",
        input_size: int | tuple[int, int] = TRAINED_SIZE,
        ax: Axes | None = None,
    ) -> ArchitectureDisplay:
        """Draw a network by name.

        Parameters
        ----------
        architecture : {'vgg16', 'vgg19'}, default='vgg16'
            The network.
        cut : str or list of str, default='flatten'
            The layer or layers whose features are wanted.
        input_size : int or tuple of int, default=224
            Side of the square image, or height and width, in pixels; 32 and up. The dense layers
            exist at 224 only.
        ax : matplotlib Axes, default=None
            Axes to draw in. If `None`, a new figure is created.

        Returns
        -------
        ArchitectureDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the network, a layer or the size does not exist.
        ImportError
            If matplotlib is not installed.
        """
        who = f"{cls.__name__}.from_architecture"
        check_matplotlib(who)
        size = _check_network(architecture, input_size, who, cut=cut)
        plan = plan_cut(cut, architecture, input_size=size, who=who, param="cut")
        return cls(_whole_network(plan), cut=plan).plot(ax=ax)

    @classmethod
    def from_estimator(cls, extractor: Any, *, ax: Axes | None = None) -> ArchitectureDisplay:
        """Draw the network of a feature extractor, cut where it cuts.

        Parameters
        ----------
        extractor : VGGFeatureExtractor
            Fitted or not. Unfitted, an input size of ``'auto'`` is drawn as 224 pixels.
        ax : matplotlib Axes, default=None
            Axes to draw in. If `None`, a new figure is created.

        Returns
        -------
        ArchitectureDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `extractor` is not a VGGFeatureExtractor.
        ValueError
            If its parameters name no network, layer or size that exists.
        ImportError
            If matplotlib is not installed.
        """
        who = f"{cls.__name__}.from_estimator"
        check_matplotlib(who)
        check_extractor(extractor, who)
        owner = type(extractor).__name__
        input_size = getattr(extractor, "input_size_", extractor.input_size)
        if isinstance(input_size, str) and input_size == "auto":
            input_size = TRAINED_SIZE
        size = _check_network(extractor.architecture, input_size, owner, layer=extractor.layer)
        plan = plan_cut(
            extractor.layer,
            extractor.architecture,
            getattr(extractor, "pooling", None),
            size,
            who=owner,
        )
        return cls(_whole_network(plan), cut=plan).plot(ax=ax)

    def _draw(self, ax: Axes | None) -> Axes:
        import matplotlib.pyplot as plt

        drawing = lay_out(self.network.layers, self.cut)
        if ax is None:
            figure = plt.figure(figsize=(drawing.width, drawing.height))
            ax = figure.add_axes((0, 0, 1, 1))
        draw(drawing, self.network, self.cut, ax)
        return ax


def _check_network(
    architecture: Any, input_size: Any, who: str, **layers: Any
) -> int | tuple[int, int]:
    """Check what :func:`plan_cut` takes for granted, and return the size.

    `layers` is the layer parameter by name.
    """
    constraints = {
        "architecture": [StrOptions(set(ARCHITECTURES))],
        **{name: [str, list, tuple] for name in layers},
    }
    validate_parameter_constraints(
        constraints, {"architecture": architecture, **layers}, caller_name=who
    )
    return read_input_size(input_size, who)


def _whole_network(cut: Cut) -> NetworkDescription:
    last = "predictions" if cut.input_size == TRAINED_SIZE else "flatten"
    return describe_network(cut.architecture, cut=last, input_size=cut.input_size)
