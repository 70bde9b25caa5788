"""`pipeline("token-classification")` for one prediction per base.

transformers' own pipelines for "fill-mask", "feature-extraction" and "text-classification" take GeneBERT's checkpoints
as they are. All pipelines hand the model a sequence and nothing else: without a region matrix it is a plain BERT. For
predictions with regions call [`GeneBertProcessor`] and the model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from transformers import TokenClassificationPipeline
from transformers.pipelines.token_classification import AggregationStrategy


# What a saved config tells `transformers.pipeline`, whose own class would take the bases for tokens.
CUSTOM_PIPELINES = {
    "token-classification": {
        "impl": "pipelines_genebert.GeneBertTokenClassificationPipeline",
        "pt": ["AutoModelForTokenClassification"],
        "type": "text",
    }
}


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


__all__ = ["GeneBertTokenClassificationPipeline"]
