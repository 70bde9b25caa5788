"""The model to fine-tune and its processor: from a GeneBERT checkpoint, from a DNABERT-shaped one, or from scratch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from examples.config_overrides import merged, read_overrides
from examples.prediction.checkpoint import config_of
from modeling_genebert import (
    GeneBertConfig,
    GeneBertFeatureExtractor,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
    GeneBertProcessor,
    GeneBertTokenizer,
    MotifBank,
)
from modeling_genebert.warm_start_genebert import kmer_of

from .data import PER_BASE, Task


DEFAULT_MOTIFS = "JASPAR2026"
NEW_WITH_A_TASK = ("classifier.", "genebert.pooler.")
TRAINING_MODES = ("full", "lora", "frozen")
# Attention of BERT and of the fusion layers, and of Swin: what LoRA adapts.
LORA_TARGETS = ("query", "value", "q_proj", "v_proj", "Wqkv")


def task_fields(task: Task) -> dict[str, Any]:
    """Fields of the config that follow from the task."""
    fields: dict[str, Any] = {
        "id2label": dict(enumerate(task.label_names)),
        "label2id": {name: index for index, name in enumerate(task.label_names)},
    }
    fields["problem_type"] = None if task.problem_type == PER_BASE else task.problem_type  # transformers knows three
    return fields


def model_class_of(task: Task) -> Any:
    """The class of model for a task."""
    if task.problem_type == PER_BASE:
        return GeneBertForTokenClassification
    return GeneBertForVariantEffect if task.is_variants else GeneBertForSequenceClassification


def make_model(
    task: Task,
    *,
    model_name_or_path: str | None = None,
    sequence_model_name_or_path: str | None = None,
    model_preset: str | None = None,
    config_overrides: str | None = None,
    motifs: str | None = None,
) -> tuple[Any, GeneBertProcessor, set[str]]:
    """
    The model and its processor.

    Args:
        task ([`Task`]): decides on the class of model and its labels.
        model_name_or_path (`str`, *optional*): a GeneBERT checkpoint.
        sequence_model_name_or_path (`str`, *optional*): a DNABERT-shaped checkpoint of the sequence encoder.
        model_preset (`str`, *optional*): sizes of what comes from no checkpoint: `tiny`, `compact`, `small` (default
            without any checkpoint) or `base` (default with a sequence checkpoint).
        config_overrides (`str`, *optional*): fields of `GeneBertConfig` as JSON, or the path of a JSON file; fields of
            `sequence_config` and `region_config` replace those of the preset or checkpoint one by one.
        motifs (`str`, *optional*): JASPAR release or motif file of a new model; default: JASPAR2026.

    Returns:
        The model, in evaluation mode; its processor; and the names of the parameters that come from no checkpoint.

    Raises:
        ValueError: a combination that cannot work; a checkpoint whose weights do not fit its config.
    """
    if model_name_or_path and (sequence_model_name_or_path or model_preset or motifs):
        raise ValueError(
            "--model_name_or_path is a whole model with its motifs: it goes with none of "
            "--sequence_model_name_or_path, --model_preset and --motifs"
        )
    model_class = model_class_of(task)
    overrides = read_overrides(config_overrides)
    if model_name_or_path is not None:
        config = config_of(model_name_or_path, GeneBertConfig)
        if overrides:
            config = GeneBertConfig.from_dict(merged(config.to_dict(), overrides))
        config.update(task_fields(task))
        # Trained in fp32, whatever the weights were saved in: small steps would be lost in bf16 (see --bf16).
        # Only what ends the model may be another: the head, of other labels, and the pooler, of other bins.
        model, info = model_class.from_pretrained(
            model_name_or_path,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
        misfits = [name for name, *_ in info["mismatched_keys"] if not name.startswith(NEW_WITH_A_TASK)]
        if misfits:
            raise ValueError(
                f"{model_name_or_path}: {len(misfits)} weights such as {misfits[0]} do not fit the config; "
                "change no sizes of a checkpoint with --config_overrides"
            )
        processor = GeneBertProcessor.from_pretrained(model_name_or_path)
        bank = processor.feature_extractor.motif_bank
        config.check_motif_bank(bank.fingerprint, len(bank))
        return model, processor, set(info["missing_keys"]) | {name for name, *_ in info["mismatched_keys"]}

    bank = MotifBank.resolve(motifs or DEFAULT_MOTIFS)
    overrides = {"num_motifs": len(bank), "motif_bank_fingerprint": bank.fingerprint, **overrides, **task_fields(task)}
    if sequence_model_name_or_path is not None:
        encoder = config_of(sequence_model_name_or_path)
        fields: dict[str, Any] = {"sequence_config": encoder.to_dict()}
        if (kmer := kmer_of(encoder.vocab_size)) is not None:
            fields["kmer"] = kmer
        config = GeneBertConfig.from_preset(model_preset or "base", **merged(fields, overrides))
        model, info = model_class.from_sequence_region_pretrained(
            sequence_model_name_or_path, config=config, output_loading_info=True
        )
        new = info["missing_keys"] | {name for name, *_ in info["mismatched_keys"]}
    else:
        config = GeneBertConfig.from_preset(model_preset or "small", **overrides)
        model = model_class(config).eval()
        new = {name for name, _ in model.named_parameters()}
    tokenizer = GeneBertTokenizer(
        kmer=config.kmer, stride=config.stride, model_max_length=model.base_model.max_num_tokens
    )
    width = 500 if task.regions is None else max(map(len, task.regions.sequences), default=500)
    extractor = GeneBertFeatureExtractor(bank, num_regions=config.num_regions, region_width=width)
    return model, GeneBertProcessor(extractor, tokenizer), new


def set_training_mode(model: PreTrainedModel, mode: str, new: set[str], lora_rank: int) -> Any:
    """
    Say what is trained: all (`full`); what comes from no checkpoint (`frozen`); that, and low-rank adapters in the
    attention layers of the rest (`lora`).

    Args:
        model: as [`make_model`] gives it.
        mode: one of `TRAINING_MODES`.
        new: names of the parameters that come from no checkpoint.
        lora_rank: rank of the adapters.

    Returns:
        The model; with `lora` a `PeftModel` round it.

    Raises:
        ValueError: `lora` or `frozen` where all is new.
        ImportError: `lora` without peft.
    """
    if mode == "full":
        return model
    if all(name in new for name, _ in model.named_parameters()):
        raise ValueError(f"--training_mode {mode} keeps a checkpoint's weights: pass one, or use full")
    if mode == "frozen":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in new)
        return model
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError("--training_mode lora needs peft: pip install genebert[lora]") from error
    modules_to_save = new_modules(model, new)
    targets = [
        name
        for name, _ in model.named_modules()
        if name.rsplit(".", 1)[-1] in LORA_TARGETS and not any(f"{name}.".startswith(f"{m}.") for m in modules_to_save)
    ]
    config = LoraConfig(r=lora_rank, lora_alpha=2 * lora_rank, target_modules=targets, modules_to_save=modules_to_save)
    return get_peft_model(model, config)


def new_modules(model: PreTrainedModel, new: set[str]) -> list[str]:
    """The outermost modules (not lists of them, which peft does not take) with all parameters from no checkpoint."""
    found: list[str] = []
    for name, module in model.named_modules():
        parameters = [f"{name}.{own}" for own, _ in module.named_parameters()]
        is_inside = any(name.startswith(f"{outer}.") for outer in found) or isinstance(module, nn.ModuleList)
        if name and parameters and not is_inside and all(parameter in new for parameter in parameters):
            found.append(name)
    return found
