"""What a user of TRL writes for packed rows on one GPU: the same rows, kernels and settings."""

SCRIPT = """
import json
import resource
import sys
import time

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback
from trl import SFTConfig, SFTTrainer

wanted = json.loads(sys.argv[1])
ended = {}


class Stamp(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        ended[state.global_step] = time.perf_counter()


offloading = {
    "zero_optimization": {
        "stage": 3,
        "offload_optimizer": {"device": "cpu", "pin_memory": True},
        "offload_param": {"device": "cpu", "pin_memory": True},
        "stage3_gather_16bit_weights_on_model_save": True,
    },
    "bf16": {"enabled": True},
    "train_micro_batch_size_per_gpu": "auto",
    "train_batch_size": "auto",
    "gradient_accumulation_steps": "auto",
}
settings = SFTConfig(
    output_dir=wanted["output"],
    per_device_train_batch_size=1,
    max_steps=wanted["steps"],
    learning_rate=1e-5,
    lr_scheduler_type="cosine",
    optim="adamw_torch",
    bf16=True,
    gradient_checkpointing=True,
    gradient_checkpointing_kwargs={"use_reentrant": False},
    logging_steps=1,
    save_strategy="no",
    max_length=None,
    padding_free=True,
    dataset_kwargs={"skip_prepare_dataset": True},
    use_cpu=not torch.cuda.is_available(),
    report_to="none",
    deepspeed=offloading if wanted["offloaded"] else None,
)
four = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_use_double_quant=True,
    bnb_4bit_compute_dtype=torch.bfloat16,
    bnb_4bit_quant_storage=torch.uint8,
)
whole = wanted["lora"] or wanted["offloaded"]
trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(
        wanted["model"],
        dtype=torch.bfloat16 if whole else torch.float32,
        attn_implementation="sdpa",
        quantization_config=four if wanted["four"] else None,
    ),
    args=settings,
    train_dataset=Dataset.from_file(wanted["rows"]),
    processing_class=AutoTokenizer.from_pretrained(wanted["model"]),
    peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    if wanted["lora"]
    else None,
)
trainer.add_callback(Stamp())
loss = trainer.train().training_loss
if torch.cuda.is_available():
    held = torch.cuda.max_memory_reserved()
else:
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
seconds = ended[wanted["steps"]] - ended[wanted["from"]]
print(json.dumps({"seconds": seconds, "gib": round(held / 2**30, 3), "loss": loss}))
"""
"""Takes what is wanted as JSON, and prints what was measured as JSON in its last line."""
