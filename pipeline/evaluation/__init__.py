"""Every metric of texts and vectors, with its interval. It knows no monitor and no torch."""
