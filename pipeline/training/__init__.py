"""Losses, the finetune's step and the embedded model's pretraining. It knows nothing of how trained
models are used."""
