"""What a graph computes each part from: one place of a BERT changed, written by TensorFlow, is refused by its name."""

from __future__ import annotations

import numpy as np
import pytest
import tffreeze
import tfwrite
import wired

import bridgeckpt
from bridgeckpt.errors import PlanError

pytestmark = pytest.mark.slow

D, LAST = wired.HIDDEN // wired.HEADS, wired.LAYERS - 1
SELF, LAYER = "bert/encoder/layer_{}/attention/self", "bert/encoder/layer_{}"


def band(bert, scores, mask):
    """A causal mask as a band of a matrix."""
    band = bert.tf.linalg.band_part(bert.tf.ones((wired.TOKENS, wired.TOKENS)), -1, 0)
    return scores + mask + (1.0 - band) * -1e4


def compared(bert, scores, mask):
    """A causal mask by comparing positions."""
    places = bert.tf.range(wired.TOKENS)
    return bert.tf.where(places[:, None] >= places[None], scores, -1e9) + mask


def constant(bert, scores, mask):
    """A causal mask that is a constant."""
    return scores + mask - 1e9 * np.triu(np.ones((1, 1, wired.TOKENS, wired.TOKENS), np.float32), 1)


def without(bert, value, other):
    """The variables of a norm are there, and nothing is normalised."""
    bert.norm(value)
    return other


def rms(bert, value):
    """A norm that takes no mean away."""
    with bert.scope("LayerNorm"):
        beta, gamma = bert.variable("beta", (wired.HIDDEN,)), bert.variable("gamma", (wired.HIDDEN,))
        return value * bert.tf.math.rsqrt(bert.tf.reduce_mean(value**2, -1, keepdims=True) + 1e-12) * gamma + beta


def half(bert, value, used):
    """A norm with only one of its variables."""
    with bert.scope("LayerNorm"):
        beta, gamma = bert.variable("beta", (wired.HIDDEN,)), bert.variable("gamma", (wired.HIDDEN,))
        mean, variance = bert.tf.nn.moments(value, [-1], keepdims=True)
        plain = (value - mean) * bert.tf.math.rsqrt(variance + 1e-12)
        return plain + beta if used == "beta" else plain * gamma


def window(bert, scores, mask):
    """Attention to neighbours alone."""
    places = bert.tf.range(wired.TOKENS)
    return scores + mask - 1e4 * bert.tf.cast(bert.tf.abs(places[:, None] - places[None]) > 2, bert.tf.float32)


