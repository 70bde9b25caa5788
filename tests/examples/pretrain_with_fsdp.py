"""`examples/pretrain.py` with FSDP2 on CPUs, where Accelerate shards only when told so as below. For torchrun."""

from __future__ import annotations

from typing import Any

import accelerate
from accelerate import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

import examples.pretrain


class AcceleratorThatShardsOnCpu(accelerate.Accelerator):
    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        # What AcceleratorState does on GPUs: each new one copies it from PartialState.
        PartialState._shared_state["distributed_type"] = self.state.distributed_type = DistributedType.FSDP
        self.state.fsdp_plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            auto_wrap_policy="transformer_based_wrap",
            transformer_cls_names_to_wrap=["BertLayer", "SwinStage", "GeneBertFusionLayer"],
            reshard_after_forward=True,
            state_dict_type="SHARDED_STATE_DICT",
            cpu_ram_efficient_loading=False,
        )


if __name__ == "__main__":
    examples.pretrain.Accelerator = AcceleratorThatShardsOnCpu
    examples.pretrain.main()
