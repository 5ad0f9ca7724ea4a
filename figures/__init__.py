"""One module per figure: a table in, a figure out, no results computed."""
