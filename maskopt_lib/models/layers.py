"""Blocks that several networks are made of."""

from torch import nn


def conv(n_in: int, n_out: int, size: int = 3, *, stride: int = 1, norm: bool = True) -> nn.Sequential:
    """Convolution with bias, zeros beyond the border; batch norm; ReLU.

    Parameters
    ----------
    n_in, n_out : channels.
    size : of the kernel, odd; the image keeps its size, divided by the stride.
    stride : pixels between results.
    norm : whether batch norm follows.
    """
    layers: list[nn.Module] = [nn.Conv2d(n_in, n_out, size, stride=stride, padding=size // 2)]
    if norm:
        layers.append(nn.BatchNorm2d(n_out))
    return nn.Sequential(*layers, nn.ReLU())


def conv_up(n_in: int, n_out: int) -> nn.Sequential:
    """Transposed 3 x 3 convolution of stride 2 to exactly twice the size, batch norm, ReLU."""
    up = nn.ConvTranspose2d(n_in, n_out, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(up, nn.BatchNorm2d(n_out), nn.ReLU())


def convs(n_in: int, n_out: int, n: int, *, norm: bool = True) -> nn.Sequential:
    """``n`` 3 x 3 convolutions with batch norm and ReLU, the first of which changes the number of channels."""
    return nn.Sequential(*(conv(n_in if i == 0 else n_out, n_out, norm=norm) for i in range(n)))
