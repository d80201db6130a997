"""The optimizer and augmentation, given in Keras' own terms and checked before they are used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

# Where Keras writes the name of a layer: its own, and those that the layers of a model read from.
_NAME_KEYS = {"name", "keras_history", "input_layers", "output_layers"}
# The shape that a layer was last called with. The user may have looked at what it does to an image.
_BUILD_KEYS = {"build_config", "build_input_shape"}


def read_optimizer(optimizer: str | dict[str, Any], trunk_rate: Any, who: str) -> dict[str, Any]:
    """Check an optimizer, with the rate of the trunk too, and return it serialized by Keras."""
    import keras

    from sktransfer.training.finetuning.network import make_optimizer

    try:
        config = keras.optimizers.serialize(keras.optimizers.get(optimizer))
        make_optimizer(config)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"The 'optimizer' parameter of {who} must be the name of a Keras optimizer or its "
            "configuration, as in {'class_name': 'AdamW', 'config': {'learning_rate': 0.001}} or "
            f"keras.optimizers.serialize(...). Got {optimizer!r}: {error}"
        ) from error
    if isinstance(trunk_rate, dict):
        try:
            make_optimizer(config, learning_rate=trunk_rate)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"The 'trunk_learning_rate' parameter of {who} must be a number, None, or what "
                "keras.optimizers.schedules.serialize gives for a schedule. Got "
                f"{trunk_rate!r}: {error}"
            ) from error
    return config


def read_augmentation(augmentation: Any, who: str) -> list[dict[str, Any]]:
    """Check that these are Keras layers, and return them serialized."""
    import keras

    if augmentation is None:
        return []
    layers = list(augmentation) if isinstance(augmentation, list | tuple) else [augmentation]
    others = [layer for layer in layers if not isinstance(layer, keras.Layer)]
    if others:
        raise TypeError(
            f"The 'augmentation' parameter of {who} must be None or Keras preprocessing layers, as "
            "in [keras.layers.RandomFlip('horizontal'), keras.layers.RandomRotation(0.05)]. Got "
            f"{others[0]!r} among them."
        )
    return [keras.layers.serialize(layer) for layer in layers]


def identify(config: Any) -> Any:
    """Return a serialized configuration without what does not change the result.

    Keras numbers the names of all objects of a process, as in ``adam`` and ``adam_1``. These become
    numbers that count from the first one here. A name that the user chose stays, since it cannot be
    told from other settings, such as the name of a dtype policy. Seeds go, since training gives
    each layer its own.
    """
    numbers = {name: f"#{i}" for i, name in enumerate(dict.fromkeys(_automatic_names(config)))}

    def convert(value: Any, *, is_name: bool = False) -> Any:
        if isinstance(value, dict):
            return {
                key: None if key == "seed" else convert(each, is_name=key in _NAME_KEYS)
                for key, each in value.items()
                if key not in _BUILD_KEYS
            }
        if isinstance(value, list | tuple):
            return [convert(each, is_name=is_name) for each in value]
        return numbers.get(value, value) if is_name and isinstance(value, str) else value

    return convert(config)


def _automatic_names(config: Any) -> Iterator[str]:
    """Yield the names that Keras made of a class, in the order in which they stand."""
    if isinstance(config, dict):
        kind, inner = config.get("class_name"), config.get("config")
        name = inner.get("name") if isinstance(inner, dict) else None
        if isinstance(kind, str) and isinstance(name, str):
            # By Keras' rule RandomFlip gives random_flip, random_flip_1 and so on.
            stem = re.sub(r"_\d+$", "", name).replace("_", "")
            if stem == re.sub(r"[\W_]", "", kind).lower():
                yield name
    if isinstance(config, dict | list | tuple):
        for each in config.values() if isinstance(config, dict) else config:
            yield from _automatic_names(each)
