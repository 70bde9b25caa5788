"""GeneBertFeatureExtractor: sequences of open regions -> region matrix (transcription factors x regions)."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
from transformers.feature_extraction_utils import BatchFeature, FeatureExtractionMixin
from transformers.utils import CONFIG_NAME, TensorType, cached_file

from .configuration_genebert import MOTIF_ROW_MULTIPLE, SELF_TILED_CONTEXT, WINDOW_CONTEXT
from .dna_genebert import UNKNOWN_BASE, encode_dna
from .motif_scoring_genebert import tile_bounds
from .motifs_genebert import MOTIFS_FILE_NAME, MotifBank
from .region_values_genebert import build_region_values


_HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")


class GeneBertFeatureExtractor(FeatureExtractionMixin):
    """Turns the open regions round a sequence, or the sequence itself cut into tiles, into GeneBERT's region matrix.

    The motif bank is saved beside the configuration as `motifs.safetensors` and comes back with `from_pretrained`; a
    bank other than the one that the configuration names is refused.

    Args:
        motif_bank: the motifs, in the order of the matrix's rows.
        num_regions: R, columns of the matrix.
        anchor_index: column (0-based) of the anchor region; `num_regions // 2 - 1` by default.
        region_width: longest region in bp that is taken.
        motif_bank_fingerprint: fingerprint that `motif_bank` must have; stands in saved configurations.

    Raises:
        ValueError: for a bank with another fingerprint, or an `anchor_index` outside of the matrix.
    """

    model_input_names = ["region_values", "region_mask", "region_context_ids"]

    def __init__(
        self,
        motif_bank: MotifBank | None = None,
        num_regions: int = 32,
        anchor_index: int | None = None,
        region_width: int = 500,
        motif_bank_fingerprint: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if anchor_index is None:
            anchor_index = max(0, num_regions // 2 - 1)
        if not 0 <= anchor_index < num_regions:
            raise ValueError(f"anchor_index is {anchor_index}, expected 0 to {num_regions - 1} (num_regions - 1)")
        if motif_bank is not None and motif_bank_fingerprint not in (None, motif_bank.fingerprint):
            raise ValueError(
                f"The motif bank ({motif_bank.source}) has fingerprint {motif_bank.fingerprint}, but the "
                f"configuration was made with {motif_bank_fingerprint}: use the {MOTIFS_FILE_NAME} saved with it"
            )
        self.motif_bank = motif_bank
        self.num_regions = num_regions
        self.anchor_index = anchor_index
        self.region_width = region_width

    @property
    def num_motif_rows(self) -> int:
        """Rows of the matrix: the number of motifs rounded up to a multiple of 32."""
        return -(-len(self._bank()) // MOTIF_ROW_MULTIPLE) * MOTIF_ROW_MULTIPLE

    def _bank(self) -> MotifBank:
        if self.motif_bank is None:
            raise ValueError(
                "The feature extractor has no motif bank: make it with GeneBertFeatureExtractor(motif_bank=...), for "
                "example MotifBank.from_jaspar(), or load one that was saved with its bank"
            )
        return self.motif_bank

    def __call__(
        self,
        regions: list[list[str]] | None = None,
        sequences: list[str] | None = None,
        accessibility: list[list[float | None]] | None = None,
        positions: list[list[int]] | None = None,
        anchor: list[int] | None = None,
        return_tensors: str | TensorType | None = None,
    ) -> BatchFeature:
        """Build the region matrices of a batch, from regions or from sequences.

        Args:
            regions: for each example, the DNA of 1 to R open regions of one cell type in genome order, each 1 to
                `region_width` bp.
            sequences: for each example, one DNA sequence without region context. It is cut into R tiles; a tile takes
                the best site whose centre lies in it (see [`MotifBank.score`]). Where a sequence is shorter than R bp,
                the tiles that would be empty are absent.
            accessibility: with `regions`, for each region a number in [0, 1]; None or NaN where it was not measured.
                Without it, nothing was measured.
            positions: required with `regions`: position of each region's centre on the chromosome in bp, 0-based,
                ascending.
            anchor: with `regions`, for each example the index of the anchor in its list; the middle one,
                `(n - 1) // 2`, by default. The anchor is laid into column `anchor_index`, the others round it.
            return_tensors: `"pt"` or `"np"`; numpy arrays by default.

        Returns:
            [`BatchFeature`] with

            - `region_values`: float32 `(B, 4, num_motif_rows, R)`, with the channels of [`compact_region_values`];
            - `region_mask`: int64 `(B, R)`, 1 where there is a region (or tile), else 0;
            - `region_context_ids`: int64 `(B,)`, 0 for a window of regions, 1 for a self-tiled sequence.

        Raises:
            ValueError: for input of another form; the message names the example and the region (both from 0).
        """
        if (regions is None) == (sequences is None):
            raise ValueError("The feature extractor needs either regions or sequences, found both or neither")
        if regions is not None:
            values, mask = self._window_inputs(regions, accessibility, positions, anchor)
            context = WINDOW_CONTEXT
        else:
            if accessibility is not None or positions is not None or anchor is not None:
                raise ValueError("accessibility, positions and anchor belong to regions, found them with sequences")
            if isinstance(sequences, str):
                raise ValueError("sequences is a string, expected a list of DNA strings")
            columns = self.tile_columns(*_pad(sequences or []))
            values, mask = build_region_values(*columns, self.num_motif_rows), columns[-1]
            context = SELF_TILED_CONTEXT
        data = {
            "region_values": values,
            "region_mask": mask.astype(np.int64),
            "region_context_ids": np.full(len(mask), context, dtype=np.int64),
        }
        return BatchFeature(data, tensor_type=return_tensors)

    def _window_inputs(
        self,
        regions: list[list[str]],
        accessibility: list[list[float | None]] | None,
        positions: list[list[int]] | None,
        anchor: list[int] | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        if positions is None:
            raise ValueError("positions are required with regions: the distance to the anchor is part of the matrix")
        for name, argument in (("accessibility", accessibility), ("positions", positions), ("anchor", anchor)):
            if argument is not None and len(argument) != len(regions):
                raise ValueError(f"{name} has {len(argument)} examples, regions has {len(regions)}: expected the same")

        shape = (len(regions), self.num_regions)
        region_mask = np.zeros(shape, dtype=bool)
        region_accessibility = np.full(shape, np.nan)
        distances = np.zeros(shape)
        for example, dna in enumerate(regions):
            anchor_in_list = (len(dna) - 1) // 2 if anchor is None else anchor[example]
            columns = self._columns(example, dna, anchor_in_list)
            centres = _row(example, "positions", positions[example], len(dna))
            if not (np.diff(centres) >= 0).all():
                raise ValueError(
                    f"Example {example}: positions must ascend (regions in genome order), found {centres}"
                )
            region_mask[example, columns] = True
            distances[example, columns] = centres - centres[anchor_in_list]
            if accessibility is not None:
                measured = _row(example, "accessibility", accessibility[example], len(dna), allow_missing=True)
                if ((measured < 0) | (measured > 1)).any():
                    raise ValueError(f"Example {example}: accessibility must lie in [0, 1], found {measured}")
                region_accessibility[example, columns] = measured

        bank = self._bank()
        scores = np.zeros((*shape, len(bank)), dtype=np.float32)
        codes, lengths = _pad([sequence for dna in regions for sequence in dna])
        scores[region_mask] = bank.score(codes, lengths)[:, :, 0]
        values = build_region_values(scores, region_accessibility, distances, region_mask, self.num_motif_rows)
        return values, region_mask

    def _columns(self, example: int, dna: list[str], anchor_in_list: int) -> slice:
        """Columns of an example's regions, after checks that they are regions and have room."""
        if isinstance(dna, str):
            raise ValueError(f"Example {example}: found a string, expected a list of DNA strings (its regions)")
        if not 1 <= len(dna) <= self.num_regions:
            raise ValueError(
                f"Example {example} has {len(dna)} regions, expected 1 to {self.num_regions} (num_regions)"
            )
        if not 0 <= anchor_in_list < len(dna):
            raise ValueError(f"Example {example}: anchor is {anchor_in_list}, expected 0 to {len(dna) - 1}")
        first = self.anchor_index - anchor_in_list
        if first < 0 or first + len(dna) > self.num_regions:
            raise ValueError(
                f"Example {example} has {anchor_in_list} regions before the anchor and "
                f"{len(dna) - 1 - anchor_in_list} after it, expected at most {self.anchor_index} before and "
                f"{self.num_regions - 1 - self.anchor_index} after (columns of the matrix): leave the outer ones out"
            )
        for number, sequence in enumerate(dna):
            if not 1 <= len(sequence) <= self.region_width:
                raise ValueError(
                    f"Example {example}, region {number} is {len(sequence)} bp long, expected 1 to "
                    f"{self.region_width} (region_width): crop it round its centre"
                )
        return slice(first, first + len(dna))

    def tile_columns(
        self, codes: np.ndarray, lengths: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Columns of the region matrices of sequences cut into tiles, as [`compact_region_values`] takes them.

        Args:
            codes: uint8 base codes of shape `(B, longest)`, padded at their ends.
            lengths: lengths in bp of shape `(B,)`; all `longest` by default.

        Returns:
            scores, float32 `(B, R, M)`; accessibility `(B, R)`, not measured; distances to the anchor column in bp,
            `(B, R)`; and which tiles hold a base, bool `(B, R)`.
        """
        if lengths is None:
            lengths = np.full(len(codes), codes.shape[1], dtype=np.int64)
        scores = self._bank().score(codes, lengths, num_tiles=self.num_regions).transpose(0, 2, 1)
        first, last = tile_bounds(lengths, self.num_regions, width=1)
        region_mask = first < last
        distances = (np.arange(self.num_regions) - self.anchor_index) * lengths[:, None] / self.num_regions
        return scores, np.full(region_mask.shape, np.nan), distances, region_mask

    # Saving and loading: the bank travels in a file of its own

    def to_dict(self) -> dict[str, Any]:
        """The configuration as a dictionary: of the motif bank, only its fingerprint."""
        output = super().to_dict()
        bank = output.pop("motif_bank")
        output["motif_bank_fingerprint"] = None if bank is None else bank.fingerprint
        return output

    def to_json_file(self, json_file_path: str | os.PathLike) -> None:
        """Write the configuration, and beside it the motif bank."""
        self.save_motif_bank(os.path.dirname(json_file_path))
        super().to_json_file(json_file_path)

    def save_motif_bank(self, folder: str | os.PathLike) -> None:
        """Write the motif bank, if there is one, into a folder as `motifs.safetensors`."""
        if self.motif_bank is not None:
            self.motif_bank.save(os.path.join(folder, MOTIFS_FILE_NAME))

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike) -> GeneBertFeatureExtractor:
        """Read the configuration, and the motif bank beside it."""
        config, _ = cls.get_feature_extractor_dict(json_file)
        return cls(**config)

    @classmethod
    def get_feature_extractor_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arguments for the constructor from a saved folder or the Hub, with the motif bank; and the unused ones."""
        hub_arguments = {name: kwargs[name] for name in _HUB_ARGUMENTS if name in kwargs}
        config, kwargs = super().get_feature_extractor_dict(pretrained_model_name_or_path, **kwargs)
        config["motif_bank"] = kwargs.pop("motif_bank", None)
        fingerprint = config.get("motif_bank_fingerprint")
        if config["motif_bank"] is None and fingerprint is not None:
            folder = str(pretrained_model_name_or_path)
            if os.path.isfile(folder):
                folder = os.path.dirname(folder)
            path = cached_file(folder, MOTIFS_FILE_NAME, _raise_exceptions_for_missing_entries=False, **hub_arguments)
            if path is None:
                raise FileNotFoundError(
                    f"{pretrained_model_name_or_path} has no {MOTIFS_FILE_NAME}, but its configuration was made with "
                    f"the motif bank {fingerprint}: copy that file there, or pass motif_bank=..."
                )
            config["motif_bank"] = MotifBank.load(path)
            _check_model_beside(folder, fingerprint, hub_arguments)
        return config, kwargs


def _check_model_beside(folder: str, fingerprint: str, hub_arguments: dict[str, Any]) -> None:
    """Raise `ValueError` if the model in the same folder or repository reads another motif bank than the extractor."""
    path = cached_file(folder, CONFIG_NAME, _raise_exceptions_for_missing_entries=False, **hub_arguments)
    if path is None:
        return
    with open(path, encoding="utf-8") as file:
        expected = json.load(file).get("motif_bank_fingerprint")
    if expected not in (None, fingerprint):
        raise ValueError(
            f"{folder}: its {MOTIFS_FILE_NAME} has fingerprint {fingerprint}, but its model was trained with "
            f"{expected}: use the processor and the {MOTIFS_FILE_NAME} that were saved with the model"
        )


def _pad(sequences: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Base codes of the sequences, uint8 `(N, longest)`, padded at their ends; and their lengths, int64 `(N,)`."""
    encoded = [encode_dna(sequence) for sequence in sequences]
    lengths = np.array([len(codes) for codes in encoded], dtype=np.int64)
    padded = np.full((len(encoded), lengths.max(initial=0)), UNKNOWN_BASE, dtype=np.uint8)
    for row, codes in zip(padded, encoded, strict=True):
        row[: len(codes)] = codes
    return padded, lengths


def _row(example: int, name: str, values: Any, length: int, allow_missing: bool = False) -> np.ndarray:
    """One example's numbers as a float64 array of shape `(length,)`, None as NaN."""
    row = np.array(values, dtype=np.float64)
    if row.shape != (length,):
        raise ValueError(
            f"Example {example}: {name} has shape {row.shape}, expected one number for each region: {length}"
        )
    if not allow_missing and np.isnan(row).any():
        raise ValueError(f"Example {example}: {name} holds missing values, expected a number for each region")
    return row


GeneBertFeatureExtractor.register_for_auto_class()

__all__ = ["GeneBertFeatureExtractor"]
