"""From trajectories to context pairs: masking, the cascade, cutting."""
