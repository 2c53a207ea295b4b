"""Files of the Hugging Face Hub: fetched, pinned, verified. It knows `core` alone, and nothing of
what the files are for."""
