"""Networks, each with a width and a depth.

A factory takes (width, depth, classes) and options by name, and returns a flax module.
Where its `__call__` has an argument `train`, it is told whether it is in training.
Names of layers sort in forward order, those that are made of several behind single
ones: allocations and reports know the first layer by its name.

Initialisers draw for dense kernels: of variance 2 / fan-in before ReLU (`HeNormal`),
1 / fan-in elsewhere (flax's `lecun_normal`), orthogonal for the states of recurrent
layers. None knows the mask. What the mask leaves of the fan-in is made up for by the
algorithms that draw masks (`algorithms.base.scale_to_fan_in`), for every initialiser
and every kernel in the same way; those that begin dense, or prune at initialisation,
leave weights as they were drawn, and so do all with `config.sparsity.scale_init=False`.
"""
