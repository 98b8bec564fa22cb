"""Trials of ``silent.py``: warm starts of Keras models that were built in another order than the one that was saved.

A model is drawn, saved in one of the ways that Keras and TensorFlow have, and built once more: after other layers, its
layers made in another order, some of them left out or new, others frozen. Each variable has a value of its own, so that
after ``bridgeckpt.tf.assign`` each one's right value is known.
"""

from __future__ import annotations

import logging
import os
import random
from typing import TYPE_CHECKING, Any, NamedTuple

from silent_trials import FAILED, REFUSED, RIGHT, SILENT, WARNED, Trial

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

INTRODUCTION = """
Models of Keras 3 and tf-keras (Sequential, functional, with a nested model, two towers of equal shape, subclassed),
saved in the ways of Keras and TensorFlow and assigned to a model that was built after other layers or in another order:
one of the same layers, or one that lacks some ("fewer") or has new ones ("more"). The right value of a variable is that
of the layer with the same place in the computation.
"""

WIDTH, LENGTH = 6, 4
_INITIAL = -1.0
_KINDS = (*["dense"] * 4, "wide", "norm", "layer_norm", "conv", "lstm", "bidirectional", "attention")


class Drawn(NamedTuple):
    """A layer of a model: which one it is, its class, and the name that the user gave it."""

    label: int
    kind: str
    name: str | None
    part: str  # "body", "a" or "b" (towers), "inner" (a nested model)
    skipped: bool = False  # whether its input is added to its output, where the model is a graph


class Built(NamedTuple):
    """A model, and its variables by label and place in the layer."""

    model: Any
    variables: dict[tuple[int, int], Any]


