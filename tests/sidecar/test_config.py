"""The source's config: found, checked and translated into what transformers computes the same with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest

from bridgeckpt.errors import ConfigError
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.mapping.tables.records import ConfigSource
from bridgeckpt.sidecar.config import translate
from bridgeckpt.sidecar.config_files import find_config, read_config
from bridgeckpt.sidecar.decisions import ACTIVATIONS
from bridgeckpt.sidecar.graph.facts import GraphFacts
from bridgeckpt.sidecar.stated import load_config
from bridgeckpt.sidecar.tokenizer.vocabulary import Vocabulary

GOOGLE = load_table("bert/google")
SOURCE = GOOGLE.config.source
FILES = SOURCE.files
KERAS = load_table("bert/google_keras")
SIZES = {
    "vocab_size": 101,
    "hidden_size": 36,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 80,
    "max_position_embeddings": 24,
    "type_vocab_size": 2,
}
CONFIG = {
    "attention_probs_dropout_prob": 0.2,
    "directionality": "bidi",
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.3,
    "initializer_range": 0.05,
    "pooler_fc_size": 768,
    **SIZES,
}
GRAPH = GraphFacts(
    {"layer_norm_eps": 1e-6, "hidden_act": "gelu"}, evidence={"layer_norm_eps": "norm/y", "hidden_act": "Erf"}
)


def converted(source=CONFIG, table=GOOGLE, architecture="BertForPreTraining", **options):
    return translate(source, table, architecture, sizes=SIZES, **options)


def refusal(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "bert_config.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        read_config(path, GOOGLE.model, SOURCE)
    return str(caught.value).replace(str(path), "CONFIG")


class TestFinding:
    @pytest.mark.parametrize(
        ("names", "found"),
        [
            ([], None),
            (["config.json"], "config.json"),
            (["config.json", "bert_config.json"], "bert_config.json"),
            (["my_bert_config_large.json"], "my_bert_config_large.json"),
            (["config.json", "my_bert_config_large.json"], "config.json"),
            (["tokenizer_config.json"], None),
        ],
    )
    def test_the_usual_names(self, tmp_path, names, found):
        for name in names:
            (tmp_path / name).write_text("{}")
        assert find_config(tmp_path, None, FILES) == (found and tmp_path / found)

    def test_several_are_named(self, tmp_path):
        for size in ("base", "large"):
            (tmp_path / f"bert_config_{size}.json").write_text("{}")
        with pytest.raises(ConfigError, match=r"2 configs: bert_config_base\.json, bert_config_large\.json") as caught:
            find_config(tmp_path, None, FILES)
        assert caught.value.hint == "say which with config=FILE"

    def test_an_explicit_file_or_folder(self, tmp_path):
        path = tmp_path / "settings.json"
        path.write_text("{}")
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "empty").mkdir()
        assert find_config(tmp_path / "empty", path, FILES) == path
        assert find_config(tmp_path / "empty", tmp_path, FILES) == tmp_path / "config.json"
        with pytest.raises(ConfigError, match=r"there is no config in .*empty"):
            find_config(tmp_path, tmp_path / "empty", FILES)
        with pytest.raises(ConfigError, match=r"there is no config .*missing\.json"):
            find_config(tmp_path, tmp_path / "missing.json", FILES)


class TestReading:
    def test_a_good_config(self, tmp_path):
        path = tmp_path / "bert_config.json"
        path.write_text(json.dumps(CONFIG))
        assert read_config(path, GOOGLE.model, SOURCE) == CONFIG

    def test_what_is_no_json_says_where(self, tmp_path):
        assert "CONFIG is not JSON: Expecting ',' delimiter at line 2, column 1" in refusal(
            tmp_path, '{"a": 1\n"b": 2}'
        )

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "CONFIG is not JSON: Expecting value at line 1, column 1"),
            (b"\xff\xfe\x00", "CONFIG is not JSON text"),
            ("[" * 100_000, "CONFIG is not JSON text"),
            ('{"hidden_size": NaN}', "CONFIG is not JSON: it holds NaN"),
            ('["hidden_size"]', 'CONFIG holds no JSON object but ["hidden_size"]'),
        ],
    )
    def test_what_is_no_object(self, tmp_path, text, message):
        assert message in refusal(tmp_path, text)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"model_type": "albert"}, 'CONFIG is not the config of a bert model: "model_type" is "albert"'),
            (
                {"num_hidden_groups": 1},
                'CONFIG is not the config of a bert model: "num_hidden_groups" is a key of ALBERT',
            ),
            ({"d_inner": 3072}, '"d_inner" is a key of XLNet'),
        ],
    )
    def test_another_model_is_named(self, tmp_path, values, message):
        assert message in refusal(tmp_path, json.dumps(CONFIG | values))

    def test_all_wrong_values_are_named_at_once(self, tmp_path):
        wrong = {
            "hidden_size": -36,
            "num_hidden_layers": 2.5,
            "vocab_size": True,
            "type_vocab_size": "2",
            "hidden_dropout_prob": "a",
            "hidden_act": 1,
            "layer_norm_eps": -1,
        }
        message = refusal(tmp_path, json.dumps(CONFIG | wrong))
        for key, value in wrong.items():
            assert f"{key} = {json.dumps(value)}: " in message

    def test_a_file_that_cannot_be_read(self, tmp_path):
        with pytest.raises(ConfigError, match=r"cannot read .*missing\.json: No such file"):
            read_config(tmp_path / "missing.json", GOOGLE.model, SOURCE)


class TestWhatNoTensorSays:
    """The user, then the graph, then the config's word as the dialect means it, then the dialect."""

    def test_google_means_the_tanh_approximation(self):
        result = converted()
        assert result.values["hidden_act"] == "gelu_pytorch_tanh"
        assert result.values["layer_norm_eps"] == 1e-12
        assert result.provenance == {
            "hidden_act": 'the config\'s "gelu", as bert/google computes it',
            "layer_norm_eps": "assumed by bert/google: neither a graph (.meta) nor a config says",
        }
        assert result.notes == ()

    def test_google_s_gelu_is_in_doubt_and_both_functions_are_named_with_their_dates(self):
        for source in (CONFIG, {}, CONFIG | {"model_type": "bert"}):
            warning = converted(source).assumed["hidden_act"]
            told = ("2018-10-31", "2019-02-07", "transformers' gelu", "gelu_pytorch_tanh", ".meta", "record")
            assert [word for word in told if word not in warning] == []
            assert [setting.name for setting in warning.settings] == ["hidden_act"]

    @pytest.mark.parametrize(
        ("source", "options", "assumed"),
        [
            (CONFIG, {}, {"hidden_act", "layer_norm_eps"}),
            (CONFIG | {"layer_norm_eps": 1e-12}, {}, {"hidden_act"}),
            (CONFIG | {"hidden_act": "relu"}, {}, {"layer_norm_eps"}),
            (CONFIG | {"hidden_act": "gelu_new", "layer_norm_eps": 1e-12}, {}, set()),
            (CONFIG, {"hidden_act": "gelu", "layer_norm_eps": 1e-12}, set()),
            (CONFIG, {"facts": GRAPH}, set()),
            ({}, {}, {"hidden_act", "layer_norm_eps"}),
        ],
    )
    def test_what_nobody_said_is_assumed(self, source, options, assumed):
        assert converted(source, **options).assumed.keys() == assumed

    @pytest.mark.parametrize(
        ("table", "doubted"),
        [
            ("bert/google_keras", True),  # ports of google's file, of either age
            ("bert/keras_bert", True),
            ("bert/model_garden", False),  # tanh since its first version
            ("bert/bert_for_tf2", False),
            ("bert/transformers", False),
        ],
    )
    def test_the_gelu_of_which_code_changed(self, table, doubted):
        assert ("hidden_act" in converted(CONFIG, load_table(table)).assumed) == doubted

    def test_a_doubt_about_a_part_of_the_model_is_one_whatever_the_config_says(self):
        table = load_table("bert/model_garden_masked_lm")
        result = translate(CONFIG | {"hidden_act": "relu"}, table, "BertForMaskedLM", sizes=SIZES)
        assert "mlm_activation" in result.assumed["hidden_act"]

    def test_the_port_has_the_epsilon_of_keras(self):
        assert converted(table=KERAS).values["layer_norm_eps"] == 1e-3

    def test_without_config_the_dialect_decides(self):
        result = converted({})
        assert (result.values["hidden_act"], result.values["layer_norm_eps"]) == ("gelu_pytorch_tanh", 1e-12)
        assert all("neither a graph" in reason for reason in result.provenance.values())

    def test_the_graph_is_right_and_a_disagreement_is_said_aloud(self):
        result = converted(facts=GRAPH)
        assert (result.values["hidden_act"], result.values["layer_norm_eps"]) == ("gelu", 1e-6)
        assert result.provenance == {
            "hidden_act": "read from the graph (Erf)",
            "layer_norm_eps": "read from the graph (norm/y)",
        }
        assert result.notes == (
            'hidden_act = gelu, as the graph computes it, although the config says "gelu", '
            "which in bert/google is gelu_pytorch_tanh",
        )

    def test_a_config_with_another_function_is_a_warning(self):
        """Of its "gelu" it is known that it had two meanings; of its "relu" it is not."""
        result = converted(CONFIG | {"hidden_act": "relu"}, facts=GRAPH)
        assert result.values["hidden_act"] == "gelu"
        assert result.notes == ()
        assert result.warnings == ('hidden_act = gelu, as the graph computes it, although the config says "relu"',)

    @pytest.mark.parametrize(("word", "name"), [("gelu_new", "gelu_pytorch_tanh"), ("swish", "silu"), ("relu", "relu")])
    def test_another_name_of_the_same_function_is_no_disagreement(self, word, name):
        facts = GraphFacts({"hidden_act": name}, evidence={"hidden_act": "node"})
        result = converted(CONFIG | {"hidden_act": word}, facts=facts)
        assert (result.values["hidden_act"], result.notes, result.warnings) == (name, (), ())

    def test_the_user_is_obeyed(self):
        result = converted(facts=GRAPH, hidden_act="relu", layer_norm_eps=1e-5)
        assert (result.values["hidden_act"], result.values["layer_norm_eps"]) == ("relu", 1e-5)
        assert (set(result.provenance.values()), result.notes) == ({"as asked"}, ())

    def test_a_config_of_transformers_beside_a_google_checkpoint(self):
        result = converted(CONFIG | {"model_type": "bert", "layer_norm_eps": 1e-7})
        assert (result.values["hidden_act"], result.values["layer_norm_eps"]) == ("gelu_pytorch_tanh", 1e-7)
        assert result.provenance["layer_norm_eps"] == "read from the config"
        assert len(result.notes) == 1
        assert 'hidden_act="gelu"' in result.notes[0]

    @pytest.mark.parametrize("word", [None, "", "linear", "LINEAR"])
    def test_no_activation_is_linear(self, word):
        assert converted(CONFIG | {"hidden_act": word}).values["hidden_act"] == "linear"

    def test_an_unknown_activation_lists_the_known(self):
        with pytest.raises(ConfigError, match='no activation "gelo"') as caught:
            converted(CONFIG | {"hidden_act": "gelo"})
        assert caught.value.hint is not None
        assert "gelu_pytorch_tanh" in caught.value.hint

    @pytest.mark.parametrize("epsilon", [0.0, -1e-12, 1.0, float("nan")])
    def test_an_epsilon_that_cannot_be(self, epsilon):
        with pytest.raises(ConfigError, match="is not between 0 and 1"):
            converted(layer_norm_eps=epsilon)


