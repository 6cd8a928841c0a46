"""Networks made smaller: channels, hidden units and heads taken out, and arithmetic in 8-bit integers."""
