"""Measures reading and converting ``tf_model.h5`` of BERT-base: whole processes, in turn with ``cp`` and a bare start.

    python benchmarks/h5.py --rounds 11 --write

The file is made with h5py in the layout of Keras 2 and transformers, so TensorFlow is not needed. A round runs each
command once, from a warm page cache. A ratio is the median of the rounds' ratios. The aim for reading is the time of
``cp`` plus the start of an interpreter that imports numpy, which every reader of arrays needs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from measuring import COPY, HERE, Runs, machine, table

START = "python -c 'import numpy'"
READ, LOAD, PEER = (
    "every tensor's bytes, 1 MiB at a time",
    "every tensor as an array",
    "h5py, every dataset as an array",
)
CONVERT = "bridgeckpt convert"
HIDDEN, LAYERS, VOCAB, INTERMEDIATE, POSITIONS = 768, 12, 30522, 3072, 512
CONFIG = {
    "architectures": ["BertForPreTraining"],
    "hidden_act": "gelu",
    "hidden_size": HIDDEN,
    "initializer_range": 0.02,
    "intermediate_size": INTERMEDIATE,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": POSITIONS,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": LAYERS,
    "type_vocab_size": 2,
    "vocab_size": VOCAB,
}
READING = """
import sys
import numpy as np
from bridgeckpt.store.checked_files import Sources
from bridgeckpt.formats import open_checkpoint
with open_checkpoint(sys.argv[1]) as checkpoint, Sources() as sources:
    checkpoint.check_files()
    piece = np.empty(1 << 20, np.uint8)
    for info in checkpoint.tensors.values():
        reader = sources.reader(info, whole=True)
        for offset in range(0, reader.nbytes, len(piece)):
            reader.read_into(piece[: reader.nbytes - offset], offset)
"""
LOADING = """
import sys
from bridgeckpt.formats import open_checkpoint
with open_checkpoint(sys.argv[1]) as checkpoint:
    for name in checkpoint:
        checkpoint.get_tensor(name)
"""
BY_H5PY = """
import sys, h5py
def read(name, item):
    if isinstance(item, h5py.Dataset):
        item[()]
with h5py.File(sys.argv[1]) as file:
    file.visititems(read)
"""


def shapes() -> dict[str, dict[str, tuple[int, ...]]]:
    """The shapes of TFBertForPreTraining's weights, by layer and by transformers' name."""

    def norm(scope: str) -> dict[str, tuple[int, ...]]:
        return {f"{scope}/LayerNorm/gamma:0": (HIDDEN,), f"{scope}/LayerNorm/beta:0": (HIDDEN,)}

    def dense(scope: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
        return {f"{scope}/kernel:0": (rows, columns), f"{scope}/bias:0": (columns,)}

    bert, cls = "tf_bert_for_pre_training/bert", "tf_bert_for_pre_training"
    table = {f"{bert}/embeddings/word_embeddings/weight:0": (VOCAB, HIDDEN)}
    encoder = {
        **table,
        f"{bert}/embeddings/token_type_embeddings/embeddings:0": (2, HIDDEN),
        f"{bert}/embeddings/position_embeddings/embeddings:0": (POSITIONS, HIDDEN),
        **norm(f"{bert}/embeddings"),
    }
    for layer in range(LAYERS):
        scope = f"{bert}/encoder/layer_._{layer}"
        for part in ("query", "key", "value"):
            encoder |= dense(f"{scope}/attention/self/{part}", HIDDEN, HIDDEN)
        encoder |= dense(f"{scope}/attention/output/dense", HIDDEN, HIDDEN) | norm(f"{scope}/attention/output")
        encoder |= dense(f"{scope}/intermediate/dense", HIDDEN, INTERMEDIATE)
        encoder |= dense(f"{scope}/output/dense", INTERMEDIATE, HIDDEN) | norm(f"{scope}/output")
    encoder |= dense(f"{bert}/pooler/dense", HIDDEN, HIDDEN)
    mlm = {
        f"{cls}/mlm___cls/predictions/bias:0": (VOCAB,),
        **dense(f"{cls}/mlm___cls/predictions/transform/dense", HIDDEN, HIDDEN),
        **norm(f"{cls}/mlm___cls/predictions/transform"),
    }
    nsp = dense(f"{cls}/nsp___cls/seq_relationship", HIDDEN, 2)
    return {"bert": encoder, "nsp___cls": nsp, "mlm___cls": {**mlm, **table}}


def make(path: Path) -> None:
    """Write a model with random weights as transformers saves it; the file is then in the page cache."""
    import h5py
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    drawn: dict[str, Any] = {}
    with h5py.File(path, "w") as file:
        layers = shapes()
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        file.attrs["keras_version"], file.attrs["backend"] = "2.19.0", "tensorflow"
        for layer, weights in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in weights]
            for name, shape in weights.items():
                if name not in drawn:
                    drawn[name] = random.standard_normal(shape, np.float32)
                group.create_dataset(name, data=drawn[name])
    (path.parent / "config.json").write_text(json.dumps(CONFIG, indent=2))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{number}" for number in range(VOCAB - 5))]
    (path.parent / "vocab.txt").write_text("\n".join(words) + "\n")


def commands(path: Path) -> dict[str, Runs]:
    """The commands that are measured."""
    python = sys.executable
    return {
        COPY: Runs(["cp", str(path), "OUTPUT"]),
        START: Runs([python, "-c", "import numpy"]),
        READ: Runs([python, "-c", READING, str(path)]),
        LOAD: Runs([python, "-c", LOADING, str(path)]),
        PEER: Runs([python, "-c", BY_H5PY, str(path)]),
        CONVERT: Runs([python, "-m", "bridgeckpt", "convert", "tf2pt", str(path.parent), "OUTPUT"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--no-convert", action="store_true", help="measure reading alone")
    parser.add_argument("--write", action="store_true", help="write the results to benchmarks/results/h5.md")
    parser.add_argument("--make", type=Path, metavar="FILE", help="only make the file")
    options = parser.parse_args()
    if options.make:
        make(options.make)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        path = folder / "bert-base" / "tf_model.h5"
        # In another process: the measured processes begin as copies of this one, so this one must stay small.
        subprocess.run([sys.executable, __file__, "--make", path], check=True)
        size = path.stat().st_size
        runs = commands(path)
        if options.no_convert:
            del runs[CONVERT]
        for number in range(options.rounds):
            for timed in runs.values():
                timed.run(number, folder)
                (folder / "output").unlink(missing_ok=True)
        lines = ["# tf_model.h5 of BERT-base", "", f"{machine(folder)}; {options.rounds} rounds, warm page cache.", ""]
    lines += [f"{size:,} bytes.", "", *table(runs), ""]
    for name in (READ, LOAD):
        ratio = median(
            seconds / (runs[COPY].seconds[number] + runs[START].seconds[number])
            for number, seconds in runs[name].seconds.items()
        )
        lines.append(f"- {name}: at most 1 of cp and {START}: {ratio:.2f}, {'reached' if ratio <= 1 else 'missed'}")
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        (HERE / "results" / "h5.md").write_text(text)


if __name__ == "__main__":
    main()
