"""The published numbers of SEER/TELLME beside those of this run, with what differs in method."""
