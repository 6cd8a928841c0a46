"""What draws modalities together in one space."""
