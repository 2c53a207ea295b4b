"""Files of the Hugging Face Hub, fetched, pinned and verified; it must know only `core`, and not
what the files are for."""
