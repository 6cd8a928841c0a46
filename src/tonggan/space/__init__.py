"""One space for all modalities: towers over frozen features that are trained to match, and what searches by them."""
