"""What can be wrong in the tables: a module for each pair that is compared."""
