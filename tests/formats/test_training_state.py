"""What training leaves beside the weights, by names and shapes: state, averages, bookkeeping, and lookalikes."""

import itertools

import pytest

from bridgeckpt.formats.slots import Slot
from bridgeckpt.formats.training.state import find_state


def model(root="bert/", layers=2, hidden=6, inner=9):
    """The shapes of a small encoder under google-research/bert's names."""
    found = {f"{root}embeddings/word_embeddings": (11, hidden), f"{root}embeddings/position_embeddings": (7, hidden)}
    found |= {f"{root}embeddings/LayerNorm/gamma": (hidden,), f"{root}embeddings/LayerNorm/beta": (hidden,)}
    for layer in range(layers):
        place = f"{root}encoder/layer_{layer}/"
        for name in ("attention/self/query", "attention/self/key", "attention/self/value", "attention/output/dense"):
            found |= {f"{place}{name}/kernel": (hidden, hidden), f"{place}{name}/bias": (hidden,)}
        found |= {f"{place}intermediate/dense/kernel": (hidden, inner), f"{place}intermediate/dense/bias": (inner,)}
        found |= {f"{place}output/dense/kernel": (inner, hidden), f"{place}output/dense/bias": (hidden,)}
        for name in ("attention/output", "output"):
            found |= {f"{place}{name}/LayerNorm/gamma": (hidden,), f"{place}{name}/LayerNorm/beta": (hidden,)}
    return found


def beside(weights, *spellings):
    """A tensor of each weight's shape for each spelling, as in ``{}/adam_m``."""
    return {spelling.format(name): shape for name, shape in weights.items() for spelling in spellings}


def state(*shapes, marked=None, integers=()):
    return find_state({name: shape for part in shapes for name, shape in part.items()}, marked or {}, integers)


WEIGHTS = model()
KERNELS = {name: shape for name, shape in WEIGHTS.items() if name.endswith("/kernel")}
HEAD = {"head/project/weights": (6, 4), "head/project/biases": (4,), "transitions": (4, 4)}  # that no table knows


@pytest.mark.parametrize(
    "spellings",
    [
        ["{}/adam_m", "{}/adam_v"],
        ["{}/AdamWeightDecayOptimizer", "{}/AdamWeightDecayOptimizer_1"],
        ["{}/lamb_m", "{}/lamb_v"],
        ["{}/LAMBOptimizer", "{}/LAMBOptimizer_1"],
        ["{}/accum"],
        ["{}/Adagrad"],
        ["{}/RMSProp", "{}/RMSProp_1", "{}/RMSProp_2"],
        ["train/{}/Adam", "train/{}/Adam_1"],  # made in a scope of its own
        ["my_model/my_model/{}/adam_m"],
        ["AdamWeightDecay/{}/m", "AdamWeightDecay/{}/v"],
        ["training/AdamW/{}/m:0"],
        ["optimizer_weights/Adam/m/{}:0", "optimizer_weights/Adam/v/{}:0"],
        ["optimizer_weights/training/Adam/{}/m:0"],
        ["LossScaleOptimizer/{}/m"],
        ["{}/.OPTIMIZER_SLOT/optimizer/m/.ATTRIBUTES/VARIABLE_VALUE"],
        ["{}/exp_avg", "{}/exp_avg_sq"],
        ["{}_accum"],
        ["train/{}_adam_m", "train/{}_adam_v"],
        ["{}/Adam/m", "{}/Adam/v"],
        ["accumulated_gradients/{}"],
    ],
    ids=lambda spellings: spellings[0],
)
def test_state_under_a_known_name(spellings):
    weights = WEIGHTS | HEAD
    slots = beside(weights, *spellings)
    found = state(weights, slots)
    assert found.slots.keys() == slots.keys()
    assert {slot.weight for slot in found.slots.values()} <= {*weights, ""}
    assert (found.averages, found.bookkeeping, found.by_form) == ({}, {}, {})


def test_state_belongs_to_its_weight():
    found = state(WEIGHTS, beside(WEIGHTS, "{}/adam_m", "optimizer/Adam/v/{}"))
    weight = "bert/embeddings/word_embeddings"
    assert found.slots[f"{weight}/adam_m"] == Slot(weight, "adam_m")
    assert found.slots[f"optimizer/Adam/v/{weight}"] == Slot(weight, "v")


