"""Reads, checks, hashes and decodes untrusted images."""

from mminf.image.decode import Decoded, as_seen, decode_image
from mminf.image.embed import embedded_bytes
from mminf.image.formats import (
    ALL_SUFFIXES,
    HEIF_HINT,
    HEIF_SUFFIXES,
    SUFFIXES,
    has_heif,
    image_ending,
    looks_like_image_bytes,
    looks_like_image_name,
)
from mminf.image.identity import ImageStat, image_digest, stat_image, stat_object
from mminf.image.measure import Measured, measure_image
from mminf.image.normalise import scale_down
from mminf.image.policy import MAX_PIXELS, ImagePolicy, check_allowed, hub_blobs, local_path
from mminf.image.preview import make_preview
from mminf.image.read import read_image
from mminf.image.store import FULL, DigestCache, ImageStore, LoadedImage, View

__all__ = [
    "ALL_SUFFIXES",
    "FULL",
    "HEIF_HINT",
    "HEIF_SUFFIXES",
    "MAX_PIXELS",
    "SUFFIXES",
    "Decoded",
    "DigestCache",
    "ImagePolicy",
    "ImageStat",
    "ImageStore",
    "LoadedImage",
    "Measured",
    "View",
    "as_seen",
    "check_allowed",
    "decode_image",
    "embedded_bytes",
    "has_heif",
    "hub_blobs",
    "image_digest",
    "image_ending",
    "local_path",
    "looks_like_image_bytes",
    "looks_like_image_name",
    "make_preview",
    "measure_image",
    "read_image",
    "scale_down",
    "stat_image",
    "stat_object",
]
