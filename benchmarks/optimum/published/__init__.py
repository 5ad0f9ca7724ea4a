"""Published optimisers of schedules, on mixtures of one coordinate with exact denoisers."""
