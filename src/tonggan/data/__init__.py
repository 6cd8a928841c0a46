"""Data: tables of any format and size, what their columns are, and how rows are divided into parts."""
