"""The sample sheet: encodings, separators, what survives, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fociquant.errors import StudyError
from fociquant.study import Study, inspect_study, load_study
from fociquant.study.naming import default_section_name, safe_name, why_unsafe
from fociquant.study.sheet import OPTIONAL, REQUIRED, parse_dpi
from fociquant.study.table import read_table

HEADER = "image,mouse,group,dpi"
YAML = "name: t\nchannels: {marker: HER2, nucleus: DAPI}\n"


def study_in(folder: Path, sheet: str | bytes, *, yaml: str = YAML, images: str = "a b c") -> Path:
    """A study folder with (empty) images a.tif, b.tif …"""
    for name in images.split():
        (folder / f"{name}.tif").touch()
    data = sheet.encode() if isinstance(sheet, str) else sheet
    (folder / "samples.csv").write_bytes(data)
    (folder / "study.yaml").write_text(yaml, encoding="utf-8")
    return folder / "study.yaml"


def load(folder: Path, sheet: str | bytes, **options: str) -> Study:
    return load_study(study_in(folder, sheet, **options))


def problems(folder: Path, sheet: str | bytes, **options: str) -> list[str]:
    found = [str(problem) for problem in inspect_study(study_in(folder, sheet, **options)).problems]
    assert len(found) == len(set(found))
    return found


def only(folder: Path, sheet: str | bytes, **options: str) -> str:
    found = problems(folder, sheet, **options)
    assert len(found) == 1, found
    return found[0]


def test_every_column_is_read(tmp_path: Path) -> None:
    study = load(
        tmp_path,
        "image,mouse,group,dpi,section,control,batch,genotype\n"
        "a.tif,m1,PBS,3,left,,B1,wt\n"
        "b.tif,m2,IAV,15.5,,Negative,,\n",
    )
    first, second = study.sections
    assert (first.name, first.mouse, first.group, first.dpi) == ("left", "m1", "PBS", 3.0)
    assert first.image == tmp_path / "a.tif"
    assert (first.image_text, first.batch, dict(first.extra)) == ("a.tif", "B1", {"genotype": "wt"})
    assert (second.name, second.dpi, second.negative_control) == ("b", 15.5, True)
    assert study.groups == ("PBS", "IAV")
    assert {mouse: len(sections) for mouse, sections in study.mice.items()} == {"m1": 1, "m2": 1}


@pytest.mark.parametrize("mouse", ["007", "1E5", "3-1", "=1+1", "NA", "null", "1,5", "m 1", "Ä#1"])
def test_mouse_and_group_are_never_parsed(tmp_path: Path, mouse: str) -> None:
    (section,) = load(tmp_path, f'{HEADER}\na.tif,"{mouse}","{mouse}",3\n').sections
    assert (section.mouse, section.group) == (mouse, mouse)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_whatever_program_wrote_it(
    tmp_path: Path, separator: str, encoding: str, newline: str
) -> None:
    rows = [HEADER.split(","), ["a.tif", "Mäuschen", "PBS", "3"], ["b.tif", "µ2", "IAV", "15"]]
    text = newline.join(separator.join(row) for row in rows) + newline
    study = load(tmp_path, text.encode(encoding))
    assert [(s.mouse, s.dpi) for s in study.sections] == [("Mäuschen", 3.0), ("µ2", 15.0)]


def test_german_excel(tmp_path: Path) -> None:
    text = "sep=;\r\nimage;mouse;group;dpi\r\na.tif;m,1;PBS;2,5\r\n"
    (section,) = load(tmp_path, text.encode("cp1252")).sections
    assert (section.mouse, section.dpi) == ("m,1", 2.5)


def test_blank_lines_spaces_quotes_and_empty_columns(tmp_path: Path) -> None:
    text = (
        "\n Image , MOUSE,group , dpi,,\n,,,,,\n"
        ' a.tif ,"m, ""one""\xa0", PBS ,3,,\n   \nb.tif,m2,PBS,3,,,,\n\n'
    )
    study = load(tmp_path, text)
    assert [s.mouse for s in study.sections] == ['m, "one"', "m2"]
    assert study.sections[0].extra == {}


def test_decomposed_accents_are_the_same_name(tmp_path: Path) -> None:
    study = load(tmp_path, f"{HEADER}\na.tif,Ma\u0308x,P,3\nb.tif,M\u00e4x,P,3\n")
    assert list(study.mice) == ["M\u00e4x"]


def test_image_with_decomposed_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "a\u0308.tif").touch()
    (section,) = load(tmp_path, f"{HEADER}\n\u00e4.tif,m1,P,3\n").sections
    assert section.image.exists()


def test_windows_separators_find_the_image(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "x.ome.tif").touch()
    (section,) = load(tmp_path, f"{HEADER}\nslides\\x.ome.tif,m1,P,3\n").sections
    assert section.image == tmp_path / "slides" / "x.ome.tif"
    assert section.name == "x"


def test_absolute_path_may_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out.tif").touch()
    (tmp_path / "study").mkdir()
    (section,) = load(tmp_path / "study", f"{HEADER}\n{tmp_path / 'out.tif'},m,P,3\n").sections
    assert section.image == tmp_path / "out.tif"


@pytest.mark.parametrize("path", ["../x.tif", "s/../../x.tif", "..\\x.tif", ".."])
def test_relative_path_may_not(tmp_path: Path, path: str) -> None:
    (tmp_path / "x.tif").touch()
    (tmp_path / "study").mkdir()
    message = only(tmp_path / "study", f"{HEADER}\n{path},m,P,3\n")
    assert "line 2, column 'image'" in message
    assert "leads out of the study's folder" in message
    assert "absolute" in message


def test_all_problems_of_a_bad_sheet_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "image,mouse,group,dpi,section,control\n"
        "a.tif,,PBS,3,one,\n"
        "aa.tif,m2,PBS,three,two,no\n"
        "b.tif,m3,,-3,ONE,\n"
        "b.tif,m4,PBS,nan,sub/name,\n"
        ",m5,PBS,inf,nul,\n",
        yaml=YAML + "reference_group: pbs\n",
    )
    text = "\n".join(found)
    for part in (
        "samples.csv, line 2, column 'mouse': the cell is empty.",
        "samples.csv, line 3, column 'image': image 'aa.tif' does not exist. Did you mean 'a.tif'?",
        "samples.csv, line 3, column 'dpi': 'three' is not a number of days",
        "samples.csv, line 3, column 'control': 'no' is not known.",
        "samples.csv, line 4, column 'group': the cell is empty.",
        "samples.csv, line 4, column 'dpi': '-3'",
        "samples.csv, line 4, column 'section': section 'ONE' is already on line 2 as 'one'.",
        "samples.csv, line 5, column 'dpi': 'nan'",
        "samples.csv, line 5, column 'section': section 'sub/name' holds the character '/'",
        "samples.csv, line 5, column 'image': the same image is already on line 4.",
        "samples.csv, line 6, column 'image': the cell is empty.",
        "samples.csv, line 6, column 'dpi': 'inf'",
        "samples.csv, line 6, column 'section': section 'nul' is a name that Windows keeps",
        "study.yaml, line 3, key 'reference_group': 'pbs' is not a group of the sample sheet. "
        "Did you mean 'PBS'? Groups are 'PBS'.",
    ):
        assert part in text
    assert len(found) == 14


def test_a_mouse_has_one_group_and_one_dpi(tmp_path: Path) -> None:
    found = problems(
        tmp_path, f"{HEADER}\na.tif,m1,PBS,3\nb.tif,m1,IAV,3.0\nc.tif,m2,IAV,9\nd.tif,m2,IAV,15\n",
        images="a b c d",
    )  # fmt: skip
    assert len(found) == 2
    assert (
        "line 3, column 'group': mouse 'm1' has more than one group: PBS (line 2), IAV" in found[0]
    )
    assert (
        "line 5, column 'dpi': mouse 'm2' has more than one dpi: 9 (line 4), 15 (line 5)"
        in found[1]
    )
    assert "different names" in found[0]


def test_a_mouse_is_excluded_on_all_its_lines_and_with_a_reason(tmp_path: Path) -> None:
    head = f"{HEADER},excluded\n"
    study = load(tmp_path, f"{head}a.tif,m1,PBS,3,died at 2 dpi\nb.tif,m2,PBS,3,\n")
    assert [section.excluded for section in study.sections] == ["died at 2 dpi", ""]
    partly = only(tmp_path, f"{head}a.tif,m1,PBS,3,died\nb.tif,m2,PBS,3,\nc.tif,m1,PBS,3,\n")
    assert partly.startswith("samples.csv, line 4, column 'excluded': mouse 'm1' is excluded on")
    assert "is no reason" in only(tmp_path, f"{head}a.tif,m1,PBS,3,No\n")


def test_a_dpi_that_is_no_number_is_one_problem(tmp_path: Path) -> None:
    assert "'x' is not" in only(tmp_path, f"{HEADER}\na.tif,m1,PBS,3\nb.tif,m1,PBS,x\n")


def test_many_absent_images_are_listed_in_bounded_time(tmp_path: Path) -> None:
    for number in range(600):
        (tmp_path / f"section_{number}.ome.tif").touch()
    rows = "".join(f"sektion_{n}.ome.tif,m{n},PBS,3\n" for n in range(600))
    found = problems(tmp_path, f"{HEADER}\n{rows}")
    assert len(found) == 600
    assert "Did you mean 'section_0.ome.tif'" in found[0]


def test_same_image_through_two_spellings_and_a_link(tmp_path: Path) -> None:
    (tmp_path / "a.tif").touch()
    (tmp_path / "l.tif").symlink_to("a.tif")
    sheet = f"{HEADER},section\na.tif,m1,P,3,x\n./a.tif,m2,P,3,y\nl.tif,m3,P,3,z\n"
    found = problems(tmp_path, sheet)
    assert ["already on line 2" in text for text in found] == [True, True]


@pytest.mark.parametrize(
    ("rows", "said"),
    [("a.tif,m1,PBS\n", "3 cells where the header has 4"), ('a.tif,"m1,PBS,3\n', "broken row")],
)
def test_rows_that_are_all_refused_are_the_only_problem(tmp_path, rows, said):
    assert said in only(tmp_path, f"{HEADER}\n{rows}")


@pytest.mark.parametrize(
    ("sheet", "parts"),
    [
        ("", ["is empty", "'image', 'mouse', 'group', 'dpi'"]),
        (HEADER + "\n", ["no rows below the header"]),
        ("image,animal,group,dpi\na.tif,1,P,3\n", ["column 'mouse' is missing"]),
        ("image,mouse_id,group,dpi\na.tif,1,P,3\n", ["'mouse' is missing", "If column 'mouse_id'"]),
        (f"{HEADER},cells\na.tif,m,P,3,1\n", ["'cells' has the name of a column of the results"]),
        (f"{HEADER},sections\na.tif,m,P,3,x\n", ["Did you mean 'section'?"]),
        (f"{HEADER},Mouse\na.tif,m,P,3,n\n", ["column 'mouse' appears more than once"]),
        (f"{HEADER},,x\na.tif,m,P,3,5,6\n", ["line 1", "column 5 has values (line 2) but no name"]),
        (f"{HEADER}\na.tif,m,P,3,4\n", ["line 2", "more cells than", "'4'"]),
        (f"{HEADER}\na.tif,m,P,3\nb.tif,m\n", ["line 3", "2 cells where the header has 4"]),
        (f'{HEADER}\na.tif,"m,P,3\nb.tif,n,P,3\n', ["line 2", "broken row", "quote"]),
        (f'{HEADER}\na.tif,"m\n1",P,3\n', ["line 2, column 'mouse'", "line break"]),
        (f"{HEADER}\nfolder,m,P,3\n", ["'folder' is a folder, not an image", "OME-Zarr"]),
        (b"PK\x03\x04" + bytes(50), ["is a spreadsheet file", "CSV UTF-8"]),
        (b"\xd0\xcf\x11\xe0" + bytes(50), ["is a spreadsheet file"]),
        (bytes(range(256)), ["is not a text file"]),
        (b"\xff\xfei\x00m", ["is not a text file"]),
    ],
)  # fmt: skip
def test_each_fault_is_named(tmp_path: Path, sheet: str | bytes, parts: list[str]) -> None:
    (tmp_path / "folder").mkdir()
    text = "\n".join(problems(tmp_path, sheet))
    assert [part for part in parts if part not in text] == []


def test_problems_hold_the_line_after_a_quoted_line_break(tmp_path: Path) -> None:
    message = only(tmp_path, f'{HEADER},note\n\na.tif,m,P,3,"two\nlines"\n')
    assert message.startswith("samples.csv, line 3, column 'note'")


def test_default_names_that_collide(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "s1.ome.tiff").touch()
    message = only(tmp_path, f"{HEADER}\nx/s1.ome.tiff,m,P,3\ny/s1.ome.tiff,n,P,3\n")
    assert "section 's1' is already on line 2" in message
    assert "Add a column 'section'" in message


def test_long_or_impossible_paths_are_absent_images(tmp_path: Path) -> None:
    assert "File name too long" in only(tmp_path, f"{HEADER}\n{'x' * 5000}.tif,m,P,3\n")


def test_notes_on_what_looks_like_a_slip(tmp_path: Path) -> None:
    path = study_in(
        tmp_path,
        f"{HEADER},sex\na.tif,1.00E+05,PBS,3,f\nb.tif,03-Jan,pbs,3,f\nc.tif,m07,PBS,3,f\n"
        "d.tif,m7,PBS,3,f\ne.tif,m7,PBS,3,m\n",
        images="a b c d e",
    )
    inspection = inspect_study(path)
    assert inspection.study is not None
    notes = "\n".join(str(note) for note in inspection.notes)
    for part in (
        "'1.00E+05' looks like",
        "'03-Jan' looks like",
        "'m07' (line 4), 'm7' (line 5)",
        "'PBS' (line 2), 'pbs' (line 3)",
        "column 'sex': differs between sections",
    ):
        assert part in notes
    assert len(inspection.notes) == 5


@pytest.mark.parametrize(
    ("one", "other", "noted"),
    [("1", "1.0", True), ("1", '"1,00"', True), ("007", "7.0", True), ("1.1", "1.10", False),
     ("1", "10", False), ("1.0", "10", False), ("1.1", "1.2", False), ("1.0a", "1a", False)],
)  # fmt: skip
def test_a_number_written_otherwise_is_noted(tmp_path, one, other, noted):
    path = study_in(tmp_path, f"{HEADER}\na.tif,{one},PBS,3\nb.tif,{other},PBS,3\n")
    notes = "\n".join(str(note) for note in inspect_study(path).notes)
    assert ("column 'mouse': counted as different" in notes) == noted


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("s/IAV_m1.ome.tif", "IAV_m1"), ("a.OME.TIFF", "a"), ("a.b.tif", "a.b"), ("x.czi", "x"),
        ("d/x.ome.zarr/", "x"), ("x.zarr", "x"), ("a:b?.tif", "a_b_"), ("con.tif", "section_con"),
        ("x..tif", "x"), ("=1+1.tif", "_1+1"), (".tif.tif", "_tif"), ("no_ending", "no_ending"),
    ],
)  # fmt: skip
def test_default_section_name(image: str, name: str) -> None:
    assert default_section_name(image) == name


@given(st.text(max_size=300))
def test_a_safe_name_is_safe_and_stays(text: str) -> None:
    name = safe_name(text.encode("utf-8", "ignore").decode())
    assert name
    assert why_unsafe(name) == ""
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("text", "days"),
    [("15", 15.0), ("15,5", 15.5), ("+.5", 0.5), ("-0", 0.0), ("1e1", 10.0), ("1e999", None),
     ("١٥", None), ("1_5", None), ("15 dpi", None), ("1.000,5", None), ("-1", None)],
)  # fmt: skip
def test_dpi(text: str, days: float | None) -> None:
    assert parse_dpi(text) == days


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    text = data.decode("latin-1")
    table, _ = read_table(text, "samples.csv", known=REQUIRED + OPTIONAL)
    assert all(set(row.cells) == set(table.columns) for row in table.rows)


def test_the_error_lists_everything(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="line 2") as caught:
        load(tmp_path, f"{HEADER}\na.tif,,,\n")
    assert len(caught.value.problems) == 3
