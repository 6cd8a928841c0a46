"""One file for each public set: how its published files become tables, with the same splits for everyone."""
