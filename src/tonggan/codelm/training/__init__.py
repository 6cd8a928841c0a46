"""Training of code models on a user's own corpus, judged by whether it beats what the user has already."""
