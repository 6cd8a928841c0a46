"""The shipped recipes (YAML) and their measured results (JSON)."""
