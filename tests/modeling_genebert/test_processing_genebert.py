import json
import os
import subprocess
import textwrap

import numpy as np
import pytest
import torch

from modeling_genebert.feature_extraction_genebert import GeneBertFeatureExtractor
from modeling_genebert.motifs_genebert import MotifBank
from modeling_genebert.processing_genebert import GeneBertProcessor
from modeling_genebert.tokenization_genebert import GeneBertTokenizer
from tests.running import quick_python


REGIONS = {
    "regions": [["ACGTT", "CGTAA", "TTNAC"], ["AACGT"]],
    "accessibility": [[0.25, None, 1.0], [0.5]],
    "positions": [[100, 2_000, 30_000], [5]],
    "anchor": [0, 0],
}


@pytest.fixture
def processor():
    counts = [np.array([[9, 1, 0, 0], [0, 9, 0, 1], [1, 0, 9, 0]]), np.array([[0, 1, 0, 9], [0, 1, 0, 9]])]
    bank = MotifBank(["MX1.1", "MX2.1"], ["ONE", "TWO"], ["f1", "f2"], counts)
    extractor = GeneBertFeatureExtractor(bank, num_regions=4, region_width=10)
    return GeneBertProcessor(extractor, GeneBertTokenizer(kmer=3))


def assert_equal(inputs, others):
    assert set(inputs) == set(others)
    for name in inputs:
        np.testing.assert_array_equal(inputs[name], others[name])


def test_sequences_are_tokenized_and_tiled(processor):
    sequences = ["ACGTACGTT", "ACG"]
    inputs = processor(sequences, padding=True, return_tensors="pt")
    assert list(inputs) == processor.model_input_names
    assert {name: tuple(tensor.shape) for name, tensor in inputs.items()} == {
        "input_ids": (2, 9),
        "token_type_ids": (2, 9),
        "attention_mask": (2, 9),
        "region_values": (2, 4, 32, 4),
        "region_mask": (2, 4),
        "region_context_ids": (2,),
    }
    assert all(isinstance(tensor, torch.Tensor) for tensor in inputs.values())
    tokens = processor.tokenizer(sequences, padding=True, return_tensors="pt")
    tiles = processor.feature_extractor(sequences=sequences, return_tensors="pt")
    assert_equal(inputs, {**tokens, **tiles})


def test_pairs_with_regions(processor):
    inputs = processor(["ACGTA", "ACGTAA"], ["AAAA", "CCCC"], **REGIONS, padding=True, return_tensors="np")
    tokens = processor.tokenizer(["ACGTA", "ACGTAA"], ["AAAA", "CCCC"], padding=True, return_tensors="np")
    assert_equal(inputs, {**tokens, **processor.feature_extractor(**REGIONS)})
    np.testing.assert_array_equal(inputs["region_context_ids"], [0, 0])
    assert inputs["token_type_ids"].max() == 1


def test_tiles_are_those_of_the_first_segment_whole(processor):
    inputs = processor(["ACGTACGTTACG"], ["TTTTTT"], truncation=True, max_length=8, return_tensors="np")
    assert inputs["input_ids"].shape == (1, 8)
    expected = processor.feature_extractor(sequences=["ACGTACGTTACG"])
    np.testing.assert_array_equal(inputs["region_values"], expected["region_values"])


def test_one_modality_alone(processor):
    assert set(processor(["ACGTA"], tile=False)) == set(processor.tokenizer.model_input_names)
    assert_equal(processor(**REGIONS), processor.feature_extractor(**REGIONS))


def test_a_single_string_is_a_batch_of_one(processor):
    inputs = processor("ACGTA", "TTTT", return_tensors="np")
    assert_equal(inputs, processor(["ACGTA"], ["TTTT"], return_tensors="np"))
    assert inputs["input_ids"].shape == (1, 8)


