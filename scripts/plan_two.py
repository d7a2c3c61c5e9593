"""The network of the fifth task of `check_plan.py`: two convolutions and one linear layer."""

from torch import Tensor, nn


class TwoConvolutions(nn.Module):
    """Eight 5 x 5 kernels, pooled, sixteen 3 x 3 kernels, pooled, then the scores."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 5),
            nn.Tanh(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3),
            nn.Tanh(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * 25, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Scores (n, 10) of images (n, 1, 28, 28)."""
        return self.layers(images)  # type: ignore[no-any-return]
