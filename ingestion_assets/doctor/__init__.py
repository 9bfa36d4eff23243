"""What is stored against where it comes from and what it leads to: found, and mended."""
