"""Pipelines of GeneBERT's own: one prediction per base, and sequences with the open regions round them.

transformers' pipelines for "fill-mask", "feature-extraction" and "text-classification" take GeneBERT's checkpoints as
they are, but hand the model a sequence and nothing else: without a region matrix it is a plain BERT. The two here are
named in the config of a saved model, so that `pipeline(..., trust_remote_code=True)` finds them without this package.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from transformers import Pipeline, TokenClassificationPipeline
from transformers.pipelines.token_classification import AggregationStrategy

from .windows_genebert import cut_windows


# What a saved config tells `transformers.pipeline`, whose own class would take the bases for tokens.
CUSTOM_PIPELINES = {
    "token-classification": {
        "impl": "pipelines_genebert.GeneBertTokenClassificationPipeline",
        "pt": ["AutoModelForTokenClassification"],
        "type": "text",
    }
}
SEQUENCE_PIPELINES = {
    "dna-classification": {
        "impl": "pipelines_genebert.GeneBertSequenceClassificationPipeline",
        "pt": ["AutoModelForSequenceClassification"],
        "type": "multimodal",
    }
}
REGION_ARGUMENTS = ("regions", "positions", "accessibility", "anchor")  # as the processor has them


class GeneBertTokenClassificationPipeline(TokenClassificationPipeline):
    """
    `pipeline("token-classification")` of a [`GeneBertForTokenClassification`]: an entity is a base, not a token.

    It takes DNA strings, and has the arguments and the output of transformers' pipeline. `start` and `end` are in bp,
    0-based and half-open; `word` is the DNA there. With `aggregation_strategy="simple"` neighbouring bases of one
    label are one entity, an interval, and `score` is the mean over its bases. With `stride=...` a sequence longer than
    the tokenizer's `model_max_length` is cut into pieces that share so many tokens; where they overlap, the
    probabilities are averaged.

    ```python
    pipeline("token-classification", model=folder, pipeline_class=GeneBertTokenClassificationPipeline)
    pipeline("token-classification", model=folder, trust_remote_code=True)  # the same, without this package
    ```
    """

    def postprocess(  # type: ignore[override]  # transformers' own class differs from its base, too
        self,
        all_outputs: list[dict[str, Any]],
        aggregation_strategy: AggregationStrategy = AggregationStrategy.NONE,
        ignore_labels: list[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Entities of one sequence from the model's outputs for its pieces.

        Raises:
            ValueError: if the sequence was truncated.
        """
        sequence = all_outputs[0]["sentence"]
        sums = np.zeros((len(sequence), all_outputs[0]["logits"].shape[-1]))
        num_pieces = np.zeros((len(sequence), 1))
        for outputs in all_outputs:
            offsets = outputs["offset_mapping"][0][outputs["special_tokens_mask"][0] == 0]
            if len(offsets) > 0:
                start, end = int(offsets[0, 0]), int(offsets[-1, 1])
                sums[start:end] += outputs["logits"][0, : end - start].float().softmax(-1).numpy()
                num_pieces[start:end] += 1
        if not num_pieces.all():
            raise ValueError(
                f"the sequence has {len(sequence)} bp, expected at most {int(num_pieces.sum())} bp (the tokenizer's "
                "model_max_length): pass stride=..., the number of tokens that overlapping pieces share"
            )
        bases = [
            {"word": letter, "scores": scores, "start": base, "end": base + 1, "index": base, "is_subword": False}
            for base, (letter, scores) in enumerate(zip(sequence, sums / num_pieces, strict=True))
        ]
        ignored = ["O"] if ignore_labels is None else ignore_labels
        entities = []
        for entity in self.aggregate(bases, aggregation_strategy):
            if entity.get("entity") not in ignored and entity.get("entity_group") not in ignored:
                entities.append({**entity, "word": sequence[entity["start"] : entity["end"]]})
        return entities


