"""The subscribers: one file, or folder where it is big, per subscriber."""
