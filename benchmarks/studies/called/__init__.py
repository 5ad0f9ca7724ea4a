"""Parts of the study of called levels: samples, free tables, and the tables of its page."""
