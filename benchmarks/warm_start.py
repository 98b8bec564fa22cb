"""Measures warm-starting the variables of BERT-base: bridgeckpt from each kind of source, and its alternatives.

    python benchmarks/warm_start.py --rounds 7 --write

A round runs every method once, each in a separate process. The clock starts after TensorFlow is imported and the
graph's variables are made. It stops when a session holds the values. The peak is the growth of the process in that
time, with the variables themselves (420 MiB). Ratios are medians of the rounds' ratios to
``tf.train.init_from_checkpoint`` from the TF1 checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from make_bert import variables
from measuring import HERE, machine

SIZES = {"hidden": 768, "layers": 12, "vocab": 30522, "intermediate": 3072, "positions": 512}
TENSORFLOW = "TF1 checkpoint: google's map, tf.train.init_from_checkpoint"
BY_HAND = "Hugging Face: load_file, transpose, Variable.load (a user's loop)"


def by_tensorflow(tf1: Any, tvars: Any, sources: dict[str, str], session: Any) -> None:
    known = {name for name, _ in tf1.train.list_variables(sources["tf1"])}
    names = [variable.op.name for variable in tvars if variable.op.name in known]
    tf1.train.init_from_checkpoint(sources["tf1"], {name: name for name in names})
    session.run(tf1.global_variables_initializer())


def by_hand(tf1: Any, tvars: Any, sources: dict[str, str], session: Any) -> None:
    from safetensors.numpy import load_file

    state = load_file(Path(sources["hf"]) / "model.safetensors")
    session.run(tf1.global_variables_initializer())
    for variable in tvars:
        name = variable.op.name.replace("layer_", "layer.").replace("/", ".")
        name += ".weight" if name.endswith("_embeddings") else ""
        for theirs, ours in (("kernel", "weight"), ("gamma", "weight"), ("beta", "bias"), ("output_", "")):
            name = name.replace(theirs, ours)
        value = state[name.replace("seq_relationship.weights", "seq_relationship.weight")]
        variable.load(value.T if variable.op.name.endswith("kernel") else value, session)


def by_assignment_map(source: str) -> Any:
    def run(tf1: Any, tvars: Any, sources: dict[str, str], session: Any) -> None:
        from bridgeckpt.tf import get_assignment_map_from_checkpoint, init_from_checkpoint

        assignment_map, _ = get_assignment_map_from_checkpoint(tvars, sources[source])
        init_from_checkpoint(sources[source], assignment_map)
        session.run(tf1.global_variables_initializer())

    return run


def by_assign(source: str) -> Any:
    def run(tf1: Any, tvars: Any, sources: dict[str, str], session: Any) -> None:
        import bridgeckpt.tf

        session.run(tf1.global_variables_initializer())
        bridgeckpt.tf.assign(tvars, sources[source], session=session)

    return run


METHODS = {
    TENSORFLOW: by_tensorflow,
    "TF1 checkpoint: bridgeckpt.tf": by_assignment_map("tf1"),
    "TF1 checkpoint: bridgeckpt.tf.assign in a session": by_assign("tf1"),
    BY_HAND: by_hand,
    "Hugging Face: bridgeckpt.tf": by_assignment_map("hf"),
    "Hugging Face: bridgeckpt.tf.assign in a session": by_assign("hf"),
}


def run_once(method: str, sources: dict[str, str]) -> None:
    """Warm-start once. Prints the seconds, the MiB by which the process grew, and a checksum of the values."""
    import tensorflow.compat.v1 as tf1

    tf1.disable_eager_execution()
    for name, shape in variables(**SIZES):
        tf1.get_variable(name, shape, initializer=tf1.zeros_initializer())
    tvars = tf1.trainable_variables()
    checksum = tf1.add_n([tf1.reduce_sum(tf1.square(variable)) for variable in tvars])
    with tf1.Session() as session:
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        METHODS[method](tf1, tvars, sources, session)
        seconds = time.perf_counter() - start
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(json.dumps([seconds, grown / 1024, float(session.run(checksum))]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="write the results to benchmarks/results/warm_start.md")
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "SOURCES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_once(options.one[0], json.loads(options.one[1]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        sources = {"tf1": str(folder / "tf1" / "bert_model.ckpt"), "hf": str(folder / "hf")}
        sizes = [text for key, size in SIZES.items() for text in (f"--{key}", str(size))]
        made = [sys.executable, HERE / "make_bert.py", folder / "tf1", *sizes, "--heads", "12", "--shards", "1"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        converting = [sys.executable, "-m", "bridgeckpt", "convert", "tf2pt", folder / "tf1", folder / "hf"]
        subprocess.run(converting, check=True, stdout=subprocess.DEVNULL)
        runs: dict[str, list[list[float]]] = {method: [] for method in METHODS}
        for _ in range(options.rounds):
            for method, results in runs.items():
                command = [sys.executable, __file__, "--one", method, json.dumps(sources)]
                environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
                done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
                results.append(json.loads(done.stdout.splitlines()[-1]))
        if len({result[2] for results in runs.values() for result in results}) != 1:
            raise AssertionError("the methods did not set the same values")
        lines = ["# Warm-starting BERT-base", "", f"{machine(folder)}; {options.rounds} rounds, warm page cache.", ""]
    lines += ["| method | seconds, fastest | ratio | MiB, median |", "|---|---|---|---|"]
    for method, results in runs.items():
        ratio = median(result[0] / base[0] for result, base in zip(results, runs[TENSORFLOW], strict=True))
        fastest, grown = min(result[0] for result in results), median(result[1] for result in results)
        lines.append(f"| {method} | {fastest:.2f} | {ratio:.2f} | {grown:.0f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        (HERE / "results" / "warm_start.md").write_text(text)


if __name__ == "__main__":
    main()
