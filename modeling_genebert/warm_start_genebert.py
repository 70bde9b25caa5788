"""Warm start: GeneBERT's two encoders take over the weights of a BERT-like DNA model (DNABERT) and of a Swin.

`GeneBertPreTrainedModel.from_sequence_region_pretrained` is the public name. transformers opens each checkpoint with
the checkpoint's own class and config (so shards, prefixes and old parameter names are its business); then all that
fits GeneBERT by name and shape is copied, and all that does not is listed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import MODEL_FOR_MASKED_LM_MAPPING, AutoConfig, AutoModel, AutoModelForMaskedLM, PreTrainedConfig
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file, logging

from .configuration_genebert import NUM_SPECIAL_TOKENS, GeneBertConfig
from .fusion_genebert import ResidualLinear
from .tokenization_genebert import MAX_KMER, kmer_vocabulary


logger = logging.get_logger(__name__)

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")
MODEL_ARGUMENTS = ("attn_implementation", "dtype")
# The sizes of a Swin's layers: what GeneBERT keeps of its config. Image, patch and window are GeneBERT's own.
SWIN_FIELDS = ("embed_dim", "depths", "num_heads", "mlp_ratio", "qkv_bias", "hidden_act", "layer_norm_eps")
# Masked-LM heads made like GeneBERT's (dense, GELU, norm, decoder): those of BERT, RoBERTa and ESM, ModernBERT.
HEAD_NAMES = {
    "cls.predictions.transform.dense.": "predictions.dense.",
    "cls.predictions.transform.LayerNorm.": "predictions.norm.",
    "cls.predictions.decoder.": "predictions.decoder.",
    "cls.predictions.bias": "predictions.decoder.bias",
    "lm_head.dense.": "predictions.dense.",
    "lm_head.layer_norm.": "predictions.norm.",
    "lm_head.decoder.": "predictions.decoder.",
    "lm_head.bias": "predictions.decoder.bias",
    "head.dense.": "predictions.dense.",
    "head.norm.": "predictions.norm.",
    "decoder.": "predictions.decoder.",
}


@dataclass
class Checkpoint:
    """
    A checkpoint as transformers' own class for it opens it.

    Args:
        path (`str`): folder or Hub id.
        config (`PreTrainedConfig`): its own config.
        weights (`dict[str, torch.Tensor]`): the weights of that class, by name, that are in the file.
        prefix (`str`): what the encoder's names begin with in that class (`"bert."`).
        unexpected (`set[str]`): what else is in the file.
        mismatched (`set[tuple]`): what has another shape than the config says: name, shape found, shape expected.
    """

    path: str
    config: PreTrainedConfig
    weights: dict[str, torch.Tensor]
    prefix: str
    unexpected: set[str]
    mismatched: set[tuple[str, torch.Size, torch.Size]]


def warm_start(
    model_class: Any,
    sequence_path: str | os.PathLike | None,
    region_path: str | os.PathLike | None,
    config: GeneBertConfig | None,
    **kwargs: Any,
) -> tuple[Any, dict[str, set]]:
    """What `GeneBertPreTrainedModel.from_sequence_region_pretrained` does: the model and its loading info."""
    if sequence_path is None and region_path is None:
        raise ValueError("pass sequence_model_name_or_path, region_model_name_or_path or both: both are None")
    sequence_options, region_options = (
        {name: kwargs.pop(f"{modality}_{name}") for name in HUB_ARGUMENTS if f"{modality}_{name}" in kwargs}
        for modality in ("sequence", "region")
    )
    model_options = {name: kwargs.pop(name) for name in MODEL_ARGUMENTS if name in kwargs}

    sequence = region = None
    if sequence_path is not None:
        model_type = None if config is None else config.sequence_config.model_type
        sequence = open_checkpoint(str(sequence_path), model_type, **sequence_options)
    if region_path is not None:
        region = open_checkpoint(str(region_path), "swin", **region_options)
    if config is None:
        config = config_for(sequence, region, **kwargs)
    elif kwargs:
        raise ValueError(f"got config and {', '.join(sorted(kwargs))}: set it in the config, or pass no config")
    notes = []
    for checkpoint, used in ((sequence, config.sequence_config), (region, config.region_config)):
        if checkpoint is not None and (settings := other_settings(used, checkpoint.config)):
            notes.append(f"not as in the config of {checkpoint.path}: {settings}")
    if sequence is not None and not check_vocabulary(sequence, config, **sequence_options):
        notes.append(f"token order not checked: {sequence.path} has no tokenizer.json and no vocab.txt")

    model = model_class._from_config(config, **model_options)
    if sequence is not None:
        # The pre-trained states reach the heads as they are; the fusion layers learn what to add to them.
        for module in model.modules():
            if isinstance(module, ResidualLinear):
                torch.nn.init.zeros_(module.weight)

    parameters = dict(model.named_parameters())
    info: dict[str, set] = {"missing_keys": set(parameters), "unexpected_keys": set(), "mismatched_keys": set()}
    base = "" if model.base_model is model else f"{model.base_model_prefix}."
    for checkpoint, encoder in ((sequence, "sequence_encoder."), (region, "region_encoder.swin.")):
        if checkpoint is not None:
            notes.append(copy_weights(parameters, checkpoint, f"{base}{encoder}", info))
    alike: dict[str, list[str]] = {}  # the same weight of all layers is one line
    for name, found, expected in sorted(info["mismatched_keys"]):
        shapes = f"{list(found)}, expected {list(expected)}"
        alike.setdefault(re.sub(r"(?<=\.)\d+(?=\.)", "*", name), []).append(shapes)
    for name, shapes_of_layers in alike.items():
        others = f" (and {len(shapes_of_layers) - 1} more)" if len(shapes_of_layers) > 1 else ""
        notes.append(f"not taken, since the shape differs: {name} {shapes_of_layers[0]}{others}")
    missing = info["missing_keys"]
    notes.append(f"newly initialised, to be trained: {modules_of(missing, parameters.keys() - missing)}")
    logger.warning("\n- ".join([f"Warm start of {model_class.__name__}", *notes]))
    return model.eval(), info


def open_checkpoint(path: str, model_type: str | None, **options: Any) -> Checkpoint:
    """Open a folder or Hub id with transformers, as a masked-LM model where its kind has one.

    Raises:
        ValueError: another model type than `model_type`, a whole GeneBERT, or no safetensors.
    """
    config = AutoConfig.from_pretrained(path, **options)
    if config.model_type == "genebert":
        raise ValueError(f"{path} is a GeneBERT checkpoint: open it with from_pretrained")
    if model_type not in (None, config.model_type):
        raise ValueError(f"{path} is a checkpoint of model type {config.model_type!r}, expected {model_type!r}")
    if not any(find_file(path, name, **options) for name in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME)):
        raise ValueError(
            f"{path} has no {SAFE_WEIGHTS_NAME}, and only safetensors are opened (a pickled pytorch_model.bin can run "
            f"code); if you trust its source, convert it: AutoModelForMaskedLM.from_pretrained({path!r}, "
            "use_safetensors=False).save_pretrained(new_folder), or the Hub's safetensors conversion"
        )
    auto_class: Any = AutoModelForMaskedLM if type(config) in MODEL_FOR_MASKED_LM_MAPPING else AutoModel
    with quiet_transformers():  # its report would be about its own class
        model, info = auto_class.from_pretrained(
            path, use_safetensors=True, ignore_mismatched_sizes=True, output_loading_info=True, **options
        )
    absent = info["missing_keys"] | {name for name, *_ in info["mismatched_keys"]}
    return Checkpoint(
        path=path,
        config=config,
        weights={name: weight for name, weight in model.named_parameters() if name not in absent},
        prefix="" if model.base_model is model else f"{model.base_model_prefix}.",
        unexpected=info["unexpected_keys"],
        mismatched=info["mismatched_keys"],
    )


def find_file(path: str, name: str, **options: Any) -> str | None:
    """Local path of a file in a folder or Hub repository; None where it has no such file."""
    return cached_file(path, name, _raise_exceptions_for_missing_entries=False, **options)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Let transformers log errors only."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def config_for(sequence: Checkpoint | None, region: Checkpoint | None, **kwargs: Any) -> GeneBertConfig:
    """The config that follows from the checkpoints; `kwargs` are further fields of `GeneBertConfig`, or other values.

    Raises:
        ValueError: a vocabulary that is not one of k-mers, or an unknown field.
    """
    for name in kwargs:
        if not hasattr(GeneBertConfig, name):
            hint = f"; did you mean sequence_{name} or region_{name}?" if name in HUB_ARGUMENTS else ""
            raise ValueError(f"{name} is not a field of GeneBertConfig{hint}")
    fields: dict[str, Any] = {}
    if sequence is not None:
        kmer = kmer_of(sequence.config.vocab_size)
        if kmer is None:
            sizes = ", ".join(f"{NUM_SPECIAL_TOKENS + 4**k} for k={k}" for k in (3, 4, 5, 6))
            raise ValueError(
                f"{sequence.path} has a vocabulary of {sequence.config.vocab_size} tokens, expected "
                f"{NUM_SPECIAL_TOKENS} + 4**k ({sizes}); to take over its other weights, pass config=GeneBertConfig("
                "kmer=..., sequence_config=...) with its layer sizes and without its vocab_size"
            )
        sequence.config.dtype, sequence.config.name_or_path = None, ""  # one dtype for the model; no local path in it
        fields["sequence_config"] = sequence.config
        fields["tie_word_embeddings"] = sequence.config.tie_word_embeddings
        fields["kmer"] = kmer
    if region is not None:
        fields["region_config"] = {name: getattr(region.config, name) for name in SWIN_FIELDS}
    return GeneBertConfig(**{**fields, **kwargs})


def kmer_of(vocab_size: int) -> int | None:
    """k of a vocabulary of the five special tokens and all k-mers; None where the size is another."""
    return next((k for k in range(1, MAX_KMER + 1) if NUM_SPECIAL_TOKENS + 4**k == vocab_size), None)


def other_settings(used: PreTrainedConfig, checkpoint: PreTrainedConfig) -> str:
    """What sets the new encoder apart from the checkpoint's: also what no shape would show, such as its heads."""
    general = PreTrainedConfig().to_dict()
    names = [name for name in checkpoint.to_dict() if name not in general and hasattr(used, name)]
    pairs = [(name, getattr(used, name), getattr(checkpoint, name)) for name in names]
    return ", ".join(f"{name} {here} (there {there})" for name, here, there in pairs if here != there)


