"""Sources of text made into labelled examples, documents, requests and pairs. It knows no model
and no torch."""
