"""The region encoder: TF × region matrix -> region tokens.

Shape suffixes: B batch, H hidden size of the sequence encoder, M motifs, K rows of the compact matrix (M + 3), G motif
blocks, F motifs of a block, D channels of a grid cell, R regions, N columns (B × R), S region tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.utils import ModelOutput

from .attention_genebert import GeneBertSwinModel, run_encoder
from .configuration_genebert import NUM_REGION_CHANNELS, SELF_TILED_CONTEXT, WINDOW_CONTEXT, GeneBertConfig
from .region_values_genebert import contract_region_values, expand_region_values


NUM_REGION_CONTEXTS = 2
TYPICAL_SCORE, TYPICAL_SPREAD, SMALLEST_SPREAD = 0.35, 0.2, 0.05


@dataclass
class GeneBertRegionOutput(ModelOutput):
    """
    Region features.

    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(batch_size, num_region_tokens, hidden_size)`): region tokens.
        pooler_output (`torch.FloatTensor` of shape `(batch_size, hidden_size)`): their pooled vector.
        next_pooler_output (`torch.FloatTensor`, *optional*): the same with the next column in the anchor's place.
        own_column (`torch.FloatTensor` of shape `(batch_size, num_motifs + 3)`): the sequence's own column of the
            matrix, motif scores in units of their spread; zeros where it is absent or hidden.
        enrichment (`torch.FloatTensor` of shape `(batch_size, num_motifs)`): z-score of each motif's mean over the
            other open regions; zeros where there are none.
        hidden_states, attentions (`tuple`, *optional*): Swin's.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None
    next_pooler_output: torch.Tensor | None = None
    own_column: torch.Tensor | None = None
    enrichment: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None

    def take(self, rows: torch.Tensor) -> GeneBertRegionOutput:
        """The features of these rows, in this order; Swin's own states stay as they are."""
        names = ("last_hidden_state", "pooler_output", "next_pooler_output", "own_column", "enrichment")
        taken = {name: self[name].index_select(0, rows) for name in names if self.get(name) is not None}
        return replace(self, **taken)


class GeneBertScoreNorm(nn.Module):
    """
    Motif scores in units of their spread, BKR -> BKR: `(score - mean) / std`, motif by motif; the other rows as they
    are. In raw scores, what tells one region from another is small beside the motifs' means, and learned late.

    The figures are not learned: [`~GeneBertScoreNorm.fit`] takes them from training data before training, and they
    are saved with the weights. There are two sets of them, of open regions and of tiles of the sequence itself, which
    are much shorter and score lower.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, num_motifs: int):
        super().__init__()
        self.register_buffer("mean", torch.empty(NUM_REGION_CONTEXTS, num_motifs))
        self.register_buffer("std", torch.empty(NUM_REGION_CONTEXTS, num_motifs))
        self.init_weights()

    def init_weights(self) -> None:
        init.constant_(self.mean, TYPICAL_SCORE)
        init.constant_(self.std, TYPICAL_SPREAD)

    @torch.no_grad()
    def fit(self, scores: np.ndarray, region_context: int) -> None:
        """
        Take the mean and the standard deviation (0.05 at least) of each motif's scores.

        Args:
            scores (`np.ndarray` of shape `(num_columns, num_motifs)`): columns of training data.
            region_context (`int`): what they are columns of: 0 = open regions, 1 = tiles of the sequence itself.

        Raises:
            ValueError: another shape, or no columns.
        """
        num_motifs = self.mean.shape[1]
        if scores.ndim != 2 or scores.shape[1] != num_motifs or not len(scores):
            raise ValueError(f"scores has shape {scores.shape}, expected (num_columns, {num_motifs})")
        self.mean[region_context] = torch.from_numpy(scores.mean(axis=0, dtype=np.float64)).to(self.mean)
        std = torch.from_numpy(scores.std(axis=0, dtype=np.float64)).to(self.std)
        self.std[region_context] = std.clamp(min=SMALLEST_SPREAD)

    def forward(self, region_values: torch.Tensor, region_context_ids: torch.Tensor) -> torch.Tensor:
        num_motifs = self.mean.shape[1]
        mean, std = self.mean[region_context_ids, :, None], self.std[region_context_ids, :, None]
        scores = (region_values[:, :num_motifs] - mean) / std
        return torch.cat([scores, region_values[:, num_motifs:]], dim=1)


class GeneBertMotifProjection(nn.Module):
    """
    Project each block of neighbouring motifs, and a column's accessibility and distance, by weights of the block's
    own: BKR -> BDGR.

    Swin shares its patch weights over the whole grid and would hardly know which transcription factor is which.

    Args:
        num_rows (`int`): motifs, padded to a multiple of `num_blocks`.
        num_blocks (`int`): G.
        width (`int`): D.
    """

    def __init__(self, num_rows: int, num_blocks: int, width: int):
        super().__init__()
        self.num_rows = num_rows
        self.weight = nn.Parameter(torch.empty(num_blocks, num_rows // num_blocks, width))
        self.others = nn.Linear(NUM_REGION_CHANNELS - 1, num_blocks * width)

    def init_weights(self) -> None:
        init.normal_(self.weight, std=self.weight.shape[1] ** -0.5)

    def forward(self, region_values: torch.Tensor) -> torch.Tensor:
        batch, num_rows, regions = region_values.shape
        num_blocks, size, width = self.weight.shape
        num_motifs = num_rows - (NUM_REGION_CHANNELS - 1)
        columns_BRK = region_values.transpose(1, 2)
        scores = F.pad(columns_BRK[..., :num_motifs], (0, self.num_rows - num_motifs))
        scores_GNF = scores.reshape(batch * regions, num_blocks, size).transpose(0, 1)
        others_NGD = self.others(columns_BRK[..., num_motifs:]).view(-1, num_blocks, width)
        cells_GND = torch.baddbmm(others_NGD.transpose(0, 1), scores_GNF, self.weight)
        return cells_GND.view(num_blocks, batch, regions, width).permute(1, 3, 0, 2)


class GeneBertRegionEncoder(nn.Module):
    """Region matrix -> region tokens BSH and their pooled vector BH.

    The tokens are Swin's last grid (context: which factors, where) and, with block projections, one token per column
    (its own motifs, undiluted). Pooled are all of them, and beside them the column of the sequence itself, which it is
    matched with: the anchor's; or, where the matrix is of tiles of the sequence, the best score of each motif in any
    of them, as a region's scores are the best in the region.
    """

    def __init__(self, config: GeneBertConfig, add_pooling_layer: bool = True, pool_next: bool = False):
        super().__init__()
        self.pools_next = pool_next
        hidden_size, region_config = config.hidden_size, config.region_config
        self.config = config
        self.score_norm = GeneBertScoreNorm(config.num_motifs)
        self.block_projection = None
        if config.region_embedding == "block_projection":
            rows, blocks = config.num_motif_rows, config.num_motif_blocks
            self.block_projection = GeneBertMotifProjection(rows, blocks, region_config.num_channels)
            self.column_projection = GeneBertMotifProjection(rows, 1, hidden_size)
            self.column_positions = nn.Parameter(torch.zeros(config.num_regions, hidden_size))
            self.mask_column = nn.Parameter(torch.zeros(hidden_size))
        # What stands where a column is absent or hidden, for every cell or motif row of the column.
        self.mask_value = nn.Parameter(torch.zeros(region_config.num_channels))
        self.context_type_embeddings = nn.Embedding(NUM_REGION_CONTEXTS, hidden_size)
        self.no_region = nn.Parameter(torch.zeros(hidden_size))
        self.swin = GeneBertSwinModel(region_config, add_pooling_layer=False)
        self.token_dense = nn.Linear(region_config.hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=1e-6)
        self.pooling_query = nn.Linear(hidden_size, 1) if add_pooling_layer else None
        self.pooler = nn.Linear(2 * hidden_size, hidden_size) if add_pooling_layer else None

    def forward(
        self,
        region_values: torch.Tensor | None,
        region_mask: torch.Tensor | None,
        region_context_ids: torch.Tensor | None,
        batch_size: int,
        **kwargs: Any,
    ) -> GeneBertRegionOutput:
        if region_values is None:
            tokens = self.no_region.repeat(batch_size, 1, 1)
            pooled = self._pool(tokens, tokens[:, 0])
            return GeneBertRegionOutput(
                last_hidden_state=tokens,
                pooler_output=pooled,
                next_pooler_output=pooled if self.pools_next else None,
                own_column=tokens.new_zeros(batch_size, self.config.num_motifs + NUM_REGION_CHANNELS - 1),
                enrichment=tokens.new_zeros(batch_size, self.config.num_motifs),
            )

        num_motifs, num_rows, num_regions = self.config.num_motifs, self.config.num_motif_rows, self.config.num_regions
        expected = (batch_size, NUM_REGION_CHANNELS, num_rows, num_regions)
        compact = (batch_size, num_motifs + NUM_REGION_CHANNELS - 1, num_regions)
        if tuple(region_values.shape) not in (compact, expected):
            raise ValueError(
                f"region_values has shape {tuple(region_values.shape)}, expected {expected}: "
                f"(batch_size, channels, num_motif_rows, num_regions); or {compact}: "
                "(batch_size, num_motifs + 3, num_regions)"
            )
        if region_mask is None:
            region_mask = torch.ones(batch_size, self.config.num_regions, device=region_values.device)
        present_BR = region_mask.bool()
        if region_context_ids is None:
            region_context_ids = torch.zeros(batch_size, dtype=torch.long, device=region_values.device)

        # Rounded as data sets store it, so that a checkpoint predicts what its trainer did. Norms are not quantised.
        values = region_values.half().to(self.norm.weight.dtype)
        compact_values = contract_region_values(values, num_motifs) if values.dim() == 4 else values
        values = self.score_norm(compact_values, region_context_ids)
        whole_BK = self._whole_sequence(compact_values, present_BR)
        is_tiled_B1 = (region_context_ids == SELF_TILED_CONTEXT)[:, None]
        anchor = self.config.anchor_index
        if self.block_projection is not None:
            cells = self.block_projection(values)
        else:
            cells = expand_region_values(values, num_rows)
        cells = torch.where(present_BR[:, None, None, :], cells, self.mask_value[:, None, None])
        swin = run_encoder(self.swin, self.config, pixel_values=cells, **kwargs)
        tokens = self.token_dense(swin.last_hidden_state)
        if self.block_projection is not None:
            columns = self.column_projection(values)[:, :, 0].transpose(1, 2)
            columns = torch.where(present_BR[..., None], columns, self.mask_column)
            whole = self.column_projection(whole_BK[..., None])[:, :, 0].transpose(1, 2)
            positions = torch.cat([self.column_positions, self.column_positions[anchor : anchor + 1]])
            tokens = torch.cat([tokens, torch.cat([columns, whole], dim=1) + positions], dim=1)
        tokens = self.norm(tokens + self.context_type_embeddings(region_context_ids)[:, None])
        # A row without any region reads the same state as no matrix at all.
        tokens = torch.where(present_BR.any(dim=1)[:, None, None], tokens, self.no_region)
        own, following = tokens[:, -1], tokens[:, -1]
        if self.block_projection is not None:
            tokens, whole = tokens[:, :-1], tokens[:, -1]
            own = torch.where(is_tiled_B1, whole, tokens[:, anchor - num_regions])
            following = tokens[:, anchor + 1 - num_regions]
        own_column = torch.where(is_tiled_B1, whole_BK, values[..., anchor] * present_BR[:, anchor, None])
        own_column = own_column * present_BR.any(dim=1, keepdim=True)
        enrichment = self._enrichment(values, present_BR).masked_fill(is_tiled_B1, 0)
        return GeneBertRegionOutput(
            last_hidden_state=tokens,
            pooler_output=self._pool(tokens, own),
            next_pooler_output=self._pool(tokens, following) if self.pools_next else None,
            own_column=own_column,
            enrichment=enrichment,
            hidden_states=swin.hidden_states,
            attentions=swin.attentions,
        )

    def _whole_sequence(self, values_BKR: torch.Tensor, present_BR: torch.Tensor) -> torch.Tensor:
        """The column BK that a sequence makes as a whole: the best score of each motif in any of its tiles."""
        scores_BMR = values_BKR[:, : self.config.num_motifs].masked_fill(~present_BR[:, None], 0)
        column_BK1 = F.pad(scores_BMR.amax(dim=2), (0, NUM_REGION_CHANNELS - 1))[..., None]
        is_region = torch.full_like(present_BR[:, 0], WINDOW_CONTEXT, dtype=torch.long)
        return self.score_norm(column_BK1, is_region)[..., 0]

    def _enrichment(self, values_BKR: torch.Tensor, present_BR: torch.Tensor) -> torch.Tensor:
        """BM of the columns but the anchor's. Scores have a spread of 1, and means of n columns one of 1 / sqrt(n)."""
        places = torch.arange(present_BR.shape[1], device=present_BR.device)
        is_other_BR = present_BR & (places != self.config.anchor_index)
        sums_BM = (values_BKR[:, : self.config.num_motifs] * is_other_BR[:, None]).sum(dim=2)
        return sums_BM / is_other_BR.sum(dim=1, keepdim=True).clamp(min=1).to(sums_BM.dtype).sqrt()

    def _pool(self, tokens_BSH: torch.Tensor, own_column_BH: torch.Tensor) -> torch.Tensor | None:
        """All tokens by learned weights, and beside them a sequence's own column."""
        if self.pooling_query is None or self.pooler is None:
            return None
        weights_BS1 = self.pooling_query(tokens_BSH).softmax(dim=1)
        pooled_BH = (weights_BS1 * tokens_BSH).sum(dim=1)
        return torch.tanh(self.pooler(torch.cat([pooled_BH, own_column_BH], dim=-1)))
