"""The region encoder: TF × region matrix -> region tokens.

Shape suffixes: B batch, H hidden size of the sequence encoder, C region channels, M motif rows, G motif blocks,
F features of a block (C × M / G), D channels of a grid cell, R regions, S region tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.utils import ModelOutput

from .attention_genebert import GeneBertSwinModel, run_encoder
from .configuration_genebert import NUM_REGION_CHANNELS, GeneBertConfig
from .region_values_genebert import expand_region_values


TYPICAL_SCORE, SCORE_GAIN = 0.65, 5.0


@dataclass
class GeneBertRegionOutput(ModelOutput):
    """
    Region features.

    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(batch_size, num_region_tokens, hidden_size)`): region tokens.
        pooler_output (`torch.FloatTensor` of shape `(batch_size, hidden_size)`): their pooled vector.
        next_pooler_output (`torch.FloatTensor`, *optional*): the same with the next column in the anchor's place.
        hidden_states, attentions (`tuple`, *optional*): Swin's.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None
    next_pooler_output: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class GeneBertMotifBlockProjection(nn.Module):
    """Project each block of neighbouring motifs by weights of its own: BCMR -> BDGR.

    Swin shares its patch weights over the whole grid and would hardly know which transcription factor is which.
    """

    def __init__(self, config: GeneBertConfig):
        super().__init__()
        self.num_blocks = config.num_motif_blocks
        features = NUM_REGION_CHANNELS * config.motif_block_size
        self.weight = nn.Parameter(torch.empty(config.num_motif_blocks, features, config.region_config.num_channels))
        self.bias = nn.Parameter(torch.zeros(config.num_motif_blocks, config.region_config.num_channels))

    def init_weights(self) -> None:
        """Start where scores, accessibility and distance all count: best scores vary by some 0.15 round 0.65."""
        size = self.weight.shape[1] // NUM_REGION_CHANNELS
        weight = torch.randn_like(self.weight) * size**-0.5
        weight[:, :size] *= SCORE_GAIN
        init.copy_(self.weight, weight)
        init.copy_(self.bias, -TYPICAL_SCORE * weight[:, :size].sum(dim=1))

    def forward(self, region_values: torch.Tensor) -> torch.Tensor:
        """Of the whole matrix BCMR, or of the compact one, whose cells are the same with a quarter of the work."""
        if region_values.dim() == 3:
            return self._project_compact(region_values)
        batch, channels, rows, regions = region_values.shape
        blocks_GBRF = (
            region_values.reshape(batch, channels, self.num_blocks, rows // self.num_blocks, regions)
            .permute(2, 0, 4, 1, 3)
            .reshape(self.num_blocks, batch * regions, -1)
        )
        cells = torch.baddbmm(self.bias[:, None], blocks_GBRF, self.weight)
        return cells.view(self.num_blocks, batch, regions, -1).permute(1, 3, 0, 2)

    def _project_compact(self, compact: torch.Tensor) -> torch.Tensor:
        """A column's other channels are the same for all motifs, so that the motifs' weights for them add up."""
        batch, num_rows, regions = compact.shape
        num_motifs = num_rows - (NUM_REGION_CHANNELS - 1)
        weight_GCSD = self.weight.unflatten(1, (NUM_REGION_CHANNELS, -1))
        num_blocks, _, size, width = weight_GCSD.shape
        columns_BRM = compact.transpose(1, 2)
        scores = F.pad(columns_BRM[..., :num_motifs], (0, num_blocks * size - num_motifs))
        scores_GNS = scores.reshape(batch * regions, num_blocks, size).transpose(0, 1)
        is_motif = (torch.arange(num_blocks * size, device=compact.device) < num_motifs).view(num_blocks, 1, size, 1)
        weight_GCD = (weight_GCSD[:, 1:] * is_motif.to(weight_GCSD.dtype)).sum(dim=2)
        others_NC = columns_BRM[..., num_motifs:].reshape(batch * regions, -1)
        others_NGD = (others_NC @ weight_GCD.transpose(0, 1).flatten(1)).view(-1, num_blocks, width)
        cells_GND = torch.bmm(scores_GNS, weight_GCSD[:, 0]) + others_NGD.transpose(0, 1) + self.bias[:, None]
        return cells_GND.view(num_blocks, batch, regions, width).permute(1, 3, 0, 2)


class GeneBertRegionEncoder(nn.Module):
    """Region matrix -> region tokens BSH and their pooled vector BH.

    The tokens are Swin's last grid (context: which factors, where) and, with block projections, one token per column
    (its own motifs, undiluted: what a sequence is matched with).
    """

    def __init__(self, config: GeneBertConfig, add_pooling_layer: bool = True, pool_next: bool = False):
        super().__init__()
        self.pools_next = pool_next
        hidden_size, region_config = config.hidden_size, config.region_config
        self.config = config
        self.block_projection = None
        if config.region_embedding == "block_projection":
            self.block_projection = GeneBertMotifBlockProjection(config)
            self.column_norm = nn.LayerNorm(region_config.num_channels, eps=1e-6)
            self.column_dense = nn.Linear(region_config.num_channels, hidden_size)
            self.column_positions = nn.Parameter(torch.zeros(config.num_regions, hidden_size))
        # What stands where a column is absent or hidden, for every cell or motif row of the column.
        self.mask_value = nn.Parameter(torch.zeros(region_config.num_channels))
        self.context_type_embeddings = nn.Embedding(2, hidden_size)
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
            return GeneBertRegionOutput(
                last_hidden_state=tokens, pooler_output=self._pool(tokens), next_pooler_output=self._pool_next(tokens)
            )

        expected = (batch_size, NUM_REGION_CHANNELS, self.config.num_motif_rows, self.config.num_regions)
        compact = (batch_size, self.config.num_motifs + NUM_REGION_CHANNELS - 1, self.config.num_regions)
        cells = region_values.to(self.norm.weight.dtype)  # norms are not quantised
        if tuple(region_values.shape) == compact and self.block_projection is None:
            cells = expand_region_values(cells, self.config.num_motif_rows)
        elif tuple(region_values.shape) not in (compact, expected):
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

        if self.block_projection is not None:
            cells = self.block_projection(cells)
        cells = torch.where(present_BR[:, None, None, :], cells, self.mask_value[:, None, None])
        swin = run_encoder(self.swin, self.config, pixel_values=cells, **kwargs)
        tokens = self.token_dense(swin.last_hidden_state)
        if self.block_projection is not None:
            columns = self.column_norm(cells.mean(dim=2).transpose(1, 2))
            columns = self.column_dense(columns) + self.column_positions
            tokens = torch.cat([tokens, columns], dim=1)
        tokens = self.norm(tokens + self.context_type_embeddings(region_context_ids)[:, None])
        # A row without any region reads the same state as no matrix at all.
        tokens = torch.where(present_BR.any(dim=1)[:, None, None], tokens, self.no_region)
        return GeneBertRegionOutput(
            last_hidden_state=tokens,
            pooler_output=self._pool(tokens),
            next_pooler_output=self._pool_next(tokens),
            hidden_states=swin.hidden_states,
            attentions=swin.attentions,
        )

    def _pool_next(self, tokens_BSH: torch.Tensor) -> torch.Tensor | None:
        return self._pool(tokens_BSH, after_anchor=1) if self.pools_next else None

    def _pool(self, tokens_BSH: torch.Tensor, after_anchor: int = 0) -> torch.Tensor | None:
        """All tokens by learned weights, and beside them the anchor's column: what a sequence is matched with; or the
        column so many after it."""
        if self.pooling_query is None or self.pooler is None:
            return None
        weights_BS1 = self.pooling_query(tokens_BSH).softmax(dim=1)
        pooled_BH = (weights_BS1 * tokens_BSH).sum(dim=1)
        # Columns are the last tokens; without columns (or regions) the last token stands for all.
        column = self.config.anchor_index + after_anchor
        from_the_end = self.config.num_regions - column if self._has_columns(tokens_BSH) else 1
        return torch.tanh(self.pooler(torch.cat([pooled_BH, tokens_BSH[:, -from_the_end]], dim=-1)))

    def _has_columns(self, tokens_BSH: torch.Tensor) -> bool:
        return self.block_projection is not None and tokens_BSH.shape[1] > 1
