"""Which tensors training left beside the weights, by the form of their names and shapes; one rule for every dialect.

**The form.** Training keeps tensors beside each weight, and names them after the weight: ``<weight>/<word>``, as in
``bert/pooler/dense/kernel/adam_m``. A scope may stand in front: TensorFlow 1 repeats the current one
(``train/bert/.../kernel/Adam``), and Keras puts the optimizer there (``AdamWeightDecay/<weight>/m``), also without a
word at the end (``optimizer_weights/Adam/m/<weight>``). The tensor has the weight's shape, or some of its axes:
Adafactor keeps a row and a column of each matrix. The weight may be any tensor, also one that no table knows. If
several tensors could be the weight, it is the one with the longest name.

**Known words.** If the word contains the name of an optimizer (``AdamWeightDecayOptimizer_1``), or a part of the path
in front is one, the form is enough. ``<weight>/ExponentialMovingAverage`` and ``ema/<weight>`` are moving averages.

**Other words.** There are always more optimizers than are known here, so the form has to be enough. But parts of a
computation may have it, too: a pruning mask, ``kernel/mask``; the ``v`` of a normalised weight; a difference that is
added. So an unknown word means optimizer state only if it does not name a computation, every tensor with the word has
the form, is of floating point, and is as large as its weight or one of a row and a column; and one of these is true:

* the word is written like a class (``Zork``): TensorFlow 1 names state after the optimizer's class, and no layer;
* each weight has several moments as large as itself (``zork`` and ``zork_1``, ``zork_m`` and ``zork_v``);
* the weights are what an optimizer trains: matrices and vectors, and half of all weights, or kernels, biases and norms
  of several layers (where the rest was frozen).

``by_form`` lists what is known only in this way, because users have to be told.

State whose weight was taken out of the checkpoint is known by an optimizer's word that other state has, too. State
that only has numbers is known by having the shapes of all weights.

**A scope in front is no evidence.** ``student/<weight>`` is another model, unless a part of ``student/`` is an
optimizer or says that it is an average.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Literal, NamedTuple

from bridgeckpt.formats.slots import Slot
from bridgeckpt.formats.training.bookkeeping import find_bookkeeping, is_of_training
from bridgeckpt.formats.training.forms import Form, Paths, Shapes, are_row_and_column, bare, is_spread, may_be_state
from bridgeckpt.formats.training.orphans import numbered, series, without_weight
from bridgeckpt.formats.training.words import (
    is_a_class_name,
    is_scope_of_optimizer,
    names_a_computation,
    names_a_moment,
    names_an_average,
    names_an_optimizer,
    stem,
)

_Kind = Literal["state", "average", "unknown"]

_TENSORFLOWS = "ExponentialMovingAverage"
_FEW = 4  # averages of less than one in so many weights are none: the names only happen to be alike


class TrainingState(NamedTuple):
    """The tensors that training left beside the weights, by name.

    Attributes:
        slots: Optimizer state, with its weight ("" if nothing tells it) and its name there.
        averages: Moving averages, likewise.
        bookkeeping: What counts, schedules or measures training, with what it is for.
        by_form: Those of ``slots`` whose word is not known, by that word.
    """

    slots: Mapping[str, Slot]
    averages: Mapping[str, Slot]
    bookkeeping: Mapping[str, str]
    by_form: Mapping[str, tuple[str, ...]]

    def average_of(self) -> dict[str, str]:
        """The moving average of each weight that has one.

        Of several averages of one weight it is TensorFlow's own, ``ExponentialMovingAverage``, or else the one whose
        name most weights have an average of.
        """
        kinds = Counter(_around(name, slot) for name, slot in self.averages.items())
        chosen: dict[str, tuple[tuple[bool, int], str]] = {}
        for name, slot in self.averages.items():
            kind = _around(name, slot)
            candidate = (_TENSORFLOWS in kind, kinds[kind]), name
            if slot.weight not in chosen or candidate[0] > chosen[slot.weight][0]:
                chosen[slot.weight] = candidate
        return {weight: name for weight, (_, name) in chosen.items()}


def _around(name: str, slot: Slot) -> str:
    """A name with the weight left out, as in ``EMA/<weight>/ExponentialMovingAverage``."""
    return bare(name).replace(bare(slot.weight), "<weight>")


def find_state(shapes: Shapes, marked: Mapping[str, Slot], integers: Collection[str]) -> TrainingState:
    """The tensors that training left, among those of a checkpoint.

    Args:
        shapes: The shape of each tensor.
        marked: Those that the format itself marks as optimizer state.
        integers: Those that are not of floating point.
    """
    found = _forms_found(shapes, marked)
    others = {*marked, *integers, *(form.name for group in found.values() for form in group)}
    weights = [name for name, shape in shapes.items() if shape and name not in others]
    slots = {name: slot for name, slot in marked.items() if not names_an_average(slot.name) or slot.weight in marked}
    slots |= {form.name: _slot(form) for form in found["state"]}
    by_form: dict[str, tuple[str, ...]] = {}
    for word, group in _by_word(found["unknown"]).items():
        if not any(form.name in integers for form in group) and _is_trained(group, shapes, weights):
            by_form[word] = tuple(form.name for form in group)
            slots |= {form.name: _slot(form) for form in group}
    averages = {name: slot for name, slot in marked.items() if name not in slots}
    for form in _averages(found["average"], len(weights)):
        kind = slots if form.weight in slots else averages  # some programs also average what the optimizer keeps
        kind[form.name] = _slot(form)
    slots |= without_weight(weights, shapes, {form.word for form in found["state"]})
    for start, names in series([name for name in weights if name not in {*slots, *averages}], shapes).items():
        by_form[start] = names
        slots |= dict.fromkeys(names, Slot("", start))
    known = {*slots, *averages}
    bookkeeping = find_bookkeeping({name: shape for name, shape in shapes.items() if name not in known}, integers)
    slots |= numbered(name for name in shapes if name not in known and name not in bookkeeping)
    return TrainingState(slots, averages, bookkeeping, by_form)


def _forms_found(shapes: Shapes, marked: Collection[str]) -> dict[_Kind, list[Form]]:
    """The form of each tensor that has one, by what its words say."""
    counters = {name for name, shape in shapes.items() if not shape and is_of_training(bare(name).rpartition("/")[2])}
    paths = Paths(name for name in shapes if name not in counters)
    found: dict[_Kind, list[Form]] = {"state": [], "average": [], "unknown": []}
    for name in shapes:
        kinds = ((form, _kind(form, shapes)) for form in paths.forms(name)) if name not in marked else ()
        form, kind = next(((form, kind) for form, kind in kinds if kind is not None), (None, None))
        if form is not None and kind is not None:
            found[kind].append(form)
    return found


def _kind(form: Form, shapes: Shapes) -> _Kind | None:
    """What the words of a form say; None if it is of neither kind."""
    shape, weight = tuple(shapes[form.name]), tuple(shapes[form.weight])
    scopes = form.front.split("/")[:-1]
    says_so = any(is_scope_of_optimizer(scope) or names_an_average(scope) for scope in scopes)
    words = [form.word] if form.word else [scope for scope in reversed(scopes) if says_so]
    for word in words:
        if names_an_average(word):
            return "average" if shape == weight else None
        if names_an_optimizer(word) or (says_so and names_a_moment(word)):
            return "state" if says_so or may_be_state(shape, weight, form.name) else None
    if not form.word or names_a_computation(form.word):
        return None
    return "state" if says_so else "unknown"


def _slot(form: Form) -> Slot:
    """A tensor as a slot: named by its word, else by the last scope (``Adam/m/<weight>``)."""
    return Slot(form.weight, form.word or form.front.split("/")[-2])


def _by_word(group: list[Form]) -> dict[str, list[Form]]:
    """Forms by what stands before and after the weight; several moments of one optimizer are together."""
    by_word: dict[str, list[Form]] = {}
    for form in group:
        by_word.setdefault(f"{form.front}<weight>/{stem(form.word)}", []).append(form)
    return by_word


def _is_trained(group: list[Form], shapes: Shapes, weights: Collection[str]) -> bool:
    """Whether the tensors of one unknown word are what an optimizer would keep for what it trains."""
    states: dict[str, list[tuple[int, ...]]] = {}
    for form in group:
        states.setdefault(form.weight, []).append(tuple(shapes[form.name]))
    whole = all({*own} == {tuple(shapes[weight])} for weight, own in states.items())
    if not whole and not all(
        {*own} == {tuple(shapes[weight])} or are_row_and_column(own, shapes[weight]) for weight, own in states.items()
    ):
        return False
    several = whole and all(len(own) > 1 for own in states.values())
    return several or all(is_a_class_name(form.word) for form in group) or is_spread(states, shapes, weights)


def _averages(group: list[Form], weights: int) -> Iterator[Form]:
    """The moving averages among forms. Only a scope in front, and of few weights, is rather a module of that name."""
    in_scope = Counter(form.front for form in group if not form.word)
    for form in group:
        if form.word or _FEW * in_scope[form.front] >= weights:
            yield form