def test_the_word_of_an_optimizer_does_not_have_to_be_known():
    slots = beside(WEIGHTS, "{}/Zork", "{}/Zork_1")
    found = state(WEIGHTS, slots)
    assert found.slots.keys() == slots.keys()
    assert {word: {*names} for word, names in found.by_form.items()} == {"<weight>/Zork": {*slots}}


def test_an_unknown_word_beside_what_was_trained_only():
    """The encoder's lower layers were frozen, so less than half of the weights has state."""
    weights = model(layers=12)
    trained = {name: shape for name, shape in weights.items() if "layer_11/" in name}
    slots = beside(trained, "{}/Zork")
    assert state(weights, slots).slots.keys() == slots.keys()


HEADS_OWN = {"head/project/weights": (6, 4), "head/project/biases": (4,)}
POOLER = {"bert/pooler/dense/kernel": (6, 6)}


@pytest.mark.parametrize("trained", [KERNELS, HEADS_OWN, POOLER], ids=["kernels", "head", "one"])
@pytest.mark.parametrize(
    "spellings",
    [["{}/Zork"], ["{}/zork", "{}/zork_1"], ["{}/zork_m", "{}/zork_v"], ["{}/m", "{}/v"]],
    ids=lambda spellings: " ".join(spellings),
)
def test_an_unknown_word_beside_few_weights(trained, spellings):
    slots = beside(trained, *spellings)
    assert state(WEIGHTS | HEADS_OWN | POOLER, slots).slots.keys() == slots.keys()


def adafactor(row, column, whole):
    slots = {}
    for name, shape in WEIGHTS.items():
        if len(shape) == 2:
            slots |= {row.format(name): shape[:1], column.format(name): shape[1:]}
        else:
            slots[whole.format(name)] = shape
    return slots


@pytest.mark.parametrize(
    "spellings",
    [
        ("{}/Adafactor", "{}/Adafactor_1", "{}/Adafactor"),
        ("{}/vr", "{}/vc", "{}/v"),
        ("{}/Zork", "{}/Zork_1", "{}/Zork"),
        ("Adafactor/r/{}", "Adafactor/c/{}", "Adafactor/v/{}"),
    ],
    ids=lambda spellings: spellings[0],
)
def test_rows_and_columns_of_matrices(spellings):
    slots = adafactor(*spellings)
    assert state(WEIGHTS, slots).slots.keys() == slots.keys()


def test_factors_of_three_axes_squares_and_numbers():
    weights = {"query/kernel": (6, 3, 2), "query/bias": (3, 2)}
    slots = {"query/kernel/Adafactor": (6, 3), "query/kernel/Adafactor_1": (6, 2), "query/bias/Shampoo": (3, 3)}
    slots |= {"query/kernel/SM3": (1, 3, 1), "query/bias/NovoGrad": ()}
    assert state(weights, slots).slots.keys() == slots.keys()
    assert state(weights, {"query/kernel/Adam": (5, 3, 2)}).slots == {}


def test_state_of_a_part_of_a_variable():
    weights = {"words": (11, 6)}
    slots = {"words/part_0/adam_m": (6, 6), "words/part_1/adam_m": (5, 6)}
    assert state(weights, slots).slots.keys() == slots.keys()


def test_state_of_weights_that_were_taken_out():
    head = {"cls/predictions/output_bias/adam_m": (11,), "cls/predictions/output_bias/adam_v": (11,)}
    assert head.keys() <= state(WEIGHTS, beside(WEIGHTS, "{}/adam_m", "{}/adam_v"), head).slots.keys()
    assert state(WEIGHTS, head | {"bert/encoder/layer_0/momentum": (6,)}).slots == {}  # nothing else has such a word
    renamed = {f"new/{name}": shape for name, shape in WEIGHTS.items()}  # without renaming the state
    slots = beside(WEIGHTS, "{}/adam_m", "{}/adam_v")
    assert state(renamed, slots).slots.keys() == slots.keys()


# Tensors of a model that have the form


