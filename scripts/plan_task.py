"""The networks of `check_plan.py`, which the predictions were not fitted to."""

import torch
from torch import Tensor, nn


class Perceptron(nn.Module):
    """784 - 100 - 10 with tanh, log-probabilities out."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 100), nn.Tanh(), nn.Linear(100, 10), nn.LogSoftmax(dim=1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Log-probabilities of (batch, 1, 28, 28) images."""
        scores: torch.Tensor = self.layers(images)
        return scores


class OneConvolution(nn.Module):
    """Ten 5 x 5 kernels, ReLU, maxima of 4 x 4 pixels, 360 - 10; log-probabilities out."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 10, 5), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(),
            nn.Linear(360, 10), nn.LogSoftmax(dim=1),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """Log-probabilities of (batch, 1, 28, 28) images."""
        scores: torch.Tensor = self.layers(images)
        return scores
