"""Tensors that no row reads: heads of one's own, which are left out or taken, and parts of the model, which are not."""

from __future__ import annotations

import json
import shutil
import tomllib

import numpy as np
import pytest
from safetensors import safe_open
from tfwrite import save

import bridgeckpt
from bridgeckpt.cli import main
from bridgeckpt.errors import OptionError, PlanError
from bridgeckpt.formats.places import places_of

H = 36  # hidden size of the example
RNG = np.random.default_rng(5)
LINEAR = {"score/kernel": (H, 3), "score/bias": (3,)}
HEADS = {
    "kernel": LINEAR,
    "weights": {"output/score_weights": (3, H), "output/score_bias": (3,)},
    "two outputs": {
        "cls/nq/output_weights": (2, H),
        "cls/nq/output_bias": (2,),
        "type_weights": (5, H),
        "type_bias": (5,),
    },
    "crf": {"project/logits/W": (H, 5), "project/logits/b": (5,), "crf_loss/transitions": (5, 5)},
    "hidden layer": {"dense/kernel": (H, 16), "dense/bias": (16,), "dense_1/kernel": (16, 1), "dense_1/bias": (1,)},
    "square": {"score/kernel": (H, H), "score/bias": (H,)},
    "no bias": {"score/kernel": (H, 3)},
    "at the root": {"genre_embeddings": (7, 20), "head_scores/w_0": (H, 1), "lstm/kernel": (2 * H, 4 * H), "alpha": ()},
}
CLASSES = ["BertForSequenceClassification", "BertForTokenClassification"]


@pytest.fixture
def with_tensors(example, example_values, tmp_path):
    """The example with further tensors, of the given shapes or values; without its own heads."""

    def make(extra, drop="cls/"):
        folder = tmp_path / "source"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in ("bert_config.json", "vocab.txt"):
            shutil.copy(example / name, folder)
        values = {name: value for name, value in example_values.items() if not name.startswith(drop)}
        for name, value in extra.items():
            values[name] = RNG.normal(size=value).astype(np.float32) if isinstance(value, tuple) else value
        save(folder / "model.ckpt", values)
        return folder, values

    return make


def problems(folder, **options):
    with pytest.raises(PlanError) as refused:
        bridgeckpt.plan(folder, **options)
    return refused.value.problems


def pasted(problem):
    """The table that a problem shows."""
    lines = [str(line) for line in problem.details]
    first = next(at for at, line in enumerate(lines) if "schema = 1" in line)
    last = next((at for at in range(first, len(lines)) if not lines[at].startswith("  ")), len(lines))
    return "\n".join(lines[first:last])


@pytest.mark.parametrize("head", HEADS)
def test_a_head_of_ones_own_is_one_problem_with_options_that_work(head, with_tensors, tmp_path, capsys):
    folder, _ = with_tensors(HEADS[head])
    (problem,) = problems(folder)
    assert set(problem.tensors) == HEADS[head].keys()
    settings = [
        part
        for text in (*problem.details, problem.hint)
        for part in getattr(text, "parts", ())
        if not isinstance(part, str)
    ]
    named = {part.value for part in settings if part.name == "architecture" and "with the table" not in str(part)}
    assert "BertModel" in named
    plan = bridgeckpt.plan(folder, architecture="BertModel")
    assert {name for name, state in plan.ledger.sources.items() if state == "excluded"} == HEADS[head].keys()
    assert main(["convert", "tf2pt", str(folder), str(tmp_path / "out")]) == 1
    printed = capsys.readouterr().err
    assert "--architecture BertModel" in printed
    assert "--keep-rest" in printed
    assert "--mapping FILE" in printed


@pytest.mark.parametrize("head", HEADS)
def test_the_table_that_is_shown_works_when_pasted(head, with_tensors, tmp_path):
    folder, _ = with_tensors(HEADS[head])
    (problem,) = problems(folder)
    table = tmp_path / "pasted.toml"
    table.write_text(pasted(problem))
    tomllib.loads(pasted(problem))
    assert bridgeckpt.check(table, coverage=False) == []
    line = next((line for line in problem.details if "with the table" in line), None)
    classes = [part.value for part in line.parts if not isinstance(part, str)] if line is not None else ["BertModel"]
    for name in classes:
        plan = bridgeckpt.plan(folder, mapping=table, architecture=name)
        assert plan.architecture.name == name
        assert "unmapped" not in plan.ledger.source_counts()


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("head", ["kernel", "weights"])
def test_a_linear_head_is_taken_as_the_classifier_that_is_named(head, name, with_tensors, tmp_path):
    import torch
    import transformers

    folder, values = with_tensors(HEADS[head])
    assert any(name in line for line in problems(folder)[0].details)
    done = bridgeckpt.convert(folder, tmp_path / "out", architecture=name)
    assert [warning for warning in done.plan.warnings if "no graph shows" in warning]
    model = getattr(transformers, name).from_pretrained(done.path).eval()
    assert model.config.num_labels == 3
    ids = torch.tensor([[2, 7, 9, 3]])
    kernel, bias = (values[one] for one in HEADS[head])
    kernel = kernel if kernel.shape[0] == H else kernel.T
    with torch.no_grad():
        hidden = model.bert(ids)
        read = hidden.last_hidden_state if "Token" in name else hidden.pooler_output
        np.testing.assert_allclose(model(ids).logits, read.numpy() @ kernel + bias, rtol=0, atol=1e-5)


