"""What runs on a host: recipes, their bundle, the scripts around them, and how their story is read."""
