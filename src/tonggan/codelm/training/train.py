"""From a corpus to a code model that is used only if it is better than what was: train, measure, promote or not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Literal

import torch

from tonggan.codelm.training.adapters import (
    AdapterManifest,
    AdapterRegistry,
    check_name,
    open_adapter,
    open_code_model,
)
from tonggan.codelm.training.config import CodeTrainingConfig
from tonggan.codelm.training.evaluate import Contender, Verdict, compare
from tonggan.codelm.training.fill_in_the_middle import FillInTheMiddle
from tonggan.codelm.training.holdout import Holdout, hold_out
from tonggan.codelm.training.learner import Learner
from tonggan.codelm.training.packing import CodeBatches, Packer, tokens_at_once
from tonggan.codelm.training.sentinels import choose_sentinels
from tonggan.errors import ConfigError, TrainingError
from tonggan.language.causal_transformer import CausalTransformer, CausalTransformerConfig
from tonggan.language.infill import InfillTokens
from tonggan.language.pretrained import Pretrained, load_pretrained
from tonggan.language.tokenizer import Tokenizer
from tonggan.progress import Progress
from tonggan.training import Budget, TrainingResult, train
from tonggan.training.budget import describe_seconds
from tonggan.training.checkpoint import Checkpoints
from tonggan.training.precision import choose_precision

if TYPE_CHECKING:
    from tonggan.codelm.corpus.corpus import Corpus

SCRATCH = "scratch"
"""The base of a model that has none."""

_SHARE_OF_MEASURING = 0.5  # of a time limit: fewer than 100 lines would leave the training without use
_HEAD_WIDTH = 32


@dataclass(frozen=True)
class CodeTraining:
    """What became of a training.

    Attributes:
        manifest: of the adapter.
        verdict: how it did beside what was in use; None where nothing was.
        is_promoted: whether it is in use now.
        seconds: of all.
    """

    manifest: AdapterManifest
    verdict: Verdict | None
    is_promoted: bool
    seconds: float


def train_code_model(
    corpus: Corpus,
    *,
    base: str,
    run: Path,
    name: str = "first",
    config: CodeTrainingConfig | None = None,
    time_limit: float | None = None,
    started: float | None = None,
    max_memory: int | None = None,
    progress: Progress | None = None,
) -> CodeTraining:
    """Train on ``corpus``, keep the result as adapter ``name`` of ``run``, and promote it only if it is better.

    Better is measured on held-out files, against what the run uses now: the promoted adapter, else the base, both with
    retrieval. Called again after an interruption it goes on where it was.

    Args:
        corpus: to learn from.
        base: model as ``load_pretrained`` takes it, or ``scratch``.
        run: folder.
        name: of the adapter.
        config: how.
        time_limit: seconds for all, the measuring included.
        started: ``time.monotonic()`` from which these count, now by default.
        max_memory: bytes at the peak of the training.
        progress: told of it.

    Raises:
        ConfigError: the run has another base or an adapter of this name, or memory is too little.
        DataError: the corpus is too small.
        InterruptedRunError: the user asked to stop; what was reached is saved.
        TrainingError: the loss is not finite, memory was passed, or the folder cannot be written.
    """
    config, progress = config or CodeTrainingConfig(), progress or Progress()
    budget = _budget(time_limit, started)
    registry, folder = AdapterRegistry(run), run / f"{name}.training"
    checkpoint = Checkpoints(folder).last
    _check(registry, name, base=base, is_resumed=checkpoint.is_file())
    holdout = _held_out(corpus, config, progress)
    student = _Student(base, corpus, config, progress)
    _check_folder(run)
    result = student.learn(
        corpus, holdout.train, folder=folder, budget=budget, max_memory=max_memory, progress=progress
    )
    manifest = student.save(registry, name, base=base, corpus=corpus, training=_told(config, result, holdout))
    del student  # the measuring wants the memory
    verdict = _judge(registry, manifest, base, corpus, holdout, config, budget, progress)
    if verdict is None or verdict.is_better:
        registry.promote(name)
    checkpoint.unlink()  # The last change: until then the same command goes on.
    return CodeTraining(manifest, verdict, registry.promoted == name, round(budget.elapsed, 1))


def _held_out(corpus: Corpus, config: CodeTrainingConfig, progress: Progress) -> Holdout:
    holdout = hold_out(corpus.documents, kind=config.holdout, share=config.holdout_share, seed=config.seed)
    progress.say(f"Held out {len(holdout.held_out):,} of {len(corpus.documents):,} files by {holdout.kind}.")
    return holdout


@contextmanager
def _writing(run: Path) -> Iterator[None]:
    """What the disk refuses is told as an error of the run."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"run {run}",
            got=error.strerror or str(error),
            expected="a folder that can be written, with space",
            remedy="Free space or choose another --out",
        ) from error


