"""Two checkpoints compared tensor by tensor: what is identical, what differs and where, what one side lacks."""
