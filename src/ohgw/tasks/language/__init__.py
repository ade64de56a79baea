"""Text: a file for each task; files with an underscore hold the transformer, corpora and tokens."""
