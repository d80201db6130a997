"""One step of training, by backend: Keras has no neutral call for gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.networks.frameworks import claim

if TYPE_CHECKING:
    import keras

#: An optimizer and the variables that it changes.
Group = tuple["keras.Optimizer", list["keras.Variable"]]
#: Targets, outputs and weights to one number, in Keras' operations.
Loss = Callable[[Any, Any, Any], Any]
Step = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, np.ndarray]]


def compile_step(
    model: keras.Model, groups: list[Group], loss: Loss, *, is_inference: bool = False
) -> Step:
    """Compile one step of training; layers may compute as in inference, dropout included."""
    claim("keras")
    import keras

    compiled = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    step = compiled[keras.config.backend()](model, groups, loss, not is_inference)

    def run(*batch: np.ndarray) -> tuple[float, np.ndarray]:
        value, outputs = step(*batch)
        return float(value), np.asarray(keras.ops.convert_to_numpy(outputs))

    return run


def compile_forward(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Compile the network as it is at each call."""
    claim("keras")
    import keras

    backend = keras.config.backend()
    if backend == "tensorflow":
        forward = _traced(lambda x: model(x, training=False))
    elif backend == "jax":
        import jax

        stateless = jax.jit(
            lambda trained, fixed, x: model.stateless_call(trained, fixed, x, training=False)[0]
        )

        def forward(x: np.ndarray) -> Any:
            trained, fixed = model.trainable_variables, model.non_trainable_variables
            return stateless(_values(trained), _values(fixed), x)
    else:
        import torch

        def forward(x: np.ndarray) -> Any:
            with torch.no_grad():
                return model(x, training=False)

    return lambda x: np.asarray(keras.ops.convert_to_numpy(forward(x)))


def _values(variables: list[keras.Variable]) -> list[Any]:
    return [variable.value for variable in variables]


def _tensorflow(
    model: keras.Model, groups: list[Group], loss: Loss, training: bool
) -> Callable[..., Any]:
    import tensorflow as tf

    def step(x: Any, y: Any, weights: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            outputs = model(x, training=training)
            value = loss(y, outputs, weights)
        wanted = [_values(variables) for _, variables in groups]
        gradients = tape.gradient(value, wanted)

        def update(_: Any) -> None:
            for (optimizer, variables), own in zip(groups, gradients, strict=True):
                optimizer.apply(own, variables)

        # Called directly, Keras sums gradients over replicas by a function that TensorFlow keeps
        # for ever, and with it this graph and all variables of the network.
        replica = tf.distribute.get_replica_context()
        if replica is None:
            update(None)
        else:
            replica.merge_call(update)
        return value, outputs

    return _traced(step)


def _traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """Trace a function once for each shape of its arguments.

    A ``tf.function`` that is called would do so too, but warns where many networks are trained one
    after the other, as in a cross-validation.
    """
    import tensorflow as tf

    graphs: dict[Any, Any] = {}

    def run(*arrays: np.ndarray) -> Any:
        shapes = tuple(array.shape for array in arrays)
        if shapes not in graphs:
            specs = [tf.TensorSpec(array.shape, array.dtype) for array in arrays]
            compiled = tf.function(function, autograph=False)
            graphs[shapes] = compiled.get_concrete_function(*specs)
        return graphs[shapes](*map(tf.constant, arrays))

    return run


def _torch(
    model: keras.Model, groups: list[Group], loss: Loss, training: bool
) -> Callable[..., Any]:
    import keras
    import torch

    def step(*batch: np.ndarray) -> tuple[Any, Any]:
        x, y, weights = map(keras.ops.convert_to_tensor, batch)
        model.zero_grad()
        outputs = model(x, training=training)
        value = loss(y, outputs, weights)
        value.backward()
        with torch.no_grad():
            for optimizer, variables in groups:
                optimizer.apply([each.value.grad for each in variables], variables)
        return value.detach(), outputs.detach()

    return step


def _jax(model: keras.Model, groups: list[Group], loss: Loss, training: bool) -> Callable[..., Any]:
    import jax

    trained, others = model.trainable_variables, model.non_trainable_variables
    where = {id(variable): index for index, variable in enumerate(trained)}
    members = [[where[id(variable)] for variable in variables] for _, variables in groups]

    def compute(values: Any, fixed: Any, x: Any, y: Any, weights: Any) -> tuple[Any, Any]:
        outputs, fixed = model.stateless_call(values, fixed, x, training=training)
        return loss(y, outputs, weights), (outputs, fixed)

    differentiate = jax.value_and_grad(compute, has_aux=True)

    @jax.jit
    def change(values: Any, fixed: Any, states: Any, *batch: Any) -> tuple[Any, ...]:
        (lost, (outputs, fixed)), gradients = differentiate(values, fixed, *batch)
        values, states = list(values), list(states)
        for number, ((optimizer, _), indices) in enumerate(zip(groups, members, strict=True)):
            changed, states[number] = optimizer.stateless_apply(
                states[number], [gradients[i] for i in indices], [values[i] for i in indices]
            )
            for index, value in zip(indices, changed, strict=True):
                values[index] = value
        return (lost, outputs), values, fixed, states

    def step(*batch: Any) -> Any:
        states = [_values(optimizer.variables) for optimizer, _ in groups]
        result, values, fixed, states = change(_values(trained), _values(others), states, *batch)
        for variable, value in zip([*trained, *others], [*values, *fixed], strict=True):
            variable.assign(value)
        for (optimizer, _), state in zip(groups, states, strict=True):
            for variable, value in zip(optimizer.variables, state, strict=True):
                variable.assign(value)
        return result

    return step
