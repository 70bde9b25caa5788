"""The heads: scores from sequence states, and from the pooled vectors of both modalities."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.activations import ACT2FN

from .configuration_genebert import IGNORE_INDEX, NUM_REGION_CHANNELS, NUM_SPECIAL_TOKENS, GeneBertConfig
from .outputs_genebert import GeneBertModelOutput


FIRST_THRESHOLDS, FIRST_SLOPE = (0.5, 2.0), 2.0  # in standard deviations above a motif's mean
FIRST_GAIN = 0.1  # where motifs say nothing, their many scores would be learned by heart before all else


class GeneBertMaskedPredictionHead(nn.Module):
    """Sequence states -> k-mer scores; the decoder shares its weights with the word embeddings."""

    def __init__(self, config: GeneBertConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN["gelu"]
        self.norm = nn.LayerNorm(config.hidden_size, eps=1e-6)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.norm(self.activation(self.dense(states))))


class GeneBertPooler(nn.Module):
    """
    A sequence -> one vector BH. Of each segment it sees the states BTH (their mean, or the maximum of each of its
    `num_pooling_bins` equal parts, normalised; or, of both segments, the state of `[CLS]`), and what k-mers it is made
    of: the mean of their embeddings, normalised. These embeddings are the pooler's own.

    In a mean over states, what all sequences have in common outweighs what k-mers they are made of by far; with both,
    matching a sequence with motif scores is learned within some hundred steps.
    """

    def __init__(self, config: GeneBertConfig):
        super().__init__()
        self.pooling, self.num_bins = config.pooling, config.num_pooling_bins
        num_vectors = {"mean": 2, "max": 2 * config.num_pooling_bins, "cls": 1}[config.pooling]
        self.kmer_embeddings = nn.Embedding(config.kmer_vocab_size, config.hidden_size)
        self.composition_norm = nn.LayerNorm(config.hidden_size, eps=1e-12)  # means of embeddings are small
        # Maxima are large, most of all those of a trained encoder, and would saturate tanh before anything is learned.
        self.max_norm = nn.LayerNorm(config.hidden_size, eps=1e-12) if config.pooling == "max" else None
        self.dense = nn.Linear((num_vectors + 2) * config.hidden_size, config.hidden_size)

    def forward(
        self,
        states_BTH: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        token_type_ids: torch.Tensor | None,
        with_next: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Both segments, pooled; and, `with_next`, segment B, pooled as A is where it stands alone."""
        is_token_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        segments_BT = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        # A and B are pooled apart, so that the heads can compare them. No token is of a third segment.
        of_segments = [is_token_BT.bool() & (segments_BT == segment) for segment in range(3 if with_next else 2)]
        is_of_BST = torch.stack(of_segments, dim=1)
        vectors_BSH = [self.pool_kmers(input_ids, is_of_BST)]
        if self.max_norm is not None:
            highest = [max_of_bins(states_BTH, is_of_BT, self.num_bins) for is_of_BT in of_segments]
            vectors_BSH.insert(0, self.max_norm(torch.stack(highest, dim=1)).flatten(2))
        elif self.pooling == "mean":
            vectors_BSH.insert(0, weighted_mean(is_of_BST, states_BTH))
        segments = torch.cat(vectors_BSH, dim=-1).unbind(1)
        of_both = [states_BTH[:, 0]] if self.pooling == "cls" else []
        pooled = [
            torch.tanh(self.dense(torch.cat([*of_both, first, second], dim=-1)))
            for first, second in zip(segments[:-1], segments[1:], strict=True)
        ]
        return pooled[0], pooled[1] if with_next else None

    def pool_kmers(self, input_ids: torch.Tensor, is_of_BST: torch.Tensor) -> torch.Tensor:
        """BSH of each segment, from how often it has each k-mer."""
        embeddings_VH = self.kmer_embeddings.weight
        # Masks and other special tokens, and tokens added to the vocabulary, are no k-mers.
        is_kmer_BT = (input_ids >= NUM_SPECIAL_TOKENS) & (input_ids < len(embeddings_VH))
        counted_BST = (is_of_BST & is_kmer_BT[:, None]).float()
        ids_BST = input_ids.masked_fill(~is_kmer_BT, 0)[:, None].expand(counted_BST.shape)
        row, segment = (torch.arange(size, device=input_ids.device) for size in counted_BST.shape[:2])
        counts_BSV = counted_BST.new_zeros(*counted_BST.shape[:2], len(embeddings_VH))
        places = (row[:, None, None], segment[:, None], ids_BST)
        counts_BSV = counts_BSV.index_put(places, counted_BST, accumulate=True)
        return self.composition_norm(weighted_mean(counts_BSV, embeddings_VH))


