"""GeneBertProcessor: tokenizer and feature extractor in one call."""

from __future__ import annotations

import os
from typing import Any

from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessingKwargs, ProcessorMixin


class GeneBertProcessor(ProcessorMixin):
    """Makes all inputs of a GeneBERT model from DNA: token ids and region matrix.

    Args:
        feature_extractor: [`GeneBertFeatureExtractor`], with its motif bank.
        tokenizer: [`GeneBertTokenizer`].
    """

    def __init__(self, feature_extractor, tokenizer, **kwargs: Any):
        super().__init__(feature_extractor, tokenizer, **kwargs)

    def __call__(
        self,
        sequences: str | list[str] | None = None,
        sequence_pairs: str | list[str] | None = None,
        regions: list[list[str]] | None = None,
        accessibility: list[list[float | None]] | None = None,
        positions: list[list[int]] | None = None,
        anchor: list[int] | None = None,
        tile: bool = True,
        **kwargs: Any,
    ) -> BatchFeature:
        """Prepare a batch of examples.

        Args:
            sequences: DNA of segment A, one string an example; a single string is a batch of one.
            sequence_pairs: DNA of segment B, likewise.
            regions: for each example, the DNA of the open regions round it; with `positions`, and optionally
                `accessibility` and `anchor`, all as in [`GeneBertFeatureExtractor.__call__`]. May come without
                sequences.
            tile: without `regions`, make the region matrix of segment A itself, whole, cut into tiles, whatever the
                tokenizer truncates. If False, there is no region matrix: the model is then a plain BERT.
            kwargs: arguments for the tokenizer (`padding`, `truncation`, `max_length`, ...), and `return_tensors`.

        Returns:
            [`BatchFeature`] with the tokenizer's `input_ids`, `token_type_ids` and `attention_mask`, and the feature
            extractor's `region_values`, `region_mask` and `region_context_ids`.

        Raises:
            ValueError: if there are neither sequences nor regions, or not as many of one as of the other.
        """
        if sequences is None and regions is None:
            raise ValueError("The processor needs sequences or regions, found neither")
        if sequences is None and sequence_pairs is not None:
            raise ValueError("The processor found sequence_pairs without sequences")
        if isinstance(sequences, str):
            sequences = [sequences]
        if isinstance(sequence_pairs, str):
            sequence_pairs = [sequence_pairs]
        for name, others in (("sequence_pairs", sequence_pairs), ("regions", regions)):
            if sequences is not None and others is not None and len(others) != len(sequences):
                raise ValueError(
                    f"{name} has {len(others)} examples, sequences has {len(sequences)}: expected the same"
                )

        merged_kwargs = self._merge_kwargs(
            ProcessingKwargs,  # type: ignore[arg-type]
            tokenizer_init_kwargs=self.tokenizer.init_kwargs,
            **kwargs,
        )
        text_kwargs = merged_kwargs["text_kwargs"]
        return_tensors = text_kwargs.get("return_tensors")
        data: dict[str, Any] = {}
        if sequences is not None:
            data.update(self.tokenizer(sequences, text_pair=sequence_pairs, **text_kwargs))
        if regions is not None or tile:
            data.update(
                self.feature_extractor(
                    regions=regions,
                    sequences=sequences if regions is None else None,
                    accessibility=accessibility,
                    positions=positions,
                    anchor=anchor,
                )
            )
        return BatchFeature(data, tensor_type=return_tensors)

    @property
    def model_input_names(self) -> list[str]:
        return self.tokenizer.model_input_names + self.feature_extractor.model_input_names

    def to_json_file(self, json_file_path: str | os.PathLike) -> None:
        """Write the configuration, and beside it the motif bank (here, so that `push_to_hub` sends it too)."""
        self.feature_extractor.save_motif_bank(os.path.dirname(json_file_path))
        super().to_json_file(json_file_path)


GeneBertProcessor.register_for_auto_class()

__all__ = ["GeneBertProcessor"]
