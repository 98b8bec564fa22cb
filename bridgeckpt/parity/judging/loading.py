"""Loading a model folder as its user does, with ``from_pretrained`` and nothing else that changes what is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import ParityError
from bridgeckpt.parity.judging.converted_folder import CONFIG, config_of, from_report
from bridgeckpt.parity.judging.loaded import compare_with_files, stored_dtype
from bridgeckpt.parity.judging.pytorch import Subject, first_line, frameworks
from bridgeckpt.sentences import Sentence

if TYPE_CHECKING:
    from pathlib import Path

    from bridgeckpt.parity.family import Family

_ANY_CLASS = "AutoModel"


def load(folder: Path, family_of: Callable[[Any], Family]) -> Subject:
    """Load the class that the folder's config names; ``family_of`` says which family the model is of.

    Raises:
        ParityError: torch or transformers is not installed, or transformers cannot load the folder.
    """
    _, transformers = frameworks()
    stated = config_of(folder).get("architectures") or [_ANY_CLASS]
    name = stated[0] if isinstance(stated, list) else None
    if not isinstance(name, str):
        raise ParityError(f"{folder / CONFIG} is not a readable config (its architectures are {stated!r})")
    kind = getattr(transformers, name, None)
    if kind is None:
        raise ParityError(f"transformers {transformers.__version__} has no {name}, which {folder} asks for")
    stored = stored_dtype(folder)  # also checks that every file is whole, before transformers maps it
    arguments = load_arguments(folder, kind)
    options = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True, **arguments}
    try:
        with quiet(transformers):
            model, info = kind.from_pretrained(str(folder), **options)
    except Exception as error:  # the classes of transformers raise errors of any kind, also AssertionError
        raise ParityError(
            f"transformers cannot load {folder}: {first_line(error)}",
            hint=Sentence("do config.json and the weights belong together? Convert again, or use {run:diff SRC DST}"),
        ) from error
    info = {key: tuple(sorted(map(str, value))) for key, value in info.items()}
    mismatched, errors = info.get("mismatched_keys", ()), info.get("error_msgs", ())
    if mismatched or errors:
        raise ParityError(f"{folder} does not fit {name}: {'; '.join((*mismatched, *errors)[:3])}")
    found = compare_with_files(model, folder, info.get("missing_keys", ()))
    family = family_of(model)
    return Subject(
        folder=folder,
        model=model.float().eval(),  # exact: a change by loading was found before
        family=family,
        sites=family.sites(model),
        stored=stored,
        arguments=tuple(f"{name}={value}" for name, value in arguments.items()),
        changes=found.changes,
        made_up=found.made_up,
        unexpected=info.get("unexpected_keys", ()),
    )


def load_arguments(folder: Path, kind: type) -> dict[str, bool]:
    """The arguments that the class is loaded with, according to the report of the conversion.

    Only switches of the class itself count, as in ``add_pooling_layer=False``.
    """
    reported = from_report(folder, "load_arguments")
    known = signature(kind).parameters
    pairs = [str(text).partition("=") for text in reported] if isinstance(reported, list) else []
    return {name: value == "True" for name, _, value in pairs if name in known and value in ("True", "False")}


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:  # noqa: ANN401
    """No progress bars and load reports: the verdict contains what they report."""
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