class TestConfigJson:
    def test_keys_of_the_source_are_kept_and_sizes_are_those_of_the_checkpoint(self):
        values = converted({**CONFIG, "vocab_size": 90, "_name_or_path": "x", "transformers_version": "4"}).values
        assert values["vocab_size"] == 101
        assert (values["pooler_fc_size"], values["hidden_dropout_prob"]) == (768, 0.3)
        assert not values.keys() & {"_name_or_path", "transformers_version"}
        assert list(values) == sorted(values)

    def test_what_would_change_the_model_that_is_loaded_is_not_handed_on(self):
        harmful = {"tie_word_embeddings": False, "is_decoder": True, "quantization_config": {}, "use_return_dict": 1}
        result = converted({**CONFIG, **harmful})
        assert not result.values.keys() & harmful.keys()
        assert len(result.notes) == 1
        assert all(key in result.notes[0] for key in harmful)

    def test_defaults_fill_what_a_missing_config_would_say(self):
        values = converted({}).values
        assert (values["hidden_dropout_prob"], values["initializer_range"]) == (0.1, 0.02)

    def test_padding_is_the_vocabulary_s(self):
        vocabulary = Vocabulary(Path("vocab.txt"), b"", ["[UNK]", "[PAD]"], {"[UNK]": 0, "[PAD]": 1})
        assert converted(vocabulary=vocabulary).values["pad_token_id"] == 1
        assert "pad_token_id" not in converted().values

    def test_labels(self):
        classifier = {"architecture": "BertForSequenceClassification", "labels": 3}
        values = converted(**classifier).values
        assert values["id2label"] == {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}
        assert values["label2id"] == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
        named = {"0": "O", "1": "PER", "2": "LOC"}
        assert converted(CONFIG | {"id2label": named}, **classifier).values["id2label"] == named
        misfit = converted(CONFIG | {"id2label": {"0": "O"}}, **classifier)
        assert misfit.values["id2label"]["2"] == "LABEL_2"
        assert "does not name 3 labels" in misfit.warnings[0]
        assert "id2label" not in converted(architecture="BertForMultipleChoice", labels=1).values

    @pytest.mark.parametrize("architecture", GOOGLE.model.architectures)
    @pytest.mark.slow
    def test_transformers_reads_it_for_every_class(self, tmp_path, architecture):
        transformers = pytest.importorskip("transformers")
        torch = pytest.importorskip("torch")
        labels = 5 if architecture.endswith(("SequenceClassification", "TokenClassification")) else None
        result = converted(architecture=architecture, labels=labels)
        (tmp_path / "config.json").write_text(json.dumps(result.values))
        config = transformers.AutoConfig.from_pretrained(tmp_path)
        assert config.model_type == "bert"
        assert config.architectures == [architecture]
        assert (config.hidden_act, config.layer_norm_eps) == ("gelu_pytorch_tanh", 1e-12)
        assert {key: getattr(config, key) for key in SIZES} == SIZES
        with torch.device("meta"):
            model = getattr(transformers, architecture)(config)
        if labels:
            assert model.classifier.weight.shape == (5, 36)

    @pytest.mark.slow
    def test_the_known_activations_are_those_of_transformers(self):
        known = pytest.importorskip("transformers.activations").ACT2FN
        assert set(ACTIVATIONS) <= set(known)


