"""GeneBertProcessor: tokenizer and feature extractor in one call."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessingKwargs, ProcessorMixin

from .dna_genebert import reverse_complement as opposite_strand
from .feature_extraction_genebert import GeneBertFeatureExtractor
from .tokenization_genebert import GeneBertTokenizer
from .windows_genebert import cut_windows


# What the model for variant effects takes of the alternate allele, each with "alt_" before its name.
ALLELE_INPUTS = ("input_ids", "attention_mask", "region_values", "region_mask")


class GeneBertProcessor(ProcessorMixin):
    """Makes all inputs of a GeneBERT model from DNA: token ids and region matrix.

    Args:
        feature_extractor: [`GeneBertFeatureExtractor`], with its motif bank.
        tokenizer: [`GeneBertTokenizer`].
    """

    def __init__(
        self, feature_extractor: GeneBertFeatureExtractor, tokenizer: GeneBertTokenizer, **kwargs: Any
    ) -> None:
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
        alt_sequences: str | list[str] | None = None,
        reverse_complement: bool = False,
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
            alt_sequences: for [`GeneBertForVariantEffect`], the DNA of the alternate alleles, where `sequences` holds
                the reference alleles. `regions` are those of both.
            reverse_complement: prepare the opposite strand: the reverse complement of each sequence (of segments A and
                B, and of alleles, each by itself), from which tiles are made too. `regions` stay as they are, because
                motif scores are the best of both strands.
            kwargs: arguments for the tokenizer (`padding`, `truncation`, `max_length`, ...), and `return_tensors`.
                With `return_overflowing_tokens=True` each sequence is cut into windows of at most `max_length` tokens
                (special tokens included; default: the tokenizer's `model_max_length`), of which neighbours share
                `stride` tokens (default: 0; with overlapping k-mers they share `kmer - 1` bases even so). The last
                window is shifted back to end with its sequence, and shares more. Each window is a row of its own: it
                is tiled by itself, while a matrix of `regions` is repeated for each window of its example.

        Returns:
            [`BatchFeature`] with the tokenizer's `input_ids`, `token_type_ids` and `attention_mask`, and the feature
            extractor's `region_values`, `region_mask` and `region_context_ids`. With `alt_sequences` also
            `alt_input_ids`, `alt_attention_mask` and, of tiles, `alt_region_values` and `alt_region_mask`.
            With windows one row each, and `overflow_to_sample_mapping`, the number of the window's sequence, and
            `window_starts`, its start there in bp (0-based), both int64 of shape `(num_windows,)`: the models take
            them, and pool or stitch.

        Raises:
            ValueError: if there are neither sequences nor regions, or not as many of one as of the other; if
                `alt_sequences` come with `sequence_pairs`; if a sequence to be complemented holds anything but IUPAC
                letters; if windows are asked for with `sequence_pairs` or `alt_sequences`, or share all their tokens.
        """
        if sequences is None and regions is None:
            raise ValueError("The processor needs sequences or regions, found neither")
        if sequences is None and sequence_pairs is not None:
            raise ValueError("The processor found sequence_pairs without sequences")
        if alt_sequences is not None and (sequences is None or sequence_pairs is not None):
            raise ValueError("alt_sequences need sequences (the reference alleles) and no sequence_pairs")
        if isinstance(sequences, str):
            sequences = [sequences]
        if isinstance(sequence_pairs, str):
            sequence_pairs = [sequence_pairs]
        if isinstance(alt_sequences, str):
            alt_sequences = [alt_sequences]
        strings = {"sequences": sequences, "sequence_pairs": sequence_pairs, "alt_sequences": alt_sequences}
        for name, others in (*strings.items(), ("regions", regions)):
            if sequences is not None and others is not None and len(others) != len(sequences):
                raise ValueError(
                    f"{name} has {len(others)} examples, sequences has {len(sequences)}: expected the same"
                )
        if reverse_complement:
            sequences, sequence_pairs, alt_sequences = (
                None if dna is None else _opposite_strands(name, dna) for name, dna in strings.items()
            )

        merged_kwargs = self._merge_kwargs(
            ProcessingKwargs,  # type: ignore[arg-type]  # annotated as an instance, takes the class
            # The tokenizer's own stride is between k-mers: not the stride of a call, which is between windows.
            tokenizer_init_kwargs={k: v for k, v in self.tokenizer.init_kwargs.items() if k != "stride"},
            **kwargs,
        )
        text_kwargs = merged_kwargs["text_kwargs"]
        return_tensors = text_kwargs.get("return_tensors")
        data: dict[str, Any] = {}
        if text_kwargs.pop("return_overflowing_tokens", False):
            if sequences is None or sequence_pairs is not None or alt_sequences is not None:
                raise ValueError(
                    "return_overflowing_tokens=True cuts into windows: it needs sequences, and takes neither "
                    "sequence_pairs nor alt_sequences; cut those yourself, or pass truncation=True"
                )
            sequences, data["overflow_to_sample_mapping"], data["window_starts"] = self._cut(sequences, text_kwargs)
        if sequences is not None:
            data.update(self.tokenizer(sequences, text_pair=sequence_pairs, **text_kwargs))
        if regions is not None or tile:
            matrices = self.feature_extractor(
                regions=regions,
                sequences=sequences if regions is None else None,
                accessibility=accessibility,
                positions=positions,
                anchor=anchor,
            )
            if regions is not None and "overflow_to_sample_mapping" in data:
                matrices = {name: values[data["overflow_to_sample_mapping"]] for name, values in matrices.items()}
            data.update(matrices)
        if alt_sequences is not None:
            alternate = self(alt_sequences, tile=tile and regions is None, **kwargs)
            data.update({f"alt_{name}": alternate[name] for name in ALLELE_INPUTS if name in alternate})
        return BatchFeature(data, tensor_type=return_tensors)

    def _cut(self, sequences: list[str], text_kwargs: dict[str, Any]) -> tuple[list[str], np.ndarray, np.ndarray]:
        """What `cut_windows` returns for a call; leaves in `text_kwargs` what the tokenizer needs for the windows."""
        special_tokens = self.tokenizer.all_special_tokens
        for number, sequence in enumerate(sequences):
            is_text = isinstance(sequence, str)
            found = [token for token in special_tokens if token in sequence] if is_text else type(sequence).__name__
            if found:
                raise ValueError(f"sequence {number} (0-based): expected plain DNA to cut into windows, found {found}")
        max_length = text_kwargs.get("max_length") or self.tokenizer.model_max_length
        num_kmers = max_length - self.tokenizer.num_special_tokens_to_add()
        num_shared = text_kwargs.pop("stride", 0)
        if num_shared >= num_kmers:
            raise ValueError(
                f"windows of max_length={max_length} tokens hold {num_kmers} k-mers, expected more than the "
                f"stride={num_shared} that neighbours share: raise max_length or lower stride"
            )
        text_kwargs["truncation"] = True  # said by name, or the tokenizer warns; nothing is left to truncate
        return cut_windows(
            sequences,
            width=self.tokenizer.num_bases(num_kmers),
            step=(num_kmers - num_shared) * self.tokenizer.stride,
        )

    @property
    def model_input_names(self) -> list[str]:
        return self.tokenizer.model_input_names + self.feature_extractor.model_input_names

    def to_json_file(self, json_file_path: str | os.PathLike) -> None:
        """Write the configuration, and beside it the motif bank (here, so that `push_to_hub` sends it too)."""
        self.feature_extractor.save_motif_bank(os.path.dirname(json_file_path))
        super().to_json_file(json_file_path)


def _opposite_strands(name: str, sequences: list[str]) -> list[str]:
    """Their reverse complements; `name` is that of the argument, for errors."""
    opposite = []
    for number, sequence in enumerate(sequences):
        try:
            opposite.append(opposite_strand(sequence))
        except ValueError as error:
            raise ValueError(f"{name}, number {number} (0-based): {error}") from None
    return opposite


GeneBertProcessor.register_for_auto_class()

__all__ = ["GeneBertProcessor"]
