"""Templates as people write them."""

import pytest

from lambdabox.domain.templates import TemplateError
from lambdabox.stacks.template_text import read_text

SHORT = """
Version: 2012-10-17
Ref: !Ref A
Att: !GetAtt A.B.C
Sub: !Sub '${A}'
Join: !Join ['', [!Ref A, b]]
If: !If [C, !Ref A, !Ref "AWS::NoValue"]
Nested: !Base64
  Fn::Sub: x
Not: !Not [!Equals [a, !Ref B]]
Map: !FindInMap [M, !Ref K, v]
Which: !Condition X
"""


def test_short_forms_are_functions_and_dates_are_text() -> None:
    assert read_text(SHORT) == {
        "Version": "2012-10-17",
        "Ref": {"Ref": "A"},
        "Att": {"Fn::GetAtt": ["A", "B.C"]},
        "Sub": {"Fn::Sub": "${A}"},
        "Join": {"Fn::Join": ["", [{"Ref": "A"}, "b"]]},
        "If": {"Fn::If": ["C", {"Ref": "A"}, {"Ref": "AWS::NoValue"}]},
        "Nested": {"Fn::Base64": {"Fn::Sub": "x"}},
        "Not": {"Fn::Not": [{"Fn::Equals": ["a", {"Ref": "B"}]}]},
        "Map": {"Fn::FindInMap": ["M", {"Ref": "K"}, "v"]},
        "Which": {"Condition": "X"},
    }


def test_json_is_read_as_json() -> None:
    assert read_text(' {"a": [1, "yes"]}') == {"a": [1, "yes"]}


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "YAML not well-formed. (line 1"),
        ("{", "JSON not well-formed. (line 1, column 2)"),
        ("just words", "unsupported structure"),
        ("- a", "unsupported structure"),
        ("", "unsupported structure"),
        ("a: !!python/object/apply:os.system [ls]", "YAML not well-formed"),
        ("a: &x [*x]", "nested too deeply"),
        ("{" + '"a":{' * 200 + "}" * 201, "nested too deeply"),
        ("a: " + "[" * 5_000 + "]" * 5_000, "nested too deeply"),
        (BOMB, "more than 200000 values"),
        ("? [a]\n: b", "YAML not well-formed"),
    ],
    ids=["yaml", "json", "words", "list", "empty", "python", "circle", "deep", "deep yaml", "bomb",
         "key"],
)  # fmt: skip
def test_what_is_no_template_is_refused(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        read_text(text)
    assert message in str(caught.value)