# What is changed; the node that is named, which begins so; a piece of what is said of it.
INSIDE = {
    "no residual": (
        {"joined": lambda b, x, y: b.norm(x)},
        f"{LAYER.format(0)}/attention/output/LayerNorm",
        "from bert",
    ),
    "half a residual": ({"joined": lambda b, x, y: b.norm(x + 0.5 * y)}, f"{LAYER.format(0)}/attention", "0.5 * bert"),
    "norm before the sum": ({"joined": lambda b, x, y: b.norm(x) + y}, f"{SELF.format(1)}/query", " + "),
    "no norm": ({"joined": lambda b, x, y: without(b, x, x + y)}, f"{SELF.format(1)}/query", " + "),
    "scale of 1 / d": ({"scaled": lambda b, x: x / D}, f"{LAYER.format(0)}/attention/output/dense", "softmax(0.125 *"),
    "no scale in one layer": (
        {"scaled": lambda b, x: x if b.layer == 1 else x * D**-0.5},
        f"{LAYER.format(1)}/attention/output/dense",
        f"softmax({SELF.format(1)}/query x",
    ),
    "causal, by a band": ({"masked": band}, f"{LAYER.format(0)}/attention/output/dense", "a mask by position"),
    "causal, by positions": ({"masked": compared}, f"{LAYER.format(0)}/attention/output/dense", "a mask by position"),
    "causal, by a constant": (
        {"masked": constant},
        f"{LAYER.format(0)}/attention/output/dense",
        "a mask by position",
    ),
    "a window": ({"masked": window}, f"{LAYER.format(0)}/attention/output/dense", "a mask by position"),
    "scores with a limit": (
        {"scaled": lambda b, x: b.tf.tanh(x * D**-0.5)},
        f"{LAYER.format(0)}/attention/output/dense",
        "softmax(a function of",
    ),
    "another norm": ({"norm": rms}, "bert/embeddings/LayerNorm", "normalises in another way"),
    "a norm without scale": (
        {"norm": lambda b, x: half(b, x, "beta")},
        "bert/embeddings/LayerNorm",
        "normalises in another way",
    ),
    "a norm without shift": (
        {"norm": lambda b, x: half(b, x, "gamma")},
        "bert/embeddings/LayerNorm",
        "normalises in another way, or only scales",
    ),
    "positions from another row": (
        {"positions": lambda b, table: table[2:]},
        "bert/embeddings/LayerNorm",
        "the rows of bert/embeddings/position_embeddings from 2 on",
    ),
    "softmax of queries": (
        {"probabilities": lambda b, x: b.tf.nn.softmax(x, axis=-2)},
        f"{LAYER.format(0)}/attention/output/dense",
        "over queries",
    ),
    "scores without softmax": (
        {"probabilities": lambda b, x: x},
        f"{LAYER.format(0)}/attention/output/dense",
        f"{SELF.format(0)}/query",
    ),
    "words times a number": (
        {"embedded": lambda b, x: b.norm(x + b.tf.gather(b.words, b.ids) * 3.0)},
        "bert/embeddings/LayerNorm",
        "4 * bert/embeddings/word_embeddings",
    ),
    "embeddings times a number": (
        {"embedded": lambda b, x: b.norm(x) * wired.HIDDEN**0.5},
        f"{SELF.format(0)}/query",
        "4.899 * bert/embeddings/LayerNorm",
    ),
    "embeddings without norm": (
        {"embedded": lambda b, x: without(b, x, x)},
        f"{SELF.format(0)}/query",
        "bert/embeddings/word_embeddings",
    ),
    "an activation between layers": (
        {"below": lambda b, x: b.tf.nn.relu(x) if b.layer == LAST else x},
        f"{SELF.format(LAST)}/query",
        f"relu of {LAYER.format(LAST - 1)}",
    ),
    "a layer that skips one": (
        {"below": lambda b, x: b.states[-2] if b.layer == LAST else x},
        f"{SELF.format(LAST)}/query",
        f"from {LAYER.format(LAST - 2)}",
    ),
}
POOLERS = {
    "last token": ({"first": lambda b, x: x[:, -1]}, "bert/pooler/dense/MatMul", "token -1 of"),
    "mean": ({"first": lambda b, x: b.tf.reduce_mean(x, 1)}, "bert/pooler/dense/MatMul", "the mean of"),
    "an earlier layer": ({"first": lambda b, x: b.unflat(b.states[-2])[:, 0]}, "bert/pooler/dense/MatMul", "layer_1"),
    "relu": ({"pooled": lambda b, x: b.tf.nn.relu(x)}, "bert/pooler/Relu", "passes on relu of bert/pooler/dense"),
    "no activation": ({"pooled": lambda b, x: x}, "bert/pooler/dense/BiasAdd", "passes on bert/pooler/dense"),
}
HEADS = {
    "relu": ("sequence", {"classified": lambda b, x, y: b.tf.nn.relu(y)}, "a function of bert/pooler/dense"),
    "first token": ("sequence", {"classified": lambda b, x, y: x[:, 0]}, "the first token of bert/encoder/layer_2"),
    "an earlier first": ("sequence", {"classified": lambda b, x, y: b.unflat(b.states[-2])[:, 0]}, "layer_1/output"),
    "mean": ("sequence", {"classified": lambda b, x, y: b.tf.reduce_mean(x, 1)}, "the mean of"),
    "maximum": ("sequence", {"classified": lambda b, x, y: b.tf.reduce_max(x, 1)}, "the max of"),
    "scaled": ("sequence", {"classified": lambda b, x, y: y * 3.0}, "3 * tanh of bert/pooler/dense"),
    "two summands": ("sequence", {"classified": lambda b, x, y: y + x[:, 0]}, " + the first token of"),
    "mean of layers": (
        "token",
        {"classified": lambda b, x, y: b.unflat(sum(b.states[2:]) / 2.0)},
        "0.5 * bert/encoder",
    ),
    "stacked layers": (
        "token",
        {"classified": lambda b, x, y: b.unflat(b.tf.reduce_mean(b.states[2:], 0))},
        "mean of [",
    ),
    "temperature": ("sequence", {"logits": lambda b, x: x / 2.0}, "passes on 0.5 * output_weights"),
    "logits without bias": ("sequence", {"biased": lambda b, x, y: x}, "output_weights without its bias"),
    "bent logits": ("sequence", {"logits": lambda b, x: b.tf.tanh(x)}, "passes on tanh of output_weights"),
    "spans, scaled": ("squad", {"logits": lambda b, x: x * 1.5}, "passes on 1.5 * cls/squad"),
    "transform without norm": (
        "mlm",
        {"transformed": lambda b, x: without(b, x, b.tf.nn.gelu(x))},
        "from gelu of cls/predictions/transform/dense",
    ),
    "transform with norm first": (
        "mlm",
        {"transformed": lambda b, x: b.tf.nn.gelu(b.norm(x))},
        "from gelu of cls/predictions/transform/LayerNorm",
    ),
    "decoder with temperature": ("mlm", {"logits": lambda b, x: x * 0.5}, "passes on 0.5 * cls/predictions"),
}
RIGHT = {
    "plain": {},
    "sequences": {"head": "sequence"},
    "tokens": {"head": "token"},
    "spans": {"head": "squad"},
    "masked language model": {"head": "mlm"},
    "training": {"head": "sequence", "training": True},
    "training of a masked language model": {"head": "mlm", "training": True},
    "two towers in training": {"head": "token", "training": True, "towers": 2},
    "a mask by selection": {"masked": lambda b, x, y: b.tf.where(y > -1.0, x, -1e9)},
    "no mask": {"masked": lambda b, x, y: x},
    "queries and keys both scaled": {"scaled": lambda b, x: (x * D**-0.25) / D**0.25},
    "a mask by ids": {
        "masked": lambda b, x, y: x + (1.0 - b.tf.cast(b.tf.not_equal(b.ids, 0), "float32"))[:, None, None] * -1e4
    },
    "a mask by lengths": {
        "masked": lambda b, x, y: (
            x
            - 1e4
            * (1.0 - b.tf.sequence_mask(b.tf.reduce_sum(b.mask, (1, 2, 3)), wired.TOKENS, "float32")[:, None, None])
        )
    },
    "a mask by the opposite selection": {"masked": lambda b, x, y: b.tf.where(y < -1.0, -1e9, x)},
    "first token by gather": {"first": lambda b, x: b.tf.gather(x, 0, axis=1)},
    "first token by unstack": {"first": lambda b, x: b.tf.unstack(x, wired.TOKENS, axis=1)[0]},
    "probabilities too": {"head": "sequence", "logits": lambda b, x: (b.tf.sigmoid(x), x)[1]},
}


