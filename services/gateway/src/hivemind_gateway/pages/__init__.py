"""What is shown to people: pages, and the files that they are made of."""
