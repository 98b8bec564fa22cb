"""The ledger: every tensor of either side in exactly one state."""