def refusal(source, **options):
    """The problem with what parts read. A norm that is none is a problem of its epsilon too."""
    with pytest.raises(PlanError) as refused:
        bridgeckpt.plan(source, **options)
    return [problem for problem in refused.value.problems if ", and the class" in "".join(problem.details[:1])]


@pytest.mark.parametrize("name", INSIDE)
def test_an_encoder_that_no_class_computes_is_refused(tmp_path, name):
    changes, node, said = INSIDE[name]
    (problem,) = refusal(wired.write(tmp_path, **changes))
    assert problem.kind == "refused"
    assert problem.subject.startswith(node)
    assert said in problem.details[0]
    assert "no class computes this" in problem.hint


@pytest.mark.parametrize("name", POOLERS)
def test_a_pooler_that_no_class_computes_is_converted_only_if_the_class_is_named(tmp_path, name):
    changes, node, said = POOLERS[name]
    source = wired.write(tmp_path, **changes)
    (problem,) = refusal(source)
    assert problem.subject == node
    assert said in problem.details[0]
    assert problem.settings == ("architecture",)
    (warning,) = bridgeckpt.plan(source, architecture="BertModel").warnings
    assert said in warning
    assert "add_pooling_layer=False" in warning


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_no_class_computes_is_refused_and_the_rest_converts(tmp_path, name):
    head, changes, said = HEADS[name]
    source = wired.write(tmp_path, head, **changes)
    (problem,) = refusal(source)
    assert said in problem.details[0]
    assert problem.hint == 'architecture="BertModel" leaves the head out'
    assert not bridgeckpt.plan(source, architecture="BertModel").problems


