"""What training leaves beside a model's weights: optimizer state, moving averages, and bookkeeping."""
