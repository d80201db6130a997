"""Which engine runs the network: asked for by name, or read off a table."""

from __future__ import annotations

from importlib.util import find_spec

from sktransfer.engines.processor import has_instructions, list_accelerators

#: In which precisions each engine computes.
PRECISIONS_OF = {
    "keras": ("float32", "bfloat16", "float16"),
    "openvino": ("float32", "bfloat16", "int8"),
    "ncnn": ("float32",),
}
ENGINES = tuple(PRECISIONS_OF)
PRECISIONS = ("float32", "bfloat16", "float16", "int8")

# What 'auto' takes: of the first row whose precision and input size hold, the first engine that is
# installed. Measured with `python tests/benchmarks`; docs/benchmarks.md shows the figures.
_TABLE = (
    ("float32", 80, ("ncnn", "openvino", "keras")),
    ("float32", 0, ("openvino", "keras")),
    ("bfloat16", 0, ("openvino", "keras")),
    ("float16", 0, ("keras",)),
    ("int8", 0, ("openvino",)),
)


def choose_engine(engine: str, precision: str, input_size: int, *, who: str) -> str:
    """Choose what runs the network.

    Parameters
    ----------
    engine : {'auto', 'keras', 'openvino', 'ncnn'}
        What is asked for. ``'auto'`` takes Keras where there is an accelerator that it can use,
        else what the table says for precision and size, as far as it is installed.
    precision : {'float32', 'bfloat16', 'float16', 'int8'}
        What it must compute in.
    input_size : int
        Side of the images, in pixels.
    who : str
        The class named in errors.

    Returns
    -------
    str
        The engine.

    Raises
    ------
    ImportError
        If it is not installed.
    ValueError
        If the engine or the processor does not compute in that precision.
    """
    on_accelerator = bool(list_accelerators()) and precision in PRECISIONS_OF["keras"]
    if engine == "auto" and on_accelerator:
        return "keras"
    if engine == "auto":
        engine = _look_up(precision, input_size)
    if precision not in PRECISIONS_OF[engine]:
        able = [name for name in ENGINES if precision in PRECISIONS_OF[name]]
        raise ValueError(
            f"The 'precision' parameter of {who} must be one that the engine computes in. Got "
            f"{precision!r} with engine={engine!r}, which computes in "
            f"{' and '.join(PRECISIONS_OF[engine])}: take engine={' or '.join(map(repr, able))}, "
            "or leave engine at 'auto'."
        )
    if not is_installed(engine):
        raise ImportError(
            f"{who} needs the package {engine!r} for precision={precision!r}, which is not "
            f'installed: install it with `pip install "sktransfer[fast]"`, or take '
            "engine='keras' at 'float32' or 'bfloat16'."
        )
    if precision == "float16" and not on_accelerator:
        raise ValueError(
            f"The 'precision' parameter of {who} must be one that the processor computes in. Got "
            "'float16', which is for accelerators, and none is in sight: take 'bfloat16' or "
            "'float32'."
        )
    if not (has_instructions(precision) or (engine == "keras" and on_accelerator)):
        raise ValueError(
            f"The 'precision' parameter of {who} must be one that the processor computes in. Got "
            f"{precision!r}, for which this one has no instructions: take 'float32'."
        )
    return engine


def _look_up(precision: str, input_size: int) -> str:
    engines = next(
        engines
        for row_precision, smallest, engines in _TABLE
        if row_precision == precision and input_size >= smallest
    )
    return next((engine for engine in engines if is_installed(engine)), engines[0])


def is_installed(engine: str) -> bool:
    """Tell whether the package of an engine is there, without importing it.

    Parameters
    ----------
    engine : {'keras', 'openvino', 'ncnn'}
        The engine, whose package has the same name.

    Returns
    -------
    bool
        Whether it can be found.
    """
    return find_spec(engine) is not None
