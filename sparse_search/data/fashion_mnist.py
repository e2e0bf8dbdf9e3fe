"""Fashion-MNIST: images of clothes, made as a drop-in replacement of MNIST.

Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747.
"""

from pathlib import Path

from sparse_search.data.dataset import Dataset
from sparse_search.data.mnist import FASHION_MNIST, load_published


def load(data_dir: str | Path | None) -> Dataset:
    """Loads Fashion-MNIST: 60,000 training and 10,000 test images of shape [28, 28].

    Args:
        data_dir: the folder with the four official files, gzipped or not, in itself
            or in its subfolder `fashion_mnist`; without one, the user's cache.

    Raises:
        UserError: a file is missing and cannot be downloaded, or is not what it
            should be.
    """
    return load_published(FASHION_MNIST, data_dir)
