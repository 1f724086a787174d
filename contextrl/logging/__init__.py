"""Where a run's rows of metrics go beside its folder: TensorBoard, Weights & Biases, MLflow."""
