"""Export a checkpoint to ONNX, and check the file against PyTorch.

    python examples/export_onnx.py --model_name_or_path runs/demo --output_dir runs/onnx
    python examples/export_onnx.py --model_name_or_path runs/demo --output_dir runs/onnx --task fill-mask

The output folder holds `model.onnx` (its weights in `model.onnx.data`), the config and the processor: onnxruntime
and the processor are then enough to predict. Any batch size and any length of the sequences fit; the region matrix
keeps its one shape, and `--without_regions` leaves it out: the model is then a plain sequence encoder.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoProcessor,
)


AUTO_CLASSES = {  # by the names that optimum gives to tasks
    "feature-extraction": AutoModel,
    "fill-mask": AutoModelForMaskedLM,
    "text-classification": AutoModelForSequenceClassification,
    "token-classification": AutoModelForTokenClassification,
}
TASKS = {
    "GeneBertModel": "feature-extraction",
    "GeneBertForPreTraining": "feature-extraction",
    "GeneBertForMaskedLM": "fill-mask",
    "GeneBertForSequenceClassification": "text-classification",
    "GeneBertForTokenClassification": "token-classification",
}
TOLERANCE = 1e-4
BATCH_SIZES, LENGTHS = (1, 2, 5), (12, 60, 300)  # sequences, bp


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Export a GeneBERT checkpoint to ONNX.")
    parser.add_argument("--model_name_or_path", required=True, help="folder or Hub id")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--task", choices=list(AUTO_CLASSES), help="default: what the checkpoint was saved for")
    parser.add_argument("--without_regions", action="store_true", help="sequences only")
    return parser.parse_args(arguments)


def task_of(model_name_or_path: str) -> str:
    """The task that a checkpoint's architecture is for."""
    architecture = (AutoConfig.from_pretrained(model_name_or_path, trust_remote_code=True).architectures or [""])[0]
    if architecture not in TASKS:
        raise ValueError(
            f"{model_name_or_path} was saved as {architecture or 'no architecture'}, which has no ONNX task: expected "
            f"one of {', '.join(TASKS)}, or pass --task"
        )
    return TASKS[architecture]


def make_inputs(processor: Any, batch_size: int, length: int, with_regions: bool) -> dict[str, torch.Tensor]:
    """A batch of random sequences of up to `length` bp, the shorter ones padded."""
    letters = random.Random(length)
    sequences = ["".join(letters.choices("ACGT", k=length - row)) for row in range(batch_size)]
    return dict(processor(sequences, tile=with_regions, padding=True, truncation=True, return_tensors="pt"))


@torch.no_grad()
def export(model: torch.nn.Module, inputs: dict[str, torch.Tensor], path: Path) -> list[str]:
    """Write the ONNX file; returns the names of its outputs."""
    rows, tokens = {0: "batch_size"}, {0: "batch_size", 1: "sequence_length"}
    output_names = list(model(**inputs))
    torch.onnx.export(
        model,
        (),
        path,
        kwargs=inputs,
        input_names=list(inputs),
        output_names=output_names,
        dynamic_shapes={name: rows if name.startswith("region") else tokens for name in inputs},
        dynamo=True,
        verbose=False,
    )
    return output_names


@torch.no_grad()
def largest_difference(model: torch.nn.Module, path: Path, batches: list[dict[str, torch.Tensor]]) -> float:
    """Between the outputs of PyTorch and onnxruntime, over all batches."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    difference = 0.0
    for inputs in batches:
        expected = model(**inputs).to_tuple()
        outputs = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        for value, other in zip(outputs, expected, strict=True):
            # A NaN counts as infinitely different.
            difference = max(difference, float((torch.from_numpy(value) - other).abs().nan_to_num(torch.inf).max()))
    return difference


def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("the export needs onnx, onnxscript and onnxruntime: pip install genebert[onnx]") from error
    if Version(torch.__version__) < Version("2.7"):
        raise ImportError(f"the export needs torch 2.7 or newer, found {torch.__version__}")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # that torchvision's operators are not there

    source, task = args.model_name_or_path, args.task or task_of(args.model_name_or_path)
    processor = AutoProcessor.from_pretrained(source, trust_remote_code=True)
    model = AUTO_CLASSES[task].from_pretrained(source, dtype=torch.float32, trust_remote_code=True).eval()

    args.output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.output_dir) as folder:  # nothing unchecked is left behind
        path = Path(folder) / "model.onnx"
        outputs = export(model, make_inputs(processor, 2, 60, not args.without_regions), path)
        batches = [
            make_inputs(processor, batch_size, length, not args.without_regions)
            for batch_size in BATCH_SIZES
            for length in LENGTHS
        ]
        difference = largest_difference(model, path, batches)
        if difference > TOLERANCE:
            raise ValueError(
                f"the exported {type(model).__name__} differs from PyTorch by {difference:.1e}, more than the "
                f"{TOLERANCE:.0e} allowed: nothing was written; please report it with the versions of torch and "
                "onnxruntime"
            )
        for file in sorted(Path(folder).iterdir()):
            shutil.move(file, args.output_dir / file.name)
    model.config.save_pretrained(args.output_dir)
    processor.save_pretrained(args.output_dir)

    print(f"{args.output_dir / 'model.onnx'}: {type(model).__name__} for {task}")
    print(f"inputs   {', '.join(batches[0])}")
    print(f"outputs  {', '.join(outputs)}")
    shapes = sorted({tuple(inputs["input_ids"].shape) for inputs in batches})
    print(f"checked  {', '.join(f'{rows}×{tokens}' for rows, tokens in shapes)} tokens")
    print(f"largest difference from PyTorch: {difference:.1e}")


if __name__ == "__main__":
    main()
