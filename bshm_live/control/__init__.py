"""Changes while the program runs: what is wished, and how others say so."""
