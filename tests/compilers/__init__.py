"""C compilers: each that is here takes what Fate is compiled from, and an install without one says what is missing."""
