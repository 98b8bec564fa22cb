"""A training in a process of its own, for tests that kill it. Arguments: SOURCE FOLDER STEPS [kill].

It prints one line of JSON: the global step and two variables after the session was made, and at the end. With ``kill``
it ends by a signal that nothing can catch.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import tensorflow as tf
from tfbert import graph

import bridgeckpt.tf

tf1 = tf.compat.v1
SIZES = {"vocab": 225, "positions": 64, "intermediate": 112}  # of examples/tiny-bert
WATCHED = ("bert/encoder/layer_1/output/dense/kernel", "output_weights")


def main(source: str, folder: str, steps: int, *, kill: bool) -> None:
    with tf.Graph().as_default():
        tf1.set_random_seed(int.from_bytes(os.urandom(3), "little"))  # initial values differ from run to run
        _, outputs = graph(head="classifier", **SIZES)
        step = tf1.train.get_or_create_global_step()
        train = tf1.train.AdamOptimizer(1e-3).minimize(tf.reduce_mean(tf.square(outputs["logits"])), global_step=step)
        hook = bridgeckpt.tf.WarmStartHook(source, new=["output_*"])
        # As scripts have it: with initialisers of its own, made before the hook begins.
        scaffold = tf1.train.Scaffold(init_op=tf1.global_variables_initializer(), saver=tf1.train.Saver())
        watched = {v.op.name: v for v in tf1.trainable_variables() if v.op.name in WATCHED}
        with tf1.train.MonitoredTrainingSession(
            checkpoint_dir=folder, hooks=[hook], scaffold=scaffold, save_checkpoint_steps=3, save_summaries_steps=None
        ) as session:
            raw = session._tf_sess()
            states = [(raw.run(step), raw.run(watched))]
            for _ in range(steps):
                session.run(train)
            states.append((raw.run(step), raw.run(watched)))
            told = [(int(at), {name: value.tolist() for name, value in values.items()}) for at, values in states]
            print(json.dumps({"states": told, "ran": hook.ran}), flush=True)
            if kill:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:3], int(sys.argv[3]), kill="kill" in sys.argv[4:])
