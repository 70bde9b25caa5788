"""What `examples/pretrain.py` trains on, and the model that it trains."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from examples.config_overrides import merged, read_overrides
from hub_datasets.atac_seq import build_atac_seq
from hub_datasets.atac_seq.reader import AtacSeqSet, BackgroundDataset, PreTrainingDataset
from hub_datasets.simulated_atlas import simulate_atlas
from modeling_genebert import (
    GeneBertConfig,
    GeneBertDataCollatorForPreTraining,
    GeneBertFeatureExtractor,
    GeneBertForPreTraining,
    GeneBertProcessor,
    GeneBertTokenizer,
    training_plan,
)
from modeling_genebert.configuration_genebert import SELF_TILED_CONTEXT, WINDOW_CONTEXT
from modeling_genebert.region_encoder_genebert import GeneBertScoreNorm


NUM_SCORED, NUM_TILED = 4096, 256  # anchors that say how motif scores vary


def open_dataset(args: argparse.Namespace, accelerator: Accelerator) -> AtacSeqSet:
    """Build the set where files are given (once, by the main process), then open it."""
    name_or_path = args.dataset_name_or_path
    if name_or_path is None:
        name_or_path = args.output_dir / "dataset"
        if accelerator.is_main_process:
            build_dataset(args)
        accelerator.wait_for_everyone()
    atac = AtacSeqSet.load(name_or_path)
    for split in ("train", "validation"):
        if split not in atac.splits:
            raise ValueError(f"{name_or_path} has no split {split!r}, only {list(atac.splits)}")
    if args.background_fraction and atac.background is None:
        raise ValueError(
            f"--background_fraction {args.background_fraction}, but {name_or_path} has no background sequences: build "
            "the set with --num_background"
        )
    return atac


def build_dataset(args: argparse.Namespace) -> None:
    """Build the set from the user's files, or from an atlas that is simulated first, into `output_dir/dataset`."""
    sources = {"genome": args.genome, "peaks": args.peaks, "motifs": args.motifs or "JASPAR2026"}
    eval_chromosomes, eval_cell_types = args.eval_chromosomes, args.eval_cell_types or []
    if args.genome is None:
        atlas = args.output_dir / "simulated_atlas"
        if not (atlas / "simulation.json").exists():
            simulate_atlas(atlas, seed=0)
        sources = {
            "genome": atlas / "genome.fa",
            "peaks": atlas / "peaks",
            "motifs": args.motifs or atlas / "motifs.safetensors",
        }
        names = sorted(path.name.split(".")[0] for path in (atlas / "peaks").iterdir())
        eval_chromosomes = eval_chromosomes or ["chr7", "chr8"]
        eval_cell_types = names[-1:] if args.eval_cell_types is None else args.eval_cell_types
    build_atac_seq(
        **sources,
        output_dir=args.output_dir / "dataset",
        stride=args.window_stride,
        num_background=args.num_background,
        validation_chromosomes=eval_chromosomes,
        held_out_cell_types=eval_cell_types,
    )


def make_model(args: argparse.Namespace, atac: AtacSeqSet) -> tuple[GeneBertForPreTraining, GeneBertProcessor]:
    weights = {name: getattr(args, name) for name in ("mgm_loss_weight", "ngsp_loss_weight", "srm_loss_weight")}
    bank = atac.motif_bank
    if args.model_name_or_path:
        model = GeneBertForPreTraining.from_pretrained(args.model_name_or_path, dtype=torch.float32, **weights)
        model.config.check_motif_bank(bank.fingerprint, len(bank))
    else:
        fields = {
            **({} if args.kmer is None else {"kmer": args.kmer}),
            "stride": args.stride,
            "num_motifs": len(bank),
            "motif_bank_fingerprint": bank.fingerprint,
            "num_regions": atac.num_regions,
            "classifier_dropout": args.dropout,
            "sequence_config": {
                "hidden_dropout_prob": args.dropout,
                "attention_probs_dropout_prob": args.dropout,
            },
            **weights,
        }
        overrides = read_overrides(args.config_overrides)
        model = GeneBertForPreTraining(GeneBertConfig.from_preset(args.model_preset, **merged(fields, overrides)))
    config = model.config
    tokenizer = GeneBertTokenizer(
        kmer=config.kmer,
        stride=config.stride,
        model_max_length=model.genebert.max_num_tokens,
    )
    width = atac.regions.sequences.width
    extractor = GeneBertFeatureExtractor(bank, num_regions=config.num_regions, region_width=width)
    return model, GeneBertProcessor(extractor, tokenizer)


