"""From a stranger's bytes to a picture and its thumbnail."""

from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from common.images.picture import FORMATS, develop
from common.images.reasons import NotAvailable
from common.testing.image_server import jpeg, pixel_bomb, scan_bomb


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def test_both_are_jpeg_within_their_sizes() -> None:
    made = develop(jpeg(4000, 1000))
    picture, thumbnail = opened(made.picture), opened(made.thumbnail)
    assert (picture.format, picture.size) == ("JPEG", (2048, 512)) == ("JPEG", (made.width, made.height))
    assert (thumbnail.format, thumbnail.size) == ("JPEG", (320, 80))


def test_a_small_one_is_not_made_larger() -> None:
    made = develop(jpeg(20, 10))
    assert opened(made.picture).size == opened(made.thumbnail).size == (20, 10)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_every_format_is_read(format: str, mode: str) -> None:
    image = Image.new("RGB", (40, 30), "red").convert(mode)
    if format == "JPEG" and mode in ("RGBA", "P"):
        image = image.convert("CMYK")
    red, green, blue = opened(develop(encoded(image, format)).picture).getpixel((20, 15))
    assert (red > 60 and abs(green - red) < 5) if mode == "L" else (red > 220 and green < 40 and blue < 40)


def test_sixteen_bits_of_grey_are_scaled() -> None:
    image = Image.new("I;16", (20, 20), 0x8000)
    assert opened(develop(encoded(image, "PNG")).picture).getpixel((5, 5))[0] in range(124, 133)


def test_what_is_transparent_becomes_white() -> None:
    for data in (
        encoded(Image.new("RGBA", (20, 20), (255, 0, 0, 0)), "PNG"),
        encoded(Image.new("RGBA", (20, 20), (255, 0, 0, 0)), "WEBP", lossless=True, exact=True),
        encoded(Image.new("P", (20, 20), 0), "GIF", transparency=0),
    ):
        assert min(opened(develop(data).picture).getpixel((10, 10))) > 250


def test_of_an_animation_the_first_frame_is_kept() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    for format in ("GIF", "WEBP"):
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
        assert opened(develop(data).picture).getpixel((10, 10))[0] > 220


def test_it_is_turned_upright_and_tells_nothing_of_where_it_was_taken() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    exif[0x010F] = "a maker of cameras"
    exif.get_ifd(0x8825)[1] = "N"  # GPS
    data = jpeg(60, 30, exif=exif, comment=b"a comment of mine")
    assert b"a maker" in data and b"a comment" in data
    made = develop(data)
    assert opened(made.picture).size == (30, 60)
    for kept in (made.picture, made.thumbnail):
        assert not opened(kept).getexif()
        assert b"Exif" not in kept and b"comment" not in kept


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not-an-image"),
        (b"<html>", "not-an-image"),
        (jpeg()[:-900], "not-an-image"),
        (jpeg()[:100], "not-an-image"),
        (encoded(Image.new("RGB", (9, 9)), "TIFF"), "not-an-image"),
        (encoded(Image.new("RGB", (9, 9)), "BMP"), "not-an-image"),
        (pixel_bomb(5_100), "too-many-pixels"),
        (pixel_bomb(10_000), "too-many-pixels"),  # Pillow warns of these
        (pixel_bomb(20_000), "too-many-pixels"),  # and refuses these itself
    ],
)
def test_what_is_none_has_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(NotAvailable) as failure:
        develop(data)
    assert failure.value.reason == reason


def test_a_jpeg_may_be_drawn_in_as_many_passes_as_encoders_make_and_no_more() -> None:
    assert develop(scan_bomb(20)).width == 64
    with pytest.raises(NotAvailable, match="too-many-scans"):
        develop(scan_bomb(100))


def test_a_jpeg_may_have_what_a_camera_of_50_megapixels_makes() -> None:
    assert develop(jpeg(8160, 6120)).width == 2048
    with pytest.raises(NotAvailable, match="too-many-pixels"):
        develop(jpeg(8200, 6200))
