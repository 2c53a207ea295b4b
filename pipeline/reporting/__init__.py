"""Tables, figures and the page, from files alone; it must know only `core`, and no torch."""
