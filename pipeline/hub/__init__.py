"""Files of the Hugging Face Hub and of the Python package index, fetched, pinned and verified; it
must know only `core`, and not what the files are for."""
