"""Encoders that start from those of finished runs, or from pretrained ones, instead of random weights.

What a run starts from is kept in its own folder until it is finished, so that resuming it does not need the other run.
It freezes nothing: what is taken over learns on like the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from tonggan.config import Config
from tonggan.encoders import EncoderConfig
from tonggan.errors import ConfigError
from tonggan.modalities import ColumnConfig, Modality, load_modality
from tonggan.models import FusedModel, ModelConfig
from tonggan.models.state import learned_state, load_learned_state
from tonggan.progress import Progress
from tonggan.runs.bundle import Bundle, InputEntry
from tonggan.runs.bundle_folder import INDEX, WEIGHTS, read_index
from tonggan.runs.pretrained import is_pretrained, own_weights, read_manifest, read_pretrained
from tonggan.runs.recipe import Recipe
from tonggan.training.checkpoint import load_checkpoint, save_checkpoint


class Origin(Config):
    """The encoder that another one starts from."""

    source: str
    """Run and input, as the recipe names them."""
    sha256: str
    """SHA-256 of the run's weights."""
    dim: int
    """Width of the run's model."""
    encoder: EncoderConfig
    """The encoder's config."""
    input: InputEntry
    """The input that it reads."""

    def encoder_for(self, dim: int) -> EncoderConfig:
        """Its config in a model of width ``dim``, with blocks as wide as they are where this can be said."""
        if dim == self.dim or getattr(self.encoder, "width", dim) is not None:
            return self.encoder
        return self.encoder.model_copy(update={"width": self.dim})

    @property
    def width(self) -> int:
        """Width of the encoder's blocks."""
        return _width(self.encoder, self.dim)


@dataclass(frozen=True)
class Start:
    """By input, where its encoder comes from and the weights that the encoder had there."""

    origins: Mapping[str, Origin]
    weights: Mapping[str, Mapping[str, Tensor]]

    def keep(self, path: Path) -> None:
        """Write it to ``path`` for a resumed run.

        Raises:
            TrainingError: the disk is full or the folder cannot be written.
        """
        if not self.origins:
            return
        tensors = {
            f"{place}.{key}": tensor
            for place, weights in enumerate(self.weights.values())
            for key, tensor in weights.items()
        }
        origins = {name: origin.to_dict() for name, origin in self.origins.items()}
        save_checkpoint(path, tensors=tensors, state={"origins": origins})

    @property
    def identity(self) -> dict[str, dict[str, str]]:
        """By input, the source and the SHA-256 of its weights."""
        return {name: {"source": each.source, "sha256": each.sha256} for name, each in self.origins.items()}

    @property
    def fitted(self) -> dict[str, dict[str, Any]]:
        """By input that is one column, what was fitted there, such as the tokens that its encoder knows."""
        return {
            name: origin.input.state
            for name, origin in self.origins.items()
            if isinstance(origin.input.config, ColumnConfig)
        }

    def complete(self, recipe: Recipe, names: Collection[str]) -> Recipe:
        """``recipe`` with what it leaves open of columns and encoders as it is where these start.

        Args:
            recipe: of the run.
            names: of the columns that there are.
        """
        if not self.origins:  # what nobody has set must not look as if
            return recipe
        columns, encoders = dict(recipe.columns), dict(recipe.model.encoders)
        model = recipe.model
        for name, origin in self.origins.items():
            there, here = origin.input.config, columns.get(name)
            if name not in names:
                continue
            if isinstance(there, ColumnConfig) and (here is None or here.kind == there.kind):
                said = {} if here is None else {key: getattr(here, key) for key in here.model_fields_set}
                columns[name] = there.model_copy(update=said)
            if name not in encoders and isinstance(there, ColumnConfig):
                if "dim" not in model.model_fields_set:
                    model = model.model_copy(update={"dim": origin.dim})
                encoders[name] = origin.encoder_for(model.dim)
        return recipe.model_copy(update={"columns": columns, "model": model.model_copy(update={"encoders": encoders})})

    def give(
        self,
        model: FusedModel,
        *,
        config: ModelConfig,
        modalities: Mapping[str, Modality[Any]],
        progress: Progress | None = None,
    ) -> None:
        """Let the encoders of ``model`` take over their weights, in place.

        Args:
            model: of all inputs or some of them.
            config: of the model of all inputs.
            modalities: all inputs by name, fitted.
            progress: is told how many numbers were taken over.

        Raises:
            ConfigError: an input does not exist, or it or its encoder does not fit the one that it starts from.
        """
        for name, origin in self.origins.items():
            if name not in modalities:
                raise ConfigError(
                    f"start.{name}",
                    got="no such input",
                    expected="one of " + ", ".join(modalities),
                    remedy="Correct the name",
                )
            if name in model.names:
                _check_input(name, modalities[name], origin=origin)
                encoder = model.encoders[model.names.index(name)]
                state = learned_state(encoder)
                ends = tuple(getattr(encoder, "ends", ()))
                taken = _fitting(name, state, self.weights[name], config=config, origin=origin, ends=ends)
                load_learned_state(encoder, {**state, **taken})
                if progress is not None:
                    count, total = (sum(tensor.numel() for tensor in part.values()) for part in (taken, state))
                    progress.say(
                        f"start.{name}: {count:,} of the encoder's {total:,} parameters are from {origin.source}"
                    )


