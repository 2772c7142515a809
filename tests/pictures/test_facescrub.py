"""FaceScrub's two layouts."""

from __future__ import annotations

import pytest

from facecure.pictures.facescrub import crop_folder, identity_of


@pytest.mark.parametrize(
    ("stem", "identity"),
    [
        ("Adam_Sandler_12_10", "Adam_Sandler"),
        ("Adam_1_1", "Adam"),
        ("Adam_12_1_3", "Adam_12"),
        ("Stellan_Skarsgård_7_8", "Stellan_Skarsgård"),
        ("J.J._Abrams_3_4", "J.J._Abrams"),
        ("Al Pacino_0_00", "Al Pacino"),
        ("Adam_Sandler_12", None),
        ("Adam_Sandler", None),
        ("Adam_12_1_cloaked", None),
        ("Adam_12_1x", None),
        ("Adam_12_-1", None),
        ("_12_1", None),
        ("12_1", None),
        ("02454bf4214b50ea5df5bc01498f474471356363", None),
        ("", None),
    ],
)
def test_identity_is_what_precedes_image_and_face_number(stem, identity):
    assert identity_of(stem) == identity


def test_crops_lie_in_face_where_that_is_a_folder(tmp_path):
    (tmp_path / "downloaded" / "face").mkdir(parents=True)
    (tmp_path / "plain").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "face").touch()
    assert crop_folder(tmp_path / "downloaded") == tmp_path / "downloaded" / "face"
    assert crop_folder(tmp_path / "plain") == tmp_path / "plain"
    assert crop_folder(tmp_path / "odd") == tmp_path / "odd"
