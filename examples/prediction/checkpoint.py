"""Opening a checkpoint as what it was saved as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedModel

from modeling_genebert import (
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
    GeneBertProcessor,
)


FINE_TUNED: dict[str, Any] = {
    model_class.__name__: model_class
    for model_class in (
        GeneBertForSequenceClassification,
        GeneBertForTokenClassification,
        GeneBertForVariantEffect,
    )
}


def config_of(name_or_path: str, config_class: Any = AutoConfig) -> Any:
    """The config of a checkpoint, folder or Hub id. Raises `OSError`, which names it, where there is none."""
    options = {"trust_remote_code": False} if config_class is AutoConfig else {}  # never asked for
    try:
        return config_class.from_pretrained(name_or_path, **options)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise OSError(
            f"{name_or_path}: no checkpoint in a folder here, nor to be had from the Hub ({reason})"
        ) from error


def open_model(
    name_or_path: str, device: str | None, model_classes: Mapping[str, Any] = FINE_TUNED
) -> tuple[PreTrainedModel, GeneBertProcessor]:
    """
    The model and its processor.

    Args:
        name_or_path: folder or Hub id.
        device: `cpu`, `cuda`, ...; None = the accelerator where there is one.
        model_classes: what the checkpoint may have been saved as -> the class to open it with.

    Raises:
        OSError: no such checkpoint.
        ValueError: a checkpoint of another class, one that lacks weights, or with another model's motif bank.
    """
    config = config_of(name_or_path)
    architecture = (config.architectures or ["no architecture"])[0]
    if architecture not in model_classes:
        raise ValueError(
            f"{name_or_path} was saved as {architecture}, which predicts nothing yet: fine-tune it with "
            f"examples/finetune.py; expected one of {', '.join(model_classes)}"
        )
    processor = GeneBertProcessor.from_pretrained(name_or_path)
    model, info = model_classes[architecture].from_pretrained(
        name_or_path, dtype=torch.float32, use_safetensors=True, output_loading_info=True
    )
    if info["missing_keys"]:
        raise ValueError(
            f"{name_or_path}: has no weights {', '.join(sorted(info['missing_keys'])[:3])}: it is damaged"
        )
    bank = processor.feature_extractor.motif_bank
    model.config.check_motif_bank(bank.fingerprint, len(bank))
    if device is None:
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        device = "cpu" if accelerator is None else accelerator.type
    return model.to(device), processor
