"""Every metric of texts and vectors, with its interval; it must know no monitor and no torch."""
