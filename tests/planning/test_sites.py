"""Graphs in which one place computes otherwise than the others, or otherwise than any config says."""

from __future__ import annotations

import shutil
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np
import pytest

import bridgeckpt
from bridgeckpt.errors import ConfigError, PlanError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow

ACTIVATIONS = "*/intermediate/dense/Relu"
TRANSFORM = "cls/predictions/transform/dense/Relu"
EPSILON = "batchnorm/add/y"


@pytest.fixture
def changed(built, tmp_path) -> Callable[..., Path]:
    """A checkpoint with ReLUs, whose graph has other operations or constants in nodes of some names."""

    def change(**changes: str | float | list[int]) -> Path:
        from tensorflow.core.protobuf import meta_graph_pb2

        source = built(hidden_act="relu", head="pretraining", layers=3)
        folder = shutil.copytree(source.directory, tmp_path / "changed")
        path = folder / f"{source.prefix.name}.meta"
        meta = meta_graph_pb2.MetaGraphDef.FromString(path.read_bytes())
        for pattern, value in changes.items():
            nodes = [node for node in meta.graph_def.node if fnmatchcase(node.name, pattern)]
            assert nodes, pattern
            for node in nodes:
                if isinstance(value, str):
                    node.op = value
                elif isinstance(value, float):
                    node.attr["value"].tensor.float_val[:] = [value]
                else:
                    node.attr["value"].tensor.tensor_content = np.array(value, np.int32).tobytes()
        path.write_bytes(meta.SerializeToString())
        return folder

    return change


def refusal(folder: Path, **options) -> str:
    with pytest.raises(PlanError) as caught:
        bridgeckpt.plan(folder, **options)
    return str(caught.value)


def test_one_layer_with_another_activation_is_refused(changed):
    folder = changed(**{"bert/encoder/layer_2/intermediate/dense/Relu": "Relu6"})
    said = refusal(folder)
    assert "bert/encoder/layer_2/intermediate/dense/Relu\n" in said
    assert "hidden_act = relu6 here, and with relu in bert/encoder/layer_0/intermediate/dense/Relu" in said
    planned = bridgeckpt.plan(folder, hidden_act="relu")
    assert planned.configuration.values["hidden_act"] == "relu"
    assert any('hidden_act="relu" is taken, but the graph computes' in warning for warning in planned.warnings)


def test_another_activation_everywhere_is_taken_with_a_warning(changed):
    planned = bridgeckpt.plan(changed(**{ACTIVATIONS: "Relu6", TRANSFORM: "Relu6"}))
    assert planned.configuration.values["hidden_act"] == "relu6"
    assert 'hidden_act = relu6, as the graph computes it, although the config says "relu"' in planned.warnings


def test_a_function_that_no_config_names_is_refused_although_the_config_has_a_word(changed):
    folder = changed(**{ACTIVATIONS: "LeakyRelu", TRANSFORM: "LeakyRelu"})
    said = refusal(folder)
    assert "bert/encoder/layer_{0..2}/intermediate/dense/Relu" in said
    assert "something here that no config describes; the nearest is" in said
    planned = bridgeckpt.plan(folder, hidden_act="relu")
    assert any("the graph computes something else" in warning for warning in planned.warnings)


def test_a_function_that_transformers_does_not_have_is_named(changed):
    with pytest.raises((ConfigError, PlanError), match='transformers has no activation "softsign"'):
        bridgeckpt.plan(changed(**{ACTIVATIONS: "Softsign", TRANSFORM: "Softsign"}))


@pytest.mark.parametrize(
    "scope",
    [
        "bert/embeddings/LayerNorm",
        "bert/encoder/layer_1/attention/output/LayerNorm",
        "bert/encoder/layer_2/output/LayerNorm",
        "cls/predictions/transform/LayerNorm",
    ],
)
def test_one_norm_with_another_epsilon_is_refused(changed, scope):
    folder = changed(**{f"{scope}/{EPSILON}": 1e-3})
    said = refusal(folder)
    assert f"{scope}/{EPSILON}" in said
    assert "layer_norm_eps = " in said
    assert any("layer_norm_eps=" in warning for warning in bridgeckpt.plan(folder, layer_norm_eps=1e-12).warnings)


def test_the_rounding_of_an_epsilon_is_no_difference(changed):
    planned = bridgeckpt.plan(changed(**{f"bert/encoder/layer_1/output/LayerNorm/{EPSILON}": 9.98e-13}))
    assert planned.configuration.values["layer_norm_eps"] == 1e-12
    assert planned.warnings == ()


def test_a_head_that_the_class_does_not_have_does_not_matter(changed):
    folder = changed(**{TRANSFORM: "Relu6", f"cls/predictions/transform/LayerNorm/{EPSILON}": 1e-3})
    said = refusal(folder)
    assert TRANSFORM in said
    planned = bridgeckpt.plan(folder, architecture="BertModel")
    assert planned.configuration.values["hidden_act"] == "relu"
    assert planned.configuration.values["layer_norm_eps"] == 1e-12
    refusal(folder, architecture="BertForMaskedLM")


def test_layers_with_other_numbers_of_heads_are_refused(changed):
    folder = changed(**{"bert/encoder/layer_1/attention/self/Reshape*/shape": [4, 16, 6, 6]})
    said = refusal(folder)
    assert "num_attention_heads = 6 here, and with 3 in bert/encoder/layer_0/attention/self/Reshape" in said


def test_what_is_not_understood_is_a_warning(changed):
    planned = bridgeckpt.plan(changed(**{"bert/encoder/layer_1/intermediate/dense/Relu": "OurOwnActivation"}))
    assert planned.unproven == ("hidden_act",)
    (warning,) = planned.warnings
    assert "bert/encoder/layer_1/intermediate/dense/Relu" in warning
    assert "not understood" in warning
