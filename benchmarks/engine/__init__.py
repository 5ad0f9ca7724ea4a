"""Tasks, their rows, and the store and runner that keep them."""