@pytest.mark.parametrize(
    "part",
    [
        beside(KERNELS, "{}/mask"),
        beside(WEIGHTS, "{}/mask"),  # a lottery ticket: of every weight
        beside(WEIGHTS, "{}/quantized"),
        beside(KERNELS, "{}/Mask", "{}/Mask_1"),
        beside(KERNELS, "{}/hadamard"),
        beside(KERNELS, "{}/v"),
        beside(WEIGHTS, "{}/delta"),
        beside(KERNELS, "{}/zork"),  # some other part of every kernel
        beside({"bert/encoder/layer_0/output/dense/kernel": (9, 6)}, "{}/zork"),
        beside({n: s for n, s in WEIGHTS.items() if "layer_0/output/dense" in n}, "{}/zork"),  # kernel and bias of one
        {f"{name}/threshold": () for name in KERNELS},
        {f"{name}/g": shape[1:] for name, shape in KERNELS.items()} | beside(KERNELS, "{}/v"),  # normalised weights
        {f"{name}/zork": shape[1:] for name, shape in WEIGHTS.items() if len(shape) == 2},  # one factor: a scale
        {f"{name}/lora_a": (shape[0], 2) for name, shape in KERNELS.items()},
        {f"{name}/{end}": () for name in WEIGHTS for end in ("min", "max")},  # of a quantization
        {f"{name}/adapter/kernel": (6, 6) for name in KERNELS},
        model("student/bert/"),  # another model
        model("teacher/bert/", hidden=8),
    ],
    ids=range(18),
)
def test_a_part_of_the_model_is_no_state(part):
    found = state(WEIGHTS, part)
    assert (found.slots, found.averages, found.bookkeeping) == ({}, {}, {})


def test_an_unknown_word_of_integers_is_no_state():
    stored = beside(WEIGHTS, "{}/Zork")
    assert state(WEIGHTS, stored, integers=stored.keys()).slots == {}


def test_state_of_parts_of_the_model():
    """An optimizer keeps state of a low-rank factor too, and the factor stays a part of the model."""
    factors = {f"{name}/lora_a": (shape[0], 2) for name, shape in KERNELS.items()}
    slots = beside(factors, "{}/Adam")
    assert state(WEIGHTS, factors, slots).slots.keys() == slots.keys()


def test_two_models_keep_their_own_state():
    student = model("student/bert/")
    found = state(WEIGHTS, student, beside(WEIGHTS | student, "{}/adam_m"))
    assert (
        found.slots["student/bert/embeddings/LayerNorm/beta/adam_m"].weight == "student/bert/embeddings/LayerNorm/beta"
    )
    assert len(found.slots) == 2 * len(WEIGHTS)


# Moving averages


@pytest.mark.parametrize(
    "spelling",
    [
        "{}/ExponentialMovingAverage",
        "{}/average",
        "{}/ema",
        "{}_ema",
        "train/{}/ExponentialMovingAverage",
        "EMA/{}/ExponentialMovingAverage",
        "ExponentialMovingAverage/{}/average",
        "ema/{}",
        "optimizer_weights/Adam/average/{}:0",
    ],
)
def test_averages(spelling):
    averages = beside(WEIGHTS, spelling)
    found = state(WEIGHTS, averages, beside(WEIGHTS, "{}/adam_m"))
    assert found.averages.keys() == averages.keys()
    assert found.average_of() == {name: spelling.format(name) for name in WEIGHTS}


def test_averages_of_the_state_are_state():
    slots = beside(WEIGHTS, "{}/adam_m")
    found = state(WEIGHTS, slots, beside(WEIGHTS | slots, "{}/ExponentialMovingAverage"))
    assert found.average_of().keys() == WEIGHTS.keys()
    assert len(found.slots) == 2 * len(WEIGHTS)


def test_tensorflows_own_average_is_taken_of_two():
    found = state(WEIGHTS, beside(KERNELS, "{}/ExponentialMovingAverage"), beside(WEIGHTS, "ema/{}"))
    assert {name.rpartition("/")[2] for name in map(found.average_of().get, KERNELS)} == {"ExponentialMovingAverage"}
    assert found.average_of()["bert/embeddings/LayerNorm/beta"] == "ema/bert/embeddings/LayerNorm/beta"


