"""Hidden states in words (SelfIE, arXiv 2403.10949), with controls; it must know nothing of
training and of other inference."""
