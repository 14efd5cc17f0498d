"""U-Nets for the semantic segmentation of road scenes.

The package imports nothing heavy by itself: ``import unet_tutorial`` does not
import torch. Take what you need from its modules, for example
``from unet_tutorial.models.unet import UNet``.
"""