def _check_folder(run: Path) -> None:
    """Before hours of training, and not at the first checkpoint."""
    with _writing(run):
        run.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=run).close()


def _budget(time_limit: float | None, started: float | None) -> Budget:
    """Of all, with what measuring takes kept back."""
    budget = Budget(time_limit, started=started)
    if time_limit is not None:
        budget.reserve(_SHARE_OF_MEASURING * time_limit)
    return budget


class _Student:
    """What learns, and what it reads.

    Args:
        base: model, or ``scratch``.
        corpus: gives its vocabulary to a model from scratch.
        config: how it learns.
        progress: told where it cannot learn to fill in.
    """

    def __init__(self, base: str, corpus: Corpus, config: CodeTrainingConfig, progress: Progress) -> None:
        self.pretrained = None if base == SCRATCH else load_pretrained(base)
        self.tokenizer = corpus.tokenizer if self.pretrained is None else self.pretrained.tokenizer
        self.sentinels = choose_sentinels(self.tokenizer) if config.fim_rate else None
        self.infill = None if self.sentinels is None else InfillTokens.of(self.tokenizer, names=self.sentinels)
        fill = None
        if self.infill is not None:
            fill = FillInTheMiddle(self.tokenizer, self.infill, rate=config.fim_rate)
        elif config.fim_rate:
            progress.say("No fill-in-the-middle: the vocabulary has no three control tokens that are unused.")
        self.packer = Packer(self.tokenizer, length=config.length, fill=fill)
        self.config = config
        self.learner = _learner(self.pretrained, self.tokenizer, self.infill, config)

    def learn(
        self,
        corpus: Corpus,
        numbers: Sequence[int],
        *,
        folder: Path,
        budget: Budget,
        max_memory: int | None,
        progress: Progress,
    ) -> TrainingResult:
        """Train on the documents ``numbers``, or go on with what ``folder`` holds of that.

        Raises:
            ConfigError: the memory is too little.
            InterruptedRunError: the user asked to stop; what was reached is saved.
            TrainingError: the loss is not finite, more memory is taken than is allowed, or ``folder`` holds another
                training.
        """
        config, learner, base = self.config, self.learner, self.pretrained
        at_once = tokens_at_once(learner, length=config.length, max_memory=max_memory)
        window = config.batch_tokens
        batches = CodeBatches(self.packer, corpus, numbers, tokens_at_once=at_once, window=window, seed=config.seed)
        learner.max_memory = max_memory
        learned = sum(tensor.numel() for tensor in learner.learned().values())
        limit = "" if budget.seconds is None else f", at most {describe_seconds(budget.end)}"
        tokens = config.epochs * batches.num_tokens
        progress.say(
            f"Training {learned / 1e6:,.1f} M parameters on {tokens / 1e6:,.2f} M tokens of {len(numbers):,} files"
            f"{limit}."
        )
        with _writing(folder.parent):
            return train(
                learner,
                batches,
                config=config.loop(is_scratch=base is None, tokens_at_once=at_once),
                folder=folder,
                seed=config.seed,
                identity={
                    "corpus": _digest([corpus.documents[number].sha256 for number in numbers]),
                    "base": None if base is None else base.sha256,
                    "settings": config.model_dump(mode="json", exclude={"lines", "checkpoint_every"}),
                },
                budget=budget,
                progress=progress,
            )

    def save(
        self, registry: AdapterRegistry, name: str, *, base: str, corpus: Corpus, training: dict[str, object]
    ) -> AdapterManifest:
        """Keep what was learned as adapter ``name``."""
        is_scratch, infill = self.pretrained is None, self.infill
        manifest = AdapterManifest(
            name=name,
            method=self.learner.method,
            base=None if is_scratch else _lasting(base),
            base_sha256=None if self.pretrained is None else self.pretrained.sha256,
            shape=self.learner.model.config.to_dict() if is_scratch else None,
            rank=self.learner.rank,
            sentinels=self.sentinels,
            sentinel_ids=None if infill is None else (infill.prefix, infill.suffix, infill.middle),
            corpus_sha256=_digest(corpus.manifest),
            training=training,
        )
        registry.save(manifest, self.learner.learned(), tokenizer=self.tokenizer if is_scratch else None)
        return manifest


