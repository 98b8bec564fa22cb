"""The ledger: every tensor of both sides has exactly one state."""
