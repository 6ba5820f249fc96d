"""K-means and its relatives."""