def test_a_module_called_average_is_no_average():
    found = state(WEIGHTS, {"kernel": (6, 2), "bias": (2,), "average/kernel": (6, 2), "average/bias": (2,)})
    assert found.averages == {}


# Bookkeeping


def test_scalars_that_count_schedule_or_measure():
    names = ["global_step", "my_model/global_step", "iter", "iteration", "step", "local_step", "learning_rate", "decay"]
    names += ["momentum", "beta_1", "beta_2", "beta1_power", "loss_scale", "current_loss_scale", "good_steps", "count"]
    names += ["batch_finite", "total", "total_1", "save_counter", "AdamWeightDecay/iter", "AdamWeightDecay/beta_1"]
    names += [
        "optimizer_weights/iteration:0",
        "save_counter/.ATTRIBUTES/VARIABLE_VALUE",
        "eval/best_f1",
        "rho",
        "epoch",
    ]
    names += [
        "cond_1/beta1_power",
        "optimizer/learning_rate/.ATTRIBUTES/VARIABLE_VALUE",
        "best_accuracy",
        "keep_prob",
        "dropout_rate",
        "encoder_lr",
        "num_updates",
    ]
    weights = {f"my_model/{name}": shape for name, shape in WEIGHTS.items()} | {"my_model/output_bias": (2,)}
    found = state(weights, beside(weights, "AdamWeightDecay/{}/m"), dict.fromkeys(names, ()))
    assert found.bookkeeping.keys() == {*names}


def test_scalars_of_the_model_are_no_bookkeeping():
    names = ["bert/encoder/layer_0/output/dense/count", "bert/encoder/layer_1/rezero", "temperature", "logit_scale"]
    names += ["bert/encoder/layer_0/momentum", "bert/pooler/alpha", "crf/score", "head/project/total", "bert/step"]
    names += [f"bert/encoder/layer_1/{name}" for name in ("residual_lr", "loss_scale", "act/decay", "act/momentum")]
    found = state(WEIGHTS, HEAD, dict.fromkeys(names, ()), integers=names[:1])
    assert found.bookkeeping == {}


def test_scalars_in_the_scope_of_an_optimizer_or_a_metric():
    names = [
        "bert/encoder/layer_0/optimizer/decay",
        "loss_scaler/scale",
        "AdamW/zork",
        "f1/zork",
        "metrics/pearson_correlation/covariance",
        "accuracy/zork",
    ]
    found = state(WEIGHTS, HEAD, dict.fromkeys(names, ()))
    assert found.bookkeeping.keys() == {*names}
    inside = {"accuracy/kernel": (6, 2), "accuracy/zork": ()}
    assert state(WEIGHTS, inside).bookkeeping == {}


def test_vectors_that_are_not_of_floating_point_are_no_weights():
    vectors = {"Generator/state": (3,), "bert/encoder/layer_0/dropout/StateVar": (3,), "label_names": (2,)}
    vectors |= {"bert/embeddings/dropout/generator/state": (3,), "string_lookup/table-values": (9,)}
    inside = {"bert/embeddings/position_ids": (7,), "bert/pooler/dense/kernel": (6, 6), "bert/pooler/dense/zeros": (6,)}
    inside |= {"head/table": (6, 6)}  # a matrix, for instance of 8 bits
    found = state(WEIGHTS, vectors, inside, integers=[*vectors, *inside])
    assert found.bookkeeping.keys() == vectors.keys()
    assert state(WEIGHTS, vectors).bookkeeping == {}


def test_integers_outside_the_model_need_no_known_name():
    found = state(
        WEIGHTS, {"Variable": (), "counters/zork": (), "bert/pooler/zork": ()}, integers=["Variable", "counters/zork"]
    )
    assert found.bookkeeping.keys() == {"Variable", "counters/zork"}


