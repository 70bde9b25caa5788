"""The command line of `examples/pretrain.py`."""

from __future__ import annotations

import argparse
from pathlib import Path

from huggingface_hub import get_token


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Pre-train GeneBERT.", formatter_class=argparse.HelpFormatter)
    data = parser.add_argument_group("data (with none of these: the simulated atlas)")
    data.add_argument("--dataset_name_or_path", help="a folder built by hub_datasets.atac_seq, or a Hub data set")
    data.add_argument("--genome", type=Path, help="FASTA, plain or gzip or bgzip; needs --peaks")
    data.add_argument("--peaks", type=Path, nargs="+", help="BED or narrowPeak files, one a cell type, or a folder")
    data.add_argument("--motifs", help="JASPAR release or motif file; default JASPAR2026, or the atlas's own")
    data.add_argument("--eval_chromosomes", nargs="+", help="held out of training, evaluated on")
    data.add_argument("--eval_cell_types", nargs="*", default=None, help="held out of training, evaluated on")
    data.add_argument("--window_stride", type=int, default=1, help="every n-th open region is an anchor")
    data.add_argument(
        "--num_background",
        type=int,
        default=0,
        help="of --genome: up to so many sequences from all over the training chromosomes, for --background_fraction",
    )
    data.add_argument("--segment_length", type=int, default=256, help="bp of a region that enter as a segment")
    data.add_argument(
        "--central_segments",
        action="store_true",
        help="segments are the centres of regions, on the forward strand; default: random parts on random strands",
    )
    data.add_argument("--num_cpu_threads", type=int, help="on CPU, threads a process; default: all cores shared out")
    data.add_argument("--num_workers", type=int, default=0, help="processes that prepare batches")

    model = parser.add_argument_group("model")
    model.add_argument("--model_name_or_path", help="start from this checkpoint instead of a preset")
    model.add_argument("--model_preset", default="tiny", choices=["tiny", "compact", "small", "base"])
    model.add_argument("--kmer", type=int, help="default: the preset's, 6 but for compact, which has 4")
    model.add_argument("--stride", type=int, default=1, help="bp between k-mers")
    model.add_argument(
        "--config_overrides",
        help='fields of GeneBertConfig, JSON or a JSON file: {"num_conv_layers": 1, "sequence_config": {...}}',
    )
    model.add_argument(
        "--modality", default="both", choices=["both", "sequence"], help="sequence: no region matrix, and so no SRM"
    )
    model.add_argument("--dropout", type=float, default=0.1, help="of the sequence encoder and the heads")

    losses = parser.add_argument_group("losses")
    losses.add_argument("--mgm_loss_weight", type=float, default=1.0)
    losses.add_argument("--ngsp_loss_weight", type=float, default=1.0)
    losses.add_argument("--srm_loss_weight", type=float, default=1.0)
    losses.add_argument("--mask_probability", type=float, default=0.15, help="share of bases")
    losses.add_argument(
        "--background_fraction",
        type=float,
        default=0.0,
        help="share of examples that are background sequences, for MGM alone; the set needs them: --num_background",
    )
    losses.add_argument("--ngsp_fraction", type=float, default=0.3, help="windows asked by NGSP, others by SRM")
    losses.add_argument("--hard_negative_fraction", type=float, default=0.5, help="SRM pairs of two cell types")
    losses.add_argument(
        "--like_gc_fraction", type=float, default=0.5, help="of the other SRM pairs: anchors of like GC content"
    )
    losses.add_argument("--hidden_fraction", type=float, default=0.5, help="examples with A's and B's columns hidden")
    losses.add_argument("--self_tiled_fraction", type=float, default=0.1, help="matrix made of the sequence itself")

    train = parser.add_argument_group("training")
    train.add_argument("--output_dir", type=Path, required=True)
    train.add_argument("--overwrite_output_dir", action="store_true")
    train.add_argument("--max_train_steps", type=int, default=1000)
    train.add_argument("--per_device_train_batch_size", type=int, default=16)
    train.add_argument("--per_device_eval_batch_size", type=int, default=32)
    train.add_argument("--gradient_accumulation_steps", type=int, default=1)
    train.add_argument("--learning_rate", type=float, default=5e-4)
    train.add_argument("--weight_decay", type=float, default=0.01)
    train.add_argument("--warmup_steps", type=int, help="default: a tenth of all steps")
    train.add_argument("--lr_scheduler_type", default="cosine")
    train.add_argument("--max_grad_norm", type=float, default=1.0, help="0 = do not clip")
    train.add_argument("--skip_nonfinite_steps", type=int, default=0, help="leave out up to so many, then stop")
    train.add_argument("--mixed_precision", choices=["no", "bf16"], help="default: as `accelerate launch` says")
    train.add_argument("--gradient_checkpointing", action="store_true", help="less memory, about 30 %% more time")
    train.add_argument("--torch_compile", action="store_true", help="compile the model; takes minutes at the start")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--report_to", default="none", choices=["none", "tensorboard", "wandb", "trackio"])
    train.add_argument("--logging_steps", type=int, default=10)
    train.add_argument("--eval_steps", type=int, help="default: ten evaluations a run")
    train.add_argument("--quick_eval_windows", type=int, default=200, help="windows a figure while training")
    train.add_argument("--max_eval_windows", type=int, help="windows a figure at the end; default: all")
    train.add_argument("--checkpointing_steps", type=int, help="default: ten checkpoints a run")
    train.add_argument("--save_total_limit", type=int, default=2)
    train.add_argument("--resume_from_checkpoint", help="a checkpoint folder, or 'latest'")
    train.add_argument("--push_to_hub", action="store_true", help="push the finished run; needs --hub_model_id")
    train.add_argument("--hub_model_id", help="user/name or organization/name; made if it is not there")
    train.add_argument("--hub_private_repo", action="store_true", default=None, help="of a new repository")
    train.add_argument(
        "--hub_strategy",
        default="end",
        choices=["end", "every_save", "checkpoint", "all_checkpoints"],
        help="push the finished run alone, or the model at every checkpoint, too; the last two are refused: pickles",
    )
    args = parser.parse_args(arguments)

    if (args.genome is None) != (args.peaks is None):
        parser.error("--genome and --peaks go together")
    if args.genome and args.dataset_name_or_path:
        parser.error("give either --dataset_name_or_path or --genome and --peaks")
    if args.genome and not args.eval_chromosomes:
        parser.error("--genome needs --eval_chromosomes: the chromosomes to hold out of training")
    if args.dataset_name_or_path and (args.eval_chromosomes or args.eval_cell_types is not None):
        parser.error("a built data set has its own split: --eval_chromosomes and --eval_cell_types do not apply")
    if args.push_to_hub and args.hub_model_id is None:
        parser.error("--push_to_hub needs --hub_model_id")
    if args.push_to_hub and args.hub_strategy in ("checkpoint", "all_checkpoints"):
        parser.error(
            f"--hub_strategy {args.hub_strategy} would push optimizer states, which are pickles: pass end or "
            "every_save, and resume from the folder on this machine"
        )
    if args.push_to_hub and get_token() is None:  # said now, not after days of training
        parser.error("--push_to_hub needs a token: log in with `hf auth login`, or set HF_TOKEN")
    if not 0 <= args.background_fraction < 1:
        parser.error(f"--background_fraction is {args.background_fraction}, expected 0 <= fraction < 1")
    if args.model_name_or_path and args.config_overrides:
        parser.error("--model_name_or_path has a config of its own: --config_overrides does not apply")
    if args.modality == "sequence":
        args.srm_loss_weight = 0.0  # there is nothing to match
    for name in ("max_train_steps", "gradient_accumulation_steps", "save_total_limit"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    args.warmup_steps = args.warmup_steps if args.warmup_steps is not None else args.max_train_steps // 10
    args.eval_steps = args.eval_steps or max(1, args.max_train_steps // 10)
    args.checkpointing_steps = args.checkpointing_steps or max(1, args.max_train_steps // 10)
    return args