def open_start(sources: Mapping[str, str], *, kept: Path | None) -> Start:
    """What the ``sources`` of a recipe name.

    Args:
        sources: ``RUN`` or ``RUN:INPUT`` by input.
        kept: what an interrupted run has kept, if anything; it counts unless the other run has since been replaced.

    Raises:
        BundleError: there is no such run, or it is unfinished or damaged.
        ConfigError: the run has no such input, or its encoder has no weights.
        TrainingError: what was kept is damaged.
    """
    former = _read_kept(kept) if kept is not None and kept.is_file() else Start({}, {})
    origins, weights = {}, {}
    for name, source in sources.items():
        folder, column = _parse(source, name)
        origin = former.origins.get(name)
        # A run that is gone, or at work again, cannot be compared and is not needed.
        now = _sha256(folder)
        if origin is not None and origin.source == source and now in (None, origin.sha256):
            origins[name], weights[name] = origin, former.weights[name]
        else:
            origins[name], weights[name] = _read(name, source, folder=folder, column=column)
    return Start(origins, weights)


def _parse(source: str, name: str) -> tuple[Path, str]:
    """Folder and input of ``source``, which may be a name of the user's own weights; the input is called like its heir
    if nothing is said.
    """
    folder, colon, column = source.rpartition(":")
    found, column = (folder, column) if colon and not Path(source).is_dir() else (source, name)
    return (Path(found) if Path(found).is_dir() else own_weights().get(found, Path(found))), column


def _read(name: str, source: str, *, folder: Path, column: str) -> tuple[Origin, dict[str, Tensor]]:
    if is_pretrained(folder):
        return _read_pretrained(name, source, folder=folder, column=column)
    bundle = Bundle.load(folder)
    if column not in bundle.modalities:
        raise ConfigError(
            f"start.{name}",
            got=f"'{source}', a run without an input '{column}'",
            expected="one of its inputs " + ", ".join(bundle.modalities),
            remedy=f"Write start.{name}={folder}:INPUT",
        )
    if bundle.network is None:
        raise ConfigError(
            f"start.{name}",
            got=f"'{source}', a run without a network",
            expected="a run whose encoders have learned something",
            remedy="Fit it again with --set floor=null",
        )
    model, modality = bundle.recipe.model, bundle.modalities[column]
    weights = learned_state(bundle.network.encoders[bundle.network.names.index(column)])
    if not weights:
        raise ConfigError(
            f"start.{name}",
            got=f"an encoder of kind '{model.encoders[column].kind}', which has no weights",
            expected="an encoder that learns",
            remedy=f"Leave start.{name} out",
        )
    origin = Origin(
        source=source,
        sha256=read_index(folder)["files"][WEIGHTS],
        dim=model.dim,
        encoder=model.encoders[column],
        input=InputEntry(config=modality.config, state=modality.state()),
    )
    return origin, weights


def _read_pretrained(name: str, source: str, *, folder: Path, column: str) -> tuple[Origin, dict[str, Tensor]]:
    manifest, weights = read_pretrained(folder)
    if column not in (name, manifest.column):
        raise ConfigError(
            f"start.{name}",
            got=f"'{source}', an encoder pretrained on another column than '{column}'",
            expected=f"its column {manifest.column}",
            remedy=f"Write start.{name}={folder}",
        )
    origin = Origin(
        source=source, sha256=manifest.sha256, dim=manifest.dim, encoder=manifest.encoder, input=manifest.input
    )
    return origin, weights


def _sha256(folder: Path) -> str | None:
    """Of the weights in ``folder``; None where there is no finished run."""
    if is_pretrained(folder):
        return read_manifest(folder).sha256
    if not (folder / INDEX).is_file():
        return None
    sha256: str = read_index(folder)["files"][WEIGHTS]
    return sha256


