"""Files of the Hugging Face Hub and the Python package index, fetched, pinned and verified; it must
know only `core`, and not what the files are for."""
