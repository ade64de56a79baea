"""Images: a file for each task; files with an underscore hold networks, data and augmentation."""
