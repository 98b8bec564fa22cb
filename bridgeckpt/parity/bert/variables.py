"""Where a BERT is in a checkpoint: the TensorFlow variable of each parameter, found by TensorFlow's own names.

These are the names of google-research/bert, ``bert/encoder/layer_0/attention/self/query/kernel``, under any scope, of
its ports to tf.keras, where layers are numbered over the model (``dense_7``, ``layer_normalization_4``), and of the
code in :mod:`bridgeckpt.parity.bert.spellings`. Nothing here comes from the mapping tables: it would repeat their
mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeckpt.errors import ParityError
from bridgeckpt.formats.training.state import find_state
from bridgeckpt.parity.bert.google_names import Search
from bridgeckpt.parity.bert.other_names import find_spelling, pooler_of, search
from bridgeckpt.parity.hints import OWN_FUNCTION
from bridgeckpt.sentences import Sentence

if TYPE_CHECKING:
    import numpy as np

    from bridgeckpt.formats.training.state import TrainingState
    from bridgeckpt.parity.bert.spelling import Spelling

    Array = np.ndarray[Any, np.dtype[Any]]

_GOOGLE = "google-research/bert"
_GOOGLE_EPSILON, _KERAS_EPSILON = 1e-12, 1e-3  # tf.contrib's LayerNorm, tf.keras' LayerNormalization
_GOOGLE_WORDS = {"gelu": "gelu_pytorch_tanh"}  # since 2019-02-07
_GOOGLE_DOUBTS = {
    "gelu": "google-research/bert's gelu was the erf one (transformers' gelu) from 2018-10-31 to 2019-02-07, and is "
    "the tanh one (gelu_pytorch_tanh) since"
}

_WORDS = re.compile(r"(?P<root>(?:.*/)?)embeddings/word_embeddings")

# The shape of each role's variable, by the end of the role: V words, P positions, T types, H hidden, I inner, L labels.
_SHAPES = {
    "embeddings.words": "VH",
    "embeddings.positions": "PH",
    "embeddings.types": "TH",
    "intermediate.kernel": "HI",
    "intermediate.bias": "I",
    "output.kernel": "IH",
    "mlm_logits.kernel": "VH",
    "mlm_logits.bias": "V",
    "nsp_logits.kernel": "2H",
    "nsp_logits.bias": "2",
    "span_logits.kernel": "2H",
    "span_logits.bias": "2",
    "logits.kernel": "LH",
    "logits.bias": "L",
    "token_logits.kernel": "LH",
    "token_logits.bias": "L",
    "kernel": "HH",
    "bias": "H",
    "gamma": "H",
    "beta": "H",
}


class Bert(NamedTuple):
    """A BERT in a checkpoint.

    Attributes:
        root: What its variables' names begin with, as in ``my_model/bert/``.
        scope: The same without ``bert/``, where its heads may be: what people pass as ``scope``.
        variables: Role to variable, as in ``layer.3.attention.kernel`` (see :mod:`bridgeckpt.parity.bert.stages`);
            under ``ema`` the moving averages, where there are any.
        layers: How many there are.
        hidden: Features of a hidden state.
        rows: Rows of the tables of words, positions and types.
        code: The code whose names these are.
        words: Transformers' name of an activation, by the code's own word for it.
        doubts: By such a word, why it may mean another function: the code changed.
        head_doubt: Why the masked LM head may have another activation than the encoder; "" if it cannot.
        epsilon: What its LayerNorms add to the variance by default.
        is_constant: Whether no program can give the code another activation or epsilon.
        heads: Number of attention heads if kernels have an axis for them; else 0.
        flipped: The stages whose kernels are [hidden, labels] rather than [labels, hidden].
        others: What the names of other BERTs in the checkpoint begin with.
        optional: Variables of the encoder that this model does not read: the pooler, if its head has another one.
        unread: Variables of the encoder that no BERT has; a forward pass would ignore them.
        beside: Variables outside the encoder that no head known here has.
        own_head: A kernel and its bias outside the encoder that are taken as the classifier, as nothing else is there.
        averages: Under ``ema`` the weight of each moving average among the variables.
        pruned: Whether it is in a frozen graph, which may have fewer layers than its config states.
    """

    root: str
    scope: str
    variables: Mapping[str, str]
    layers: int
    hidden: int
    rows: tuple[int, int, int]
    code: str
    words: Mapping[str, str]
    doubts: Mapping[str, str]
    head_doubt: str
    epsilon: float
    heads: int
    flipped: frozenset[str]
    averages: Mapping[str, str]
    is_constant: bool = False
    others: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    own_head: tuple[str, ...] = ()
    pruned: bool = False

    def has(self, stage: str) -> bool:
        """Whether the checkpoint holds the kernel of the stage."""
        return f"{stage}.kernel" in self.variables

    def without(self, stage: str | None) -> Bert:
        """The same model without a head."""
        kept = {role: name for role, name in self.variables.items() if role.rpartition(".")[0] != stage}
        return self._replace(variables=kept)

    @property
    def norms(self) -> str:
        """The code whose LayerNorms have that epsilon."""
        return "tf.keras' LayerNormalization" if self.epsilon == _KERAS_EPSILON else self.code

    @property
    def is_google(self) -> bool:
        """Whether the names are google-research/bert's, by which a graph can be searched."""
        return self.code == _GOOGLE

    def plain(self, role: str, values: Array) -> Array:
        """A variable as google-research/bert has it: matrices of two axes, heads' kernels [labels, hidden]."""
        if role.endswith(".kernel") and role.removesuffix(".kernel") in self.flipped:
            return values.T
        return values.reshape(_plain_shape(role, values.shape))


