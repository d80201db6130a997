"""The choice of an engine: the one that the user names, or by a table."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from sktransfer.engines.accelerators import list_accelerators
from sktransfer.engines.processor import has_instructions
from sktransfer.networks import AnyCut, Cut
from sktransfer.networks.outputs import side_of

#: In which precisions each engine computes.
PRECISIONS_OF = {
    "keras": ("float32", "bfloat16", "float16"),
    "openvino": ("float32", "bfloat16", "int8"),
    "ncnn": ("float32",),
}
#: The same for networks other than VGG, by what they were written in.
PRECISIONS_OF_OTHERS: dict[str, dict[str, tuple[str, ...]]] = {
    "keras": {"keras": ("float32",), "openvino": ("float32", "bfloat16", "int8")},
    "onnx": {"openvino": ("float32", "bfloat16", "int8")},
    "timm": {"openvino": ("float32", "bfloat16", "int8"), "torch": ("float32",)},
}
ENGINES = tuple(PRECISIONS_OF)
#: Those of any network.
ALL_ENGINES = (*ENGINES, "torch")
PRECISIONS = ("float32", "bfloat16", "float16", "int8")
#: Those in which the last bits of a layer depend on which other layers are wanted with it: a value
#: that leaves the network is rounded where one that stays inside is not.
JOINT_PRECISIONS = ("bfloat16", "float16")

# What 'auto' takes: of the first row whose precision and input size hold, the first engine that is
# installed. Measured with `python benchmarks`; docs/benchmarks.md shows the figures.
_TABLE = (
    ("float32", 80, ("ncnn", "openvino", "keras", "torch")),
    ("float32", 0, ("openvino", "keras", "torch")),
    ("bfloat16", 0, ("openvino", "keras")),
    ("float16", 0, ("keras",)),
    ("int8", 0, ("openvino",)),
)


def choose_engine_for(cut: AnyCut, engine: str, precision: str, *, who: str) -> str:
    """Choose what runs a cut."""
    able: Mapping[str, tuple[str, ...]] = PRECISIONS_OF
    if not isinstance(cut, Cut):
        able = PRECISIONS_OF_OTHERS[cut.framework]
        if engine not in ("auto", *able):
            raise ValueError(
                f"The 'engine' parameter of {who} must be {' or '.join(map(repr, able))} for "
                f"{cut.architecture}. Got {engine!r}: leave it at 'auto'."
            )
        if not any(precision in precisions for precisions in able.values()):
            raise ValueError(
                f"The 'precision' parameter of {who} must be 'float32', 'bfloat16' or 'int8' for "
                f"{cut.architecture}. Got {precision!r}, which only VGGFeatureExtractor supports."
            )
    return choose_engine(engine, precision, side_of(cut.input_size), who=who, able=able)


def choose_engine(
    engine: str,
    precision: str,
    input_size: int,
    *,
    who: str,
    able: Mapping[str, tuple[str, ...]] = PRECISIONS_OF,
) -> str:
    """Choose what runs the network, and check that it is installed and computes in the precision.

    ``'auto'`` takes Keras where there is an accelerator that it can use, else what the table says
    for precision and size, if it is installed.
    """
    on_accelerator = bool(list_accelerators()) and precision in able.get("keras", ())
    if engine == "auto" and on_accelerator:
        return "keras"
    if engine == "auto":
        engine = _look_up(precision, input_size, able)
    if precision not in able[engine]:
        others = [name for name in able if precision in able[name]]
        raise ValueError(
            f"The 'precision' parameter of {who} must be one that the engine supports. Got "
            f"{precision!r} with engine={engine!r}, which supports "
            f"{' and '.join(able[engine])}: set engine={' or '.join(map(repr, others))}, or "
            "leave engine at 'auto'."
        )
    if not is_installed(engine):
        raise ImportError(
            f"{who} needs the package {engine!r} for precision={precision!r}, which is not "
            f'installed: install it with `pip install "sktransfer[fast]"`, or take '
            "engine='keras' at 'float32' or 'bfloat16'."
        )
    if precision == "float16" and not on_accelerator:
        raise ValueError(
            f"The 'precision' parameter of {who} must be one that the processor supports. Got "
            "'float16', which is for accelerators, and Keras' backend uses none here: set "
            "'bfloat16' or 'float32'. `sktransfer info` names the accelerators that it can use."
        )
    if not (has_instructions(precision) or (engine == "keras" and on_accelerator)):
        raise ValueError(
            f"The 'precision' parameter of {who} must be one that the processor supports. Got "
            f"{precision!r}, for which this one has no instructions: set 'float32'."
        )
    return engine


def _look_up(precision: str, input_size: int, able: Mapping[str, tuple[str, ...]]) -> str:
    engines = next(
        [engine for engine in engines if precision in able.get(engine, ())]
        for row_precision, smallest, engines in _TABLE
        if row_precision == precision and input_size >= smallest
    )
    return next((engine for engine in engines if is_installed(engine)), engines[0])


def is_installed(engine: str) -> bool:
    """Tell whether the package of an engine is there, without importing it."""
    return find_spec(engine) is not None
