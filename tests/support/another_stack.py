"""ALBERT as a user's own tables describe it: its layers share one set of tensors, so no shape tells how many there are.

The tables in ``albert/`` are complete. A test takes away, or puts wrong, what it is about.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

TABLES = Path(__file__).parent / "albert"
SIZES = {
    "vocab_size": 30,
    "embedding_size": 6,
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_hidden_groups": 1,
    "inner_group_num": 1,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
}
_RENAMED = (  # transformers' names, and google-research/albert's
    ("encoder.albert_layer_groups.", "encoder/transformer/group_"),
    (".albert_layers.", "/inner_group_"),
    ("attention.LayerNorm", "LayerNorm"),
    ("full_layer_layer_norm", "LayerNorm_1"),
    ("attention.dense", "attention_1/output/dense"),
    ("attention.", "attention_1/self/"),
    ("ffn_output", "ffn_1/intermediate/output/dense"),
    ("ffn.", "ffn_1/intermediate/dense."),
    ("pooler.", "pooler/dense."),
    ("_embeddings.weight", "_embeddings"),
    (".", "/"),
)


def make_albert(folder: Path, **sizes: int) -> Any:
    """Write a checkpoint and its config into ``folder/source``; returns transformers' model with the same weights."""
    import torch
    import transformers

    values = SIZES | sizes
    torch.manual_seed(0)
    model = transformers.AlbertModel(transformers.AlbertConfig(**values)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    tensors = {}
    for name, tensor in model.state_dict().items():
        variable, array = _variable(name), tensor.numpy()
        if name != "embeddings.position_ids":
            tensors[variable] = array.T.copy() if variable.endswith("kernel") else array
    source = folder / "source"
    source.mkdir()
    save_file(tensors, source / "model.safetensors")
    (source / "config.json").write_text(json.dumps(values))
    return model


def write_tables(folder: Path, **changes: tuple[str, str]) -> Path:
    """Copy the tables, each with a text that is replaced: ``model=(old, new)``; returns the path of the dialect."""
    for name in ("model", "mine"):
        text = (TABLES / f"{name}.toml").read_text()
        old, new = changes.get(name, ("", ""))
        assert old in text
        (folder / f"{name}.toml").write_text(text.replace(old, new) if old else text)
    return folder / "mine.toml"


def _variable(parameter: str) -> str:
    name = parameter
    for old, new in _RENAMED:
        name = name.replace(old, new)
    ends = ("/gamma", "/beta") if "LayerNorm" in name else ("/kernel", "/bias")
    for old, new in zip(("/weight", "/bias"), ends, strict=True):
        name = name[: -len(old)] + new if name.endswith(old) else name
    return f"bert/{name}"
