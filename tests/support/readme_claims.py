"""What the README's table of dialects claims, and for each claim the checkpoints that show it.

A new row, or a new word in a row, needs an entry here. ``CLAIMS`` is by the first dialect of a row, then by the text of
the claim as the README has it. A claim that nothing can show is none for the README.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Other(NamedTuple):
    """A class of transformers that no table lists, as ``tests/fixtures/architectures`` records it."""

    name: str


class Shown(NamedTuple):
    """A checkpoint, and what is expected of it.

    Attributes:
        source: A folder of ``tests/fixtures``, a path below it, a class, or the options of ``built``.
        options: Options of the plan, beside those in the fixture's case.json.
        without: Patterns of files that are removed before.
        edit: A function that changes a copy of the source.
        makes: The class that it becomes.
        config: Values that config.json has.
        states: States that tensors of the source are in.
        handed_on: Files that are copied.
        casing: A part of the sentence that says where the casing is from.
        format: The beginning of the format's name.
        needs: An option without which it is refused. ``options`` has its value.
        refused: A part of the refusal.
    """

    source: str | Other | Mapping[str, Any]
    options: Mapping[str, Any] = {}
    without: tuple[str, ...] = ()
    edit: Callable[[Path], None] | None = None
    makes: str | None = None
    config: Mapping[str, Any] = {}
    states: tuple[str, ...] = ()
    handed_on: tuple[str, ...] = ()
    casing: str | None = None
    format: str = ""
    needs: str | None = None
    refused: str | None = None


class Written(NamedTuple):
    """Fixtures of the row's dialects that ``by`` wrote, one for each version."""

    by: str
    versions: tuple[str, ...]


class MadeWith(NamedTuple):
    """A fixture whose case.json, or the script that made it, has a text."""

    source: str
    text: str


class ShownByTest(NamedTuple):
    """A test of this repository that shows it, by its file and its name."""

    file: str
    test: str


Evidence = Shown | Written | MadeWith | ShownByTest
BARE, PRETRAINING, MLM = "BertModel", "BertForPreTraining", "BertForMaskedLM"
SEQUENCE, TOKEN, SPAN = "BertForSequenceClassification", "BertForTokenClassification", "BertForQuestionAnswering"
NSP, CAUSAL, CHOICE = "BertForNextSentencePrediction", "BertLMHeadModel", "BertForMultipleChoice"


def google(port: str) -> dict[str, list[Evidence]]:
    """What holds for google-research/bert and for ports of it, which TensorFlow writes in the tests."""

    def bert(head: str | None, **options: Any) -> dict[str, Any]:
        return {"head": head, "port": port, "layers": 1, **options}

    no_graph, no_config = ("*.meta",), ("bert_config.json",)
    heads = Shown(bert("nsp"), without=no_config, config={"num_attention_heads": 3})
    token, sentence = Shown(bert("token"), makes=TOKEN), Shown(bert("classifier"), makes=SEQUENCE)
    return {
        "pretraining": [Shown(bert("pretraining"), makes=PRETRAINING)],
        "masked LM": [Shown(bert("mlm", pooler=False), makes=MLM)],
        "NSP": [Shown(bert("nsp"), makes=NSP)],
        "sequence and token classifiers": [sentence, token],
        "SQuAD": [Shown(bert("squad"), makes=SPAN)],
        "scope": [Shown(bert("pretraining", scope="my_model/"), makes=PRETRAINING)],
        "optimizer state": [
            Shown(bert("nsp", slots=slots), makes=NSP, states=("slot",)) for slots in ("adamw", "lamb", "adam")
        ],
        "moving averages": [Shown(bert("nsp", ema=True), {"ema": True}, makes=NSP)],
        "from a graph": [heads],
        "attention heads": [heads],
        "epsilon": [Shown(bert("nsp", eps=1e-5), config={"layer_norm_eps": 1e-5})],
        "activation": [
            Shown(bert("nsp", hidden_act="relu"), without=no_config, config={"hidden_act": "relu"}),
            Shown(bert("nsp", hidden_act="gelu_erf"), config={"hidden_act": "gelu"}),
        ],
        "which classifier": [token, sentence],
        "token or sentence classifier without a graph (`--architecture`)": [
            token._replace(options={"architecture": TOKEN}, without=no_graph, needs="architecture"),
            sentence._replace(options={"architecture": SEQUENCE}, without=no_graph, needs="architecture"),
        ],
        "attention heads without graph and config (`--heads`)": [
            Shown(bert("nsp"), {"heads": 3}, (*no_graph, *no_config), makes=NSP, needs="heads")
        ],
    }