def trial(seed: int, folder: Path) -> Trial:
    """Draw, save, build again, assign, compare."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(seed)
    generation = draw.choice(["keras", "tf_keras"])
    style = draw.choice(["sequential", "functional", "nested", "towers", "subclassed"])
    way = draw.choice(list(_savers(generation, style)))
    change = draw.choice(["the same", "the same", "the same", "fewer", "more"])
    passed = draw.choice(["model"] * 7 + ["strict", "lenient", "list"])
    kind = f"{generation}, {way}, {change}"
    layers = _draw(draw, style)
    keras = _keras(generation)
    source = _build(keras, style, layers, draw)
    values = {key: float(number + 1) for number, key in enumerate(source.variables)}
    for key, variable in source.variables.items():
        variable.assign(_full(variable, values[key]))
    path = _savers(generation, style)[way](source.model, folder)
    target = _build(keras, style, _changed(draw, layers, change, style), draw)
    for variable in target.variables.values():
        variable.assign(_full(variable, _INITIAL))
    detail = f"{style}, {passed}"
    return _judged(Trial(seed, kind, FAILED, detail), target, values, path, passed)


def _judged(made: Trial, target: Built, values: dict[tuple[int, int], float], path: str, passed: str) -> Trial:
    import bridgeckpt
    import bridgeckpt.tf

    told: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("bridgeckpt.tf")
    logger.addHandler(handler)
    what = target.model.weights if passed == "list" else target.model
    options: dict[str, Any] = {"strict": {"strict": True, "lenient": False}.get(passed)}
    try:
        bridgeckpt.tf.assign(what, path, **options)
    except bridgeckpt.BridgeckptError as error:
        return made._replace(outcome=REFUSED, detail=f"{made.detail}: {str(error)[:100]}")
    except Exception as error:  # noqa: BLE001 - what is no error of bridgeckpt
        return made._replace(detail=f"{made.detail}: {error!r}"[:200])
    finally:
        logger.removeHandler(handler)
    wrong = []
    for key, variable in target.variables.items():
        found = float(variable.numpy().reshape(-1)[0])
        if found != values.get(key, _INITIAL):
            wrong.append(f"{getattr(variable, 'path', variable.name)} has {found}, not {values.get(key, _INITIAL)}")
    if not wrong:
        return made._replace(outcome=RIGHT)
    return made._replace(outcome=WARNED if told else SILENT, detail=f"{made.detail}: {wrong[0]}")


def _draw(draw: random.Random, style: str) -> list[Drawn]:
    layers = []
    for label in range(draw.randint(2, 6)):
        kind = draw.choice(_KINDS) if draw.random() < 0.6 else "dense"
        name = draw.choice([f"block_{label}", f"mine{label}"]) if draw.random() < 0.2 else None
        part = "inner" if style == "nested" and draw.random() < 0.5 else "body"
        layers.append(Drawn(label, kind, name, part, draw.random() < 0.15))
    if style == "towers":
        twins = [one._replace(label=10 + one.label, name=one.name and f"{one.name}_b", part="b") for one in layers]
        return [one._replace(part="a") for one in layers] + twins
    return layers


def _changed(draw: random.Random, layers: list[Drawn], change: str, style: str) -> list[Drawn]:
    """The layers of the program: the same, or without some, or with new ones."""
    if change == "the same" or (style == "towers" and change == "fewer"):
        return layers
    if change == "more":
        at = draw.choice([0, len(layers), len(layers)])
        new = Drawn(99, draw.choice(["dense", "dense", "wide"]), None, layers[at - 1].part)
        return [*layers[:at], new, *layers[at:]]
    gone = draw.choice([0, len(layers) - 1, len(layers) - 1, draw.randrange(len(layers))])
    return [*layers[:gone], *layers[gone + 1 :]] if len(layers) > 1 else layers


def _keras(generation: str) -> Any:
    if generation == "keras":
        import keras
    else:
        import tf_keras as keras
    return keras


def _layer(keras: Any, kind: str, name: str | None) -> Any:
    k, named = keras.layers, {"name": name} if name else {}
    made: dict[str, Callable[[], Any]] = {
        "dense": lambda: k.Dense(WIDTH, **named),
        "wide": lambda: k.Dense(WIDTH, use_bias=False, **named),
        "norm": lambda: k.BatchNormalization(**named),
        "layer_norm": lambda: k.LayerNormalization(**named),
        "conv": lambda: k.Conv1D(WIDTH, 3, padding="same", **named),
        "lstm": lambda: k.LSTM(WIDTH, return_sequences=True, **named),
        "bidirectional": lambda: k.Bidirectional(k.LSTM(WIDTH // 2, return_sequences=True), **named),
        "attention": lambda: k.MultiHeadAttention(2, 3, **named),
    }
    return made[kind]()


def _build(keras: Any, style: str, layers: list[Drawn], draw: random.Random) -> Built:
    """Build the model: its layers are made in the order of the computation or another, after and among others."""
    if draw.random() < 0.7:
        keras.backend.clear_session()
    order = list(layers)
    if draw.random() < 0.3:
        draw.shuffle(order)
    made = {}
    for _ in range(draw.choice([0, 0, 1, 2, 3])):
        _layer(keras, draw.choice(_KINDS), None)
    for one in order:
        if draw.random() < 0.1:
            _layer(keras, one.kind, None)
        made[one.label] = _layer(keras, one.kind, one.name)
    model = _assembled(keras, style, layers, made, draw)
    variables = {(label, at): one for label, layer in made.items() for at, one in enumerate(layer.weights)}
    for layer in made.values():
        if draw.random() < 0.1:
            layer.trainable = False
    return Built(model, variables)


def _assembled(keras: Any, style: str, layers: list[Drawn], made: dict[int, Any], draw: random.Random) -> Any:
    def call(part: list[Drawn], x: Any) -> Any:
        for one in part:
            if draw.random() < 0.15:
                x = keras.layers.Dropout(0.1)(x)
            before, x = x, made[one.label](x, x) if one.kind == "attention" else made[one.label](x)
            if one.skipped and draw.random() < 0.9:
                x = keras.layers.Add()([before, x])
        return x

    def inputs() -> Any:
        return keras.Input((LENGTH, WIDTH))

    if style == "subclassed":
        return _subclassed(keras, layers, made)
    if style == "sequential" and not any(one.kind == "attention" for one in layers):
        return keras.Sequential([inputs(), *(made[one.label] for one in layers)])
    if style == "towers":
        first, second = inputs(), inputs()
        outputs = [call([one for one in layers if one.part == part], x) for part, x in (("a", first), ("b", second))]
        return keras.Model([first, second], keras.layers.Concatenate()(outputs))
    start = inputs()
    x = call([one for one in layers if one.part == "body"], start)
    if inner := [one for one in layers if one.part == "inner"]:
        inside = inputs()
        x = keras.Model(inside, call(inner, inside))(x)
    if x is start:
        x = keras.layers.Activation("relu")(x)
    return keras.Model(start, x)


def _subclassed(keras: Any, layers: list[Drawn], made: dict[int, Any]) -> Any:
    import numpy as np

    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            for one in layers:
                setattr(self, f"part{one.label}", made[one.label])

        def call(self, x: Any) -> Any:
            for one in layers:
                part = getattr(self, f"part{one.label}")
                x = part(x, x) if one.kind == "attention" else part(x)
            return x

    model = Net()
    model(np.zeros((1, LENGTH, WIDTH), np.float32))
    return model


def _savers(generation: str, style: str) -> dict[str, Callable[[Any, Path], str]]:
    """The ways to save a model; each returns the path to load."""
    ways = {"weights.h5": _weights, "keras": _archive, "checkpoint": _checkpoint, "TF1": _named}
    ways["SavedModel"] = _exported
    if style != "subclassed":
        ways["h5"] = _whole
    if generation == "tf_keras":
        ways["legacy weights"] = _legacy
    return ways


def _weights(model: Any, folder: Path) -> str:
    model.save_weights(path := str(folder / "m.weights.h5"))
    return path


def _archive(model: Any, folder: Path) -> str:
    model.save(path := str(folder / "m.keras"))
    return path


def _whole(model: Any, folder: Path) -> str:
    model.save(path := str(folder / "m.h5"))
    return path


def _legacy(model: Any, folder: Path) -> str:
    model.save_weights(path := str(folder / "m.h5"))
    return path


def _checkpoint(model: Any, folder: Path) -> str:
    import tensorflow as tf

    return str(tf.train.Checkpoint(model=model).write(str(folder / "ckpt")))


def _exported(model: Any, folder: Path) -> str:
    import tensorflow as tf

    tf.saved_model.save(model, path := str(folder / "saved"))
    return path


def _named(model: Any, folder: Path) -> str:
    import tensorflow as tf

    tf1 = tf.compat.v1
    values = {getattr(one, "path", one.name).removesuffix(":0"): one.numpy() for one in model.weights}
    with tf.Graph().as_default(), tf1.Session() as opened:
        for name, value in values.items():
            tf1.get_variable(name, initializer=tf.constant(value))
        opened.run(tf1.global_variables_initializer())
        return str(tf1.train.Saver().save(opened, str(folder / "model.ckpt")))


def _full(variable: Any, value: float) -> Any:
    import numpy as np

    return np.full(tuple(variable.shape), value, np.float32)
