"""Make entities what a file declares: plan first, then create, change and delete."""