def as_v1(folder: Path) -> None:
    """Write the checkpoint again in the format of TensorFlow before 0.12."""
    import tensorflow as tf

    tf1 = tf.compat.v1
    reader = tf.train.load_checkpoint(str(folder / "bert_model.ckpt"))
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    for path in folder.glob("bert_model.ckpt.[id]*"):
        path.unlink()
    with tf.Graph().as_default(), tf1.Session() as session:
        for name, value in values.items():
            tf1.get_variable(name, initializer=tf.constant(value))
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver(write_version=tf1.train.SaverDef.V1)
        saver.save(session, str(folder / "bert_model.ckpt"), write_meta_graph=False)


def datasets(file: Any) -> dict[str, Any]:
    """The values of an HDF5 file, by their paths."""
    found: dict[str, Any] = {}
    file.visititems(lambda name, item: found.update({name: item[()]} if hasattr(item, "dtype") else {}))
    return found


def backbone_alone(folder: Path) -> None:
    """Leave of a KerasNLP classifier what its backbone writes by itself."""
    import h5py

    with h5py.File(folder / "classifier.weights.h5", "r+") as file:
        del file["_layer_checkpoint_dependencies"]
        file.move("_backbone/_layer_checkpoint_dependencies", "_layer_checkpoint_dependencies")


def as_masked_lm(folder: Path) -> None:
    """Put the masked LM head of KerasNLP in the place of a classifier's."""
    import h5py

    with h5py.File(folder / "classifier.weights.h5", "r+") as file:
        del file["_layer_checkpoint_dependencies/dense"]
        words = file["_backbone/_layer_checkpoint_dependencies/embedding/vars/0"][()]
        head = file.create_group("_layer_checkpoint_dependencies/masked_lm_head")
        hidden = words.shape[1]
        shapes = {"_dense/vars/0": (hidden, hidden), "_dense/vars/1": hidden, "_layer_norm/vars/0": hidden}
        shapes |= {"_layer_norm/vars/1": hidden, "vars/1": words.shape[0]}
        for name, shape in shapes.items():
            head.create_dataset(name, data=np.zeros(shape, words.dtype))
        head["vars/0"] = words


def as_multiple_choice(folder: Path) -> None:
    """Make a classifier one of multiple choice: TensorFlow's class has the same variables, for one label."""
    import h5py

    renamed = ("sequence_classification", "multiple_choice")
    with h5py.File(folder / "tf_model.h5", "r+") as file:
        for name, value in datasets(file).items():
            del file[name]
            one_label = name.split("/")[-2] == "classifier"
            file[name.replace(*renamed)] = value[..., :1] if one_label else value
        for layer in file.values():
            names = [name.decode().replace(*renamed) for name in layer.attrs["weight_names"]] if len(layer) else []
            layer.attrs["weight_names"] = [name.encode() for name in names]
    config = folder / "config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps({**values, "architectures": [CHOICE], "num_labels": 1, "id2label": {"0": "score"}}))


def without_architectures(folder: Path) -> None:
    """Remove the class from a config."""
    config = folder / "config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps({key: value for key, value in values.items() if key != "architectures"}))


def with_a_label(folder: Path) -> None:
    """Add a key to a config that no tensor shows."""
    config = folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "finetuning_task": "weather"}))


KERNELS = {"num_attention_heads": 3}  # told by kernels of [hidden, heads, head_dim]

