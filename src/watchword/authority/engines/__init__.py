"""The two databases that the authority stands on, behind one protocol: a file each."""
