"""Everything that Dagster loads; the only folder that knows Dagster."""