CLAIMS: Mapping[str, Mapping[str, list[Evidence]]] = {
    "bert/google": {
        "google-research/bert and its forks": [Shown("hub_tf1_fine_tuned", makes=SEQUENCE)],
        "TF1 `Saver` (TensorBundle V2, V1)": [
            Shown({"head": "nsp", "layers": 1}, makes=NSP, format="TensorBundle V2"),
            Shown({"head": "nsp", "layers": 1}, edit=as_v1, makes=NSP, format="TensorFlow V1"),
        ],
        "TF-Hub modules": [Shown("hub_tf1_module", format="TF1 hub module")],
        "`module/` scopes": [Shown("hub_tf1_fine_tuned", makes=SEQUENCE)],
        "SavedModels of TF1": [Shown("hub_tf1_serving", format="TF1 SavedModel")],
        **google("google"),
        "`.meta`": [Shown({"head": "nsp", "layers": 1}, without=("bert_config.json",), config=KERNELS)],
        "`saved_model.pb`": [Shown("hub_tf1_serving", makes=SEQUENCE, config={**KERNELS, "hidden_act": "relu"})],
        "a hub module's vocabulary and casing": [Shown("hub_tf1_module", casing="the module says so")],
    },
    "bert/google_keras": {
        "the same code ported to tf.keras": [Shown({"port": "keras", "layers": 1}, makes=PRETRAINING)],
        "which numbers `layer_normalization_4`, `dense_3`": [
            Shown({"port": port, "layers": 2}, makes=PRETRAINING) for port in ("keras", "keras_dense", "keras_all")
        ],
        **google("keras"),
        "`.meta`": [
            Shown({"head": "nsp", "layers": 1, "port": "keras"}, without=("bert_config.json",), config=KERNELS)
        ],
    },
    "bert/model_garden": {
        "tf-models-official 2.2 to 2.19": [Written("tf-models-official", ("2.2.", "2.19."))],
        "`BertEncoder`": [MadeWith("mg_pretrainer", "networks.BertEncoder")],
        "`BertEncoderV2`": [MadeWith("mg_encoder_v2", "networks.BertEncoderV2")],
        "`TransformerEncoder`": [MadeWith("mg23_encoder", "networks.TransformerEncoder")],
        "`BertPretrainer`": [MadeWith("mg_pretrainer", "models.BertPretrainer(")],
        "`BertPretrainerV2`": [MadeWith("mg_pretrainer_v2", "BertPretrainerV2")],
        "classifiers": [Shown("mg_classifier", makes=SEQUENCE), Shown("mg_token_classifier", makes=TOKEN)],
        "span labeler": [Shown("mg22_span_labeler", makes=SPAN), Shown("mg_span_labeler", makes=SPAN)],
        "`tf.train.Checkpoint(encoder=, model=, **checkpoint_items)`": [
            MadeWith("mg_encoder_v2", "Checkpoint(encoder=encoder)"),
            MadeWith("mg23_encoder", "Checkpoint(model=encoder)"),
            MadeWith("mg_pretrainer_v2_items", "Checkpoint(**checkpoint_items)"),
        ],
        "`save_weights`": [MadeWith("mg_pretrainer_v2_weights", "save_weights(")],
        "its TF1 converter": [MadeWith("mg23_converted", "tf2_encoder_checkpoint_converter")],
        "TF2 hub modules and SavedModels": [
            Shown("hub_tf2_module", makes=BARE, format="TF2 SavedModel"),
            Shown("hub_tf2_classifier", makes=SEQUENCE, format="TF2 SavedModel"),
        ],
        "`.h5`": [Shown("tfkeras_legacy", makes=BARE), Shown("tfkeras_pretrainer_legacy", makes=PRETRAINING)],
        "pretraining": [Shown("mg_pretrainer", makes=PRETRAINING)],
        "masked LM": [Shown("mg_pretrainer_v2_items", {"architecture": MLM}, makes=MLM)],
        "sequence and token classifiers": [
            Shown("mg_classifier", makes=SEQUENCE),
            Shown("mg_token_classifier", makes=TOKEN),
        ],
        "SQuAD": [Shown("mg_span_labeler", makes=SPAN)],
        "attention heads from the shapes of the kernels": [Shown("mg_classifier", config=KERNELS)],
        "`params.yaml` or `bert_config.json`": [
            Shown("mg_encoder_v1_relu", config={"hidden_act": "relu"}),
            Shown("mg23_encoder", config=KERNELS),
        ],
        "optimizer state": [Shown("mg_classifier", states=("slot",)), Shown("mg23_span_labeler", states=("slot",))],
        "span, token and sequence heads by the objects saved": [
            Shown("mg_span_labeler", makes=SPAN),
            Shown("mg_token_classifier", makes=TOKEN),
            Shown("mg_classifier", makes=SEQUENCE),
        ],
        "token classifiers of 2020 (`--architecture`)": [
            Shown("mg23_token_classifier", {"architecture": TOKEN}, makes=TOKEN, needs="architecture")
        ],
    },
    "bert/model_garden_2019": {
        "`bert_modeling.py` of 2019": [MadeWith("mg19_encoder", "bert_modeling")],
        "pretraining": [Shown("mg19_pretrainer", makes=PRETRAINING)],
        "classifier": [Shown("mg19_classifier", makes=SEQUENCE)],
        "SQuAD": [Shown("mg19_span_labeler", makes=SPAN)],
        "`bert_config.json`": [Shown("mg19_encoder", config=KERNELS)],
        "attention heads without a config (`--heads`)": [
            Shown("mg19_encoder", {"heads": 3}, without=("bert_config.json",), makes=BARE, needs="heads")
        ],
    },
    "bert/keras_model_garden": {
        "Model Garden models saved by tf-keras": [MadeWith("tfkeras_archive", "tf-keras")],
        "`.weights.h5`": [Shown("tfkeras_token_classifier", format="Keras weights in HDF5 (.weights.h5)")],
        "`.keras`": [Shown("tfkeras_archive", format="Keras archive")],
        "encoder": [Shown("tfkeras_archive", makes=BARE)],
        "classifiers": [Shown("tfkeras_token_classifier", makes=TOKEN)],
        "pretraining": [Shown("tfkeras_pretrainer", makes=PRETRAINING)],
        "attention heads from the shapes of the kernels": [Shown("tfkeras_archive", config=KERNELS)],
    },
    "bert/transformers": {
        "transformers 2.0 to 4": [Written("transformers", ("2.0.", "3.", "4."))],
        "`tf_model.h5` (also in shards)": [
            Shown("hf440_masked_lm", makes=MLM, format="transformers' TensorFlow weights in HDF5"),
            Shown("hf440_question_answering", makes=SPAN, format="transformers' TensorFlow weights in HDF5, 3 files"),
        ],
        "`model.safetensors` of format `tf`": [Shown("hf440_safetensors", makes=PRETRAINING, format="safetensors")],
        "SavedModels": [Shown("hub_transformers", makes=SEQUENCE, format="TF2 SavedModel")],
        "checkpoints": [Shown("hub_transformers/source/saved_model/1/variables", makes=SEQUENCE)],
        "every head of its TFBert classes": [
            Shown("hf351_model", makes=BARE),
            Shown("hf200_pretraining", makes=PRETRAINING),
            Shown("hf440_masked_lm", makes=MLM),
            Shown("hf440_next_sentence", makes=NSP),
            Shown("hf200_sequence", makes=SEQUENCE),
            Shown("hf200_sequence", edit=as_multiple_choice, makes=CHOICE),
            Shown("hf351_token", makes=TOKEN),
            Shown("hf440_question_answering", makes=SPAN),
        ],
        "causal LM too": [Shown("hf440_lm_head", makes=CAUSAL)],
        "the class, by its config or its scope": [
            Shown("hf440_lm_head", makes=CAUSAL),
            Shown("hf351_token", edit=without_architectures, makes=TOKEN),
        ],
        "the whole config": [Shown("hf351_token", edit=with_a_label, config={"finetuning_task": "weather"})],
        "the tokenizer's files are handed on": [
            Shown("hf351_model", handed_on=("tokenizer_config.json", "special_tokens_map.json", "vocab.txt"))
        ],
    },
    "bert/keras_transformers": {
        "the same classes saved by Keras' own functions": [MadeWith("hfkeras_model", "TFBert")],
        "also as a layer of another Keras model": [
            Shown("hfkeras_213_layer", makes=BARE),
            ShownByTest("converting/test_keras_transformers.py", "test_an_encoder_inside_another_model_converts"),
        ],
        "`.weights.h5`": [Shown("hfkeras_pretraining", format="Keras weights in HDF5 (.weights.h5)")],
        "`.keras` (tf-keras 2.12 and later)": [Shown("hfkeras_model", format="Keras archive")],
        "every head of the TFBert classes": [
            Shown("hfkeras_model", makes=BARE),
            Shown("hfkeras_pretraining", makes=PRETRAINING),
            Shown("hfkeras_213_masked_lm", makes=MLM),
            Shown("hfkeras_213_sequence", makes=SEQUENCE),
            Shown("hfkeras_token", makes=TOKEN),
            Shown("hfkeras_question_answering", makes=SPAN),
        ],
        "config and class in an archive": [Shown("hfkeras_token", makes=TOKEN, config=KERNELS)],
        "beside weights, `config.json`": [Shown("hfkeras_pretraining", config=KERNELS)],
        "attention heads without a config (`--heads`)": [
            Shown("hfkeras_pretraining", {"heads": 3}, ("config.json",), makes=PRETRAINING, needs="heads")
        ],
    },
    "bert/keras_hub": {
        "KerasHub": [Written("keras-hub", ("",))],
        "KerasNLP on Keras 3": [Written("keras-nlp", ("0.6.",))],
        "presets": [Shown("kerashub_backbone", makes=BARE), Shown("kerashub_classifier", makes=SEQUENCE)],
        "`.weights.h5`": [Shown("kerasnlp_06", format="Keras weights in HDF5 (.weights.h5)")],
        "`.keras`": [Shown("kerashub_archive", format="Keras archive")],
        "whole `.h5`": [Shown("kerashub_whole_h5", makes=BARE)],
        "TensorFlow checkpoints": [Shown("kerashub_checkpoint", makes=SEQUENCE, format="TensorBundle V2")],
        "exported SavedModels": [Shown("hub_keras_export", makes=BARE, format="TF2 SavedModel")],
        "backbone": [Shown("kerashub_backbone", makes=BARE)],
        "text classifier": [Shown("kerashub_classifier", makes=SEQUENCE)],
        "attention heads from the shapes of the kernels": [
            Shown("kerashub_backbone", without=("config.json",), config=KERNELS)
        ],
        "`config.json`, `task.json`": [
            Shown("kerashub_backbone", config=KERNELS),
            Shown("kerashub_classifier", makes=SEQUENCE),
        ],
        "the preset's vocabulary and casing": [Shown("kerashub_classifier", casing="tokenizer.json of the preset")],
        "its masked LM head is refused: it computes with another activation and epsilon than its backbone": [
            Shown("kerashub_masked_lm", {"architecture": None}, refused="KerasHub's MaskedLMHead computes erf")
        ],
    },
    "bert/keras_nlp": {
        "KerasNLP on Keras 2": [Written("keras-nlp", ("0.5.",))],
        "`.weights.h5`": [Shown("kerasnlp_classifier", format="Keras weights in HDF5 (.weights.h5)")],
        "`model.h5` of the first presets": [Shown("kerasnlp_legacy", makes=BARE)],
        "checkpoints": [Shown("kerasnlp_checkpoint", makes=BARE, format="TensorBundle V2")],
        "backbone": [
            Shown("kerasnlp_legacy", makes=BARE),
            Shown("kerasnlp_classifier", edit=backbone_alone, makes=BARE),
        ],
        "text classifier": [Shown("kerasnlp_classifier", makes=SEQUENCE)],
        "attention heads from the shapes of the kernels": [Shown("kerasnlp_legacy", config=KERNELS)],
        "its masked LM head is refused: it computes with another activation and epsilon than its backbone": [
            Shown("kerasnlp_classifier", edit=as_masked_lm, refused="KerasNLP's MaskedLMHead computes erf")
        ],
    },
    "bert/keras_bert": {
        "keras-bert 0.20 to 0.89": [Written("keras-bert", ("0.20.", "0.57.", "0.89."))],
        "weights or whole models in `.h5`": [
            Shown("kerasbert_encoder", makes=BARE, format="Keras weights in HDF5"),
            Shown("kerasbert_whole", makes=PRETRAINING, format="whole Keras model in HDF5"),
        ],
        "encoder": [Shown("kerasbert_encoder", makes=BARE)],
        "pretraining": [Shown("kerasbert_whole", makes=PRETRAINING)],
        "heads, activation of a whole model": [
            Shown("kerasbert_whole", config={**KERNELS, "hidden_act": "gelu_pytorch_tanh"})
        ],
        "from 0.28 to 0.82 gelu was erf: `--hidden-act gelu`": [
            Shown("kerasbert_old", {"hidden_act": "gelu"}, config={"hidden_act": "gelu"}, needs="hidden_act")
        ],
    },
    "bert/bert4keras": {
        "BERTs of bert4keras 0.4 to 0.11": [Written("bert4keras", ("0.4.", "0.11."))],
        "weights or whole models in `.h5`": [
            Shown("b4k_pretraining", makes=PRETRAINING, format="Keras weights in HDF5"),
            Shown("b4k_whole", makes=BARE, format="whole Keras model in HDF5"),
        ],
        "encoder": [Shown("b4k_whole", makes=BARE)],
        "masked LM": [Shown("b4k_2019", makes=MLM)],
        "pretraining": [Shown("b4k_pretraining", makes=PRETRAINING)],
        "`bert_config.json`": [Shown("b4k_pretraining", config=KERNELS)],
        "heads, activation of a whole model": [
            Shown("b4k_whole", config={**KERNELS, "hidden_act": "gelu_pytorch_tanh"})
        ],
        "its other models are refused": [
            Shown("refused/b4k_roformer.h5", refused="it is RoFormer of bert4keras"),
            Shown("refused/b4k_unilm.h5", refused="it is UniLM of bert4keras"),
            Shown("refused/b4k_conditional.h5", refused="conditional layer norms"),
        ],
        "attention heads without a config (`--heads`)": [
            Shown("b4k_2019", {"heads": 3}, ("bert_config.json",), makes=MLM, needs="heads")
        ],
        "weights alone do not tell which gelu it was (`--hidden-act`)": [
            Shown("b4k_2019", {"hidden_act": "gelu_pytorch_tanh"}, makes=MLM, needs="hidden_act")
        ],
    },
    "bert/bert_for_tf2": {
        "bert-for-tf2": [Written("bert-for-tf2", ("0.6.", "0.14."))],
        "`.h5` and checkpoints": [
            Shown("bft2_h5", makes=BARE, format="Keras weights in HDF5"),
            Shown("bft2_checkpoint", makes=BARE, format="TensorBundle V2"),
        ],
        "encoder": [Shown("bft2_h5", makes=BARE)],
        "`bert_config.json`": [Shown("bft2_h5", config=KERNELS)],
        "attention heads without a config (`--heads`)": [
            Shown("bft2_h5", {"heads": 3}, ("bert_config.json",), makes=BARE, needs="heads")
        ],
        "adapters and ALBERT are refused": [
            Shown("refused/bft2_adapters.h5", refused="adapter-BERT"),
            Shown("refused/bft2_albert.h5", refused="ALBERT"),
        ],
    },
    "transformers/general": {
        "the other TensorFlow classes of transformers 4": [
            ShownByTest("converting/test_architectures.py", "test_it_converts_and_computes_what_tensorflow_computed")
        ],
        "of 230 tried, 216 agree to 3e-5 ([which](benchmarks/results/architectures.md))": [
            ShownByTest("test_readme_table.py", "test_so_many_classes_agree")
        ],
        "with configs drawn at random each result was right, warned of or refused "
        "([how many](benchmarks/results/silent.md))": [
            ShownByTest("test_readme_table.py", "test_no_search_found_another_model_without_a_word")
        ],
        "those of the PyTorch class": [Shown(Other("ElectraForMaskedLM"), makes="ElectraForMaskedLM")],
        "the class and its sizes, by `config.json`": [
            Shown(Other("GPT2LMHeadModel"), makes="GPT2LMHeadModel"),
            Shown(Other("GPT2LMHeadModel"), without=("config.json",), refused="no mapping table recognises"),
        ],
        'needs `pip install "bridgeckpt[verify]"`: the PyTorch class itself judges that every tensor lands': [
            ShownByTest("planning/test_by_rules.py", "test_without_torch_or_transformers_the_extra_is_named")
        ],
    },
    "your own": {
        "anything with a table you write": [
            ShownByTest("test_readme.py", "test_the_table_of_the_readme_converts_such_a_checkpoint")
        ],
        "`--mapping FILE`": [
            ShownByTest("test_readme.py", "test_the_table_of_the_readme_converts_such_a_checkpoint"),
        ],
    },
}
