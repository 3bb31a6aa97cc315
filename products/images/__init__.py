"""The image library: keep pictures, make their renditions, and say what shows which."""