def find_bert(
    shapes: Mapping[str, Sequence[int]],
    where: str,
    *,
    scope: str | None = None,
    ema: bool = False,
    training: TrainingState | None = None,
) -> Bert:
    """The BERT among the variables of a checkpoint.

    Args:
        shapes: The shape of each variable, as TensorFlow lists them.
        where: The checkpoint, as errors call it.
        scope: Which one of several: what stands before ``bert/`` in its names, or the same with ``bert/``.
        ema: Take the moving average of each variable that has one.
        training: What training left beside the weights; None finds it by names and shapes alone.

    Raises:
        ParityError: there is no BERT, or several; or a variable is missing, or its shape does not fit.
    """
    training = training or find_state(shapes, {}, ())
    # An average may lie under a scope, as another model does. It is meant only if the user names that scope.
    left = training.slots if scope is not None else {*training.slots, *training.averages}
    names = {name for name in shapes if name not in left and name not in training.bookkeeping}
    roots = sorted(
        match["root"]
        for match in map(_WORDS.fullmatch, names)
        if match and any(name.startswith(f"{match['root']}encoder/layer_0/") for name in names)
    )
    if not roots and (spelled := find_spelling(names)) is not None:
        spelling, roots = spelled
        if len(roots) == 1 and scope is not None and roots[0].startswith(scope):
            scope = None  # where a table says "" the encoder may be an object inside the model
        own = {name: shapes[name] for name in names}
        root = _choose(roots, where, scope)
        bert = _spelled(spelling, root, own, where)._replace(others=tuple(one for one in roots if one != root))
        return _averaged(bert, training, where) if ema else bert
    root = _choose(roots, where, scope)
    found_all = Search(names, where, root, _scope_of(root), [] if "bert/" in roots else [""])
    found = found_all.everything()
    layers = 1 + max(int(role.split(".")[1]) for role in found if role.startswith("layer."))
    sizes = _check_shapes(found, shapes, where)
    bert = Bert(
        root=root,
        scope=_scope_of(root),
        variables=found,
        layers=layers,
        hidden=sizes["H"],
        rows=(sizes["V"], sizes["P"], sizes["T"]),
        code=_GOOGLE,
        words=_GOOGLE_WORDS,
        doubts=_GOOGLE_DOUBTS,
        head_doubt="",
        epsilon=_KERAS_EPSILON if found_all.keras else _GOOGLE_EPSILON,
        heads=0,
        flipped=frozenset(),
        averages={},
        others=tuple(one for one in roots if one != root),
    )
    return _averaged(bert, training, where) if ema else bert