def test_metrics_random_numbers_and_the_object_graph():
    names = {"true_positives_1": (200,), "total_confusion_matrix": (3, 3), "_CHECKPOINTABLE_OBJECT_GRAPH": ()}
    names |= {"auc/false_negatives": (200,), "eval/kappa/conf_mtx": (3, 3)}
    names |= {"metrics/mean/vars/0": (4,)}  # in a file of Keras' own
    names |= {"layers/dropout/seed_generator/vars/0": (2,), "dropout/seed_generator_state": (2,)}
    found = state(WEIGHTS, names, integers=[name for name in names if "seed" in name])
    assert found.bookkeeping.keys() == names.keys()


def test_numbered_variables_of_an_optimizer():
    numbered = {f"optimizer/vars/{number}": shape for number, shape in enumerate([(), (), *WEIGHTS.values()])}
    found = state({f"layers/{name}": shape for name, shape in WEIGHTS.items()}, numbered, integers=["optimizer/vars/0"])
    assert found.slots.keys() | found.bookkeeping.keys() == numbered.keys()
    assert {slot.weight for slot in found.slots.values()} == {""}
    only = {
        f"optimizer/{name}": shape for name, shape in WEIGHTS.items()
    }  # a scope of everything is no group of a file
    assert state(only).slots == {}


def test_an_optimizer_of_keras_3_in_a_checkpoint_of_objects():
    """Its keys: the weights stand in the optimizer, which numbers what it keeps. By the variables' names: shortened."""
    weights = {f"optimizer/_trainable_variables/{n}": shape for n, shape in enumerate(WEIGHTS.values())}
    slots = {f"optimizer/inner_optimizer/_variables/{n}": shape for n, shape in enumerate(KERNELS.values())}
    counters = {"optimizer/_iterations": (), "optimizer/inner_optimizer/_learning_rate": (), "optimizer/zork": ()}
    found = state(weights, slots, counters)
    assert (found.slots.keys(), found.bookkeeping.keys()) == (slots.keys(), counters.keys())
    slots = {"loss_scale_optimizer/adam_1/dense_kernel_velocity": (6, 6), "adafactor/kernel": (6,)}
    counters = {"loss_scale_optimizer/dynamic_scale": (), "adafactor/iteration": ()}
    found = state(WEIGHTS, slots, counters)
    assert (found.slots.keys(), found.bookkeeping.keys()) == (slots.keys(), counters.keys())


def numbered_like(weights, start="Variable"):
    return {f"{start}_{n}" if n else start: shape for n, shape in enumerate(weights.values())}


@pytest.mark.parametrize("times", [1, 2])
def test_numbered_variables_of_the_shapes_of_all_weights(times):
    numbered = numbered_like({f"{time}{name}": s for time in range(times) for name, s in WEIGHTS.items()})
    found = state(WEIGHTS, numbered, {"global_step": ()})
    assert found.slots.keys() == numbered.keys()
    assert {word: {*names} for word, names in found.by_form.items()} == {"Variable_<number>": {*numbered}}


def test_numbered_variables_of_other_shapes_are_no_state():
    assert state(WEIGHTS, numbered_like(KERNELS)).slots == {}
    assert state(WEIGHTS, numbered_like(model(hidden=8))).slots == {}
    assert state(numbered_like(WEIGHTS)).slots == {}  # they are the model
    assert state({"kernel": (6, 2), "bias": (2,)}, {"dense_1": (6, 2), "dense_2": (2,)}).slots == {}


def test_what_the_format_marks_needs_no_form():
    marked = {
        "m_17": Slot("bert/embeddings/word_embeddings", "m"),
        "a_17": Slot("bert/embeddings/word_embeddings", "average"),
    }
    found = state(WEIGHTS, {"m_17": (3,), "a_17": (11, 6)}, marked=marked)
    assert (found.slots, found.averages) == ({"m_17": marked["m_17"]}, {"a_17": marked["a_17"]})


def test_the_order_of_names_does_not_matter():
    tensors = [*(WEIGHTS | beside(WEIGHTS, "{}/Zork", "ema/{}", "{}/adam_m") | {"global_step": ()}).items()]
    first = state(dict(tensors))
    for _ in itertools.repeat(None, 2):
        tensors = [*tensors[len(tensors) // 3 :], *tensors[: len(tensors) // 3]][::-1]
        assert state(dict(tensors))._replace(by_form={}) == first._replace(by_form={})