@pytest.mark.parametrize("name", RIGHT)
def test_what_a_class_computes_converts(tmp_path, name):
    plan = bridgeckpt.plan(wired.write(tmp_path, **RIGHT[name]))
    assert not [warning for warning in plan.warnings if "graph" in warning]


@pytest.mark.parametrize(("changes", "is_right"), [({}, True), ({"scaled": lambda b, x: x / D}, False)])
def test_frozen_graphs_are_read_like_others(tmp_path, changes, is_right):
    source = wired.write(tmp_path / "source", "sequence", **changes)
    graph = tffreeze.freeze(source / "bert_model.ckpt", ("LogSoftmax",))
    frozen = tffreeze.write(tmp_path / "frozen.pb", graph)
    (frozen.parent / "bert_config.json").write_bytes((source / "bert_config.json").read_bytes())
    if is_right:
        assert bridgeckpt.plan(frozen).architecture.name == "BertForSequenceClassification"
    else:
        (problem,) = refusal(frozen)
        assert problem.subject.endswith("attention/output/dense/MatMul")


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"joined": lambda b, x, y: b.norm(x + 0.5 * y)}, "0.5 * tf_bert_model/bert/embeddings/LayerNorm"),
        ({"scaled": lambda b, x: x if b.layer == 1 else x * D**-0.5}, "layer_._1/attention/self/query x"),
        ({"first": lambda b, x: b.tf.reduce_mean(x, 1)}, "the mean of tf_bert_model/bert/encoder/layer_._2"),
        ({"pooled": lambda b, x: b.tf.nn.relu(x)}, "passes on relu of tf_bert_model/bert/pooler/dense"),
    ],
)
def test_functions_of_tensorflow_2_are_followed(tmp_path, changes, said, nested):
    source = wired.save_model(tmp_path / "model", nested=nested, **changes)
    if said is None:
        assert bridgeckpt.plan(source).architecture.name == "BertModel"
    else:
        (problem,) = refusal(source)
        assert said in problem.details[0]


def test_what_attention_hides_is_told_where_the_attention_mask_of_the_class_is_another(tmp_path):
    plan = bridgeckpt.plan(wired.write(tmp_path / "none", masked=lambda b, x, y: x))
    assert [note for note in plan.notes if "has no mask" in note]
    opposite = wired.write(tmp_path / "opposite", masked=lambda b, x, y: x - b.tf.cast(b.mask, "float32") * 1e4)
    (warning,) = bridgeckpt.plan(opposite).warnings
    assert "the opposite of that input" in warning
    assert not [note for note in bridgeckpt.plan(wired.write(tmp_path / "plain")).notes if "mask" in note]


def test_a_causal_graph_is_right_for_a_decoder(tmp_path):
    source = wired.write(tmp_path, masked=band)
    config = source / "bert_config.json"
    config.write_text(config.read_text().replace("{", '{"is_decoder": true, ', 1))
    assert not [problem for problem in bridgeckpt.plan(source).problems if problem.kind == "refused"]


def test_a_change_in_a_scope_under_another_is_found(tmp_path):
    tf1 = tfwrite.tensorflow().compat.v1
    kind = type("Changed", (wired.Bert,), {"masked": compared})
    with tf1.Graph().as_default(), tf1.Session() as session:
        with tf1.variable_scope("my_model"):
            kind(tfwrite.tensorflow()).forward()
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    (problem,) = refusal(tmp_path, heads=wired.HEADS)
    assert problem.subject.startswith("my_model/bert/encoder/layer_0/attention/output/dense")
