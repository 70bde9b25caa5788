"""`Trainer` with what fine-tuning on DNA adds: class weights, both strands, and a word when a model collapses."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import HubStrategy

from examples.model_cards import public_name
from examples.push_to_hub import open_repository, push_folder
from modeling_genebert.configuration_genebert import IGNORE_INDEX
from modeling_genebert.heads_genebert import mean_binary_cross_entropy

from .batches import ExampleDataset
from .data import MULTI_LABEL, PER_BASE, SINGLE_LABEL, Split


logger = logging.getLogger(__name__)


def balanced_weights(split: Split, problem_type: str, num_labels: int) -> torch.Tensor:
    """
    Weights with which each class counts the same in the training split.

    Of classes `n / (num_classes * n_c)`, as scikit-learn's `class_weight="balanced"`, over the classes that are there.
    Of several labels, the weight of rows with a label: the number of rows without it over that of rows with it.

    Raises:
        ValueError: for values, which have no classes.
    """
    if problem_type == MULTI_LABEL:
        positive, negative = (split.labels == 1).sum(axis=0), (split.labels == 0).sum(axis=0)
        weights = np.where(positive > 0, negative / np.maximum(positive, 1), 1.0)
    elif problem_type in (SINGLE_LABEL, PER_BASE):
        labels = np.concatenate(split.labels) if problem_type == PER_BASE else split.labels
        counts = np.bincount(labels, minlength=num_labels)
        weights = np.where(counts > 0, len(labels) / ((counts > 0).sum() * np.maximum(counts, 1)), 1.0)
    else:
        raise ValueError("--class_weights balances classes, but the labels are values: leave it out")
    return torch.tensor(weights, dtype=torch.float32)


class FineTuningTrainer(Trainer):
    """
    Args:
        class_weights (`torch.Tensor` of shape `(num_labels,)`, *optional*): see [`balanced_weights`].
        problem_type (`str`): see `PROBLEM_TYPES`.
        kwargs: those of `Trainer`.
    """

    def __init__(self, *args: Any, problem_type: str, class_weights: torch.Tensor | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.problem_type, self.class_weights = problem_type, class_weights
        self.loss_is_scaled_for_ga = False  # it is a mean over the batch

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if self.class_weights is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        logits, weights = outputs["logits"].float(), self.class_weights.to(outputs["logits"].device)
        if self.problem_type == MULTI_LABEL:
            loss = mean_binary_cross_entropy(logits, labels, weights)
        else:
            logits = logits[:, : labels.shape[1]].flatten(0, 1) if labels.dim() == 2 else logits
            labels = labels.flatten()
            total = F.cross_entropy(
                logits,
                labels,
                weight=weights,
                ignore_index=IGNORE_INDEX,
                label_smoothing=self.args.label_smoothing_factor,
                reduction="sum",
            )
            loss = total / (labels != IGNORE_INDEX).sum().clamp(min=1)
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Any, Any, Any]:
        """As in `Trainer`; where the batch has both strands, loss and logits are the means of the two."""
        opposite = inputs.pop("opposite_strand", None)
        labels = inputs["labels"]
        given: tuple[Any, Any, Any] = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        if opposite is None:
            return given
        lengths = (labels != IGNORE_INDEX).sum(dim=1) if self.problem_type == PER_BASE else None
        opposite["labels"] = labels if lengths is None else turned_round(labels, lengths)
        loss, logits, _ = super().prediction_step(model, opposite, prediction_loss_only, ignore_keys)
        if logits is not None and lengths is not None:
            logits = turned_round(logits, lengths)
        return (given[0] + loss) / 2, None if logits is None else (given[1] + logits) / 2, given[2]

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Without `training_args.bin`, a pickle that nobody reads: the settings are in `finetune_args.json`."""
        super()._save(output_dir, state_dict)
        folder = Path(output_dir or str(self.args.output_dir))
        (folder / "training_args.bin").unlink(missing_ok=True)
        if hasattr(self.model, "peft_config"):
            make_adapter_portable(folder)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Make the repository before the training: whether there is a place for the model should be known by then."""
        if self.is_world_process_zero():
            name = self.args.hub_model_id or Path(str(self.args.output_dir)).resolve().name
            repo_id: Any = open_repository(name, private=self.args.hub_private_repo)
            self.hub_model_id = repo_id  # which Trainer first says is None
            self.push_in_progress = None

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Push the model and its processor, or the adapters alone, and not what only a resumed run needs: `Trainer`
        would push pickles, and paths of this machine. Where that fails, training goes on."""
        if not self.is_world_process_zero() or self.args.hub_strategy == HubStrategy.END:
            return
        assert self.hub_model_id is not None  # settled in init_hf_repo
        is_adapted = hasattr(self.model, "peft_config")
        files = ["adapter_*"] if is_adapted else ["*.safetensors", "*config.json", "tokenizer.json", "*.py"]
        try:
            push_folder(
                checkpoint_folder,
                self.hub_model_id,
                # Beside the whole model, transformers would take them for what is to be opened.
                path_in_repo="adapter" if is_adapted else None,
                files=files,
                private=self.args.hub_private_repo,
                revision=self.args.hub_revision,
                commit_message=f"Training in progress, step {self.state.global_step}",
            )
        except OSError as error:  # what the Hub answers is one, too
            logger.warning(f"Step {self.state.global_step} was not pushed, the next one will be: {error}")

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Not here: the card is written with the results."""

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: it is a walk over all parameters at every step."""
        return 0


def make_adapter_portable(folder: Path) -> None:
    """Name the base of saved adapters as others know it; remove the card that peft writes, which says nothing else."""
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    if config["base_model_name_or_path"]:
        config["base_model_name_or_path"] = public_name(config["base_model_name_or_path"])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "README.md").unlink()


def turned_round(values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The first `lengths` entries of each row in reverse order."""
    values = values.clone()
    for row, length in zip(values, lengths.tolist(), strict=True):
        row[:length] = row[:length].flip(0)
    return values


class StrandsOfEpoch(TrainerCallback):
    """Draws the strands of the training examples anew each epoch; Accelerate does not always tell the data set."""

    def __init__(self, dataset: ExampleDataset):
        self.dataset = dataset

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.dataset.set_epoch(int(state.epoch or 0))
