"""One module per figure, with its settings, its table and, for some figures, its study."""
