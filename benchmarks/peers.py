"""The alternatives to bridgeckpt, each run as a separate process: ``python peers.py NAME FOLDER OUTPUT``."""

from __future__ import annotations

import sys
from pathlib import Path


def script(folder: Path, output: Path) -> None:
    """The script that a competent user writes: TensorFlow reads, numpy transposes, safetensors writes."""
    import numpy as np
    import tensorflow as tf
    from safetensors.numpy import save_file

    reader = tf.train.load_checkpoint(str(folder / "bert_model.ckpt"))
    tensors = {}
    for name in reader.get_variable_to_shape_map():
        if name == "global_step" or name.endswith(("/adam_m", "/adam_v")):
            continue
        array = reader.get_tensor(name)
        if name.endswith("/kernel"):
            array = np.ascontiguousarray(array.T)
        torch_name = (
            name.replace("/kernel", "/weight")
            .replace("/gamma", "/weight")
            .replace("/beta", "/bias")
            .replace("_embeddings", "_embeddings/weight")
            .replace("layer_", "layer/")
            .replace("output_weights", "weight")
            .replace("seq_relationship/output_bias", "seq_relationship/bias")
            .replace("predictions/output_bias", "predictions/bias")
        )
        tensors[torch_name.replace("/", ".")] = array
    output.mkdir()
    save_file(tensors, output / "model.safetensors", metadata={"format": "pt"})


def transformers(folder: Path, output: Path) -> None:
    """transformers' own loader, before 5.0 removed TensorFlow, and its way of saving."""
    from transformers import BertConfig, BertForPreTraining
    from transformers.models.bert.modeling_bert import load_tf_weights_in_bert

    model = BertForPreTraining(BertConfig.from_json_file(str(folder / "bert_config.json")))
    load_tf_weights_in_bert(model, None, str(folder / "bert_model.ckpt"))
    model.save_pretrained(output)


if __name__ == "__main__":
    {"script": script, "transformers": transformers}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
