"""The only training loop, its checkpoints, and the fine-tuned estimator."""
