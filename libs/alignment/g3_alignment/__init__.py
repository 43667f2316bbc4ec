"""The G3 alignment model: CLIP towers, heads, GPS encoder, preprocessing, checkpoints, fingerprints.

Sources: G3 (Jia et al., NeurIPS 2024), CLIP (Radford et al., 2021), GeoCLIP (Vivanco et al., NeurIPS 2023).
"""

from g3_alignment.checkpoint import Description, describe, initialise, load, load_gps, save
from g3_alignment.configuration import PRESETS, AlignmentConfiguration, GpsConfiguration, Preprocessing, preset
from g3_alignment.fingerprint import Fingerprint, fingerprint, fingerprint_of
from g3_alignment.model import AlignmentModel, GpsModel, ImageVectors
from g3_alignment.open_clip_weights import load_tower_weights
from g3_alignment.preprocessing import PhotoPreprocessor
from g3_alignment.published import load_location_encoder, load_published
from g3_alignment.text import place_text

__all__ = [
    "PRESETS",
    "AlignmentConfiguration",
    "AlignmentModel",
    "Description",
    "Fingerprint",
    "GpsConfiguration",
    "GpsModel",
    "ImageVectors",
    "PhotoPreprocessor",
    "Preprocessing",
    "describe",
    "fingerprint",
    "fingerprint_of",
    "initialise",
    "load",
    "load_gps",
    "load_location_encoder",
    "load_published",
    "load_tower_weights",
    "place_text",
    "preset",
    "save",
]
