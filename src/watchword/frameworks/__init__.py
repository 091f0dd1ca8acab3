"""Web frameworks: one file each; a file knows no other."""
