"""A checkpoint recorded: it is opened, its BERT is found, run and described."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import ParityError
from bridgeckpt.formats import open_checkpoint
from bridgeckpt.formats.huggingface.pytorch_folder import pytorch_model
from bridgeckpt.formats.locating.locate import locate
from bridgeckpt.formats.locating.refusals import index_of
from bridgeckpt.formats.tensorflow.objectgraph import OBJECT_GRAPH
from bridgeckpt.formats.tensorflow.saved_model import saved_model_for, saved_model_of
from bridgeckpt.formats.training.state import find_state
from bridgeckpt.parity.bert.assumptions import is_whole, left_open
from bridgeckpt.parity.bert.beside import CLASSIFIERS, with_rest, without_own_head
from bridgeckpt.parity.bert.graph_heads import with_heads_of_graph
from bridgeckpt.parity.bert.own_graph import OwnGraph
from bridgeckpt.parity.bert.probes import probes_of
from bridgeckpt.parity.bert.refusals import refuse_variants
from bridgeckpt.parity.bert.running import run_forward
from bridgeckpt.parity.bert.saved_model import (
    functions_reference,
    origin,
    run_functions,
)
from bridgeckpt.parity.bert.settings import read_settings, require_heads
from bridgeckpt.parity.bert.trial import (
    TRIAL_STAGES,
    first_difference,
    settings_of_graph,
    settings_of_values,
    trial_weights,
)
from bridgeckpt.parity.bert.variables import find_bert
from bridgeckpt.parity.bert.vocabulary import source_vocabulary
from bridgeckpt.parity.hints import OWN_FUNCTION
from bridgeckpt.parity.reference.reference import Reference
from bridgeckpt.parity.tensorflow.nodes import UnusableGraph
from bridgeckpt.parity.tensorflow.runtime import computing, import_tensorflow
from bridgeckpt.parity.tensorflow.stored import StoredVariables, TensorFlowVariables, finite
from bridgeckpt.sentences import Sentence
from bridgeckpt.store.lfs import open_content
from bridgeckpt.store.source import is_file
from bridgeckpt.wording import fold, listed

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.formats.checkpoint import Checkpoint
    from bridgeckpt.formats.tensorflow.saved_model import SavedModel
    from bridgeckpt.formats.training.state import TrainingState
    from bridgeckpt.parity.bert.running import Values
    from bridgeckpt.parity.bert.settings import Settings
    from bridgeckpt.parity.bert.variables import Bert
    from bridgeckpt.parity.reference.probes import Probe
    from bridgeckpt.parity.request import RecordingRequest
    from bridgeckpt.parity.tensorflow.stored import Variables

_FORWARD = "plain TensorFlow operations on the checkpoint's variables"
_AMBIGUOUS = (
    "nothing says whether the classifier reads the pooler or every position: both are recorded (logits, token_logits)"
)
_NO_BERT = "only the functions were run: the variables' names are not those of one BERT"


def reference_of(request: RecordingRequest) -> Reference:
    """What TensorFlow computes on the probes; see :func:`bridgeckpt.parity.recording.record_checkpoint`."""
    saved, path = _saved_model(request.source)
    with open_checkpoint(path) as checkpoint:
        if checkpoint.has_pytorch_names:
            raise _of_pytorch(checkpoint)
        checkpoint.check_files()
        graph = checkpoint.graph_path if saved is None else saved.graph
        if request.graph and graph is not None:
            open_content(graph)  # a pointer of Git LFS is no reason to leave the graph out
        tf = import_tensorflow()  # takes seconds: a wrong path is reported before that
        variables = _variables(tf, checkpoint)
        try:
            names = {*checkpoint.tensors, *checkpoint.objects, *variables.shapes}
            refuse_variants(names, checkpoint.descriptions, str(checkpoint.path))
            training = _training(checkpoint, variables)
            found = find_bert(
                variables.shapes, str(checkpoint.path), scope=request.scope, ema=request.ema, training=training
            )
            bert = with_rest(found, variables, training)._replace(pruned=checkpoint.is_pruned)
        except ParityError:
            asked = request.scope is not None or request.ema or not request.graph
            if saved is None or (asked and OBJECT_GRAPH not in checkpoint.tensors):
                raise
            reference = functions_reference(tf, request, saved, checkpoint, _NO_BERT)
        else:
            reference = _Recording(tf, request, checkpoint, variables, bert, saved).reference()
        return reference._replace(vocabulary=source_vocabulary(checkpoint, graph))


def _of_pytorch(checkpoint: Checkpoint) -> ParityError:
    """The error about a checkpoint that TensorFlow cannot run."""
    made = pytorch_model(checkpoint)
    if made is None:
        what, source = f"{checkpoint.path} is {checkpoint.format}, not a TensorFlow checkpoint", "the source"
    else:
        what, source = f"{made.what}: TensorFlow cannot run it", made.source or "the source"
    return ParityError(what, hint=f"record the TensorFlow side of the conversion, {source}")


def _saved_model(source: Path) -> tuple[SavedModel | None, Path]:
    """The SavedModel at a path, or the only version below it; and the path to open.

    It is None for a frozen one, which is a graph and has no variables.
    """
    given = saved_model_for(source)
    saved = given or saved_model_of(locate(source).path)
    if saved is None or saved.graph is None or not is_file(index_of(saved.variables)):
        return None, source
    return saved, source if given is None else saved.variables


def _variables(tf: Any, checkpoint: Checkpoint) -> Variables:  # noqa: ANN401
    if checkpoint.read_by_tensorflow:
        return TensorFlowVariables(tf, checkpoint.path)
    return StoredVariables(checkpoint)


def _training(checkpoint: Checkpoint, variables: Variables) -> TrainingState:
    """What training left among the variables, which are known by their keys and by their own names."""
    views = checkpoint, checkpoint.by_variable(without=":0")
    marked = {name: slot for view in views for name, slot in view.slots.items()}
    return find_state(variables.shapes, marked, {name for view in views for name in view.integers})


class _Recording:
    """One BERT being recorded; the results accumulate in ``runs``, ``how`` and ``notes``."""

    def __init__(
        self,
        tf: Any,  # noqa: ANN401 - TensorFlow has no types
        request: RecordingRequest,
        checkpoint: Checkpoint,
        variables: Variables,
        bert: Bert,
        saved: SavedModel | None,
    ) -> None:
        self.tf, self.request, self.checkpoint, self.variables = tf, request, checkpoint, variables
        self.bert, self.saved = bert, saved
        self.graph_path = checkpoint.graph_path if saved is None else saved.graph
        directory = checkpoint.directory
        settings = read_settings(directory, bert, request.config, request.given, checkpoint.descriptions)
        self.settings = with_heads_of_graph(settings, bert, self.graph_path)
        self.probes = probes_of(request, directory, bert.rows)
        self.runs: dict[str, Values] = {}
        self.how: list[str] = []
        self.notes = [*checkpoint.remarks, *_averages(bert)]

    def reference(self) -> Reference:
        """Run everything that can be run."""
        if self.request.graph and not self.bert.is_google and self.saved is not None:
            self._functions(self.saved)
            self._matched_values()
            if self.bert.unread and "graph" in self.runs:
                self.notes.append(f"only the functions were run: no BERT has {_listed(self.bert.unread)}")
            else:
                self._forward()
        elif not self.request.graph or self.graph_path is None or self._graph(self.graph_path):
            self._forward()
        self.bert = self._shown_head()
        if self.bert.beside:
            names = listed((text for text, _ in fold(self.bert.beside)), 5)
            self.notes.append(f"not computed: what is made of {names}, outside the encoder (a head that is not known)")
        provenance = {
            **origin(self.tf, self.checkpoint, self.saved),
            "dtype": self.variables.dtypes[self.bert.variables["embeddings.words"]].name,
            "how": ", and ".join(self.how),
            "settings": self.settings.described(),
            "scope": self.bert.scope,
            "ema": self.request.ema,
            "seed": self.request.seed,
        }
        assumed, told = self._open()
        return Reference(
            probes=self.probes,
            runs=self.runs,
            provenance=provenance,
            variables=self.bert.variables,
            notes=(*self.notes, *told),
            assumed=assumed,
        )

    def _shown_head(self) -> Bert:
        """The BERT with a head of its own as the stage that was run, which shows what it reads; else without it."""
        computed = {stage for values in self.runs.get("graph", {}).values() for stage in values}
        shown = [stage for stage in CLASSIFIERS if stage in computed]
        bert = self.bert
        if not bert.own_head or not shown:
            return without_own_head(bert)
        for stage in CLASSIFIERS:
            bert = bert if stage in shown else bert.without(stage)
        return bert

    def _open(self) -> tuple[Mapping[str, str], Sequence[str]]:
        """What a folder that agrees does not prove: what the forward pass assumes, and notes on the user's word."""
        if "float32" not in self.runs:
            return {}, ()
        computed = {stage for values in self.runs.get("graph", {}).values() for stage in values}
        settings = self.settings
        return (
            left_open(self.bert, settings.hidden_act, settings.assumed, computed),
            () if is_whole(self.bert, computed) else settings.notes,
        )

    def _graph(self, path: Path) -> bool:
        """Run the checkpoint's graph if possible; False if a forward pass computes something else."""
        settings: Settings | None = self.settings
        try:
            with computing(self.tf, path.name), OwnGraph(self.tf, path, self.bert, self.checkpoint.constants) as graph:
                graph.fill(self.variables.load)
                fitting = {name: probe for name, probe in self.probes.items() if graph.fits(probe)}
                values = {name: graph.run(probe) for name, probe in fitting.items()}
                deep = next((probe for probe in fitting.values() if probe.depth == "fine"), None)
                if deep is not None:
                    settings = self._matched(graph, deep)
        except UnusableGraph as reason:
            self.notes.append(f"the graph in {path.name} was not run: {reason}")
            if self.saved is not None:
                self._functions(self.saved)
            return True
        if len(fitting) < len(self.probes):
            left_out = ", ".join(name for name in self.probes if name not in fitting)
            self.notes.append(
                f"the graph in {path.name} is made for {graph.length} positions and was not run on: {left_out}"
            )
        if fitting:
            self.how.append(f"the graph in {path.name}")
            self.runs["graph"] = {name: finite(stages, "the graph") for name, stages in values.items()}
            if "logits" in graph.stages:
                self.bert = self.bert.without("token_logits")
            elif "token_logits" in graph.stages:
                self.bert = self.bert.without("logits")
        self.settings = settings or self.settings._replace(origins={})
        return settings is not None

    def _functions(self, saved: SavedModel) -> None:
        """Run the SavedModel's functions in place of its graph, if possible."""
        try:
            recorded = run_functions(self.tf, saved, self.checkpoint, lambda _: self.probes)
        except ParityError as error:
            self.notes.append(Sentence("its functions were not run: {why}", why=error.message))
        else:
            self.runs["graph"] = recorded.values
            self.how.append(recorded.how)
            self.notes += recorded.notes

    def _matched_values(self) -> None:
        """Find the settings by what the functions computed, if they were run."""
        for name, values in self.runs.get("graph", {}).items():
            asked, probe = self.request.given.names, self.probes[name]
            self.settings = settings_of_values(self.tf, self.bert, self.settings, self.variables, probe, values, asked)
            return

    def _matched(self, graph: OwnGraph, probe: Probe) -> Settings | None:
        """The settings of the graph; None if no forward pass computes the same."""
        if self.bert.unread:
            self.notes.append(f"only the graph was run: no BERT has {_listed(self.bert.unread)}")
            return None
        asked, weights = self.request.given.names, trial_weights(self.bert, self.variables)
        graph.fill(weights.__getitem__, weights)
        values = graph.run(probe, TRIAL_STAGES)
        settings = settings_of_graph(self.tf, self.bert, self.settings, weights, probe, values, asked)
        if settings is None:
            given = f" together with {', '.join(asked)} as asked" if asked else ""
            self.notes.append(
                "only the graph was run: no activation, epsilon and number of heads known here explain what it "
                f"computes{given}"
            )
        return settings

    def _forward(self) -> None:
        """Run the forward pass; its values are kept unless the graph computes something else."""
        if self.bert.unread:
            raise ParityError(
                f"a forward pass would leave out {_listed(self.bert.unread)}, which no BERT has",
                hint=OWN_FUNCTION,
            )
        settings = require_heads(self.settings, self.bert)
        self.bert = self._shown_head()
        single = run_forward(self.tf, self.bert, settings, self.variables, self.probes, "float32")
        double: Values = {}
        if self.request.float64:
            double = run_forward(self.tf, self.bert, settings, self.variables, self.probes, "float64")
        for name, values in self.runs.get("graph", {}).items():
            stage = first_difference(values, single[name], double.get(name, {}))
            if stage in CLASSIFIERS and self.bert.own_head:
                self.notes.append(f"{stage} is of the graph alone: the head computes more than one linear layer")
                for computed in (*single.values(), *double.values()):
                    computed.pop(stage, None)
            elif stage is not None:
                self.notes.append(f"only the graph was run: {stage} is computed there in a way that is not known here")
                return
        if self.bert.has("logits") and self.bert.has("token_logits"):
            self.notes.append(_AMBIGUOUS)
        self.how.append(_FORWARD)
        self.runs["float32"] = single
        if double:
            self.runs["float64"] = double


def _averages(bert: Bert) -> Iterator[str]:
    """A note if only some variables have a moving average."""
    rest = {*bert.variables.values()} - bert.averages.keys()
    if bert.averages and rest:
        yield f"{len(bert.averages)} variables are moving averages; {len(rest)} have none, as {min(rest)}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more variables"
