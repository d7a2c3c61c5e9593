"""The network of the fourth task of `check_plan.py`: a convolution with strides and two layers."""

from torch import Tensor, nn


class Strided(nn.Module):
    """Twelve 4 x 4 kernels in steps of 3, then 64 hidden units."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 12, 4, stride=3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(12 * 81, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Scores (n, 10) of images (n, 1, 28, 28)."""
        return self.layers(images)  # type: ignore[no-any-return]
