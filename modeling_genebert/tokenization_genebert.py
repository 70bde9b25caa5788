"""GeneBertTokenizer: raw DNA to k-mer ids.

The same tokenization is written down twice. `set_kmer_pipeline` expresses it with the parts of the `tokenizers`
library, so that a saved `tokenizer.json` works by itself, without this package. `GeneBertTokenizer` computes it with
array arithmetic, many times as fast, and leaves to the pipeline whatever is not plain DNA.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers.tokenization_utils_base import BatchEncoding, EncodingFast, TensorType, TruncationStrategy
from transformers.tokenization_utils_tokenizers import TokenizersBackend
from transformers.utils import PaddingStrategy, logging

from .dna_genebert import BASES, encode_dna, kmer_codes


logger = logging.get_logger(__name__)

MAX_KMER = 8


def kmer_vocabulary(kmer: int, special_tokens: tuple[str, ...]) -> dict[str, int]:
    """Token -> id: the special tokens, then all `4**kmer` k-mers in the order of `itertools.product("ATCG")`."""
    kmers = ("".join(letters) for letters in product(BASES, repeat=kmer))
    return {token: index for index, token in enumerate((*special_tokens, *kmers))}


def set_kmer_pipeline(
    tokenizer: Tokenizer, kmer: int, stride: int, unk_token: str, cls_token: str, sep_token: str
) -> None:
    """Give a word-level `tokenizers.Tokenizer` the normalizer, pre-tokenizer, template and decoder for k-mers.

    "ACGTACGT" with k=6 and stride 1 becomes "A C GTACGT" (a space where a token starts, as long as bases are left
    that the token before does not cover), then "ACGTAC CGTACG GTACGT" (each word but the last is filled up with its
    next bases, one base a step).
    """
    overlap = kmer - stride
    steps = [normalizers.Replace(Regex("[^ACGTUacgtu]"), "N")]
    steps += [normalizers.Replace(Regex(f"[{letters}]"), letters[0]) for letters in ("Aa", "TtUu", "Cc", "Gg")]
    steps.append(normalizers.Replace(Regex(rf".{{{stride}}}\K(?=.{{{overlap + 1}}})"), " "))
    for i in range(overlap):
        steps += [normalizers.Replace(Regex(f"(?= .{{{i}}}{base})"), base) for base in BASES + "N"]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls_token}:0 $A:0 {sep_token}:0",
        pair=f"{cls_token}:0 $A:0 {sep_token}:0 $B:1 {sep_token}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls_token, sep_token)],
    )
    base, base_or_n = f"[{BASES}]", f"[{BASES}N]"
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix="##", cleanup=False),  # joins the tokens with spaces
            decoders.Fuse(),
            decoders.Replace(unk_token, "N" * kmer),
            # What two neighbours share is dropped once: from the unknown one of the two, else from the second.
            decoders.Replace(Regex(f"(?<={base_or_n}) N{{{overlap}}}(?=N{{{stride}}})"), ""),
            decoders.Replace(Regex(f"(?<=N)N{{{overlap}}} (?={base})"), ""),
            decoders.Replace(Regex(f"(?<={base_or_n}) {base}{{{overlap}}}(?={base})"), ""),
        ]
    )


def check_records(text: list, text_pair: list | None) -> list[tuple[str, ...]]:
    """Batch of sequences, or of pairs, as tuples of one or two strings.

    Raises:
        ValueError: if something is not a string, with its number in the batch and its type.
    """
    if text_pair is None:
        records = [tuple(item) if isinstance(item, (list, tuple)) else (item,) for item in text]
    elif isinstance(text_pair, (list, tuple)) and len(text_pair) == len(text):
        records = list(zip(text, text_pair, strict=True))
    else:
        found = f"{len(text_pair)} items" if isinstance(text_pair, (list, tuple)) else type(text_pair).__name__
        raise ValueError(f"text_pair must be a list of {len(text)} DNA strings, as many as text has, found {found}")
    for number, record in enumerate(records):
        if len(record) not in (1, 2):
            raise ValueError(
                f"sequence {number} (0-based): expected a DNA string or a pair of them, found {len(record)} items; "
                "for DNA in pieces pass is_split_into_words=True"
            )
        for item in record:
            if not isinstance(item, str):
                raise ValueError(
                    f"sequence {number} (0-based): expected a DNA string, found {type(item).__name__}; "
                    "pass a str or a list of str"
                )
    return records


def truncate_counts(counts: list[int], room: int, strategy: TruncationStrategy) -> list[int] | None:
    """Tokens that stay of each sequence where `room` tokens fit; None where `tokenizers` would refuse.

    The arithmetic is that of `truncate_encodings` in the `tokenizers` library.
    """
    excess = sum(counts) - room
    if excess <= 0 or strategy == TruncationStrategy.DO_NOT_TRUNCATE:
        return counts
    if room < 1:
        return None
    if strategy == TruncationStrategy.LONGEST_FIRST:
        if len(counts) == 1:
            return [room]
        shorter, longer = min(counts), max(min(counts), room - min(counts))
        if shorter + longer > room:
            shorter, longer = room // 2, room - room // 2
        return [shorter, longer] if counts[0] <= counts[1] else [longer, shorter]
    target = 0 if strategy == TruncationStrategy.ONLY_FIRST else 1
    if target >= len(counts) or counts[target] <= excess:
        return None
    return [count - excess if i == target else count for i, count in enumerate(counts)]


class LazyBatchEncoding(BatchEncoding):
    """[`BatchEncoding`] of plain DNA: the `tokenizers` library's encodings are made when they are first asked for.

    That is, by `tokens()`, `word_ids()`, `char_to_token()` and the like, with the tokenizer as it then is. What is
    pickled cannot make them any more.
    """

    make_encodings: Callable[[], Sequence[EncodingFast] | None] | None = None
    _made: Sequence[EncodingFast] | None = None

    @property
    def _encodings(self) -> Sequence[EncodingFast] | None:
        if self._made is None and self.make_encodings is not None:
            self._made = self.make_encodings()
        return self._made

    @_encodings.setter
    def _encodings(self, encodings: Sequence[EncodingFast] | None) -> None:
        self._made = encodings

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.data, "encodings": self._made}


class GeneBertTokenizer(TokenizersBackend):
    """
    Tokenizer that turns raw DNA into k-mers: any case, U read as T, no pre-splitting.

    Tokens start at bases 0, stride, 2 * stride, ... (0-based) until every base is covered: a sequence of `length` bp
    has `num_tokens(length)` of them. A k-mer with any letter other than A, C, G, T (also white space) is `[UNK]`.
    The last token may reach beyond the end (with stride > 1, or when the sequence is shorter than k): it is then one
    `[UNK]` that stands for the tail, so that no base is lost. A special token written out in the text, such as
    `[MASK]`, is read as that token; to hide `n` bases with stride 1, write `[MASK]` `k + n - 1` times in their place,
    once for each k-mer that covers one of them.

    The vocabulary is DNABERT's: `[PAD] [UNK] [CLS] [SEP] [MASK]`, then the k-mers in the order of
    `itertools.product("ATCG")`.

    `return_offsets_mapping=True` gives the bases that each token covers, 0-based and half-open: `(start, start + k)`,
    the tail's `(start, length)`. Neighbours overlap by `k - stride`. The `tokenizers` library cannot express overlaps:
    in a bare `tokenizer.json`, and in `BatchEncoding.char_to_token()`, `token_to_chars()` and the like, a token owns
    its first `stride` bases only, the last token the rest, and each k-mer is a word of its own.

    Decoding merges the overlaps and gives the DNA back in upper case, with T for U. What is lost: a base is N where
    every k-mer that covers it is `[UNK]` (so with stride 1 up to k - 1 good bases beside each N at the ends of a
    sequence or between two close Ns), and an `[UNK]` tail is written as a whole k-mer, up to `k - 1` Ns too long.
    Neighbours that contradict each other (say, predicted ones) keep the bases of the first. `skip_special_tokens=True`
    keeps `[UNK]`, as N, and leaves a space where a special token stood between two sequences.

    Args:
        kmer (`int`, *optional*, defaults to 6):
            Length of a token in bp, 1 to 8.
        stride (`int`, *optional*, defaults to 1):
            Step between the starts of neighbouring tokens in bp, 1 (overlapping) to `kmer` (non-overlapping). Not
            the `stride` of a call, which is the number of tokens that overflowing pieces share.
        vocab (`dict[str, int]`, *optional*):
            Token -> id. Made from `kmer` where not given. Special tokens that it lacks are added at its end (the
            model's embeddings then need `resize_token_embeddings`).
        model_max_length (`int`, *optional*, defaults to 512):
            Longest input of the model in tokens, special tokens included; None = no limit.
        unk_token, sep_token, pad_token, cls_token, mask_token (`str`, *optional*):
            Special tokens.

    Raises:
        ValueError: if `kmer` or `stride` is out of range, if `vocab` lacks a k-mer or the `unk_token`, or, when
            called, if an input is not a string.
    """

    model_input_names = ["input_ids", "token_type_ids", "attention_mask"]

    def __init__(
        self,
        kmer: int = 6,
        stride: int = 1,
        vocab: dict[str, int] | None = None,
        model_max_length: int | None = 512,
        unk_token: str = "[UNK]",
        sep_token: str = "[SEP]",
        pad_token: str = "[PAD]",
        cls_token: str = "[CLS]",
        mask_token: str = "[MASK]",
        **kwargs: Any,
    ):
        if not isinstance(kmer, int) or not 1 <= kmer <= MAX_KMER:
            raise ValueError(f"kmer must be an integer from 1 to {MAX_KMER} (bp), found {kmer!r}")
        if not isinstance(stride, int) or not 1 <= stride <= kmer:
            raise ValueError(f"stride must be an integer from 1 to kmer={kmer} (bp), found {stride!r}")
        self.kmer = kmer
        self.stride = stride
        # A token may come as AddedToken.
        special_tokens = tuple(str(token) for token in (pad_token, unk_token, cls_token, sep_token, mask_token))
        default_vocab = kmer_vocabulary(kmer, special_tokens)
        vocab = default_vocab if vocab is None else vocab
        kmers = list(default_vocab)[len(special_tokens) :]
        missing = [token for token in (*kmers, str(unk_token)) if token not in vocab]
        if missing:
            raise ValueError(
                f"the vocabulary ({len(vocab)} tokens) lacks {len(missing)} tokens that kmer={kmer} needs, such as "
                f"{missing[0]!r}: use the kmer and the unk_token that it was made for"
            )
        self._tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=str(unk_token)))
        super().__init__(
            kmer=kmer,
            stride=stride,
            model_max_length=model_max_length,
            unk_token=unk_token,
            sep_token=sep_token,
            pad_token=pad_token,
            cls_token=cls_token,
            mask_token=mask_token,
            # Named, so that it is saved and a plain PreTrainedTokenizerFast returns the same.
            model_input_names=kwargs.pop("model_input_names", self.model_input_names),
            **kwargs,
        )
        set_kmer_pipeline(self._tokenizer, kmer, stride, self.unk_token, self.cls_token, self.sep_token)
        # Rank of a k-mer -> id; the last entry is what rank -1, a k-mer with an unknown base, finds.
        self._rank_to_id = np.array([vocab[token] for token in kmers] + [self.unk_token_id])

    def num_tokens(self, length: int) -> int:
        """Number of tokens, special tokens not counted, of a sequence of `length` bp.

        That is 0 for an empty sequence, else `1 + ceil(max(0, length - kmer) / stride)`.
        """
        if length == 0:
            return 0
        return 1 + (max(0, length - self.kmer) + self.stride - 1) // self.stride

    def num_bases(self, num_tokens: int) -> int:
        """Length in bp of the longest sequence that has `num_tokens` tokens, special tokens not counted."""
        return 0 if num_tokens == 0 else self.kmer + (num_tokens - 1) * self.stride

    def _add_tokens(self, new_tokens: list, special_tokens: bool = False) -> int:
        # As DNA, which is how the normalizer would see it, the text of a token would be all N.
        tokens = [AddedToken(token, normalized=False) if isinstance(token, str) else token for token in new_tokens]
        return super()._add_tokens(tokens, special_tokens)

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any
    ) -> list[str]:
        """The tokens of a sequence, or of a pair one after the other, as upper-case strings."""
        ids = self._encode_plus(text, pair, add_special_tokens=add_special_tokens, **kwargs)["input_ids"]
        return list(self.convert_ids_to_tokens(ids))

    def train_new_from_iterator(self, *args: Any, **kwargs: Any) -> GeneBertTokenizer:
        """Not there: the vocabulary is all k-mers, whatever the DNA."""
        raise NotImplementedError(
            f"a k-mer vocabulary is complete, there is nothing to train: use GeneBertTokenizer(kmer=..., stride=...), "
            f"found kmer={self.kmer}, stride={self.stride}"
        )

    def _decode(
        self,
        token_ids: int | list[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> str:
        # Special tokens go last: without them two sequences would merge as if they overlapped.
        words = super()._decode(token_ids, False, clean_up_tokenization_spaces, **kwargs).split(" ")
        skipped = self.all_special_tokens if skip_special_tokens else ()
        return " ".join(word for word in words if word not in skipped)

    def _encode_plus(  # type: ignore[override]  # transformers names all that options hold
        self, text: Any, text_pair: Any = None, return_tensors: str | TensorType | None = None, **options: Any
    ) -> BatchEncoding:
        """What every call ends in. Plain DNA is encoded here, all else by the `tokenizers` pipeline."""
        if options.get("is_split_into_words"):
            is_batched = len(text) > 0 and isinstance(text[0], (list, tuple))
        else:
            is_batched = isinstance(text, (list, tuple))
        if not is_batched:
            is_empty = isinstance(text_pair, (str, list, tuple)) and len(text_pair) == 0
            text, text_pair = [text], None if text_pair is None or is_empty else [text_pair]

        kept = None
        if not options.get("is_split_into_words"):
            records = check_records(text, text_pair)
            text, text_pair = [record if len(record) == 2 else record[0] for record in records], None
            kept = self._count_tokens(records, **options)
        if kept is not None:
            data = self._join_rows(self._encode_dna(records, kept, **options), return_tensors, options)
        else:
            piped = self._run_pipeline(text, text_pair, options)
            data = piped.data
            if "offset_mapping" in data:
                data["offset_mapping"] = list(map(self._whole_kmers, data["input_ids"], data["offset_mapping"]))
            self._warn_if_mostly_unknown([np.array(ids) for ids in data["input_ids"]])

        if not is_batched and return_tensors is None and not options.get("return_overflowing_tokens"):
            data = {key: value[0] if isinstance(value[0], list) else value for key, value in data.items()}
        if kept is None:
            return BatchEncoding(data, piped.encodings, tensor_type=return_tensors)
        encoding = LazyBatchEncoding(data, tensor_type=return_tensors, n_sequences=max(map(len, records), default=1))
        options |= {"padding_side": options.get("padding_side") or self.padding_side, "verbose": False}
        encoding.make_encodings = lambda: self._run_pipeline(text, None, options).encodings
        return encoding

    def _run_pipeline(self, text: list, text_pair: list | None, options: dict[str, Any]) -> BatchEncoding:
        """What the `tokenizers` pipeline makes of a batch."""
        try:
            return super()._encode_plus(text, text_pair, **options)
        finally:  # else the next save would write this call's truncation and padding into tokenizer.json
            self.backend_tokenizer.no_truncation()
            self.backend_tokenizer.no_padding()

    def _count_tokens(
        self,
        records: list[tuple[str, ...]],
        add_special_tokens: bool = True,
        truncation_strategy: TruncationStrategy = TruncationStrategy.DO_NOT_TRUNCATE,
        max_length: int | None = None,
        stride: int = 0,
        return_overflowing_tokens: bool = False,
        **_: Any,
    ) -> list[list[int]] | None:
        """Tokens to keep of each sequence of each record; None where the pipeline has to do the work."""
        all_text = "\n".join("\n".join(record) for record in records)
        added_tokens = self.added_tokens_decoder.values()
        if any(token.normalized or token.content in all_text for token in added_tokens):
            return None
        if return_overflowing_tokens or stride:
            return None
        kept = []
        for record in records:
            room = (max_length or 0) - (len(record) + 1 if add_special_tokens else 0)
            counts = truncate_counts([self.num_tokens(len(text)) for text in record], room, truncation_strategy)
            if counts is None:
                return None
            kept.append(counts)
        return kept

    def _encode_dna(
        self,
        records: list[tuple[str, ...]],
        kept: list[list[int]],
        add_special_tokens: bool = True,
        padding_strategy: PaddingStrategy = PaddingStrategy.DO_NOT_PAD,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        verbose: bool = True,
        **_: Any,
    ) -> list[np.ndarray]:
        """Encode plain DNA with array arithmetic.

        Args:
            records: sequences, or pairs of sequences.
            kept: what `_count_tokens` returned for them.

        Returns:
            For each record an int64 array of shape `(6, tokens)`, padded: input ids, token type ids, attention mask,
            special tokens mask, start and end of the token in bp.
        """
        lengths = [sum(counts) + (len(counts) + 1 if add_special_tokens else 0) for counts in kept]
        smallest_width = 0
        if padding_strategy == PaddingStrategy.LONGEST:
            smallest_width = max(lengths, default=0)
        elif padding_strategy == PaddingStrategy.MAX_LENGTH:
            smallest_width = max_length or 0
        smallest_width += -smallest_width % (pad_to_multiple_of or 1)
        pad_left = (padding_side or self.padding_side) == "left"
        pad_id, cls_id, sep_id = self.pad_token_id, self.cls_token_id, self.sep_token_id

        # One array for the whole batch. The gap of unknown bases makes every k-mer that runs over an end `[UNK]`.
        gap = "N" * (self.kmer - 1)
        flat_text = "".join(text + gap for record in records for text in record)
        flat_ids = self._rank_to_id[kmer_codes(encode_dna(flat_text), self.kmer)]
        position = 0  # of the sequence's first base in flat_text
        rows = []
        for record, counts, length in zip(records, kept, lengths, strict=True):
            width = max(length, smallest_width)
            column = width - length if pad_left else 0
            row = np.zeros((6, width), dtype=np.int64)
            ids, token_types, attention, special, starts, ends = row
            ids[:] = pad_id
            special[:] = 1
            attention[column : column + length] = 1
            if add_special_tokens:
                ids[column] = cls_id
                column += 1
            for type_id, (text, count) in enumerate(zip(record, counts, strict=True)):
                first = self.num_tokens(len(text)) - count if self.truncation_side == "left" else 0
                columns = slice(column, column + count)
                starts[columns] = np.arange(first, first + count) * self.stride
                ends[columns] = np.minimum(starts[columns] + self.kmer, len(text))
                ids[columns] = flat_ids[position + starts[columns]]
                special[columns] = 0
                position += len(text) + len(gap)
                column += count
                if add_special_tokens:
                    ids[column] = sep_id
                    column += 1
                token_types[columns.start : column] = type_id
            rows.append(row)
            self._eventual_warn_about_too_long_sequence(
                range(width),  # type: ignore[arg-type]  # of the ids it reads but the number
                max_length,
                verbose,
            )
        self._warn_if_mostly_unknown([row[0] for row in rows])
        return rows

    def _join_rows(
        self, rows: list[np.ndarray], return_tensors: str | TensorType | None, options: dict[str, Any]
    ) -> dict[str, Any]:
        """Choose what a call returns; tensors where PyTorch or NumPy is asked for and all rows fit, else lists."""
        data: dict[str, Any] = {"input_ids": [row[0] for row in rows]}
        for index, key in enumerate(("token_type_ids", "attention_mask", "special_tokens_mask"), start=1):
            is_wanted = options.get(f"return_{key}")
            if is_wanted or (is_wanted is None and key in self.model_input_names):
                data[key] = [row[index] for row in rows]
        if options.get("return_offsets_mapping"):
            data["offset_mapping"] = [row[4:].T for row in rows]
        if options.get("return_length"):
            data["length"] = [np.array(row.shape[1]) for row in rows]

        widths = {row.shape[1] for row in rows}
        if return_tensors in ("pt", "np") and len(widths) == 1 and widths != {0}:
            data = {key: np.stack(arrays) for key, arrays in data.items()}
            if return_tensors == "pt":
                import torch

                data = {key: torch.from_numpy(array) for key, array in data.items()}
            return data
        data = {key: [array.tolist() for array in arrays] for key, arrays in data.items()}
        if "offset_mapping" in data:
            data["offset_mapping"] = [list(map(tuple, pairs)) for pairs in data["offset_mapping"]]
        return data

    def _whole_kmers(self, ids: list[int], offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Extend the pipeline's offsets, a token's first `stride` bases, to the whole k-mer.

        The last token of a sequence has the rest of the bases already, and keeps it.
        """
        starts, ends = np.array(offsets, dtype=np.int64).reshape(-1, 2).T
        is_kmer = np.isin(ids, self._rank_to_id)
        has_next = np.append(is_kmer[1:] & (starts[1:] == ends[:-1]), False)
        # Of the tokens that own `stride` bases only an `[UNK]` can be the tail.
        is_whole = is_kmer & (ends - starts == self.stride) & (has_next | (np.array(ids) != self.unk_token_id))
        ends = np.where(is_whole, starts + self.kmer, ends)
        return list(zip(starts.tolist(), ends.tolist(), strict=True))

    def _warn_if_mostly_unknown(self, rows: list[np.ndarray]) -> None:
        """Warn, once a call, of the records with more than half of their tokens `[UNK]`."""
        count, unk_id = 0, self.unk_token_id
        for row in rows:
            num_unknown = np.count_nonzero(row == unk_id)
            if num_unknown and 2 * num_unknown > np.count_nonzero(np.isin(row, self._rank_to_id)):
                count += 1
        if count:
            logger.warning(
                f"{count} of {len(rows)} sequences are mostly {self.unk_token}: more than half of their "
                f"{self.kmer}-mers hold a letter other than A, C, G, T, U. Is this DNA, and is much of it N?"
            )


GeneBertTokenizer.register_for_auto_class()

__all__ = ["GeneBertTokenizer"]
