"""Tables, figures and the page, from files alone. It knows `core` alone, and no torch."""
