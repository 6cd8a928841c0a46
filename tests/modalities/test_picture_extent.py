import pytest
from PIL import Image

from tonggan.modalities.image import ImageConfig
from tonggan.modalities.picture_extent import read_extent


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_upright_size_of_a_photograph(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    picture = Image.new("RGB", (40, 20), "white")
    picture.save(path, exif=exif)
    assert read_extent(path) == ((20, 40) if orientation < 5 else (40, 20))
    # The modality turns it the same way: what is upright and high has its borders left and right.
    square = ImageConfig(size=40, resize="pad").build().decode(path.read_bytes())
    assert (square[0, :, 0] == 0).all() == (orientation >= 5)


@pytest.mark.parametrize("orientation", range(10))
def test_what_pillow_has_turned_is_not_turned_again(tmp_path, orientation):
    Image.new("RGB", (40, 20)).save(tmp_path / "a.tif", tiffinfo={0x0112: orientation})
    assert read_extent(tmp_path / "a.tif") == ((40, 20) if 5 <= orientation <= 8 else (20, 40))


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.bmp", "a.tif", "a.webp", "a.ppm"])
def test_formats(tmp_path, name):
    Image.new("RGB", (7, 3)).save(tmp_path / name)
    assert read_extent(tmp_path / name) == (3, 7)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10"])
def test_what_is_no_picture_has_no_size(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert read_extent(path) is None
    assert read_extent(tmp_path / "gone.png") is None