def check_vocabulary(sequence: Checkpoint, config: GeneBertConfig, **options: Any) -> bool:
    """Refuse word embeddings that would arrive at other tokens than they belong to.

    Returns:
        False where the order could not be checked, because the checkpoint has no vocabulary file.

    Raises:
        ValueError: another k, or another order; the message names the first token that differs.
    """
    if sequence.config.vocab_size != config.vocab_size:
        return True  # the word embeddings do not fit and will be listed
    if kmer_of(config.vocab_size) not in (None, config.kmer):
        raise ValueError(
            f"{sequence.path} has {config.vocab_size} tokens, which is kmer={kmer_of(config.vocab_size)}, but the "
            f"config says kmer={config.kmer}"
        )
    if path := find_file(sequence.path, "tokenizer.json", **options):
        found = {index: token for token, index in Tokenizer.from_file(path).get_vocab().items()}
    elif path := find_file(sequence.path, "vocab.txt", **options):
        found = dict(enumerate(Path(path).read_text(encoding="utf-8").splitlines()))
    else:
        return False
    for token, index in kmer_vocabulary(config.kmer, SPECIAL_TOKENS).items():
        if found.get(index) != token:
            raise ValueError(
                f"{path}: token {index} (0-based) is {found.get(index)!r}, expected {token!r} (GeneBERT's order is "
                f"{' '.join(SPECIAL_TOKENS)}, then itertools.product('ATCG')); reorder the checkpoint's word "
                "embeddings and its vocabulary"
            )
    return True


