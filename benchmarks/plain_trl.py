"""What a user of TRL writes for the same training: its own collator, no callback but the one that tells the time."""

SCRIPT = """
import sys

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

print("step", 0, flush=True)
model, rows, output, steps, logging_steps = sys.argv[1:]


class Stamp(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step in (1, state.max_steps):
            print("step", state.global_step, flush=True)


trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
    args=SFTConfig(
        output_dir=output,
        per_device_train_batch_size=32,
        max_steps=int(steps),
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
        optim="adamw_torch",
        bf16=False,
        activation_checkpointing=False,
        logging_steps=int(logging_steps),
        save_steps=100,
        save_total_limit=2,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
    ),
    train_dataset=Dataset.from_file(rows).select_columns(["input_ids", "labels"]),
    processing_class=AutoTokenizer.from_pretrained(model),
)
trainer.add_callback(Stamp())
print("loss", trainer.train().training_loss, flush=True)
"""
"""Takes a model's folder, the file of token rows, a folder to write to, how many steps to train, how often to log.

Step 0 is over when the libraries are imported.
"""
