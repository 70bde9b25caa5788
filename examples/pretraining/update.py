"""One update of the weights, the same however many processes share its windows."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import torch
from accelerate import Accelerator


LOSSES = ("mgm_loss", "ngsp_loss", "srm_loss")
LABELS = ("labels", "ngsp_labels", "srm_labels")  # that each loss is a mean over
IGNORED = -100  # a label that does not count


def update_weights(
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[dict[str, torch.Tensor]],
    *,
    loss_weights: Sequence[float],
    max_grad_norm: float,
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """
    Forward, backward and, where the gradients are finite, a step of the optimizer.

    Each loss is a mean over labels, whose number differs between batches and processes: the mean of their means would
    be another loss on another number of processes. So every batch counts by its share of all labels of the update.

    Args:
        accelerator (`Accelerator`): has prepared model and optimizer.
        model (`torch.nn.Module`): `GeneBertForPreTraining`.
        optimizer (`torch.optim.Optimizer`): of its weights.
        batches (`Sequence` of `dict`): this process's, as the collator makes them.
        loss_weights (`Sequence` of `float`): of the three losses.
        max_grad_norm (`float`): gradients are clipped to this norm; 0 = not clipped.

    Returns:
        The part that this process has in each loss, of shape `(3,)` (their sums over all processes are the losses);
        which losses have labels in this update, of shape `(3,)`, 1 or 0, the same in all processes; and the norm of
        the gradients before clipping, the same in all processes.
    """
    device = accelerator.device
    # Labels of a sequence count as often as it is read.
    read = [{**batch, "labels": batch["labels"][batch["sequence_rows"]]} for batch in batches]
    counts = torch.tensor([[int((batch[name] != IGNORED).sum()) for name in LABELS] for batch in read])
    counts = counts.to(device)
    total = accelerator.reduce(counts.sum(dim=0))
    shares = counts / total.clamp(min=1)
    weights = torch.tensor(loss_weights, device=device)
    parts = torch.zeros(len(LOSSES), device=device)
    for number, (batch, share) in enumerate(zip(batches, shares, strict=True), start=1):
        inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "hidden_bases"}
        with contextlib.nullcontext() if number == len(batches) else accelerator.no_sync(model):
            output = model(**inputs)
            losses = torch.stack([output[name].float() for name in LOSSES]) * share
            # Processes take the mean of their gradients, and the shares of all processes add up to one.
            accelerator.backward((losses * weights).sum() * accelerator.num_processes)
        parts += losses.detach()
    norm = float(accelerator.clip_grad_norm_(model.parameters(), max_grad_norm or math.inf))
    if math.isfinite(norm):
        optimizer.step()
    optimizer.zero_grad()
    return parts, (total > 0).float(), norm