@torch.no_grad()
def copy_weights(
    parameters: dict[str, torch.nn.Parameter], checkpoint: Checkpoint, encoder: str, info: dict[str, set]
) -> str:
    """Copy what fits by name and shape; move names between the sets of the loading info accordingly.

    Args:
        parameters (`dict[str, torch.nn.Parameter]`): those of GeneBERT, changed in place.
        encoder (`str`): what the encoder's names begin with in GeneBERT.
        info (`dict[str, set]`): `missing_keys`, `unexpected_keys` and `mismatched_keys`, changed in place.

    Returns:
        A line that says what was taken over and what was left.

    Raises:
        ValueError: nothing fits.
    """
    shapes = {name: weight.shape for name, weight in checkpoint.weights.items()}
    shapes |= {name: shape for name, shape, _ in checkpoint.mismatched}
    unexpected, num_taken = set(checkpoint.unexpected), 0
    for name, shape in shapes.items():
        new_name = genebert_name(name, checkpoint.prefix, encoder)
        if new_name not in parameters:
            unexpected.add(name)
            continue
        info["missing_keys"].discard(new_name)
        parameter = parameters[new_name]
        if name in checkpoint.weights and shape == parameter.shape:
            parameter.copy_(checkpoint.weights[name])
            num_taken += 1
        else:
            info["mismatched_keys"].add((new_name, shape, parameter.shape))
    if not num_taken:
        raise ValueError(
            f"{checkpoint.path}: none of its {len(shapes)} weights fits GeneBERT by name and shape; give the encoder "
            "in the config the checkpoint's layer sizes, or pass no config"
        )
    info["unexpected_keys"] |= unexpected
    left = modules_of(unexpected, shapes.keys() - unexpected)
    return f"{num_taken} weights taken from {checkpoint.path}" + (f"; without a place here: {left}" if left else "")


def genebert_name(name: str, prefix: str, encoder: str) -> str:
    """GeneBERT's name for a weight of an encoder or of a masked-LM head; any other name as it is."""
    if name.startswith(prefix):
        return encoder + name.removeprefix(prefix)
    for old, new in HEAD_NAMES.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def modules_of(names: Iterable[str], others: Iterable[str]) -> str:
    """The names in short: one name for a whole module of which nothing is in `others`."""
    modules = set()
    for name in names:
        module = ""
        for part in name.split("."):
            module += part
            if not any(f"{other}.".startswith(f"{module}.") for other in others):
                break
            module += "."
        modules.add(module)
    return ", ".join(sorted(modules))
