"""A language model for software: corpus, training, completion, search, and the editor."""
