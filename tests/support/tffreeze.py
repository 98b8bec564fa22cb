"""Frozen graphs made by real TensorFlow from the checkpoints of :mod:`tfbert`, and changed as its graph tools do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tfwrite

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

OUTPUTS = ("bert/pooler/dense/Tanh", "cls/predictions/BiasAdd", "cls/seq_relationship/BiasAdd")


def freeze(prefix: Path, outputs: tuple[str, ...] = OUTPUTS) -> Any:
    """The graph beside a checkpoint, with its variables turned into constants."""
    tf1 = tfwrite.tensorflow().compat.v1
    with tf1.Graph().as_default() as graph, tf1.Session() as session:
        tf1.train.import_meta_graph(f"{prefix}.meta").restore(session, str(prefix))
        return tf1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), list(outputs))


def without_reads(graph_def: Any, outputs: tuple[str, ...] = OUTPUTS) -> Any:
    """The same graph without the operations that only pass something on."""
    tf1 = tfwrite.tensorflow().compat.v1
    return tf1.graph_util.remove_training_nodes(graph_def, protected_nodes=list(outputs))


def folded(graph_def: Any, outputs: tuple[str, ...] = OUTPUTS) -> Any:
    """The same graph with constants folded by TensorFlow's own optimizer."""
    tf = tfwrite.tensorflow()
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.grappler import tf_optimizer

    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        for name in outputs:
            graph.add_to_collection("train_op", graph.get_tensor_by_name(f"{name}:0"))
        meta = tf.compat.v1.train.export_meta_graph(graph_def=graph_def, graph=graph)
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.min_graph_nodes = -1
    config.graph_options.rewrite_options.optimizers.extend(["constfold", "dependency"])
    return tf_optimizer.OptimizeGraph(config, meta)


def write(path: Path, graph_def: Any) -> Path:
    path.write_bytes(graph_def.SerializeToString())
    return path


def values(graph_def: Any) -> dict[str, np.ndarray]:
    """Every constant as TensorFlow reads it."""
    tf = tfwrite.tensorflow()
    return {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in graph_def.node if node.op == "Const"}


def weights(graph_def: Any) -> Any:
    """The constants of numbers with a fraction and at least one axis, to change them."""
    return [
        node
        for node in graph_def.node
        if node.op == "Const" and node.attr["dtype"].type == 1 and node.attr["value"].tensor.tensor_shape.dim
    ]
