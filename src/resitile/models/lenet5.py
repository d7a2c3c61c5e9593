"""LeNet-5 as the experiments of multi-tile residual learning use it: 5 x 5 kernels, tanh.

References:
    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE 86(11), 1998; the layer sizes are those of
    arXiv 2510.02516.
"""

from torch import Tensor, nn

from resitile.models.base import model


@model("lenet5")
class LeNet5(nn.Module):
    """Two convolutions and two fully connected layers; 80,202 parameters.

    Takes images of shape (batch, 1, 28, 28) in [0, 1], gives log-probabilities of ten classes,
    shape (batch, 10).
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 5),  # (batch, 16, 24, 24)
            nn.Tanh(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5),  # (batch, 32, 8, 8)
            nn.Tanh(),
            nn.MaxPool2d(2),
            nn.Tanh(),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (batch, 512)
            nn.Linear(512, 128),
            nn.Tanh(),
            nn.Linear(128, 10),
            nn.LogSoftmax(dim=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Log-probabilities of the ten classes."""
        scores: Tensor = self.classifier(self.features(images))
        return scores