class GeneBertSequenceClassificationPipeline(Pipeline):
    """
    `pipeline("dna-classification")` of a [`GeneBertForSequenceClassification`]: sequences with or without regions.

    It takes DNA strings, or dictionaries with `sequence` and, of the open regions round it, `regions` and `positions`,
    optionally `accessibility` and `anchor`: those of one example, else as in [`GeneBertProcessor.__call__`]. Without
    regions the sequence is cut into tiles. What fine-tuning wrote into the config is heeded: `modality` ("both",
    "sequence" or "regions"), `average_strands`, and `window_overlap` in bp for sequences longer than the model.

    For each sequence it returns a list of `{"label": str, "score": float}`, the best first: probabilities, of which
    those of several labels need not sum to 1; of a regression the values. `top_k=...` keeps the first few.

    ```python
    pipeline("dna-classification", model=folder, pipeline_class=GeneBertSequenceClassificationPipeline)
    pipeline("dna-classification", model=folder, trust_remote_code=True)  # the same, without this package
    ```
    """

    _load_processor: Any = True
    _load_tokenizer: Any = False
    _load_feature_extractor: Any = False
    _load_image_processor: Any = False

    def _sanitize_parameters(self, top_k: int | None = None, **kwargs: Any) -> tuple[dict, dict, dict]:
        if kwargs:
            raise ValueError(f"dna-classification has no argument {', '.join(kwargs)}, expected top_k or none")
        return {}, {}, {"top_k": top_k}

    def preprocess(self, example: str | dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]  # as above
        """Arguments of the processor for one example.

        Raises:
            ValueError: neither a string nor a dictionary with `sequence` and what belongs to regions.
        """
        named = {"sequence": example} if isinstance(example, str) else example
        if not isinstance(named, dict) or not isinstance(named.get("sequence"), str):
            raise ValueError(
                f"expected DNA, or a dictionary with the DNA as `sequence`, found {type(example).__name__}"
            )
        if unknown := [name for name in named if name not in ("sequence", *REGION_ARGUMENTS)]:
            raise ValueError(f"found {unknown[0]!r} in an example, expected sequence, {', '.join(REGION_ARGUMENTS)}")
        return named

    def _forward(self, example: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]  # as above
        strands = (False, True) if getattr(self.model.config, "average_strands", False) else (False,)
        logits = [self.model(**self.inputs_of(example, opposite)).logits[0] for opposite in strands]
        return {"logits": torch.stack(logits).mean(dim=0)}

    def inputs_of(self, example: dict[str, Any], opposite: bool) -> Any:
        """What the model takes for one strand of an example: one row, or one for each window of a long sequence."""
        config, processor, base_model = self.model.config, cast(Any, self.processor), cast(Any, self.model.base_model)
        modality, overlap = getattr(config, "modality", "both"), getattr(config, "window_overlap", None)
        windows, mapping = [example["sequence"]], {}
        max_num_tokens = base_model.max_num_tokens
        if overlap is not None and max_num_tokens is not None and modality != "regions":
            width = processor.tokenizer.num_bases(max_num_tokens - 2)  # [CLS] and [SEP]
            windows, samples, _ = cut_windows(windows, width, width - overlap)
            mapping = {"overflow_to_sample_mapping": torch.from_numpy(samples)}
        regions = {}
        if modality != "sequence":
            regions = {name: [example[name]] * len(windows) for name in REGION_ARGUMENTS if name in example}
        inputs = processor(
            windows,
            reverse_complement=opposite,
            tile=modality != "sequence",
            padding=True,
            return_tensors="pt",
            **regions,
        )
        if modality == "regions":  # in place of the sequence
            inputs.update(processor.tokenizer("", return_tensors="pt"))
        inputs.update(mapping)
        return inputs.to(self.model.device)

    def postprocess(  # type: ignore[override]  # as above
        self, outputs: dict[str, Any], top_k: int | None = None
    ) -> list[dict[str, Any]]:
        config, logits = cast(Any, self.model.config), outputs["logits"].float()
        problem_type = config.problem_type or ("regression" if config.num_labels == 1 else None)
        if problem_type == "regression":
            scores = logits
        elif problem_type == "multi_label_classification":
            scores = logits.sigmoid()
        else:
            scores = logits.softmax(dim=-1)
        found = [{"label": config.id2label[index], "score": score} for index, score in enumerate(scores.tolist())]
        return sorted(found, key=lambda entry: entry["score"], reverse=True)[:top_k]


__all__ = ["GeneBertSequenceClassificationPipeline", "GeneBertTokenClassificationPipeline"]
