"""Tables: a file for each task; files with an underscore hold the tables and what tasks share."""