def _digest(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()


def _learner(
    pretrained: Pretrained | None, tokenizer: Tokenizer, infill: InfillTokens | None, config: CodeTrainingConfig
) -> Learner:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision: Literal["fp32", "bf16"] = (
        "bf16" if choose_precision(config.precision, device=device) == "bf16" else "fp32"
    )
    generator = torch.Generator().manual_seed(config.seed)
    if pretrained is None:
        model = _new_model(tokenizer, config)
    else:
        # What stays as it is need not be converted at each use.
        is_half = precision == "bf16" and config.method == "lora"
        model = pretrained.build(dtype=torch.bfloat16 if is_half else torch.float32)
    method = "full" if pretrained is None else config.method
    learner = Learner(model, method=method, rank=config.rank, infill=infill, precision=precision, generator=generator)
    return learner.to(device)


def _new_model(tokenizer: Tokenizer, config: CodeTrainingConfig) -> CausalTransformer:
    shape = CausalTransformerConfig(
        vocab_size=tokenizer.size,
        hidden_size=config.hidden_size,
        intermediate_size=3 * config.hidden_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.hidden_size // _HEAD_WIDTH,
        num_key_value_heads=config.hidden_size // _HEAD_WIDTH,
        max_position_embeddings=max(2048, config.length),
    )
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(config.seed)
        return shape.build()


def _judge(
    registry: AdapterRegistry,
    manifest: AdapterManifest,
    base: str,
    corpus: Corpus,
    holdout: Holdout,
    config: CodeTrainingConfig,
    budget: Budget,
    progress: Progress,
) -> Verdict | None:
    """How it does beside what is in use, written to its manifest; None where nothing is in use."""
    in_use = _in_use(registry, base, progress, before=manifest.name)
    if in_use is None:
        progress.say("Promoted: a first model from scratch has nothing to beat.")
        return None
    verdict = compare(
        in_use,
        open_adapter(registry, manifest.name, progress=progress),
        corpus=corpus,
        train=holdout.train,
        held_out=holdout.held_out,
        count=config.lines,
        seed=config.seed,
        budget=budget,
        progress=progress,
    )
    registry.describe(manifest.model_copy(update={"verdict": verdict.to_dict()}))
    progress.say(verdict.describe())
    if verdict.is_better:
        progress.say(f"Promoted: {verdict.reason}.")
    else:
        said = "Worse" if verdict.decision == "worse" else "Undecided"
        progress.say(f"{said}: not used: {verdict.reason}; {verdict.in_use} stays in use.")
    return verdict


def _in_use(registry: AdapterRegistry, base: str, progress: Progress, *, before: str) -> Contender | None:
    """What the adapter ``before`` has to beat, be it that it is promoted already and was stopped right after that."""
    in_use = registry.in_use_before(before)
    if in_use is not None:
        return open_adapter(registry, in_use, progress=progress)
    return None if base == SCRATCH else open_code_model(base, progress=progress)


def _check(registry: AdapterRegistry, name: str, *, base: str, is_resumed: bool) -> None:
    """Refuse before anything is loaded."""
    check_name(name)
    if name in registry.names() and not is_resumed:
        raise ConfigError(
            f"run {registry.run}",
            got=f"adapter '{name}', which is there already",
            expected="a new name",
            remedy="Choose another --name",
        )
    wanted = None if base == SCRATCH else _lasting(base)
    for each in registry.names():
        other = registry.manifest(each).base
        if other != wanted:
            raise ConfigError(
                f"run {registry.run}",
                got=f"base '{base}'",
                expected=f"'{other or SCRATCH}', as of its adapter '{each}'",
                remedy="Choose another --out for another base",
            )


def _lasting(base: str) -> str:
    """A name or path that also holds from another folder."""
    path = Path(base).expanduser()
    return str(path.resolve()) if path.exists() else base


def _told(config: CodeTrainingConfig, result: TrainingResult, holdout: Holdout) -> dict[str, object]:
    loss = 0.0 if result.loss is None else round(result.loss, 4)
    done = {"steps": result.steps, "tokens": int(result.learned), "loss": loss, "seconds": round(result.seconds)}
    files = {"files": len(holdout.train), "held_out": len(holdout.held_out), "held_out_by": holdout.kind}
    return {**config.to_dict(), **done, **files}
