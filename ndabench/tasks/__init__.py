"""The tasks: one loop for all of them (`trainer`), and a package for each family (`gan`, `contrastive`)."""