def test_text_kwargs_and_decode(processor):
    inputs = processor(["ACGTA", "ACG"], text_kwargs={"padding": "max_length", "max_length": 12}, return_tensors="np")
    assert inputs["input_ids"].shape == (2, 12)
    assert processor.decode(inputs["input_ids"][0], skip_special_tokens=True) == "ACGTA"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs sequences or regions, found neither"),
        ({"sequence_pairs": ["A"], **REGIONS}, "sequence_pairs without sequences"),
        ({"sequences": ["A", "C"], "sequence_pairs": ["A"]}, "sequence_pairs has 1 examples, sequences has 2"),
        ({"sequences": ["A"], **REGIONS}, "regions has 2 examples, sequences has 1"),
        ({"sequences": ["A"], "accessibility": [[0.5]]}, "belong to regions, found them with sequences"),
    ],
)
def test_call_refuses(processor, arguments, message):
    with pytest.raises(ValueError, match=message):
        processor(**arguments)


def test_the_bank_is_kept_out_of_the_configuration(processor):
    config = processor.to_dict()["feature_extractor"]
    assert "motif_bank" not in config
    assert config["motif_bank_fingerprint"] == processor.feature_extractor.motif_bank.fingerprint
    assert len(repr(processor)) < 10_000


def test_a_fresh_process_loads_it_as_remote_code(processor, tmp_path):
    folder = tmp_path / "saved"
    processor.save_pretrained(folder)
    assert {path.name for path in folder.iterdir()} == {
        *("processor_config.json", "tokenizer.json", "tokenizer_config.json", "motifs.safetensors"),
        *("processing_genebert.py", "feature_extraction_genebert.py", "motifs_genebert.py", "dna_genebert.py"),
        *("tokenization_genebert.py", "configuration_genebert.py", "windows_genebert.py"),
        *("motif_scoring_genebert.py", "region_values_genebert.py"),
    }
    config = json.loads((folder / "processor_config.json").read_text())
    assert config["auto_map"]["AutoProcessor"] == "processing_genebert.GeneBertProcessor"
    assert "AutoFeatureExtractor" in config["feature_extractor"]["auto_map"]
    assert "AutoTokenizer" in json.loads((folder / "tokenizer_config.json").read_text())["auto_map"]

    call = {"sequences": ["ACGTACGTTACG", "acgnnua"], "padding": True, "return_tensors": "np"}
    script = """
        import json, sys
        sys.modules["modeling_genebert"] = None  # importing the package fails
        import numpy as np
        from transformers import AutoFeatureExtractor, AutoProcessor, AutoTokenizer
        folder, call, regions, output = sys.argv[1:]
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
        tiled, windows = processor(**json.loads(call)), processor(**json.loads(regions))
        np.savez(output, **tiled, **{"window_" + name: array for name, array in windows.items()})
        for auto_class, part in ((AutoFeatureExtractor, "feature_extractor"), (AutoTokenizer, "tokenizer")):
            loaded = auto_class.from_pretrained(folder, trust_remote_code=True)
            assert type(loaded).__name__ == type(getattr(processor, part)).__name__, loaded
    """
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    arguments = [str(folder), json.dumps(call), json.dumps(REGIONS), str(tmp_path / "arrays.npz")]
    result = subprocess.run(
        [*quick_python(), "-c", textwrap.dedent(script), *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    windows = {f"window_{name}": array for name, array in processor(**REGIONS).items()}
    with np.load(tmp_path / "arrays.npz") as arrays:
        assert_equal(arrays, {**processor(**call), **windows})


def test_a_processor_beside_a_model_of_another_bank_is_refused(processor, tmp_path):
    """Somebody exchanged the bank together with the processor's configuration, which agree with each other."""
    fingerprint = processor.feature_extractor.motif_bank.fingerprint
    processor.save_pretrained(tmp_path)
    for expected in (None, fingerprint):
        (tmp_path / "config.json").write_text(json.dumps({"motif_bank_fingerprint": expected}))
        GeneBertProcessor.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"motif_bank_fingerprint": "0" * 64}))
    message = f"its motifs.safetensors has fingerprint {fingerprint}, but its model was trained with {'0' * 64}"
    with pytest.raises(ValueError, match=message):
        GeneBertProcessor.from_pretrained(tmp_path)
