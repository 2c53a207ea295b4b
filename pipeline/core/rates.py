"""How a rate stands in the name of a number, where a dot would part keys."""


def in_words(rate: float) -> str:
    """`5_percent` of 0.05, `0_1_percent` of 0.001."""
    return f"{100 * rate:g}_percent".replace(".", "_")