class TestSources:
    """Configs of other code bases: where the values are in them, and what they are called."""

    SOURCE = ConfigSource(
        files=("params.yaml", "bert_config.json"),
        roots=("task.model.encoder.bert", "config.layers.Encoder-1.config"),
        keys={"num_layers": "num_hidden_layers", "hidden_activation": "hidden_act"},
        required={"norm_first": False},
    )

    def read(self, tmp_path, text, name="params.yaml"):
        (tmp_path / name).write_text(text)
        path = find_config(tmp_path, None, self.SOURCE.files)
        return read_config(path, GOOGLE.model, self.SOURCE)

    def test_values_are_found_at_their_root_and_renamed(self, tmp_path):
        text = (
            "task:\n  model:\n    encoder:\n      bert: {num_layers: 3, hidden_activation: relu, dropout_rate: 0.1}\n"
        )
        assert self.read(tmp_path, text) == {"num_hidden_layers": 3, "hidden_act": "relu"}

    def test_an_element_of_a_list_is_named(self, tmp_path):
        layers = [{"name": "Input"}, {"name": "Encoder-1", "config": {"num_layers": 2}}]
        text = json.dumps({"config": {"layers": layers}})
        assert self.read(tmp_path, text, "bert_config.json") == {"num_hidden_layers": 2}

    def test_a_function_of_keras_is_unwrapped(self, tmp_path):
        function = {"class_name": "function", "config": "gelu", "registered_name": "gelu"}
        text = json.dumps({"hidden_activation": function})
        assert self.read(tmp_path, text, "bert_config.json") == {"hidden_act": "gelu"}

    def test_a_config_without_the_roots_is_taken_as_it_is(self, tmp_path):
        assert self.read(tmp_path, json.dumps(CONFIG), "bert_config.json") == CONFIG

    def test_the_first_file_is_taken(self, tmp_path):
        (tmp_path / "bert_config.json").write_text("{}")
        assert self.read(tmp_path, "task: {model: {encoder: {bert: {num_layers: 3}}}}") == {"num_hidden_layers": 3}

    def test_what_cannot_be_converted_is_refused(self, tmp_path):
        text = "task: {model: {encoder: {bert: {norm_first: true}}}}"
        with pytest.raises(ConfigError, match=r"params\.yaml says norm_first = true"):
            self.read(tmp_path, text)

    @pytest.mark.parametrize(
        "text",
        ["1: 2", "a: " + "x" * 300_000, "a: [1", "!!python/object/apply:os.system [ls]", "- 1\n- 2", "a: &a [*a]\n? x"],
    )
    def test_what_is_no_plain_yaml_is_refused(self, tmp_path, text):
        with pytest.raises(ConfigError, match=r"params\.yaml"):
            self.read(tmp_path, text)

    def test_text_in_the_checkpoint_itself_is_believed_before_a_file_beside_it(self, tmp_path):
        class Held:
            path, directory = tmp_path / "model.h5", tmp_path
            metadata: ClassVar = {"model_config": json.dumps({"config": {"hidden_size": 36}})}

        source = ConfigSource(files=("bert_config.json", "model_config"), roots=("config",))
        table = GOOGLE._replace(config=GOOGLE.config._replace(source=source))
        assert load_config(Held, table)[:2] == ({"hidden_size": 36}, "model_config")
        (tmp_path / "bert_config.json").write_text('{"hidden_size": 24, "num_attention_heads": 3}')
        stated = load_config(Held, table)
        assert stated.values == {"hidden_size": 36, "num_attention_heads": 3}
        assert stated.origin_of("num_attention_heads") == "bert_config.json"
        (difference,) = stated.differing
        assert "hidden_size = 36, as model_config says, although bert_config.json says 24" in difference.text
        Held.metadata = {}
        assert load_config(Held, table)[:2] == ({"hidden_size": 24, "num_attention_heads": 3}, "bert_config.json")
        (tmp_path / "bert_config.json").unlink()
        assert load_config(Held, table)[:2] == ({}, "no config")
