"""How good a model is, how sure that is, and what each of its inputs is worth."""
