"""Export the sequence encoder as an ordinary BERT, for those who run no code from the Hub.

    python examples/export_bert.py --model_name_or_path runs/demo --output_dir runs/bert

The output folder needs no code of GeneBERT's: transformers itself opens it, and gives what GeneBERT's own
`get_sequence_features` gives. It is the encoder before fusion: there are no regions, and no GeneBERT head.

    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained("runs/bert")  # k-mers are cut by tokenizer.json: give it raw DNA
    model = AutoModel.from_pretrained("runs/bert", add_pooling_layer=False)
    states = model(**tokenizer("ACGTACGTTTGCATCG", return_tensors="pt")).last_hidden_state
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelCardData
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script, Python looks in examples/ only

from examples.model_cards import TAGS, hub_id, parent_section, public_name


TOLERANCE = 1e-5
CARD = """---
{metadata}
---

# The sequence encoder of GeneBERT

The DNA encoder of `{source}` as an ordinary {model_class}, without GeneBERT's regions, fusion and heads: it loads with
no custom code. Tokens are {kmer}-mers, {stride} bp apart; at most {max_length} tokens a sequence.

```python
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("PATH_OR_HUB_ID")  # takes raw DNA
model = AutoModel.from_pretrained("PATH_OR_HUB_ID"{options})
states = model(**tokenizer("ACGTACGTTTGCATCG", return_tensors="pt")).last_hidden_state
```

## Intended use

{use}
## Limits

- **No regions**: what the checkpoint learnt of them is left out.
{limits}"""


def export_bert(model_name_or_path: str | Path, output_dir: str | Path) -> Path:
    """
    Write the sequence encoder and its tokenizer as transformers' own classes, and check them against GeneBERT's.

    Args:
        model_name_or_path (`str` or `Path`): a GeneBERT checkpoint, folder or Hub id.
        output_dir (`str` or `Path`): the folder to write; with `config.json`, `model.safetensors`, `tokenizer.json`,
            `tokenizer_config.json` and a card.

    Returns:
        The folder.

    Raises:
        ValueError: the checkpoint is not GeneBERT's, or what was written gives other tokens or states.
    """
    source, folder = str(model_name_or_path), Path(output_dir)
    model = AutoModel.from_pretrained(source, trust_remote_code=True).eval()
    if model.config.model_type != "genebert":
        raise ValueError(f"{source}: model type {model.config.model_type}, expected genebert")
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=True)
    encoder = model.sequence_encoder
    encoder.save_pretrained(folder)
    plain_tokenizer(tokenizer).save_pretrained(folder)

    is_bert = type(encoder).__name__ == "BertModel"
    options = {"add_pooling_layer": False} if is_bert else {}
    metadata = ModelCardData(
        library_name="transformers",
        license="apache-2.0",
        pipeline_tag="feature-extraction",
        tags=[*TAGS, "bert"],
        base_model=hub_id(source),
    )
    card = CARD.format(
        metadata=metadata.to_yaml(),
        source=public_name(source),
        use=parent_section("Use"),
        limits=parent_section("Limits"),
        model_class=type(encoder).__name__,
        kmer=model.config.kmer,
        stride=model.config.stride,
        max_length=tokenizer.model_max_length,
        options="".join(f", {name}={value}" for name, value in options.items()),
    )
    ModelCard(card).save(folder / "README.md")
    check_export(model, tokenizer, folder, options)
    return folder


def plain_tokenizer(tokenizer: Any) -> PreTrainedTokenizerFast:
    """The same tokens by the pipeline of the `tokenizers` library alone, which `tokenizer.json` holds."""
    names = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "model_max_length", "model_input_names")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, **{name: getattr(tokenizer, name) for name in names}
    )


@torch.no_grad()
def check_export(model: Any, tokenizer: Any, folder: Path, options: dict[str, Any]) -> None:
    """Raise `ValueError` unless the folder gives GeneBERT's tokens and states for random DNA."""
    exported = AutoModel.from_pretrained(folder, **options).eval()
    exported_tokenizer = AutoTokenizer.from_pretrained(folder)
    letters = random.Random(0)
    sequences = ["".join(letters.choices("ACGTacgtNU", [9, 9, 9, 9, 1, 1, 1, 1, 1, 1], k=n)) for n in (40, 23, 3)]
    tokens = tokenizer(sequences, padding=True, truncation=True, return_tensors="pt")
    found_tokens = exported_tokenizer(sequences, padding=True, truncation=True, return_tensors="pt")
    for name, expected in tokens.items():
        if not torch.equal(found_tokens[name], expected):
            raise ValueError(f"{folder}: {name} of the exported tokenizer differ from GeneBERT's")
    expected_states = model.get_sequence_features(**tokens).last_hidden_state
    difference = (exported(**found_tokens).last_hidden_state - expected_states).abs().max().item()
    if difference > TOLERANCE:
        raise ValueError(f"{folder}: states differ from GeneBERT's by {difference:.2g}, expected {TOLERANCE} at most")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Export GeneBERT's sequence encoder as an ordinary BERT.")
    parser.add_argument("--model_name_or_path", required=True, help="a GeneBERT checkpoint, folder or Hub id")
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args(arguments)
    print(f"Exported, and equal to GeneBERT's: {export_bert(args.model_name_or_path, args.output_dir)}")


if __name__ == "__main__":
    main()
