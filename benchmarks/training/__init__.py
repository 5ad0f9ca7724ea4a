"""Small training runs in torch: targets, training noise, evaluation, studies."""
