"""A model at work: hidden states, answers, and a monitor beside a running generation. It knows
nothing of training and SelfIE."""
