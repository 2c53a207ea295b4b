"""Losses, the finetune's step and the embedded model's pretraining; it must know nothing of how
trained models are used."""
