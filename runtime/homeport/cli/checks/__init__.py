"""What ``homeport doctor`` looks at, one module per place."""
