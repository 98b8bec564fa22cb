"""Words in names: which are an optimizer's, which say "moving average", and which name a part of a computation."""

from __future__ import annotations

import re
from functools import cache

# In the whole word, without what separates its parts.
_OPTIMIZER = re.compile(
    "optim|(?<!h)adam|adagrad|adadelta|adafactor|adabelief|adabound|amsgrad|rmsprop|momentum|nesterov|ftrl|novograd"
    "|shampoo|accumulator|gradient|moments?$|velocity|yogi|lookahead|expavg"
)
# The following are for one part of a word. These are too short to be looked for inside of one.
_SHORT_OPTIMIZER = re.compile("sgd|lamb|lars|lion|muon|sm|rms|accum|grads?|slots?|opt|trainer|finetun(?:e|ing)")
_MOMENT = re.compile("m|v|vhat|r|c|vr|vc|mom")
_NUMBER_OR_MOMENT = re.compile(rf"_?\d+\Z|_(?:{_MOMENT.pattern})\Z")
_CLASS_NAME = re.compile("[A-Z][A-Za-z]{3,}")
_AVERAGE = re.compile("ema|averages?|averaged|avg|shadow|swa|polyak")
_SCOPE = re.compile(
    r"\w*optimizer|optimizers|optimizerweights|\w*accum\w*|gradients?|grads"
    "|adam|adamw|adamweightdecay|adamax|nadam|radam|rectifiedadam|lamb|lars"
    "|sgdw?|gradientdescent|momentum|rmsprop|adagrad|adadelta|adafactor|ftrl|lion|muon|novograd|yogi|shampoo"
)
# What these name changes what a layer computes.
_COMPUTATION = re.compile(
    r"masks?|masked|thresholds?|prun(?:ed?|ing)|quant\w*|scales?|zero|point|min|max|range|lo[rh]a|adapters?|hadamard"
    r"|deltas?|diff|offset|shift|correction|sign|centroids?|clusters?|codebook|indices|rank|basis|gain|residual|update"
    r"|factor|norm|gates?|noise|rho|sigma|mu|mean|var|variance|std|stddev|logvar|loc|alpha|variables?|tensors?"
    r"|kernels?|bias|biases|weights?|gamma|beta|embeddings?|table|teacher"
)


def parts(word: str) -> list[str]:
    """The parts of a word in lower case, without digits: of ``AdamW_1`` adam and w, of ``EMADecay`` ema and decay."""
    spaced = re.sub(r"([a-z0-9])([A-Z])|([A-Z]+)(?=[A-Z][a-z])", r"\1\3 \2", word)
    return re.findall("[a-z]+", spaced.lower())


@cache
def names_an_optimizer(word: str) -> bool:
    """Whether a word contains the name of an optimizer, or a long name that optimizers give to what they keep."""
    split = parts(word)
    return bool(_OPTIMIZER.search("".join(split))) or any(map(_SHORT_OPTIMIZER.fullmatch, split))


@cache
def names_a_moment(word: str) -> bool:
    """Whether a word is one of the letters that optimizers call moments. Other code uses these letters, too."""
    return bool(_MOMENT.fullmatch(word.lower()))


def stem(word: str) -> str:
    """What an optimizer's words have in common: ``Zork`` and ``Zork_1``, ``zork_m`` and ``zork_v``, ``m`` and ``v``."""
    return "m, v" if names_a_moment(word) else _NUMBER_OR_MOMENT.sub("", word)


def is_a_class_name(word: str) -> bool:
    """Whether a word is written as classes are: TensorFlow 1 names state after the optimizer's class."""
    return bool(_CLASS_NAME.match(word))


@cache
def names_an_average(word: str) -> bool:
    """Whether a word says that it is a moving average of a weight; ``exp_avg`` is one of gradients."""
    split = parts(word)
    return split[:2] != ["exp", "avg"] and any(map(_AVERAGE.fullmatch, split))


@cache
def names_a_computation(word: str) -> bool:
    """Whether a word says that what it names is a part of the model."""
    return any(map(_COMPUTATION.fullmatch, parts(word)))


@cache
def is_scope_of_optimizer(word: str) -> bool:
    """Whether a scope is an optimizer's, as in ``AdamWeightDecay/...`` and ``optimizer_weights/...``."""
    return bool(_SCOPE.fullmatch("".join(parts(word))))
