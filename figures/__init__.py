"""One module a figure: tables in, figures out, nothing computed."""