def _read_kept(path: Path) -> Start:
    tensors, state = load_checkpoint(path)
    origins = {name: Origin.parse(data, who=f"file {path}") for name, data in state["origins"].items()}
    weights: dict[str, dict[str, Tensor]] = {name: {} for name in origins}
    for key, tensor in tensors.items():
        place, _, own = key.partition(".")
        weights[list(origins)[int(place)]][own] = tensor
    return Start(origins, weights)


def _check_input(name: str, modality: Modality[Any], *, origin: Origin) -> None:
    """The encoder must be given what it has learned to read."""
    there = origin.input.config
    if modality.kind != there.kind:
        raise ConfigError(
            f"start.{name}",
            got=f"an input of kind '{there.kind}' in {origin.source}",
            expected=f"one of kind '{modality.kind}'",
            remedy=f"Name another input with start.{name}=RUN:INPUT",
        )
    for setting in modality.essential:
        ours, theirs = getattr(modality.config, setting), getattr(there, setting)
        if ours != theirs:
            raise ConfigError(
                f"start.{name}",
                got=f"columns.{name}.{setting}={ours}",
                expected=f"{theirs}, as in {origin.source}",
                remedy=f"Set columns.{name}.{setting}={theirs}",
            )
    own = load_modality(there, origin.input.state)
    if (modality.cells, modality.state()) != (own.cells, own.state()):
        raise ConfigError(
            f"start.{name}",
            got=f"other tokens, means or categories than those of {origin.source}, which come from its training rows",
            expected="the same",
            remedy=f"Leave start.{name} out, or train on the same table",
        )


def _fitting(
    name: str,
    state: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    *,
    config: ModelConfig,
    origin: Origin,
    ends: Sequence[str],
) -> dict[str, Tensor]:
    """The tensors that are taken over; all but the ``ends`` of an encoder, of another width, must be.

    Raises:
        ConfigError: one does not fit, or a setting differs that no shape tells of.
    """
    encoder = config.encoders[name]
    theirs, ours = (dict(_settings(each.to_dict(), free=each.free)) for each in (origin.encoder, encoder))
    differing = [f"model.encoders.{name}.{key}={value}" for key, value in theirs.items() if ours.get(key) != value]
    widths = (origin.dim, config.dim)
    misfit = next(
        (key for key in {**state, **weights} if not _agrees(key, weights, state, widths=widths, ends=ends)), None
    )
    if misfit is None and not differing:
        return {key: weights[key] for key in state if key in weights and weights[key].shape == state[key].shape}
    if misfit is not None and origin.width != _width(encoder, config.dim):
        field = f"model.encoders.{name}.width" if hasattr(encoder, "width") else "model.dim"
        differing.append(f"{field}={origin.width}")
    got, expected = "other settings of the encoder", f"those of {origin.source}"
    if misfit is not None:
        got, expected = f"{misfit} {_shape(state, misfit)}", f"{_shape(weights, misfit)}, as in {origin.source}"
    remedy = "Set " + ", ".join(differing) if differing else f"Leave start.{name} out"
    raise ConfigError(f"start.{name}", got=got, expected=expected, remedy=remedy)


def _agrees(
    key: str,
    there: Mapping[str, Tensor],
    here: Mapping[str, Tensor],
    *,
    widths: tuple[int, int],
    ends: Sequence[str],
) -> bool:
    """Whether a tensor is alike in both, or ends an encoder and differs in the models' ``widths`` alone."""
    is_last = key.split(".")[0] in ends
    if key not in there or key not in here:
        return is_last
    if there[key].dim() != here[key].dim():
        return False
    differing = [pair for pair in zip(there[key].shape, here[key].shape, strict=True) if pair[0] != pair[1]]
    return not differing or (is_last and differing == [widths])


def _settings(data: Mapping[str, Any], *, free: Sequence[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """By path, the settings of an encoder that its weights depend on."""
    for key, value in data.items():
        path = f"{prefix}{key}"
        if path in free:
            continue
        if isinstance(value, Mapping):
            yield from _settings(value, free=free, prefix=f"{path}.")
        else:
            yield path, value


def _width(encoder: object, dim: int) -> int:
    return getattr(encoder, "width", None) or dim


def _shape(tensors: Mapping[str, Tensor], key: str) -> str:
    return str(list(tensors[key].shape)) if key in tensors else "missing"
