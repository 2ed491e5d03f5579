"""The model that ships with the package: data files beside this one, no code."""
