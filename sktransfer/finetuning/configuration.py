"""What is said in Keras' own words, an optimizer and augmentation, checked before it is used."""

from __future__ import annotations

from typing import Any


def read_optimizer(optimizer: str | dict[str, Any], trunk_rate: Any, who: str) -> dict[str, Any]:
    """Check that Keras has such an optimizer, and return it serialized.

    Parameters
    ----------
    optimizer : str or dict
        A name, or what ``keras.optimizers.serialize`` gives; ``class_name`` and ``config`` do.
    trunk_rate : float, dict or None
        A learning rate, or a serialized schedule, that it is to take too.
    who : str
        The class named in errors.

    Returns
    -------
    dict
        What ``keras.optimizers.serialize`` gives.

    Raises
    ------
    ValueError
        If Keras has no such optimizer, or it does not take the configuration.
    """
    import keras

    from sktransfer.finetuning.network import make_optimizer

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
    """Check that these are Keras layers, and return them serialized.

    Parameters
    ----------
    augmentation : keras.Layer, list of keras.Layer, or None
        Preprocessing layers in the order in which they are applied.
    who : str
        The class named in errors.

    Returns
    -------
    list of dict
        What ``keras.layers.serialize`` gives for each: the user's own layers are never called.

    Raises
    ------
    TypeError
        If something else is among them.
    """
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
