"""One module per figure: its settings, its table and, where it has one, its study."""
