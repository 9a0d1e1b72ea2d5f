"""From the bytes of a stranger to a picture and its thumbnail: decoded, turned upright, without what they tell of their maker."""

from dataclasses import dataclass
from io import BytesIO

from PIL import Image, features

from common.images.reasons import NotAvailable

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", *(("AVIF",) if features.check("avif") else ()))
#: Pixels of what is decoded: of a JPEG, which a camera of 50 megapixels makes; of others, which take more memory for each. 0.6 GB at
#: worst, as measured (a WebP with alpha; a progressive JPEG in CMYK). And of the longer side of what is kept.
PIXELS, PIXELS_OF_OTHERS, PICTURE, THUMBNAIL = 8192 * 6144, 25_000_000, 2048, 320
QUALITY = 85
#: Passes in which a JPEG is drawn; encoders make about ten.
SCANS = 100

_ORIENTATION = 0x0112  # Exif's tag; how it is undone
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Picture:
    """Both as JPEG; width and height are the picture's, in pixels."""

    picture: bytes
    thumbnail: bytes
    width: int
    height: int


def develop(data: bytes) -> Picture:
    """Trusts nothing but the decoders, for which see `darkroom`. Raises NotAvailable for what is no image, or has too many pixels."""
    try:
        image = _decoded(data)
    except (NotAvailable, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise NotAvailable("too-many-pixels") from None
    except Exception:  # noqa: BLE001 - decoders raise whatever comes to their mind
        raise NotAvailable("not-an-image") from None
    picture = _jpeg(image)
    width, height = image.size
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return Picture(picture, _jpeg(image), width, height)


def _decoded(data: bytes) -> Image.Image:
    """The first frame, no larger than it is kept, upright, in RGB."""
    with Image.open(BytesIO(data), formats=FORMATS) as opened:
        limit = PIXELS if opened.format in ("JPEG", "MPO") else PIXELS_OF_OTHERS
        if opened.width * opened.height > limit:
            raise NotAvailable("too-many-pixels", f"At most {limit} are decoded.")
        # Each pass over a large JPEG takes its time, and a few dozen bytes: ten megabytes of them would take an hour. (Within what is
        # drawn the mark of a pass never stands.)
        if opened.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > SCANS:
            raise NotAvailable("too-many-scans", f"At most {SCANS} are followed.")
        orientation = opened.getexif().get(_ORIENTATION)
        image: Image.Image = opened
        if image.mode not in ("RGB", "L", "CMYK"):
            image = _on_white(image)
        image.thumbnail((PICTURE, PICTURE))
        if orientation in _UPRIGHT:
            image = image.transpose(_UPRIGHT[orientation])
        image = image.convert("RGB")
        image.load()
    image.info = {}  # what would else be written again: comments, profiles
    return image


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey
        return image.point(lambda value: value * (1 / 256)).convert("L")
    if image.mode == "P" and "transparency" not in image.info:
        return image.convert("RGB")
    whole = image if image.mode == "RGBA" else image.convert("RGBA")
    white = Image.new("RGB", whole.size, "white")
    white.paste(whole, mask=whole)
    return white


def _jpeg(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