@pytest.mark.parametrize("head", sorted(HEADS.keys() - {"kernel", "weights"}))
def test_anything_else_is_not_taken_and_the_refusal_says_why(head, with_tensors):
    folder, _ = with_tensors(HEADS[head])
    (problem,) = problems(folder, architecture=CLASSES[0])
    assert set(problem.tensors) == HEADS[head].keys()
    assert any(
        "more than a kernel" in line or "both orders" in line or "no class has" in line for line in problem.details
    )


@pytest.mark.parametrize(("head", "name"), [("crf", "BertModel"), ("kernel", CLASSES[0]), ("weights", CLASSES[1])])
def test_the_folder_holds_the_same_tensors(head, name, with_tensors, tmp_path):
    """The class that the folder's config names decides how the checkpoint is read."""
    folder, _ = with_tensors(HEADS[head])
    done = bridgeckpt.convert(folder, tmp_path / "out", architecture=name)
    difference = bridgeckpt.diff(folder, done.path)
    assert difference.identical
    left_out = {one.name for one in difference.uncompared if one.side == "a"}
    assert left_out & HEADS[head].keys() == (HEADS[head].keys() if name == "BertModel" else set())


def test_a_known_classifier_that_the_graph_computes_otherwise_is_a_warning(tmp_path):
    import tfbert

    folder = tmp_path / "token"
    tfbert.build(folder, head="token", layers=1)
    plan = bridgeckpt.plan(folder, architecture=CLASSES[0])
    assert [
        one
        for one in plan.warnings
        if "other logits with output_weights: the graph computes one result per token" in one
    ]
    assert not [one for one in bridgeckpt.plan(folder).warnings if "other logits" in one]


@pytest.mark.parametrize("trained", [False, True])
def test_a_head_under_the_scope_of_the_encoder_is_a_head_where_the_graph_shows_it(tmp_path, trained):
    import tensorflow as tf
    import tfbert

    tf1 = tf.compat.v1
    with tf.Graph().as_default():
        _, outputs = tfbert.graph(head=None, layers=1)
        with tf1.variable_scope("bert/my_dense"):
            kernel, bias = tf1.get_variable("kernel", (H, 3)), tf1.get_variable("bias", (3,))
        logits = tf.matmul(outputs["pooled_output"], kernel) + bias
        if trained:
            tf1.train.AdamOptimizer(1e-4).minimize(tf.reduce_mean(logits))
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            tf1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    (problem,) = problems(tmp_path)
    assert set(problem.tensors) == {"bert/my_dense/kernel", "bert/my_dense/bias"}
    assert "outside the encoder" in problem.subject
    assert bridgeckpt.plan(tmp_path, architecture="BertModel").ledger.source_counts()["excluded"] == 2
    assert bridgeckpt.plan(tmp_path, architecture=CLASSES[0]).ledger.sources["bert/my_dense/kernel"] == "mapped"
    next(tmp_path.glob("*.meta")).unlink()
    assert "inside the encoder" in problems(tmp_path, heads=3)[0].subject


def test_a_tensor_that_the_encoder_is_computed_from_is_inside_whatever_it_is_called(tmp_path):
    import tensorflow as tf
    import tfbert

    tf1 = tf.compat.v1
    with tf.Graph().as_default():
        tfbert.graph(head=None, layers=2)
        scale = tf1.get_variable("prefix_encoder/scale", (H,))
        with tf1.name_scope("bert/encoder/layer_1/output/more/"):
            tf.identity(
                tf1.get_default_graph().get_tensor_by_name("bert/encoder/layer_1/output/dense/BiasAdd:0") * scale
            )
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            tf1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    (problem,) = problems(tmp_path, architecture="BertModel")
    assert "inside the encoder" in problem.subject
    assert problem.tensors == ("prefix_encoder/scale",)


def test_tensors_of_different_shapes_are_not_folded(with_tensors):
    folder, _ = with_tensors({"dense_1/kernel": (H, 16), "dense_2/kernel": (16, 2), "dense_3/kernel": (16, 2)})
    assert problems(folder)[0].details[:2] == (f"dense_1/kernel [{H}, 16]", "dense_{2..3}/kernel [16, 2]")


