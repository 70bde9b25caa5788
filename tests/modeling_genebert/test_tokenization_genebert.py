"""GeneBertTokenizer: ids by hand, and equality with its own tokenizer.json as the tokenizers library runs it."""

import json
import logging
import pickle
import subprocess
import tempfile
from functools import lru_cache
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from modeling_genebert.tokenization_genebert import GeneBertTokenizer
from tests.running import quick_python


KMERS_AND_STRIDES = [(1, 1), (2, 1), (3, 1), (3, 2), (3, 3), (6, 1), (6, 4), (6, 5), (6, 6), (4, 2)]
PAD, UNK, CLS, SEP, MASK = range(5)


@lru_cache
def tokenizer_of(kmer: int, stride: int) -> GeneBertTokenizer:
    return GeneBertTokenizer(kmer=kmer, stride=stride, model_max_length=40)


@lru_cache
def pipeline_of(kmer: int, stride: int) -> PreTrainedTokenizerFast:
    """The saved folder, opened without this package."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer_of(kmer, stride).save_pretrained(folder)
        return PreTrainedTokenizerFast.from_pretrained(folder)


def expected_tokens(sequence: str, kmer: int, stride: int) -> list[tuple[str, int, int]]:
    """(token, start, end) by the definition, one k-mer after the other."""
    clean = "".join({"U": "T"}.get(base, base) if base in "ACGTU" else "N" for base in map(upper, sequence))
    tokens = []
    start = 0
    while clean:
        word = clean[start : start + kmer]
        tokens.append((word if len(word) == kmer and "N" not in word else "[UNK]", start, start + len(word)))
        if start + kmer >= len(clean):
            break
        start += stride
    return tokens


def upper(letter: str) -> str:
    return letter.upper() if letter.isascii() else "N"


# Ids by hand -----------------------------------------------------------------------------------------------------


def test_vocabulary_is_dnaberts():
    vocab = tokenizer_of(6, 1).get_vocab()
    assert len(vocab) == 4101
    first = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "AAAAAA", "AAAAAT", "AAAAAC", "AAAAAG", "AAAATA"]
    assert [vocab[token] for token in first] == list(range(10))
    assert vocab["GGGGGG"] == 4100
    # k=2: AA AT AC AG TA TT TC TG CA CT CC CG GA GT GC GG
    assert [tokenizer_of(2, 1).convert_tokens_to_ids(token) for token in ("AA", "TA", "CG", "GG")] == [5, 9, 16, 20]


def test_overlapping_ids():
    encoding = tokenizer_of(2, 1)("ATcgNAu")
    # AT TC CG GN NA AT
    assert encoding["input_ids"] == [CLS, 6, 11, 16, UNK, UNK, 6, SEP]
    assert encoding["token_type_ids"] == [0] * 8
    assert encoding["attention_mask"] == [1] * 8
    assert list(encoding) == ["input_ids", "token_type_ids", "attention_mask"]


def test_non_overlapping_ids_and_tail():
    tokenizer = tokenizer_of(3, 3)
    # AAT, AAC, and the tail GG
    encoding = tokenizer("AATAACGG", return_offsets_mapping=True, return_special_tokens_mask=True)
    assert encoding["input_ids"] == [CLS, 6, 7, UNK, SEP]
    assert encoding["offset_mapping"] == [(0, 0), (0, 3), (3, 6), (6, 8), (0, 0)]
    assert encoding["special_tokens_mask"] == [1, 0, 0, 0, 1]
    assert tokenizer("AATAAC")["input_ids"] == [CLS, 6, 7, SEP]
    assert tokenizer("AA")["input_ids"] == [CLS, UNK, SEP]
    assert tokenizer("")["input_ids"] == [CLS, SEP]


def test_pair_padding_and_tensors():
    encoding = tokenizer_of(2, 2)(["AT", "ATAA"], ["CGC", ""], padding=True, return_tensors="pt")
    assert encoding["input_ids"].tolist() == [[CLS, 6, SEP, 16, UNK, SEP], [CLS, 6, 5, SEP, SEP, PAD]]
    assert encoding["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 0]]
    assert encoding["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]]
    assert encoding["input_ids"].dtype == torch.int64


def test_truncation():
    tokenizer = tokenizer_of(1, 1)
    assert tokenizer("ATCG", truncation=True, max_length=5)["input_ids"] == [CLS, 5, 6, 7, SEP]
    encoding = tokenizer("AAAAA", "TT", truncation=True, max_length=7, return_offsets_mapping=True)
    assert encoding["input_ids"] == [CLS, 5, 5, SEP, 6, 6, SEP]
    # Five tokens fit: two of the first, three of the second.
    assert tokenizer("AAAA", "TTTT", truncation=True, max_length=8)["input_ids"] == [2, 5, 5, 3, 6, 6, 6, 3]
    encoding = tokenizer("AAATTC", truncation="only_first", max_length=4)
    assert encoding["input_ids"] == [CLS, 5, 5, SEP]
    assert len(tokenizer("A" * 100, truncation=True)["input_ids"]) == 40


def test_offsets_are_whole_kmers():
    sequence = "ATTGCGNACCA"
    encoding = tokenizer_of(3, 1)(sequence, return_offsets_mapping=True, add_special_tokens=False)
    assert encoding["offset_mapping"] == [(i, i + 3) for i in range(9)]
    tokens = tokenizer_of(3, 1).tokenize(sequence)
    assert tokens == ["ATT", "TTG", "TGC", "GCG", "[UNK]", "[UNK]", "[UNK]", "ACC", "CCA"]
    assert [sequence[start:end] for start, end in encoding["offset_mapping"] if "N" not in sequence[start:end]] == [
        token for token in tokens if token != "[UNK]"
    ]
    encoding = tokenizer_of(6, 4)("ACGTACGTACGTA", return_offsets_mapping=True)
    assert encoding["offset_mapping"] == [(0, 0), (0, 6), (4, 10), (8, 13), (0, 0)]


def test_special_tokens_in_the_text():
    tokenizer = tokenizer_of(3, 1)
    encoding = tokenizer("ATTGN[MASK]CCCC", return_offsets_mapping=True)
    assert tokenizer.convert_ids_to_tokens(encoding["input_ids"]) == [
        *["[CLS]", "ATT", "TTG", "[UNK]", "[MASK]", "CCC", "CCC", "[SEP]"]
    ]
    assert encoding["offset_mapping"] == [(0, 0), (0, 3), (1, 4), (2, 5), (5, 11), (11, 14), (12, 15), (0, 0)]
    assert tokenizer.tokenize("[CLS]ACG") == ["[CLS]", "ACG"]


def test_pre_split_and_overflow_are_the_pipelines():
    tokenizer = tokenizer_of(3, 1)
    words = tokenizer(["ATTG", "CCC"], is_split_into_words=True, return_offsets_mapping=True)
    assert words["input_ids"] == tokenizer.convert_tokens_to_ids(["[CLS]", "ATT", "TTG", "CCC", "[SEP]"])
    assert words["offset_mapping"] == [(0, 0), (0, 3), (1, 4), (0, 3), (0, 0)]
    pieces = tokenizer(
        "ATTGCC", truncation=True, max_length=4, stride=1, return_overflowing_tokens=True, return_offsets_mapping=True
    )
    assert [tokenizer.convert_ids_to_tokens(ids)[1:-1] for ids in pieces["input_ids"]] == [
        ["ATT", "TTG"],
        ["TTG", "TGC"],
        ["TGC", "GCC"],
    ]
    assert pieces["offset_mapping"][1] == [(0, 0), (1, 4), (2, 5), (0, 0)]
    assert pieces["overflow_to_sample_mapping"] == [0, 0, 0]


def test_added_tokens_are_the_pipelines():
    tokenizer = GeneBertTokenizer(kmer=3)
    tokenizer.add_tokens(["<promoter>"])
    assert tokenizer.tokenize("<promoter>ACGT") == ["<promoter>", "ACG", "CGT"]
    assert tokenizer("<promoter>ACGT")["input_ids"][1] == 69
    assert tokenizer.decode([69, 5], skip_special_tokens=True) == "<promoter> AAA"


def test_num_tokens_and_num_bases():
    tokenizer = tokenizer_of(6, 4)
    assert [tokenizer.num_tokens(length) for length in (0, 1, 6, 7, 10, 11)] == [0, 1, 1, 2, 2, 3]
    assert [tokenizer.num_bases(count) for count in (0, 1, 2, 3)] == [0, 6, 10, 14]
    assert tokenizer_of(6, 1).num_tokens(512) == 507


@pytest.mark.parametrize(("kmer", "stride"), KMERS_AND_STRIDES)
def test_num_tokens_is_what_comes_out(kmer, stride):
    tokenizer = tokenizer_of(kmer, stride)
    for length in range(25):
        count = tokenizer.num_tokens(length)
        assert len(tokenizer.tokenize("A" * length)) == count
        assert length <= tokenizer.num_bases(count)
        assert tokenizer.num_tokens(tokenizer.num_bases(count)) == count
        assert tokenizer.num_tokens(tokenizer.num_bases(count) + 1) == count + 1


# Array arithmetic against the tokenizers pipeline ----------------------------------------------------------------

plain_dna = st.text("ACGTacgt", max_size=45)
any_text = st.one_of(
    plain_dna,
    st.text("ACGTUNacgtun", max_size=45),
    st.text("ACGTRYKMSWBDHVN-* \n\t", max_size=30),
    st.text(max_size=12),
    plain_dna.map(lambda text: text[:9] + "[MASK]" + text[9:]),
)
options = st.fixed_dictionaries(
    {
        "padding": st.sampled_from([False, True, "max_length"]),
        "truncation": st.sampled_from([False, True, "only_first", "only_second"]),
        "max_length": st.sampled_from([None, 7, 12, 20]),
        "pad_to_multiple_of": st.none(),
        "padding_side": st.sampled_from([None, "left", "right"]),
        "add_special_tokens": st.booleans(),
        "return_tensors": st.sampled_from([None, "pt", "np"]),
        "return_special_tokens_mask": st.booleans(),
        "return_length": st.booleans(),
        "return_token_type_ids": st.sampled_from([None, True, False]),
        "return_attention_mask": st.sampled_from([None, False]),
        "verbose": st.just(False),
    }
)


def outcome(tokenizer, text, pair, kwargs):
    """What a call gives, as plain values with their container types, or the type of its error."""
    try:
        encoding = tokenizer(text, pair, **kwargs)
    except Exception as error:
        return type(error), str(error)
    values = {}
    for key, value in encoding.items():
        if isinstance(value, (torch.Tensor, np.ndarray)):
            plain = value.tolist()
            if value.dtype == object:  # NumPy, rows of different lengths
                plain = [row.tolist() for row in plain]
            values[key] = (type(value), value.dtype, tuple(value.shape), plain)
        else:
            values[key] = value
    return list(values.items())


@pytest.mark.parametrize("truncation_side", ["right", "left"])
@pytest.mark.parametrize(("kmer", "stride"), [(1, 1), (3, 1), (6, 1), (6, 4), (4, 4)])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_calls_equal_the_pipeline(kmer, stride, truncation_side, data):
    tokenizer, pipeline = tokenizer_of(kmer, stride), pipeline_of(kmer, stride)
    kwargs = data.draw(options)
    if kwargs["padding"] and not kwargs["truncation"]:
        kwargs["pad_to_multiple_of"] = data.draw(st.sampled_from([None, 8]))
    if data.draw(st.booleans()):
        text = data.draw(any_text)
        pair = data.draw(st.none() | any_text)
    else:
        text = data.draw(st.lists(any_text, min_size=1, max_size=4))
        pair = data.draw(st.none() | st.lists(any_text, min_size=len(text), max_size=len(text)))
    tokenizer.truncation_side = pipeline.truncation_side = truncation_side
    try:
        assert outcome(tokenizer, text, pair, kwargs) == outcome(pipeline, text, pair, kwargs)
    finally:
        tokenizer.truncation_side = pipeline.truncation_side = "right"


@pytest.mark.parametrize(("kmer", "stride"), [*KMERS_AND_STRIDES, (8, 3)])
@settings(max_examples=40, deadline=None)
@given(text=any_text.filter(lambda text: "[" not in text))
def test_tokens_and_offsets_by_definition(kmer, stride, text):
    tokenizer, pipeline = tokenizer_of(kmer, stride), pipeline_of(kmer, stride)
    expected = expected_tokens(text, kmer, stride)
    tokens = [token for token, _, _ in expected]
    assert tokenizer.tokenize(text) == tokens
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert encoding["offset_mapping"] == [(start, end) for _, start, end in expected]
    # A bare tokenizer.json: the same tokens, the same starts, and every base is owned once.
    bare = pipeline(text, add_special_tokens=False)[0]
    assert bare.tokens == tokens
    assert [start for start, _ in bare.offsets] == [start for _, start, _ in expected]
    assert [end for _, end in bare.offsets] == [start for _, start, _ in expected[1:]] + [len(text)] * bool(text)


@settings(max_examples=60, deadline=None)
@given(
    text=any_text,
    pair=st.none() | plain_dna,
    max_length=st.sampled_from([None, 9, 15]),
    side=st.sampled_from(["left", "right"]),
)
def test_offsets_are_the_same_through_the_pipeline(text, pair, max_length, side):
    # `return_overflowing_tokens` sends plain DNA through the pipeline.
    tokenizer = tokenizer_of(6, 4)
    kwargs = {"return_offsets_mapping": True, "verbose": False}
    if max_length is not None:
        kwargs |= {"truncation": True, "max_length": max_length}
    pairs = None if pair is None else [pair]
    tokenizer.truncation_side = side
    try:
        direct = tokenizer([text], pairs, **kwargs)
        piped = tokenizer([text], pairs, return_overflowing_tokens=True, **kwargs)
    finally:
        tokenizer.truncation_side = "right"
    for token, offset, piped_offset in zip(
        direct["input_ids"][0], direct["offset_mapping"][0], piped["offset_mapping"][0], strict=True
    ):
        # Behind an `[UNK]` that truncation made the last, the pipeline does not know how the text goes on.
        assert offset == piped_offset or (token == UNK and offset[0] == piped_offset[0] and max_length)


def test_tokenizer_json_is_complete(tmp_path):
    tokenizer_of(3, 1).save_pretrained(tmp_path)
    bare = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    encoding = bare.encode("attgN", "CCCC")
    assert encoding.tokens == ["[CLS]", "ATT", "TTG", "[UNK]", "[SEP]", "CCC", "CCC", "[SEP]"]
    assert encoding.type_ids == [0, 0, 0, 0, 0, 1, 1, 1]
    assert bare.decode(encoding.ids, skip_special_tokens=False) == "[CLS] ATTGN [SEP] CCCC [SEP]"


def test_tokenizer_json_remembers_no_call(tmp_path):
    tokenizer = GeneBertTokenizer(kmer=3)
    tokenizer("ACGT[MASK]ACGTACGT", truncation=True, padding="max_length", max_length=5)
    with pytest.raises(Exception, match="Second sequence not provided"):
        tokenizer("ACGTACGT", truncation="only_second", padding="max_length", max_length=5)
    tokenizer.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    assert (saved["truncation"], saved["padding"]) == (None, None)


# Between tokens and bases: BatchEncoding's methods -----------------------------------------------------------------


def test_tokens_words_and_bases():
    encoding = tokenizer_of(3, 1)("ATTGC", "CCCA")
    assert encoding.is_fast and encoding.n_sequences == 2
    assert encoding.tokens() == ["[CLS]", "ATT", "TTG", "TGC", "[SEP]", "CCC", "CCA", "[SEP]"]
    assert encoding.word_ids() == [None, 0, 1, 2, None, 0, 1, None]
    assert encoding.sequence_ids() == [None, 0, 0, 0, None, 1, 1, None]
    # A base belongs to the token that starts there, the last ones to the last token.
    assert [encoding.char_to_token(base) for base in range(5)] == [1, 2, 3, 3, 3]
    assert [encoding.char_to_token(base, sequence_index=1) for base in range(4)] == [5, 6, 6, 6]
    assert [tuple(encoding.token_to_chars(token)) for token in (1, 2, 3)] == [(0, 1), (1, 2), (2, 5)]
    assert [encoding.token_to_word(token) for token in (1, 3, 6)] == [0, 2, 1]
    assert [encoding.token_to_sequence(token) for token in (0, 1, 6)] == [None, 0, 1]
    assert tuple(encoding.word_to_tokens(2)) == (3, 4)
    assert tuple(encoding.word_to_chars(2)) == (2, 5)
    assert encoding.char_to_word(4) == 2


def test_tokens_of_a_batch_keep_the_calls_options():
    tokenizer = GeneBertTokenizer(kmer=3)
    encoding = tokenizer(
        ["ATTGC", "CC"], padding=True, padding_side="left", truncation=True, max_length=4, return_tensors="pt"
    )
    tokenizer.padding_side = "right"
    for row, ids in enumerate(encoding["input_ids"].tolist()):
        assert encoding.tokens(row) == tokenizer.convert_ids_to_tokens(ids) == encoding[row].tokens
    assert encoding.tokens(1) == ["[PAD]", "[CLS]", "[UNK]", "[SEP]"]
    assert tokenizer.backend_tokenizer.padding is None and tokenizer.backend_tokenizer.truncation is None


def test_encodings_are_made_only_when_asked_for(monkeypatch):
    tokenizer = GeneBertTokenizer(kmer=3)
    encoding = tokenizer(["ATTGC", "CCCA"])
    monkeypatch.setattr(tokenizer, "_run_pipeline", None)
    again = pickle.loads(pickle.dumps(encoding))
    assert again == encoding
    with pytest.raises(ValueError, match="not available"):
        again.tokens()
    assert pickle.loads(pickle.dumps(tokenizer_of(1, 1)("AT")[0])).tokens == ["[CLS]", "A", "T", "[SEP]"]


def test_there_is_nothing_to_train():
    with pytest.raises(NotImplementedError, match="a k-mer vocabulary is complete, there is nothing to train"):
        tokenizer_of(3, 1).train_new_from_iterator([["ACGT"]], 10)


# Decoding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kmer", "stride"), KMERS_AND_STRIDES)
@settings(max_examples=30, deadline=None)
@given(text=plain_dna)
def test_decoding_gives_the_dna_back(kmer, stride, text):
    tokenizer = tokenizer_of(kmer, stride)
    ids = tokenizer(text, verbose=False)["input_ids"]
    decoded = tokenizer.decode(ids, skip_special_tokens=True)
    assert len(decoded) == (tokenizer.num_bases(tokenizer.num_tokens(len(text))))
    if len(decoded) == len(text):
        assert decoded == text.upper()
    else:  # an `[UNK]` tail, and what only it covers
        whole = max(0, len(decoded) - (stride if len(text) > kmer else kmer))
        assert decoded == text.upper()[:whole] + "N" * (len(decoded) - whole)


def test_decoding_unknown_bases():
    tokenizer = tokenizer_of(3, 1)

    def there_and_back(text):
        return tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)

    assert there_and_back("ACCGTNACGTA") == "ACCGTNACGTA"
    assert there_and_back("ACCGTNNACGTA") == "ACCGTNNACGTA"
    # No known k-mer covers the AC at the start, nor the G between the Ns.
    assert there_and_back("ACNACGTANGNACG") == "NNNACGTANNNACG"
    assert there_and_back("AC") == "NNN"
    assert there_and_back("") == ""


def test_decoding_keeps_sequences_apart():
    tokenizer = tokenizer_of(3, 1)
    ids = tokenizer("ATTGC", "CCCA", padding="max_length", max_length=11)["input_ids"]
    assert tokenizer.decode(ids) == "[CLS] ATTGC [SEP] CCCA [SEP] [PAD] [PAD] [PAD]"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "ATTGC CCCA"
    assert tokenizer.batch_decode([ids, ids[:5]], skip_special_tokens=True) == ["ATTGC CCCA", "ATTGC"]
    assert tokenizer.convert_tokens_to_string(["ATT", "TTG", "[MASK]", "GCC"]) == "ATTG [MASK] GCC"


# Saving and loading ----------------------------------------------------------------------------------------------


def test_save_and_load(tmp_path):
    tokenizer = GeneBertTokenizer(kmer=5, stride=2, model_max_length=99, padding_side="left")
    tokenizer.add_special_tokens({"extra_special_tokens": ["<enhancer>"]})
    tokenizer(["ACGTT", "A"], padding=True, truncation=True)
    tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (config["kmer"], config["stride"], config["model_max_length"]) == (5, 2, 99)
    again = GeneBertTokenizer.from_pretrained(tmp_path)
    assert (again.kmer, again.stride, again.model_max_length, again.padding_side) == (5, 2, 99, "left")
    text = "ACGTTGCANNNTTGACCAT"
    assert again(text, return_offsets_mapping=True) == tokenizer(text, return_offsets_mapping=True)
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.tokenize("<enhancer>ACGTT") == ["<enhancer>", "ACGTT"]
    assert again.backend_tokenizer.encode(text).ids == tokenizer(text)["input_ids"]
    again.save_pretrained(tmp_path / "again")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert json.loads((tmp_path / "again" / name).read_text())["version" if name == "tokenizer.json" else "kmer"]
    third = GeneBertTokenizer.from_pretrained(tmp_path / "again")
    assert third(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert pickle.loads(pickle.dumps(tokenizer))(text)["input_ids"] == tokenizer(text)["input_ids"]


def test_another_stride_or_kmer_at_loading(tmp_path):
    tokenizer_of(3, 1).save_pretrained(tmp_path)
    tokenizer = GeneBertTokenizer.from_pretrained(tmp_path, stride=3)
    assert tokenizer.tokenize("AATAAC") == tokenizer.backend_tokenizer.encode("AATAAC").tokens[1:-1] == ["AAT", "AAC"]
    with pytest.raises(ValueError, match="lacks 4096 tokens that kmer=6 needs, such as 'AAAAAA'"):
        GeneBertTokenizer.from_pretrained(tmp_path, kmer=6)


def test_another_vocabulary_order():
    kmers = ["".join(letters) for letters in product("ACGT", repeat=2)]
    vocab = {token: i for i, token in enumerate([*kmers, "[MASK]", "[SEP]", "[CLS]", "[UNK]", "[PAD]"])}
    tokenizer = GeneBertTokenizer(kmer=2, vocab=vocab)
    assert tokenizer("ACGNTT", padding="max_length", max_length=8)["input_ids"] == [18, 1, 6, 19, 19, 15, 17, 20]
    assert tokenizer.backend_tokenizer.encode("ACGNTT").ids[:7] == [18, 1, 6, 19, 19, 15, 17]


def test_another_special_token_at_loading(tmp_path):
    tokenizer_of(3, 1).save_pretrained(tmp_path)
    tokenizer = GeneBertTokenizer.from_pretrained(tmp_path, cls_token="(CLS)")
    assert (len(tokenizer), tokenizer.cls_token_id) == (70, 69)
    assert tokenizer("AAAA")["input_ids"] == tokenizer.backend_tokenizer.encode("AAAA").ids == [69, 5, 5, SEP]
    with pytest.raises(ValueError, match="lacks 1 tokens that kmer=3 needs, such as '<unk>'"):
        GeneBertTokenizer.from_pretrained(tmp_path, unk_token="<unk>")


REMOTE_CODE_SCRIPT = """
import json, sys
sys.modules["modeling_genebert"] = None  # not even where the package is installed
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=True)
assert type(tokenizer).__module__.startswith("transformers_modules."), type(tokenizer)
ids = tokenizer(json.loads(sys.argv[2]))["input_ids"]
print(json.dumps([type(tokenizer).__name__, tokenizer.kmer, tokenizer.stride, ids]))
"""


def test_remote_code_in_a_fresh_process(tmp_path, monkeypatch):
    monkeypatch.setattr(GeneBertTokenizer, "_auto_class", None)
    GeneBertTokenizer.register_for_auto_class("AutoTokenizer")
    folder, home = tmp_path / "checkpoint", tmp_path / "home"
    home.mkdir()
    tokenizer = GeneBertTokenizer(kmer=4, stride=3)
    tokenizer.save_pretrained(folder)
    assert {"tokenization_genebert.py", "dna_genebert.py"} <= {path.name for path in folder.iterdir()}
    texts = ["ACGTTGCANNTTGACCAT", "acgu", "", "AC[MASK]GTTA"]
    result = subprocess.run(
        [*quick_python(), "-c", REMOTE_CODE_SCRIPT, str(folder), json.dumps(texts)],
        cwd=home,
        env={"HOME": str(home), "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == ["GeneBertTokenizer", 4, 3, tokenizer(texts)["input_ids"]]


# Errors and warnings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kmer", [0, 9, -1, 3.0, "6", None])
def test_kmer_out_of_range(kmer):
    with pytest.raises(ValueError, match=r"kmer must be an integer from 1 to 8 \(bp\), found"):
        GeneBertTokenizer(kmer=kmer)


@pytest.mark.parametrize("stride", [0, 4, 1.5, None])
def test_stride_out_of_range(stride):
    with pytest.raises(ValueError, match=r"stride must be an integer from 1 to kmer=3 \(bp\), found"):
        GeneBertTokenizer(kmer=3, stride=stride)


@pytest.mark.parametrize(
    ("text", "pair", "message"),
    [
        (["ACG", None], None, r"sequence 1 \(0-based\): expected a DNA string, found NoneType"),
        (["ACG", "A", float("nan")], None, r"sequence 2 \(0-based\): expected a DNA string, found float"),
        (["ACG", "A"], ["C", 5], r"sequence 1 \(0-based\): expected a DNA string, found int"),
        (b"ACG", None, r"sequence 0 \(0-based\): expected a DNA string, found bytes"),
        (np.array(["ACG"]), None, r"expected a DNA string, found ndarray; pass a str or a list of str"),
        ("ACG", ["ACG"], r"sequence 0 \(0-based\): expected a DNA string, found list"),
        ([["ACG", "CCC", "TTT"]], None, r"found 3 items; for DNA in pieces pass is_split_into_words=True"),
        (["ACG", "CCC"], ["TTT"], "text_pair must be a list of 2 DNA strings, as many as text has, found 1 items"),
        (["ACG", "CCC"], "TTT", "text_pair must be a list of 2 DNA strings, as many as text has, found str"),
    ],
)
def test_not_a_string(text, pair, message):
    with pytest.raises(ValueError, match=message):
        tokenizer_of(3, 1)(text, pair)


def test_list_of_pairs_and_empty_batch():
    tokenizer = tokenizer_of(3, 1)
    assert tokenizer([("ACG", "CCC")]) == tokenizer(["ACG"], ["CCC"])
    assert tokenizer([]) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}


def test_ragged_tensors_are_refused():
    with pytest.raises(ValueError, match="padding=True"):
        tokenizer_of(3, 1)(["ACGT", "ACG"], return_tensors="pt")


def test_mostly_unknown_warns_once(caplog):
    tokenizer = tokenizer_of(3, 1)
    tokenizer(["ACGTACGTNACGTACGT", "", "ACG"])
    tokenizer("ACGTA[MASK]ACGTA")
    assert not caplog.records
    tokenizer(["NNNNNN", "ACGTACGT", "MKVLAA", ""], padding=True, return_tensors="pt")
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith("2 of 4 sequences are mostly [UNK]")
    caplog.clear()
    tokenizer("NNNNNNNN[MASK]")
    assert [record.getMessage()[:34] for record in caplog.records] == ["1 of 1 sequences are mostly [UNK]:"]


def test_too_long_for_the_model_warns(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    tokenizer = GeneBertTokenizer(kmer=3, model_max_length=10)
    tokenizer("A" * 10)
    tokenizer("A" * 11, truncation=True)
    assert not caplog.records
    tokenizer(["ACG", "A" * 11])
    assert "(11 > 10)" in caplog.records[0].getMessage()
