"""Images with labels: digits, MNIST, CSV files and folders."""
