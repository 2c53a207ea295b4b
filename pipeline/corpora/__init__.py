"""Sources of text made into labelled examples, documents, requests and pairs; it must know no
model and no torch."""
