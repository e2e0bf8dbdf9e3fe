"""Networks, each with a width and a depth.

A factory takes (width, depth, classes) and options by name, and returns a flax module.
Where its `__call__` has an argument `train`, it is told whether it is in training.
Names of layers sort in forward order, those that are made of several behind single
ones: allocations and reports know the first layer by its name.
"""