def _averaged(bert: Bert, training: TrainingState, where: str) -> Bert:
    """The same model with the moving average of each variable that has one."""
    averages = training.average_of()
    weights = {averages[name]: name for name in bert.variables.values() if name in averages}
    if not weights:
        raise ParityError(
            f"{where} holds no moving average of a variable of this BERT, as {bert.variables['embeddings.words']}",
            hint=Sentence("record the weights themselves, without {ema:True}"),
        )
    variables = {role: averages.get(name, name) for role, name in bert.variables.items()}
    return bert._replace(variables=variables, averages=weights)


def _spelled(spelling: Spelling, root: str, shapes: Mapping[str, Sequence[int]], where: str) -> Bert:
    """A BERT under other names than google-research/bert's."""
    found = search(spelling, root, shapes, where)
    sizes = _check_shapes(found, shapes, where, spelling.flipped)
    query = shapes[found["layer.0.query.kernel"]]
    return Bert(
        root=root,
        scope=_scope_of(root),
        variables=found,
        layers=1 + max(int(role.split(".")[1]) for role in found if role.startswith("layer.")),
        hidden=sizes["H"],
        rows=(sizes["V"], sizes["P"], sizes["T"]),
        code=spelling.title,
        words=spelling.words,
        doubts=spelling.doubts,
        head_doubt=spelling.head_doubt,
        epsilon=spelling.epsilon,
        is_constant=spelling.is_constant,
        heads=query[1] if len(query) == 3 else 0,
        flipped=spelling.flipped,
        averages={},
        optional=tuple(pooler_of(spelling, root, shapes)),
    )


def _plain_shape(role: str, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape without an axis of its own for the heads: [in, heads, size], [heads, size, out], or [heads, size]."""
    if len(shape) == 3:
        return (shape[0] * shape[1], shape[2]) if ".attention." in role else (shape[0], shape[1] * shape[2])
    return (prod(shape),) if role.endswith(".bias") else tuple(shape)


def _scope_of(root: str) -> str:
    return root.removesuffix("bert/") if root in {"bert/"} or root.endswith("/bert/") else root


def _choose(roots: list[str], where: str, scope: str | None) -> str:
    if scope is not None:
        wanted = f"{scope.strip('/')}/" if scope.strip("/") else ""
        named = [root for root in roots if root in (wanted, scope)]
        chosen = named or [root for root in roots if _scope_of(root) == wanted]
    else:
        chosen = roots
    if len(chosen) == 1:
        return chosen[0]
    if not roots:
        raise ParityError(
            f"{where} holds no BERT that goes by the names of google-research/bert "
            "(bert/embeddings/word_embeddings, bert/encoder/layer_0/..., under any scope)",
            hint=OWN_FUNCTION,
        )
    scopes = ", ".join(f'"{_scope_of(root)}"' for root in roots)
    if scope is None:
        raise ParityError(
            f"{where} holds {len(roots)} BERTs, under {scopes}", hint=Sentence("choose one with {scope:PREFIX}")
        )
    raise ParityError(f'{where} holds no BERT under "{scope}", but under {scopes}', hint="choose one of them")


def _check_shapes(
    found: Mapping[str, str], shapes: Mapping[str, Sequence[int]], where: str, flipped: frozenset[str] = frozenset()
) -> dict[str, int]:
    """The sizes of the model; every shape must follow from them."""
    sizes = {"2": 2}
    for role, name in found.items():
        parts = role.split(".")
        letters = next(_SHAPES[end] for end in (".".join(parts[-2:]), parts[-1]) if end in _SHAPES)
        if parts[-1] == "kernel" and parts[0] in flipped:
            letters = letters[::-1]
        shape = _plain_shape(role, shapes[name])
        for letter, size in zip(letters, shape, strict=False):
            sizes.setdefault(letter, size)
        expected = tuple(sizes[letter] for letter in letters if letter in sizes)
        if shape != expected:
            raise ParityError(
                f"{where}: {name} is {list(shape)}, and {role} of this BERT would be {list(expected)}",
                hint=f"if the model is no plain BERT, {OWN_FUNCTION}",
            )
    return sizes
