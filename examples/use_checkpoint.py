"""Open a pre-trained checkpoint with the Auto classes and show what it can do.

    python examples/use_checkpoint.py --model_name_or_path runs/demo

The checkpoint's own code is used (`trust_remote_code=True`), so this runs where the package was never installed:
torch and transformers are enough.
"""

from __future__ import annotations

import argparse
import random

import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForPreTraining, AutoProcessor


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Open a GeneBERT checkpoint.")
    parser.add_argument("--model_name_or_path", required=True, help="folder or Hub id")
    parser.add_argument("--sequence", help="DNA; default: 200 random bases")
    args = parser.parse_args(arguments)
    source, trust = args.model_name_or_path, {"trust_remote_code": True}
    sequence = args.sequence or "".join(random.Random(0).choices("ACGT", k=200))

    processor = AutoProcessor.from_pretrained(source, **trust)
    model = AutoModel.from_pretrained(source, **trust).eval()
    tokenizer, bank = processor.tokenizer, processor.feature_extractor.motif_bank
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"\n{source}: {type(model).__name__}, {parameters / 1e6:.1f} M parameters, k={model.config.kmer}")
    print(f"motif bank: {bank.source}, {len(bank)} motifs, fingerprint {bank.fingerprint[:12]}")

    print(f"\n1. Features of a sequence of {len(sequence)} bp (its own tiles make the region matrix)")
    inputs = processor([sequence], return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    for name in ("input_ids", "region_values"):
        print(f"   {name:22} {tuple(inputs[name].shape)}")
    for name in ("last_hidden_state", "pooler_output", "region_pooler_output"):
        print(f"   {name:22} {tuple(outputs[name].shape)}")
    scores = inputs["region_values"][0, 0, : len(bank)].amax(dim=1)
    best = [f"{bank.names[index]} {scores[index]:.2f}" for index in scores.topk(3).indices.tolist()]
    print(f"   best motifs            {', '.join(best)}")

    print("\n2. Masked k-mers, filled in")
    masked_model = AutoModelForMaskedLM.from_pretrained(source, **trust).eval()
    tokens = tokenizer([sequence], return_tensors="pt")
    middle, hidden = tokens["input_ids"].shape[1] // 2, model.config.kmer
    truth = tokens["input_ids"][0, middle : middle + hidden].clone()
    tokens["input_ids"][0, middle : middle + hidden] = tokenizer.mask_token_id
    with torch.no_grad():
        logits = masked_model(**tokens).logits[0, middle : middle + hidden]
    print(f"   true      {' '.join(tokenizer.convert_ids_to_tokens(truth.tolist()))}")
    print(f"   predicted {' '.join(tokenizer.convert_ids_to_tokens(logits.argmax(dim=-1).tolist()))}")

    print("\n3. Does a matrix of open regions belong to a sequence (SRM)?")
    pretrained = AutoModelForPreTraining.from_pretrained(source, **trust).eval()
    other = "".join(random.Random(1).choices("ACGT", k=len(sequence)))
    own_matrix, other_matrix = processor([sequence], return_tensors="pt"), processor([other], return_tensors="pt")
    for name, matrix in (("its own", own_matrix), ("another's", other_matrix)):
        regions = {key: value for key, value in matrix.items() if key.startswith("region_")}
        tokens = tokenizer([sequence], return_tensors="pt")
        with torch.no_grad():
            match = pretrained(**tokens, **regions).srm_logits.softmax(dim=-1)[0, 1]
        print(f"   {name:10} P(match) = {match:.3f}")
    print("\nOpened with AutoModel, AutoModelForMaskedLM, AutoModelForPreTraining and AutoProcessor: ok")


if __name__ == "__main__":
    main()
