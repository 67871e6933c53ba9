"""What a task would come to. ``estimator`` answers calls; ``estimate`` counts; ``lengths`` and ``packing`` say how."""
