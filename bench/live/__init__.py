"""Real processes for the benches of revocation and of the authority: started, asked over loopback, and stopped."""