def test_a_linear_head_beside_a_head_that_is_known(with_tensors):
    folder, _ = with_tensors(LINEAR, drop="-")
    details = " ".join(problems(folder)[0].details)
    assert 'architecture="BertForPreTraining" converts mlm and nsp too' in details
    plan = bridgeckpt.plan(folder, architecture="BertForPreTraining")
    assert {name for name, state in plan.ledger.sources.items() if state == "excluded"} == LINEAR.keys()
    plan = bridgeckpt.plan(folder, architecture=CLASSES[0])
    assert {plan.ledger.sources[name] for name in LINEAR} == {"mapped"}


def test_a_class_that_needs_more_than_the_head(with_tensors):
    """Without a pooler there is no sequence classifier: the head is taken per token only."""
    folder, _ = with_tensors(LINEAR, drop=("cls/", "bert/pooler"))
    details = " ".join(problems(folder)[0].details)
    assert CLASSES[1] in details
    assert CLASSES[0] not in details
    assert bridgeckpt.plan(folder, architecture=CLASSES[1]).architecture.name == CLASSES[1]
    kinds = {problem.kind for problem in problems(folder, architecture=CLASSES[0])}
    assert kinds == {"missing", "unmapped"}


INSIDE = [
    "bert/encoder/layer_0/output/adapters/down/kernel",
    "bert/encoder/layer_1/extra_norm/gamma",
    "bert/adapter_norm/gamma",
    "bert/embeddings/sentence_embeddings",
    "bert/embeddings/embedding_projection/kernel",
    "bert/encoder/relative_attention_bias",
    "bert/encoder/final_layer_norm/gamma",
]


@pytest.mark.parametrize("name", INSIDE)
def test_a_tensor_inside_the_encoder_is_another_architecture(name, with_tensors, tmp_path, capsys):
    folder, _ = with_tensors({name: (H, H), **LINEAR})
    for options in ({}, {"architecture": "BertModel"}, {"architecture": CLASSES[0]}):
        found = problems(folder, **options)
        inside = next(problem for problem in found if name in problem.tensors)
        assert "another architecture" in inside.subject
        assert "ignore" not in f"{inside.details} {inside.hint}"
        assert all("converts the encoder" not in f"{problem.details} {problem.hint}" for problem in found)
    table = tmp_path / "table.toml"
    for pattern in (name, "bert/**", f"**/{name.rpartition('/')[2]}"):
        table.write_text(
            f'schema = 1\ntitle = "t"\nuse = "bert/google"\nignored = [{{tf = "{pattern}", reason = "r"}}]'
        )
        if not pattern.startswith("**"):  # such a pattern can also be meant for a head
            assert [problem.code for problem in bridgeckpt.check(table, coverage=False)] == ["ignored-part"]
        (problem,) = problems(folder, mapping=table, architecture="BertModel")
        assert (problem.kind, problem.tensors) == ("refused", (name,))
    assert main(["convert", "tf2pt", str(folder), str(tmp_path / "out"), "--mapping", str(table)]) == 1
    assert "inside the encoder" in capsys.readouterr().err


def test_a_misspelt_tensor_is_told_with_what_is_missing(with_tensors):
    name = "bert/encoder/layer_1/attention/self/query/"
    folder, _ = with_tensors({f"{name}weight": (H, H)}, drop=("cls/", f"{name}kernel"))
    found = problems(folder)
    assert {problem.kind for problem in found} == {"missing", "unmapped"}
    assert any("map them with rows" in (problem.hint or "") for problem in found)


def test_a_vector_of_integers_inside_may_be_ignored(with_tensors, tmp_path):
    folder, _ = with_tensors({"bert/encoder/layer_0/seed": np.arange(2)})
    table = tmp_path / "table.toml"
    table.write_text('schema = 1\ntitle = "t"\nuse = "bert/google"\nignored = [{tf = "**/seed", reason = "r"}]')
    assert bridgeckpt.plan(folder, mapping=table).architecture.name == "BertModel"


def test_what_another_model_in_the_checkpoint_has_is_excluded(with_tensors, example_values):
    student = {f"student/{name}": value for name, value in example_values.items() if name.startswith("bert/")}
    folder, _ = with_tensors({**student, "student/bert/encoder/layer_0/adapter/kernel": (H, H)})
    plan = bridgeckpt.plan(folder, scope="")
    assert plan.ledger.source_counts()["excluded"] == len(student) + 1
    assert problems(folder, scope="student")[0].tensors == ("student/bert/encoder/layer_0/adapter/kernel",)


