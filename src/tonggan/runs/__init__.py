"""A whole run from a recipe to a bundle, and a bundle back to predictions."""
