"""Networks, each with a width and a depth."""