class TrainingData:
    """
    The training windows, dealt out to updates and processes.

    Every epoch pairs and shuffles the windows anew, and shows each of them twice (see `training_plan`), with as many
    background sequences among them as their share asks for. Pairs, order and masks follow from the seed alone and not
    from the number of processes: the examples of an update are the same wherever their number is the same.

    Args:
        args (`argparse.Namespace`): of the command line.
        atac (`AtacSeqSet`): the built set.
        collator (`GeneBertDataCollatorForPreTraining`): masks and lays out.
        num_processes, process_index (`int`): how many processes train, and which one this is.

    Raises:
        ValueError: an epoch has fewer examples than one update takes.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        atac: AtacSeqSet,
        collator: GeneBertDataCollatorForPreTraining,
        num_processes: int,
        process_index: int,
    ):
        self.args, self.atac, self.collator = args, atac, collator
        self.num_processes, self.process_index = num_processes, process_index
        self.windows, self.region_ids = atac.windows("train")
        share = args.background_fraction
        num_shown = 2 * len(self.windows)
        self.num_background = round(num_shown * share / (1 - share))
        self.num_examples = num_shown + self.num_background
        self.examples_per_update = args.per_device_train_batch_size * num_processes * args.gradient_accumulation_steps
        self.updates_per_epoch = self.num_examples // self.examples_per_update  # what is left over is left out
        if not self.updates_per_epoch:
            raise ValueError(
                f"an epoch has {self.num_examples} examples, but one update takes {self.examples_per_update}: "
                f"--per_device_train_batch_size {args.per_device_train_batch_size} × "
                f"--gradient_accumulation_steps {args.gradient_accumulation_steps} × {num_processes} processes"
            )

    def fit_score_norm(self, score_norm: GeneBertScoreNorm) -> None:
        """Tell the model how motif scores vary, from some anchors and from tiles of their sequences."""
        anchors = np.unique(self.windows.anchor)
        chosen = np.sort(np.random.default_rng(self.args.seed).permutation(anchors)[:NUM_SCORED])
        score_norm.fit(self.atac.regions.scores.take(chosen), WINDOW_CONTEXT)
        segments = self.atac.regions.segments(chosen[:: len(chosen) // NUM_TILED + 1], self.args.segment_length)
        scores, _, _, is_tile = self.collator.feature_extractor.tile_columns(segments)
        score_norm.fit(scores[is_tile], SELF_TILED_CONTEXT)

    @property
    def identity(self) -> dict[str, Any]:
        """What a resumed run must agree in, or windows would be seen twice or never."""
        names = ["seed", "per_device_train_batch_size", "gradient_accumulation_steps"]
        names += ["segment_length", "central_segments"]
        names += ["mask_probability", "hard_negative_fraction", "like_gc_fraction", "hidden_fraction"]
        names += ["self_tiled_fraction", "ngsp_fraction", "background_fraction"]
        chosen = {name: getattr(self.args, name) for name in names}
        return {"windows": len(self.windows), "num_processes": self.num_processes, **chosen}

    def updates(self, epoch: int, first_update: int = 0) -> Iterator[tuple[dict[str, torch.Tensor], ...]]:
        """This process's batches of each update of an epoch, `gradient_accumulation_steps` of them an update."""
        args = self.args
        rng = np.random.default_rng([args.seed, epoch])
        plan = training_plan(
            self.windows,
            rng,
            ngsp_fraction=args.ngsp_fraction,
            hard_negative_fraction=args.hard_negative_fraction,
            like_gc_fraction=args.like_gc_fraction,
            hidden_fraction=args.hidden_fraction,
            self_tiled_fraction=args.self_tiled_fraction,
        )
        # The fours of the plan stay together.
        four = np.r_[np.arange(len(plan)) // 4, (len(plan) + 3) // 4 + np.arange(self.num_background) // 4]
        order = np.argsort(rng.random(four[-1] + 1)[four], kind="stable")
        order = order[: self.updates_per_epoch * self.examples_per_update]
        batches_per_update = args.gradient_accumulation_steps
        shares = order.reshape(
            self.updates_per_epoch, batches_per_update, self.num_processes, args.per_device_train_batch_size
        )
        seed = int(rng.integers(2**31))
        shown = PreTrainingDataset(
            self.atac,
            self.windows,
            self.region_ids,
            plan,
            seed=seed,
            segment_length=args.segment_length,
            random_segments=not args.central_segments,
        )
        parts: list[Dataset] = [shown]
        if self.num_background and self.atac.background is not None:
            available = len(self.atac.background)
            times = -(-2 * self.num_background // available)
            rows = np.concatenate([rng.permutation(available) for _ in range(times)])[: 2 * self.num_background]
            background = BackgroundDataset(
                self.atac.background,
                rows.reshape(-1, 2),
                seed=int(rng.integers(2**31)),
                segment_length=args.segment_length,
            )
            parts.append(background)
        batches: DataLoader[Any] = DataLoader(
            ConcatDataset(parts),
            sampler=shares[first_update:, :, self.process_index].ravel().tolist(),
            batch_size=args.per_device_train_batch_size,
            collate_fn=self.collator,
            num_workers=args.num_workers,
            worker_init_fn=_leave_signals_to_parent,
            generator=torch.Generator(),  # else making an iterator draws from the RNG that a resumed run shares
        )
        yield from zip(*[iter(batches)] * batches_per_update, strict=True)


def _leave_signals_to_parent(worker: int) -> None:
    """Ctrl-C and Slurm signal a whole group of processes, but batches are needed until the step is finished."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