def nearest_ids(inputs_embeds: torch.Tensor, embeddings_VH: torch.Tensor) -> torch.Tensor:
    """Ids BT of the tokens whose embeddings are nearest to those given."""
    return torch.cdist(inputs_embeds.float(), embeddings_VH.float()).argmin(dim=-1)


def weighted_mean(weights_BSN: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """
    Means BSH of values NH or BNH, zeros where all weights are. In float32, in autocast too: what differs between such
    means is small beside the means.
    """
    weights_BSN = weights_BSN.float()
    with torch.autocast(values.device.type, enabled=False):
        means_BSH = weights_BSN @ values.float() / weights_BSN.sum(dim=-1, keepdim=True).clamp(min=1)
    return means_BSH.to(values.dtype)


def max_of_bins(states_BTH: torch.Tensor, is_token_BT: torch.Tensor, num_bins: int) -> torch.Tensor:
    """
    The maximum over each of `num_bins` equal parts of a run of tokens. Zeros without tokens.

    Args:
        states_BTH (`torch.Tensor` of shape `(B, T, H)`): states.
        is_token_BT (`torch.Tensor` of shape `(B, T)`): True for the tokens of the run, which lie side by side.
        num_bins (`int`): number of parts.

    Returns:
        `(B, num_bins, H)`.
    """
    batch, length, hidden_size = states_BTH.shape
    num_tokens_B1 = is_token_BT.sum(dim=1, keepdim=True)
    first_B1 = is_token_BT.int().argmax(dim=1, keepdim=True)
    bins = torch.arange(num_bins + 1, device=states_BTH.device)
    edges = num_tokens_B1 * bins // num_bins
    # Each bin as rows of the same number, of which some may come twice; a bin without a token takes the one after it.
    within = torch.arange(-(-length // num_bins), device=states_BTH.device)
    last = torch.maximum(edges[:, 1:] - 1, edges[:, :-1])
    places = torch.minimum(edges[:, :-1, None] + within, last[..., None]) + first_B1[..., None]
    places = places.clamp(max=length - 1) + length * torch.arange(batch, device=states_BTH.device)[:, None, None]
    states = states_BTH.reshape(-1, hidden_size).index_select(0, places.flatten())
    highest = states.view(batch, num_bins, len(within), hidden_size).amax(dim=2)
    return highest.masked_fill(num_tokens_B1[..., None] == 0, 0)


class GeneBertMotifResponse(nn.Module):
    """
    What the motifs of one column say in the light of the others: BK and BM -> BH (K rows of the compact matrix, M
    motifs, J thresholds).

    A site is there or not, and half a site is none: so each motif's score passes soft thresholds of its own. What
    passes is scaled by how enriched the same motif is in the other open regions, and in the same way for all motifs:
    with weights from each motif to each other, a few cell types would be learned by heart.

    Args:
        num_motifs (`int`): M.
        hidden_size (`int`): H.
        dropout (`float`): of each score and each site.
    """

    def __init__(self, num_motifs: int, hidden_size: int, dropout: float):
        super().__init__()
        num_thresholds = len(FIRST_THRESHOLDS)
        self.threshold = nn.Parameter(torch.empty(num_thresholds, num_motifs))
        self.slope = nn.Parameter(torch.empty(num_thresholds, num_motifs))
        self.gate_weight = nn.Parameter(torch.empty(num_thresholds, 1))
        self.gate_bias = nn.Parameter(torch.empty(num_thresholds, 1))
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear((1 + num_thresholds) * num_motifs + NUM_REGION_CHANNELS - 1, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=1e-6)

    def init_weights(self) -> None:
        init.copy_(self.threshold, torch.tensor(FIRST_THRESHOLDS)[:, None].expand_as(self.threshold))
        init.constant_(self.slope, FIRST_SLOPE)
        init.constant_(self.gate_weight, 1.0)
        init.constant_(self.gate_bias, 0.0)
        init.constant_(self.norm.weight, FIRST_GAIN)

    def forward(self, column_BK: torch.Tensor, enrichment_BM: torch.Tensor) -> torch.Tensor:
        """
        Args:
            column_BK: the column, as [`GeneBertScoreNorm`] leaves it.
            enrichment_BM: z-scores of the motifs' means over the other columns; 0 where there are none.
        """
        scores_B1M = column_BK[:, None, : self.threshold.shape[1]]
        sites_BJM = F.gelu(self.slope * (scores_B1M - self.threshold))
        gates_BJM = 2 * torch.sigmoid(self.gate_weight * enrichment_BM[:, None] + self.gate_bias)
        kept = self.dropout(torch.cat([column_BK, (gates_BJM * sites_BJM).flatten(1)], dim=1))
        return self.norm(self.dense(kept))


class GeneBertPooledFeatures(nn.Module):
    """One vector BH from the pooled sequence s, the pooled regions r and (with cross-attention fusion) s·r.

    The product is what matches a sequence with a column: s and r of segment A and the anchor's column; or, with
    `of_next`, of segment B and the column after it, by the same poolers, so that what one match teaches serves both.
    `with_response`, for tasks, adds the [`GeneBertMotifResponse`] of the sequence's own column (not to the plain
    baseline, Swin's own patches).
    """

    def __init__(self, config: GeneBertConfig, of_next: bool = False, with_response: bool = False):
        super().__init__()
        self.of_next = of_next
        self.with_product = config.fusion_type == "cross_attention"
        self.response = None
        if with_response and config.region_embedding == "block_projection":
            self.response = GeneBertMotifResponse(config.num_motifs, config.hidden_size, config.classifier_dropout)
        num_vectors = 2 + self.with_product + (self.response is not None)
        self.dense = nn.Linear(num_vectors * config.hidden_size, config.hidden_size)

    def forward(self, output: GeneBertModelOutput) -> torch.Tensor:
        s, r = output.pooler_output, output.region_pooler_output
        assert s is not None and r is not None
        features = [s, r]
        if self.with_product:
            matched = (output.next_pooler_output, output.next_region_pooler_output) if self.of_next else (s, r)
            assert matched[0] is not None and matched[1] is not None
            features.append(matched[0] * matched[1])
        if self.response is not None:
            features.append(self.response(output.own_column, output.enrichment))
        return F.gelu(self.dense(torch.cat(features, dim=-1)))


class GeneBertPooledHead(nn.Sequential):
    """Scores `(batch_size, num_labels)` from [`GeneBertPooledFeatures`], which say what the arguments are."""

    def __init__(self, config: GeneBertConfig, num_labels: int, of_next: bool = False, with_response: bool = False):
        super().__init__(
            GeneBertPooledFeatures(config, of_next, with_response),
            nn.Dropout(config.classifier_dropout),
            nn.Linear(config.hidden_size, num_labels),
        )


def base_states(states_BTH: torch.Tensor, attention_mask: torch.Tensor, kmer: int, stride: int) -> torch.Tensor:
    """State of each base, shape `(batch_size, num_bases, hidden_size)`: the mean over the k-mers that cover it."""
    # A k-mer is a real token that is followed by another one ([SEP] is the last) and is not [CLS].
    is_kmer_BN1 = attention_mask[:, 2:, None].to(states_BTH.dtype)
    states_BNH = states_BTH[:, 1:-1] * is_kmer_BN1
    batch, num_kmers, hidden = states_BNH.shape
    num_bases = (num_kmers - 1) * stride + kmer
    sums_BLH = states_BNH.new_zeros(batch, num_bases, hidden)
    counts_BL1 = states_BNH.new_zeros(batch, num_bases, 1)
    last = (num_kmers - 1) * stride + 1
    for offset in range(kmer):
        sums_BLH[:, offset : offset + last : stride] += states_BNH
        counts_BL1[:, offset : offset + last : stride] += is_kmer_BN1
    return sums_BLH / counts_BL1.clamp(min=1)


def mean_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over the labels that are not -100; 0, not NaN, where a batch has none."""
    total = F.cross_entropy(logits.float(), labels, ignore_index=IGNORE_INDEX, reduction="sum")
    return total / (labels != IGNORE_INDEX).sum().clamp(min=1)


def mean_binary_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, positive_weights: torch.Tensor | None = None
) -> torch.Tensor:
    """
    Loss of several labels: the mean over those that were measured; 0, not NaN, where a batch has none.

    Args:
        logits (`torch.Tensor` of shape `(batch_size, num_labels)`): scores.
        labels (`torch.Tensor` of shape `(batch_size, num_labels)`): 1 = holds, 0 = does not, -100 = not measured.
        positive_weights (`torch.Tensor` of shape `(num_labels,)`, *optional*): weights of the labels that hold.
    """
    is_measured = labels != IGNORE_INDEX
    losses = F.binary_cross_entropy_with_logits(
        logits.float(), labels.float() * is_measured, pos_weight=positive_weights, reduction="none"
    )
    return (losses * is_measured).sum() / is_measured.sum().clamp(min=1)
