"""A model at work: hidden states, answers, and a monitor beside a running generation; it must know
nothing of training and SelfIE."""