@pytest.mark.parametrize("shards", [False, True])
def test_what_is_excluded_is_kept_on_demand(shards, with_tensors, tmp_path):
    from transformers import AutoModel

    words = np.array(["a", "b"])
    folder, values = with_tensors({**HEADS["crf"], "labels": words, "label_ids": np.arange(4)})
    options = {"architecture": "BertModel", "max_shard_size": "60KB"} if shards else {"architecture": "BertModel"}
    done = bridgeckpt.convert(folder, tmp_path / "out", keep_rest=True, checksums=True, **options)
    kept = done.path / "unconverted.safetensors"
    assert kept.name in done.files
    with safe_open(kept, "np") as file:
        assert {*file.keys()} == {*HEADS["crf"], "label_ids"}
        for name in file.keys():  # noqa: SIM118 - not a dict
            np.testing.assert_array_equal(file.get_tensor(name), values[name])
    report = json.loads((done.path / "conversion_report.json").read_text())
    assert report["shapes"]["crf_loss/transitions"] == [5, 5]
    assert report["excluded"].keys() == HEADS["crf"].keys()
    assert report["unconverted"]["unfit"] == {"labels": "string"}
    assert (len(list(done.path.glob("model*.safetensors"))) > 1) == shards
    loaded = AutoModel.from_pretrained(done.path).state_dict()
    np.testing.assert_array_equal(
        loaded["embeddings.word_embeddings.weight"], values["bert/embeddings/word_embeddings"]
    )
    with bridgeckpt.open_checkpoint(done.path) as checkpoint:
        assert "crf_loss/transitions" not in checkpoint.tensors
    again = bridgeckpt.convert(folder, tmp_path / "out", force=True, **options)
    assert again.files and not kept.exists()


def test_keeping_the_rest_on_the_command_line(with_tensors, tmp_path, capsys):
    folder, _ = with_tensors(LINEAR)
    out = tmp_path / "out"
    command = ["convert", "tf2pt", str(folder), str(out), "--architecture", "BertModel", "--keep-rest"]
    assert main([*command, "--dry-run"]) == 0
    assert "2 excluded tensors would be kept in unconverted.safetensors" in capsys.readouterr().out
    assert not out.exists()
    assert main([*command, "--json"]) == 0
    printed = capsys.readouterr()
    assert "2 excluded tensors are kept in unconverted.safetensors" in printed.err
    record = json.loads(printed.out)
    assert record["unconverted"]["tensors"].keys() == LINEAR.keys()
    assert (out / "unconverted.safetensors").is_file()


def test_nothing_to_keep(example, tmp_path):
    done = bridgeckpt.convert(example, tmp_path / "out", keep_rest=True)
    assert not (done.path / "unconverted.safetensors").exists()
    with pytest.raises(OptionError, match="keep_rest"):
        bridgeckpt.load_state_dict(example, keep_rest=True)


@pytest.mark.parametrize(
    ("parts", "others", "places"),
    [
        ([["bert/embeddings/w"], ["bert/encoder/layer_0/k"]], ["cls/b"], ("bert/",)),
        ([["a/embeddings/w"], ["a/encoder/layer_0/k"]], ["b/x"], ("a/",)),
        ([["words/w", "norm/g"], ["transformer/layer_0/k", "transformer/layer_1/k"]], ["logits/k"],
         ("words/", "norm/", "transformer/")),
        ([["E-Token/w", "E-Norm/g"], ["Block-1-Feed/k", "Block-2-Feed/k"]], [], ("E-", "Block-")),
        ([["layers/emb/0"], ["layers/block/0", "layers/block_1/0"]], ["layers/dense/0"],
         ("layers/emb/", "layers/block")),
    ],
)  # fmt: skip
def test_the_place_of_a_model(parts, others, places):
    assert places_of(parts, others) == places


def test_an_unknown_word_may_be_an_optimizers_and_the_hint_says_how_to_leave_it_out(with_tensors, tmp_path):
    weight, row = "bert/pooler/dense/kernel", 'state = "{tf}/zork"'
    folder, _ = with_tensors({f"{weight}/mask": (36, 36)})
    with pytest.raises(PlanError) as caught:
        bridgeckpt.convert(folder, tmp_path / "out")
    assert "[slots]" not in str(caught.value)
    folder, _ = with_tensors({f"{weight}/zork": (36, 36)})
    with pytest.raises(PlanError) as caught:
        bridgeckpt.convert(folder, tmp_path / "out")
    assert f"{row} in [slots]" in str(caught.value)
    table = tmp_path / "own.toml"
    table.write_text(f'schema = 1\ntitle = "our model"\nuse = "bert/google"\n[slots]\n{row}\n')
    assert bridgeckpt.plan(folder, mapping=table).ledger.sources[f"{weight}/zork"] == "slot"
