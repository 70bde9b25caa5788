"""Fine-tune GeneBERT on a downstream task: promoters, TF binding, splice sites, disease risk, or your own table.

    python examples/finetune.py --train_file train.csv --validation_file dev.csv --test_file test.csv \
        --output_dir runs/mine                                                # a new model
    python examples/finetune.py --dataset_name_or_path org/promoters --model_name_or_path runs/demo \
        --training_mode lora --output_dir runs/promoters                      # a pre-trained one, by adapters
    torchrun --nproc_per_node 4 examples/finetune.py ...                      # several processes

What happens, top to bottom: the tables are read and checked; a model is made or opened; motif scores are computed
once; `Trainer` trains, evaluates after each epoch and keeps the best checkpoint by the validation metric; the other
splits are predicted; figures with intervals, predictions, pictures and a model card are written. All options of
`TrainingArguments` are there; a run that was interrupted goes on with `--resume_from_checkpoint latest`.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import datasets
import torch
from transformers import EarlyStoppingCallback, EvalPrediction, HfArgumentParser, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script, Python looks in examples/ only

from examples.finetuning.batches import ExampleDataset
from examples.finetuning.data import PER_BASE, ColumnNames, Task, read_task
from examples.finetuning.models import make_model, set_training_mode
from examples.finetuning.results import MAIN_METRIC, Scorer, write_outputs
from examples.finetuning.trainer import FineTuningTrainer, StrandsOfEpoch, balanced_weights
from examples.model_cards import dataset_source, files_source
from hub_datasets.command_line import one_line_errors


logger = logging.getLogger(__name__)


@dataclass
class ModelArguments:
    """Which model, and what of it is trained."""

    model_name_or_path: str | None = field(default=None, metadata={"help": "a GeneBERT checkpoint, folder or Hub id"})
    sequence_model_name_or_path: str | None = field(
        default=None, metadata={"help": "a DNABERT-shaped checkpoint for the sequence encoder; the rest is new"}
    )
    model_preset: Literal["tiny", "compact", "small", "base"] | None = field(
        default=None, metadata={"help": "sizes of what is new; default: small, with a sequence checkpoint base"}
    )
    config_overrides: str | None = field(
        default=None,
        metadata={"help": 'fields of GeneBertConfig, JSON or a JSON file: {"kmer": 3, "sequence_config": {...}}'},
    )
    motifs: str | None = field(
        default=None, metadata={"help": "JASPAR release or motif file of a new model; default: JASPAR2026"}
    )
    training_mode: Literal["full", "lora", "frozen"] = field(
        default="full",
        metadata={"help": "train all; adapters and what no checkpoint had; or only what no checkpoint had"},
    )
    lora_rank: int = field(default=8, metadata={"help": "rank of the adapters"})
    modality: Literal["both", "sequence", "regions"] = field(
        default="both",
        metadata={"help": "what the model reads: sequence: no region matrix; regions: [CLS] [SEP] for the sequence"},
    )


@dataclass
class DataArguments:
    """Which tables, and how they are read."""

    dataset_name_or_path: str | None = field(default=None, metadata={"help": "folder in the Hub's layout, or Hub id"})
    dataset_config_name: str | None = field(default=None, metadata={"help": "where it has several configs"})
    train_file: str | None = field(default=None, metadata={"help": "CSV, TSV (also .gz) or Parquet"})
    validation_file: str | None = field(
        default=None, metadata={"help": "likewise; the best checkpoint is chosen on it"}
    )
    test_file: str | None = field(default=None, metadata={"help": "likewise"})
    sequence_column: str = field(default="sequence", metadata={"help": "column of the DNA"})
    label_column: str | None = field(default=None, metadata={"help": "default: label, or else base_labels"})
    alt_sequence_column: str = field(default="alt_sequence", metadata={"help": "column of alternate alleles"})
    id_column: str = field(default="id", metadata={"help": "column of names of the rows"})
    problem_type: (
        Literal["single_label_classification", "multi_label_classification", "regression", "token_classification"]
        | None
    ) = field(default=None, metadata={"help": "default: told from the column of labels"})
    window_overlap: int | None = field(
        default=None, metadata={"help": "cut longer sequences into windows that share so many bp; default: an error"}
    )
    reverse_complement_augmentation: bool = field(
        default=False, metadata={"help": "train on the opposite strand of half of all examples, drawn each epoch"}
    )
    average_strands: bool = field(default=False, metadata={"help": "predict from both strands, and average"})
    class_weights: Literal["balanced"] | None = field(
        default=None, metadata={"help": "let each class count the same in the loss"}
    )
    num_bootstrap: int = field(default=1000, metadata={"help": "resamples for the intervals; 0 = none"})
    cache_dir: str | None = field(default=None, metadata={"help": "for motif scores; default: that of datasets"})


@dataclass
class FineTuningArguments(TrainingArguments):
    """`TrainingArguments` with the defaults of fine-tuning: evaluate each epoch, save as often, keep the best."""

    eval_strategy: str = field(default="epoch")
    save_strategy: str | None = field(  # type: ignore[assignment]  # settled in __post_init__
        default=None, metadata={"help": "default: as eval_strategy and eval_steps say"}
    )
    save_total_limit: int | None = field(default=1)
    load_best_model_at_end: bool | None = field(  # type: ignore[assignment]  # settled in __post_init__
        default=None, metadata={"help": "default: where checkpoints are saved"}
    )
    per_device_train_batch_size: int = field(default=32)
    per_device_eval_batch_size: int = field(default=64)
    logging_steps: float = field(default=50)
    restore_callback_states_from_checkpoint: bool = field(default=True)  # the patience of early stopping
    dataloader_pin_memory: bool = field(default_factory=torch.accelerator.is_available)
    early_stopping_patience: int | None = field(
        default=None, metadata={"help": "stop after so many evaluations without a better metric_for_best_model"}
    )

    def __post_init__(self) -> None:
        if self.save_strategy is None:
            self.save_strategy, self.save_steps = self.eval_strategy, self.eval_steps or self.logging_steps
        if self.load_best_model_at_end is None:
            self.load_best_model_at_end = self.save_strategy != "no"
        if self.push_to_hub and self.hub_strategy in ("checkpoint", "all_checkpoints"):
            raise ValueError(
                f"--hub_strategy {self.hub_strategy} would push optimizer states, which are pickles: pass end or "
                "every_save, and resume from the folder on this machine"
            )
        if self.hub_token is not None:
            raise ValueError("--hub_token is kept with the settings of a run: log in with `hf auth login` instead")
        metric = self.metric_for_best_model
        super().__post_init__()
        self.metric_for_best_model = metric  # Trainer's own default is the loss; here it depends on the task


def parse_args(arguments: list[str] | None) -> tuple[ModelArguments, DataArguments, FineTuningArguments]:
    groups: Any = [ModelArguments, DataArguments, FineTuningArguments]
    parser = HfArgumentParser(groups, description="Fine-tune GeneBERT.")
    parsed: Any = parser.parse_args_into_dataclasses(arguments)
    return parsed


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    model_args, data_args, training_args = parse_args(arguments)
    if training_args.should_log:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stdout)
        for name in ("httpx", "httpx2"):  # they would log addresses that are signed
            logging.getLogger(name).setLevel(logging.WARNING)
    checkpoint = find_checkpoint(training_args)
    set_seed(training_args.seed)

    task = read_task(
        dataset_name_or_path=data_args.dataset_name_or_path,
        dataset_config_name=data_args.dataset_config_name,
        train_file=data_args.train_file,
        validation_file=data_args.validation_file,
        test_file=data_args.test_file,
        problem_type=data_args.problem_type,
        columns=ColumnNames(
            data_args.sequence_column, data_args.label_column, data_args.alt_sequence_column, data_args.id_column
        ),
    )
    logger.info(describe(task))
    if data_args.dataset_name_or_path is not None:
        source = dataset_source(data_args.dataset_name_or_path)
    else:
        files = {"train": data_args.train_file, "validation": data_args.validation_file, "test": data_args.test_file}
        source = files_source({split: file for split, file in files.items() if file is not None})
    if model_args.modality == "regions" and task.problem_type == PER_BASE:
        raise ValueError("--modality regions leaves the sequence out, but the labels are those of its bases")

    model, processor, new = make_model(
        task,
        model_name_or_path=model_args.model_name_or_path,
        sequence_model_name_or_path=model_args.sequence_model_name_or_path,
        model_preset=model_args.model_preset,
        config_overrides=model_args.config_overrides,
        motifs=model_args.motifs,
    )
    max_num_tokens = model.base_model.max_num_tokens
    # What whoever predicts with the checkpoint has to know.
    model.config.update(
        {
            "modality": model_args.modality,
            "average_strands": data_args.average_strands,
            "window_overlap": data_args.window_overlap,
            "with_context": task.splits["train"].context is not None and model_args.modality != "sequence",
        }
    )
    cache_folder = Path(data_args.cache_dir or datasets.config.HF_DATASETS_CACHE) / "genebert_motif_scores"
    with training_args.main_process_first(desc="motif scores"):
        examples = {
            name: ExampleDataset(
                split,
                task.problem_type,
                processor,
                modality=model_args.modality,
                max_num_tokens=max_num_tokens,
                window_overlap=data_args.window_overlap,
                regions=task.regions,
                cache_folder=cache_folder,
                augment=data_args.reverse_complement_augmentation and name == "train",
                both_strands=data_args.average_strands and name != "train",
                seed=training_args.seed,
            )
            for name, split in task.splits.items()
        }

    if "genebert.region_encoder.token_dense.weight" in new and model_args.modality != "sequence":
        examples["train"].fit_score_norm(model.base_model.region_encoder.score_norm)
    model = set_training_mode(model, model_args.training_mode, new, model_args.lora_rank)
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    logger.info(
        "%.1f M parameters, of which %.1f M are trained",
        sum(size for size, _ in sizes) / 1e6,
        sum(size for size, is_trained in sizes if is_trained) / 1e6,
    )

    scorer = Scorer(task)
    callbacks: list[Any] = [StrandsOfEpoch(examples["train"])]
    prepare_selection(training_args, task)
    if training_args.early_stopping_patience is not None:
        callbacks.append(EarlyStoppingCallback(training_args.early_stopping_patience))
    weights = None
    if data_args.class_weights is not None:
        weights = balanced_weights(task.splits["train"], task.problem_type, len(task.label_names))

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        return scorer(prediction.predictions, prediction.label_ids)

    trainer = FineTuningTrainer(
        model=model,
        args=training_args,
        train_dataset=examples["train"],
        eval_dataset=examples.get("validation"),
        data_collator=lambda batch: batch,
        processing_class=processor,
        compute_metrics=compute_metrics,
        callbacks=callbacks,
        problem_type=task.problem_type,
        class_weights=weights,
    )
    finished = trainer.train(resume_from_checkpoint=checkpoint)
    settings = {**vars(model_args), **vars(data_args), **training_args.to_dict()}
    return write_outputs(trainer, task, source, examples, scorer, finished.metrics, settings)


def find_checkpoint(args: FineTuningArguments) -> str | None:
    """The checkpoint to resume from; refuses to train over another run unasked."""
    output_dir = str(args.output_dir)
    last = get_last_checkpoint(output_dir) if Path(output_dir).is_dir() else None
    if args.resume_from_checkpoint in ("True", "true", "latest"):
        return last
    if args.resume_from_checkpoint is None and last is not None:
        raise ValueError(
            f"{output_dir} holds checkpoints up to {Path(last).name}: pass --resume_from_checkpoint latest to go "
            "on, or another --output_dir"
        )
    return args.resume_from_checkpoint


def prepare_selection(args: FineTuningArguments, task: Task) -> None:
    """Settle how the best checkpoint is chosen: by the task's main metric, where there is a validation split."""
    args.remove_unused_columns = False  # examples are batches already
    args.label_names = ["labels"]
    if args.metric_for_best_model is None:
        args.metric_for_best_model, args.greater_is_better = MAIN_METRIC[task.problem_type], True
    if "validation" not in task.splits:
        if args.early_stopping_patience is not None:
            raise ValueError(f"{task.source}: --early_stopping_patience needs a validation split")
        logger.warning("No validation split: the last checkpoint is kept, not the best")
        args.eval_strategy, args.load_best_model_at_end, args.metric_for_best_model = "no", False, None


def describe(task: Task) -> str:
    """The task on one line."""
    counts = ", ".join(f"{name} {len(split)}" for name, split in task.splits.items())
    labels = f"{len(task.label_names)} labels" if len(task.label_names) > 1 else "values"
    return f"{task.problem_type}{' of variants' if task.is_variants else ''}, {labels}; rows: {counts}"


if __name__ == "__main__":
    with one_line_errors():
        main()
